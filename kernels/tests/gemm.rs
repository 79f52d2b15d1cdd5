//! Promises of the matrix product. Letters are those of the design's list of tests.

mod support;

use support::matrices::{Layout, Padded};
use support::{Random, isas};
use tilelab_kernels::gemm::{Blocking, Shape};
use tilelab_kernels::{Activation, Context, Epilogue, Float, Isa, MatMut, MatRef, ShapeError, Threads, reference};

/// Which epilogue a case has.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    None,
    Bias,
    Relu,
    BiasRelu,
    Derivative,
    /// Beyond what the micro-kernels do: the epilogue's second half works on the tile in L1.
    Long,
    All,
}

const KINDS: [Kind; 7] = [
    Kind::None,
    Kind::Bias,
    Kind::Relu,
    Kind::BiasRelu,
    Kind::Derivative,
    Kind::Long,
    Kind::All,
];

struct Case<T> {
    a: Padded<T>,
    b: Padded<T>,
    c: Padded<T>,
    bias: Vec<T>,
    saved: Padded<T>,
    alpha: f64,
    beta: f64,
    kind: Kind,
}

impl<T: Float> Case<T> {
    fn new(
        shape: Shape,
        layouts: [Layout; 3],
        scalars: (f64, f64),
        kind: Kind,
        mut value: impl FnMut() -> f64,
    ) -> Self {
        let Shape { m, n, k } = shape;
        let (alpha, beta) = scalars;
        let a = Padded::new(m, k, layouts[0], 3, &mut value);
        let b = Padded::new(k, n, layouts[1], 1, &mut value);
        // beta = 0 must not read C: it is NaN then.
        let c = Padded::new(m, n, layouts[2], 2, || if beta == 0.0 { f64::NAN } else { value() });
        let bias = (0..n).map(|_| T::from_f64(value())).collect();
        let saved = Padded::new(m, n, Layout::RowMajor, 5, &mut value);
        Self {
            a,
            b,
            c,
            bias,
            saved,
            alpha,
            beta,
            kind,
        }
    }

    fn epilogue(&self) -> Epilogue<'_, T> {
        let none = Epilogue::none();
        match self.kind {
            Kind::None => none,
            Kind::Bias => none.bias(&self.bias),
            Kind::Relu => none.activation(Activation::Relu),
            Kind::BiasRelu => none.bias(&self.bias).activation(Activation::Relu),
            Kind::Derivative => none.times_derivative(Activation::Relu, self.saved.view()),
            Kind::Long => none
                .bias(&self.bias)
                .activation(Activation::Relu)
                .times_derivative(Activation::Identity, self.saved.view()),
            Kind::All => none
                .bias(&self.bias)
                .activation(Activation::Relu)
                .times_derivative(Activation::Relu, self.saved.view()),
        }
    }

    /// Runs it; the result in a C of its own.
    fn run(&self, ctx: &Context) -> Padded<T> {
        let mut c = Padded {
            data: self.c.data.clone(),
            ..self.c
        };
        let (alpha, beta) = (T::from_f64(self.alpha), T::from_f64(self.beta));
        ctx.gemm(alpha, self.a.view(), self.b.view(), beta, c.view_mut(), self.epilogue())
            .unwrap();
        c
    }

    /// The oracle's result, and for each element the bound (k + 3) eps (|alpha| |A| |B| + |beta| |C|), with one more
    /// rounding for the bias.
    fn oracle(&self) -> (Vec<f64>, Vec<f64>) {
        let (m, n, k) = (self.c.rows, self.c.cols, self.a.cols);
        let (mut expected, mut bounds) = (Vec::new(), Vec::new());
        for i in 0..m {
            for j in 0..n {
                let mut size = 0.0;
                for p in 0..k {
                    size += (self.a.at(i, p) * self.b.at(p, j)).abs();
                }
                size *= self.alpha.abs();
                if self.beta != 0.0 {
                    size += (self.beta * self.c.at(i, j)).abs();
                }
                if matches!(self.kind, Kind::Bias | Kind::BiasRelu | Kind::Long | Kind::All) {
                    size += self.bias[j].to_f64().abs();
                }
                bounds.push((k + 4) as f64 * T::EPSILON * size);
            }
        }
        let mut c = Padded {
            data: self.c.data.clone(),
            ..self.c
        };
        let (alpha, beta) = (T::from_f64(self.alpha), T::from_f64(self.beta));
        reference::gemm(alpha, self.a.view(), self.b.view(), beta, c.view_mut(), self.epilogue());
        for i in 0..m {
            for j in 0..n {
                expected.push(c.at(i, j));
            }
        }
        (expected, bounds)
    }

    fn check(&self, ctx: &Context, what: &str) {
        let got = self.run(ctx);
        let (expected, bounds) = self.oracle();
        for i in 0..got.rows {
            for j in 0..got.cols {
                let at = i * got.cols + j;
                let error = (got.at(i, j) - expected[at]).abs();
                // The oracle's result is rounded to T once itself.
                let bound = bounds[at] + expected[at].abs() * T::EPSILON;
                assert!(
                    error <= bound,
                    "{what}: ({i}, {j}) is {}, expected {} +- {bound:e}, {:?} alpha {} beta {}",
                    got.at(i, j),
                    expected[at],
                    self.kind,
                    self.alpha,
                    self.beta
                );
            }
        }
        assert!(got.gaps_are_untouched(), "{what}: wrote outside C");
    }
}

