//! `mma.sync`: where each lane's elements lie, and the three models of how a tensor core adds.

use tilelab_ptxsim::float::{Rounding, to_bf16, to_f16};
use tilelab_ptxsim::{Kind, Launch, Machine, MmaModel, Module, Options};

/// D = A B + C for one warp: A is 16 x k, B k x 8, C and D 16 x 8, row by row. The fragments are gathered here by the tables of the
/// manual, element by element.
struct Shape {
    instruction: &'static str,
    k: usize,
    /// Elements of a register.
    packed: usize,
    /// Bits of an element.
    encode: fn(f32) -> u32,
}

const SHAPES: [Shape; 6] = [
    Shape {
        instruction: "m16n8k4.row.col.f32.tf32.tf32.f32",
        k: 4,
        packed: 1,
        encode: f32::to_bits,
    },
    Shape {
        instruction: "m16n8k8.row.col.f32.tf32.tf32.f32",
        k: 8,
        packed: 1,
        encode: f32::to_bits,
    },
    Shape {
        instruction: "m16n8k8.row.col.f32.bf16.bf16.f32",
        k: 8,
        packed: 2,
        encode: bfloat,
    },
    Shape {
        instruction: "m16n8k16.row.col.f32.bf16.bf16.f32",
        k: 16,
        packed: 2,
        encode: bfloat,
    },
    Shape {
        instruction: "m16n8k8.row.col.f32.f16.f16.f32",
        k: 8,
        packed: 2,
        encode: half,
    },
    Shape {
        instruction: "m16n8k16.row.col.f32.f16.f16.f32",
        k: 16,
        packed: 2,
        encode: half,
    },
];

fn bfloat(x: f32) -> u32 {
    u32::from(to_bf16(f64::from(x), Rounding::Nearest))
}

fn half(x: f32) -> u32 {
    u32::from(to_f16(f64::from(x), Rounding::Nearest))
}

impl Shape {
    /// Rows and columns of A that register `index` of a lane holds: groups of 8 rows take turns, then groups of columns.
    fn a(&self, lane: usize, index: usize) -> Vec<(usize, usize)> {
        let columns = 4 * self.packed;
        let first = lane % 4 * self.packed + index / 2 * columns;
        (0..self.packed)
            .map(|part| (lane / 4 + index % 2 * 8, first + part))
            .collect()
    }

    fn b(&self, lane: usize, index: usize) -> Vec<(usize, usize)> {
        let rows = 4 * self.packed;
        let first = lane % 4 * self.packed + index * rows;
        (0..self.packed).map(|part| (first + part, lane / 4)).collect()
    }

    fn pack(&self, matrix: &[f32], columns: usize, places: &[(usize, usize)]) -> u32 {
        let width = 32 / self.packed;
        let parts = places.iter().enumerate();
        parts.fold(0, |all, (part, &(row, column))| {
            all | (self.encode)(matrix[row * columns + column]) << (part * width)
        })
    }

    fn run(&self, model: MmaModel, a: &[f32], b: &[f32], c: &[f32]) -> Vec<f32> {
        let counts = (self.k / (2 * self.packed), self.k / (4 * self.packed));
        let mut words: Vec<u32> = Vec::new();
        for lane in 0..32 {
            words.extend((0..counts.0).map(|index| self.pack(a, self.k, &self.a(lane, index))));
            words.extend((0..counts.1).map(|index| self.pack(b, 8, &self.b(lane, index))));
            words.extend((0..4).map(|index| c[place(lane, index)].to_bits()));
        }
        let stride = counts.0 + counts.1 + 4;
        let names = |begin: usize, count: usize| (begin..begin + count).map(|i| format!("%r{i}")).collect::<Vec<_>>();
        let mut text = String::from(
            ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 in, .param .u64 out) {
            .reg .b32 %r<20>, %t; .reg .f32 %d<4>; .reg .b64 %in, %out, %x;
            ld.param.u64 %in, [in];\nld.param.u64 %out, [out];\nmov.u32 %t, %tid.x;\n",
        );
        text += &format!(
            "mul.wide.u32 %x, %t, {};\nadd.s64 %in, %in, %x;\nmul.wide.u32 %x, %t, 16;\nadd.s64 %out, %out, %x;\n",
            4 * stride
        );
        (0..stride).for_each(|i| text += &format!("ld.global.b32 %r{i}, [%in+{}];\n", 4 * i));
        let vector = |names: Vec<String>| format!("{{{}}}", names.join(", "));
        text += &format!(
            "mma.sync.aligned.{} {{%d0, %d1, %d2, %d3}}, {}, {}, {};\n",
            self.instruction,
            vector(names(0, counts.0)),
            vector(names(counts.0, counts.1)),
            vector(names(counts.0 + counts.1, 4)),
        );
        text += "st.global.v4.f32 [%out], {%d0, %d1, %d2, %d3};\nret;\n}";
        let module = Module::parse(&text).unwrap();
        let mut machine = Machine::new(Options {
            mma_model: model,
            ..Options::default()
        });
        let (operands, out) = (machine.upload(&words), machine.alloc(512));
        machine
            .launch(
                &module,
                "k",
                Launch::new([1, 1, 1], [32, 1, 1]),
                &[operands.into(), out.into()],
            )
            .unwrap();
        let fragments: Vec<f32> = machine.download(out, 128).unwrap();
        let mut d = vec![0.0; 128];
        for lane in 0..32 {
            (0..4).for_each(|index| d[place(lane, index)] = fragments[lane * 4 + index]);
        }
        d
    }
}