fn one_thread(isa: Isa) -> Context {
    Context::new(isa, Threads::one()).unwrap()
}

/// (c) Every kernel of the table, every used width of its tile, depths round the loop's edges, C poisoned and guarded.
fn every_tile<T: Float>(isa: Isa) {
    let blocking = Blocking { mc: 1, kc: 40, nc: 1 };
    let ctx = Context::with_blocking(isa, Threads::one(), blocking).unwrap();
    let mut random = Random(1);
    let mut seen = 0;
    for kernel in T::KERNELS.iter().filter(|kernel| kernel.isa == isa) {
        for nr in (kernel.nv - 1) * kernel.lanes + 1..=kernel.nr() {
            for k in [0, 1, 2, 7, 33] {
                for layout in [Layout::RowMajor, Layout::ColumnMajor] {
                    let kind = KINDS[(kernel.mr + nr + k) % KINDS.len()];
                    let beta = [0.0, 1.0, -0.5][(nr + k) % 3];
                    let shape = Shape { m: kernel.mr, n: nr, k };
                    let layouts = [layout, Layout::RowMajor, Layout::RowMajor];
                    let case = Case::<T>::new(shape, layouts, (1.0, beta), kind, || random.unit());
                    case.check(&ctx, &format!("{} width {nr} depth {k}", kernel.id()));
                    // The same tile with the operands read where they lie.
                    case.check(
                        &one_thread(isa),
                        &format!("{} unpacked, width {nr} depth {k}", kernel.id()),
                    );
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 100, "{isa}: the table is empty");
}

#[test]
fn every_kernel_at_every_width_and_edge_depth() {
    for isa in isas() {
        every_tile::<f32>(isa);
        every_tile::<f64>(isa);
    }
}

/// (d) Whole products under tiny blocks: every block edge, every layout, scalars and epilogues.
fn tiny_blocks<T: Float>(isa: Isa, threads: usize) {
    use Layout::{ColumnMajor, RowMajor, Scattered};
    let blocking = Blocking { mc: 1, kc: 5, nc: 1 };
    let ctx = Context::with_blocking(isa, Threads::new(threads).unwrap(), blocking).unwrap();
    let mut random = Random(2);
    let layouts = [RowMajor, ColumnMajor, Scattered];
    for turn in 0..81 {
        let layouts = [layouts[turn % 3], layouts[turn / 3 % 3], layouts[turn / 9 % 3]];
        let shape = Shape {
            m: 1 + random.below(39),
            n: 1 + random.below(70),
            k: random.below(23),
        };
        let scalars = ([1.0, -1.0, 0.75][turn % 3], [0.0, 1.0, -0.5][turn / 27 % 3]);
        let case = Case::<T>::new(shape, layouts, scalars, KINDS[turn % KINDS.len()], || random.unit());
        case.check(&ctx, &format!("{isa} {} {shape:?} {layouts:?}", T::NAME));
    }
}

#[test]
fn whole_products_under_tiny_blocks_in_every_layout() {
    for isa in isas() {
        tiny_blocks::<f32>(isa, 1);
        tiny_blocks::<f64>(isa, 3);
    }
}

/// (a) Ordinary blocking, shapes off every tile, against the oracle.
#[test]
fn ragged_shapes_are_within_the_bound_of_the_oracle() {
    let shapes = [
        (1, 1, 1),
        (1, 300, 70),
        (300, 1, 70),
        (16, 1, 64),
        (33, 65, 129),
        (127, 131, 257),
        (64, 10, 256),
        (65, 200, 1),
    ];
    for isa in isas() {
        let mut random = Random(3);
        for (turn, (m, n, k)) in shapes.into_iter().enumerate() {
            for b_layout in [Layout::RowMajor, Layout::ColumnMajor] {
                let layouts = [
                    [Layout::RowMajor, Layout::ColumnMajor][turn % 2],
                    b_layout,
                    Layout::RowMajor,
                ];
                let case = Case::<f32>::new(
                    Shape { m, n, k },
                    layouts,
                    (1.0, 0.0),
                    KINDS[turn % KINDS.len()],
                    || random.unit(),
                );
                case.check(&one_thread(isa), &format!("{isa} {m}x{n}x{k}"));
                let case = Case::<f64>::new(
                    Shape { m, n, k },
                    layouts,
                    (0.5, 2.0),
                    KINDS[turn % KINDS.len()],
                    || random.unit(),
                );
                case.check(&one_thread(isa), &format!("{isa} f64 {m}x{n}x{k}"));
            }
        }
    }
}

/// The shapes that are benched: squares, MLP shapes, skinny ones.
const BENCHED: [(usize, usize, usize); 19] = [
    (64, 64, 64),
    (128, 128, 128),
    (256, 256, 256),
    (512, 512, 512),
    (1023, 1023, 1023),
    (1024, 1024, 1024),
    (1025, 1025, 1025),
    (1026, 1026, 1026),
    (1028, 1028, 1028),
    (1031, 1031, 1031),
    (1032, 1032, 1032),
    (256, 256, 784),
    (256, 10, 256),
    (784, 256, 256),
    (256, 784, 256),
    (32, 512, 784),
    (16, 64, 20),
    (16, 1, 64),
    (128, 8192, 784),
];

/// (b) Small whole numbers have one right answer in f32: a lost or doubled term shows at any k. The `gemm` crate gives it
/// too, and stands in for the oracle where that would take minutes; its own answer is held against the oracle on rows.
#[test]
fn whole_numbers_come_out_bit_for_bit_at_every_benched_shape() {
    for (m, n, k) in BENCHED {
        let mut random = Random(4);
        let a: Vec<f32> = (0..m * k).map(|_| random.whole(4) as f32).collect();
        let b: Vec<f32> = (0..k * n).map(|_| random.whole(4) as f32).collect();
        let mut expected = vec![0.0f32; m * n];
        by_gemm_crate(&mut expected, &a, &b, (m, n, k));
        let row = m / 2;
        let mut one_row = vec![0.0f32; n];
        reference::gemm(
            1.0,
            MatRef::row_major(&a[row * k..], 1, k).unwrap(),
            MatRef::row_major(&b, k, n).unwrap(),
            0.0,
            MatMut::row_major(&mut one_row, 1, n).unwrap(),
            Epilogue::none(),
        );
        assert_eq!(one_row, expected[row * n..][..n]);
        // Transposed copies of the operands must give the same.
        let a_columns: Vec<f32> = (0..k * m).map(|at| a[at % m * k + at / m]).collect();
        let b_columns: Vec<f32> = (0..n * k).map(|at| b[at % k * n + at / k]).collect();
        for isa in isas() {
            if isa == Isa::Portable && m * n * k > 1 << 28 {
                continue; // the same loops as on AVX-512, and slow
            }
            let ctx = Context::new(isa, Threads::new(2).unwrap()).unwrap();
            let mut c = vec![f32::NAN; m * n];
            let a_views = [
                MatRef::row_major(&a, m, k).unwrap(),
                MatRef::row_major(&a_columns, k, m).unwrap().transposed(),
            ];
            let b_views = [
                MatRef::row_major(&b, k, n).unwrap(),
                MatRef::row_major(&b_columns, n, k).unwrap().transposed(),
            ];
            for (turn, (a, b)) in [(0, 0), (1, 0), (0, 1)].into_iter().enumerate() {
                if turn > 0 && m * n * k > 1 << 27 {
                    continue;
                }
                c.fill(f32::NAN);
                let out = MatMut::row_major(&mut c, m, n).unwrap();
                ctx.gemm(1.0, a_views[a], b_views[b], 0.0, out, Epilogue::none())
                    .unwrap();
                assert!(c == expected, "{isa} {m}x{n}x{k}, transposes {turn}");
            }
        }
    }
}

/// C = A B, row-major, by the `gemm` crate.
fn by_gemm_crate(c: &mut [f32], a: &[f32], b: &[f32], (m, n, k): (usize, usize, usize)) {
    assert!(c.len() == m * n && a.len() == m * k && b.len() == k * n);
    // SAFETY: the slices hold m x n, m x k and k x n elements at these strides.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            false,
            a.as_ptr(),
            1,
            k as isize,
            b.as_ptr(),
            1,
            n as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// (e) Random projection: C x = A (B x), in f64, at a size where the oracle would be slow.
#[test]
fn a_large_f64_product_agrees_with_its_random_projection() {
    let (m, n, k) = (515, 700, 901);
    for isa in isas() {
        let mut random = Random(5);
        let mut fill = |len| (0..len).map(|_| random.unit()).collect::<Vec<f64>>();
        let (a, b, x) = (fill(m * k), fill(k * n), fill(n));
        let mut c = vec![f64::NAN; m * n];
        let ctx = Context::new(isa, Threads::all()).unwrap();
        let out = MatMut::row_major(&mut c, m, n).unwrap();
        let (a_view, b_view) = (
            MatRef::row_major(&a, m, k).unwrap(),
            MatRef::row_major(&b, k, n).unwrap(),
        );
        ctx.gemm(1.0, a_view, b_view, 0.0, out, Epilogue::none()).unwrap();
        let dot = |row: &[f64], x: &[f64]| row.iter().zip(x).map(|(a, x)| a * x).sum::<f64>();
        let bx: Vec<f64> = b.chunks(n).map(|row| dot(row, &x)).collect();
        for i in 0..m {
            let (got, expected) = (dot(&c[i * n..][..n], &x), dot(&a[i * k..][..k], &bx));
            assert!(
                (got - expected).abs() <= 1e-10,
                "{isa}: row {i}: {got} against {expected}"
            );
        }
    }
}

/// Same call, any number of threads: the same bits.
#[test]
fn threads_do_not_change_a_bit() {
    for isa in isas() {
        for (m, n, k) in [(300, 200, 400), (32, 512, 784), (700, 10, 256), (97, 1031, 513)] {
            let mut random = Random(6);
            let a: Vec<f32> = (0..m * k).map(|_| random.unit() as f32).collect();
            let b: Vec<f32> = (0..k * n).map(|_| random.unit() as f32).collect();
            let bias: Vec<f32> = (0..n).map(|_| random.unit() as f32).collect();
            let run = |threads| {
                let ctx = Context::new(isa, Threads::new(threads).unwrap()).unwrap();
                let mut c = vec![0.5f32; m * n];
                ctx.gemm(
                    1.0,
                    MatRef::row_major(&a, m, k).unwrap(),
                    MatRef::row_major(&b, k, n).unwrap(),
                    1.0,
                    MatMut::row_major(&mut c, m, n).unwrap(),
                    Epilogue::none().bias(&bias).activation(Activation::Relu),
                )
                .unwrap();
                c.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
            };
            let one = run(1);
            for threads in [2, 3, 7] {
                assert!(run(threads) == one, "{isa} {m}x{n}x{k}: {threads} threads");
            }
        }
    }
}

/// Sizes of zero: C is scaled, or becomes the epilogue of nothing.
#[test]
fn empty_products_and_special_values() {
    for isa in isas() {
        let ctx = one_thread(isa);
        let empty: [f32; 0] = [];
        let mut c = [1.0f32, -2.0, 3.0, f32::NAN];
        let (a, b) = (
            MatRef::row_major(&empty, 2, 0).unwrap(),
            MatRef::row_major(&empty, 0, 2).unwrap(),
        );
        ctx.gemm(
            1.0,
            a,
            b,
            2.0,
            MatMut::row_major(&mut c, 2, 2).unwrap(),
            Epilogue::none(),
        )
        .unwrap();
        assert_eq!(c[..3], [2.0, -4.0, 6.0]);
        assert!(c[3].is_nan());
        ctx.gemm(
            1.0,
            a,
            b,
            0.0,
            MatMut::row_major(&mut c, 2, 2).unwrap(),
            Epilogue::none().bias(&[4.0, 5.0]),
        )
        .unwrap();
        assert_eq!(c, [4.0, 5.0, 4.0, 5.0]);
        // NaN goes through relu: a diverged training must show.
        let relu = Epilogue::none().activation(Activation::Relu);
        let (x, y) = ([f32::NAN, -1.0], [1.0]);
        let mut c = [0.0; 2];
        let out = MatMut::row_major(&mut c, 2, 1).unwrap();
        ctx.gemm(
            1.0,
            MatRef::row_major(&x, 2, 1).unwrap(),
            MatRef::row_major(&y, 1, 1).unwrap(),
            0.0,
            out,
            relu,
        )
        .unwrap();
        assert!(c[0].is_nan() && c[1] == 0.0, "{isa}: {c:?}");
    }
}

#[test]
fn operands_that_do_not_fit_are_refused_with_all_shapes() {
    let ctx = Context::new(Isa::Portable, Threads::one()).unwrap();
    let data = [0.0f32; 64];
    let mut out = [0.0f32; 64];
    let view = |rows, cols| MatRef::row_major(&data, rows, cols).unwrap();
    let mut run = |a, b, (rows, cols), epilogue| {
        ctx.gemm(
            1.0,
            a,
            b,
            0.0,
            MatMut::row_major(&mut out, rows, cols).unwrap(),
            epilogue,
        )
        .map_err(|e| e.to_string())
    };
    let none = Epilogue::none();
    let error = run(view(3, 4), view(5, 6), (3, 6), none).unwrap_err();
    assert!(
        error.contains("3x4") && error.contains("5x6") && error.contains("3x6"),
        "{error}"
    );
    assert!(run(view(3, 4), view(4, 6), (3, 5), none).is_err());
    assert!(run(view(3, 4), view(4, 6), (2, 6), none).is_err());
    assert!(
        run(view(3, 4), view(4, 6), (3, 6), none.bias(&data[..5]))
            .unwrap_err()
            .contains("5 elements, 6")
    );
    assert!(
        run(
            view(3, 4),
            view(4, 6),
            (3, 6),
            none.times_derivative(Activation::Relu, view(3, 5))
        )
        .is_err()
    );
    assert!(run(view(3, 4), view(4, 6), (3, 6), none.bias(&data[..6])).is_ok());
    let plan = ctx.plan_gemm::<f32>(Shape { m: 4, n: 6, k: 4 });
    let mut run = |m| {
        plan.run(
            1.0,
            view(m, 4),
            view(4, 6),
            0.0,
            MatMut::row_major(&mut out, m, 6).unwrap(),
            none,
        )
    };
    assert!(run(3).is_ok() && run(4).is_ok());
    assert!(matches!(
        run(5),
        Err(ShapeError::Plan {
            planned: (4, 6, 4),
            got: (5, 6, 4),
            ..
        })
    ));
}