/// Where register `index` of a lane lies in C and D.
fn place(lane: usize, index: usize) -> usize {
    (lane / 4 + index / 2 * 8) * 8 + lane % 4 * 2 + index % 2
}

#[test]
fn whole_numbers_are_exact_in_every_shape_and_model() {
    for shape in &SHAPES {
        let whole =
            |count: usize, step: usize| -> Vec<f32> { (0..count).map(|i| (i * step % 11) as f32 - 5.0).collect() };
        let (a, b, c) = (whole(16 * shape.k, 3), whole(shape.k * 8, 7), whole(128, 5));
        for model in MmaModel::ALL {
            let d = shape.run(model, &a, &b, &c);
            for (at, &got) in d.iter().enumerate() {
                let (row, column) = (at / 8, at % 8);
                let products: f32 = (0..shape.k).map(|p| a[row * shape.k + p] * b[p * 8 + column]).sum();
                assert_eq!(
                    got,
                    c[at] + products,
                    "{} {model:?} ({row}, {column})",
                    shape.instruction
                );
            }
        }
    }
}

/// Row 0 of A against column 0 of B, added to c: one element, in each model.
fn element(shape: &Shape, row: &[f32], column: &[f32], c: f32) -> [f32; 3] {
    let (mut a, mut b, mut all) = (vec![0.0; 16 * shape.k], vec![0.0; shape.k * 8], vec![0.0; 128]);
    a[..row.len()].copy_from_slice(row);
    column.iter().enumerate().for_each(|(p, &x)| b[p * 8] = x);
    all[0] = c;
    MmaModel::ALL.map(|model| shape.run(model, &a, &b, &all)[0])
}

#[test]
fn the_models_differ_where_rounding_does() {
    let shape = &SHAPES[1];
    let half_ulp = 1.0 / 16_777_216.0;
    // 1 + three quarters of an ulp, in two parts: rounded once it is the next number, cut it is 1; added one by one, each part is lost.
    let row = [half_ulp, half_ulp * 0.5];
    assert_eq!(element(shape, &row, &[1.0, 1.0], 1.0), [1.0 + f32::EPSILON, 1.0, 1.0]);
    // 1 + 1.5 ulps: cut to 1 ulp, rounded to 2.
    assert_eq!(
        element(shape, &[3.0 * half_ulp], &[1.0], 1.0),
        [1.0 + 2.0 * f32::EPSILON, 1.0 + 2.0 * f32::EPSILON, 1.0 + f32::EPSILON]
    );
    // 2^30 + 1 - 2^30: what lies 30 bits below is cut, or lost in f32, but not in an exact sum.
    let large = 32_768.0;
    assert_eq!(
        element(shape, &[large, 1.0, -large], &[large, 1.0, large], 0.0),
        [1.0, 0.0, 0.0]
    );
    // 60 bits apart: more than an f64 holds, so the exact model must not sum in it.
    let huge = 1_073_741_824.0;
    assert_eq!(element(shape, &[huge, 1.0, -huge], &[huge, 1.0, huge], 0.0)[0], 1.0);
    let (row, column) = (
        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, huge, -huge],
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, huge, huge],
    );
    assert_eq!(element(shape, &row, &column, 0.5)[0], 1.5);
    assert!(
        element(shape, &[f32::INFINITY, 1.0], &[1.0, 1.0], 0.0)
            .iter()
            .all(|&x| x == f32::INFINITY)
    );
    assert!(
        element(shape, &[f32::INFINITY, f32::NEG_INFINITY], &[1.0, 1.0], 0.0)
            .iter()
            .all(|x| x.is_nan())
    );
}

#[test]
fn only_a_whole_warp_with_rounded_operands_multiplies() {
    let run = |guard: &str, operand: &str| {
        let text = format!(
            ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k() {{ .reg .pred %p; .reg .b32 %r<3>; .reg .f32 %f<5>;
            mov.u32 %r1, %tid.x;\nsetp.lt.u32 %p, %r1, 16;\nmov.b32 %r2, {operand};\nmov.f32 %f1, 0f00000000;
            {guard} mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32 {{%f1, %f2, %f3, %f4}}, {{%r2, %r2}}, {{%r2}}, {{%f1, %f1, %f1, %f1}};\nret;\n}}"
        );
        let mut machine = Machine::new(Options::default());
        let done = machine.launch(
            &Module::parse(&text).unwrap(),
            "k",
            Launch::new([1, 1, 1], [32, 1, 1]),
            &[],
        );
        done.err().map(|finding| finding.kind)
    };
    assert_eq!(run("", "0x3f800000"), None);
    assert_eq!(run("@%p", "0x3f800000"), Some(Kind::InactiveLane));
    assert_eq!(run("", "0x3f800001"), Some(Kind::NotTf32));
}
