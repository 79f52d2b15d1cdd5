//! Bugs that kernels are known to have had, put into the committed PTX on purpose or, where ours has nothing to break, into a few lines of
//! their own: each must be found.

use tilelab_kernels::cuda::gemm::{Factor, Finish, KERNELS, Matrix, gemm};
use tilelab_kernels::cuda::{Call, Slice, ptx};
use tilelab_ptxsim::{Arg, Finding, Kind, Launch, Machine, Module, Options};

use crate::sim::{Sim, hold};

/// What became of a broken kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Found(Kind),
    WrongNumbers,
    Unnoticed,
}

/// The module of a kernel, `edit` applied to the kernel's own text.
fn broken(kernel: &str, edit: impl Fn(&str) -> String) -> Module {
    let text = ptx::SOURCES[ptx::entry(kernel).unwrap().source].text;
    let begins = text.find(&format!(".entry {kernel}(")).unwrap();
    let ends = text[begins + 1..]
        .find(".entry ")
        .map_or(text.len(), |at| begins + 1 + at);
    let edited = edit(&text[begins..ends]);
    assert_ne!(edited, text[begins..ends], "{kernel}: nothing was broken");
    Module::parse(&format!("{}{edited}{}", &text[..begins], &text[ends..])).unwrap()
}

/// The statement number `which` that holds `part`, replaced.
fn replace(text: &str, part: &str, which: usize, with: &str) -> String {
    let at = text.match_indices(part).nth(which).unwrap().0;
    let begins = text[..at].rfind([';', '\n']).unwrap() + 1;
    let ends = at + text[at..].find(';').unwrap() + 1;
    format!("{}{with}{}", &text[..begins], &text[ends..])
}

fn dense(data: Slice<f32>, rows: usize, cols: usize) -> Matrix {
    Matrix {
        data,
        rows,
        cols,
        stride: cols,
    }
}

fn factor(sim: &mut Sim, values: &[f32], rows: usize, cols: usize) -> Factor {
    Factor {
        matrix: dense(sim.put(values), rows, cols),
        transposed: false,
    }
}

/// A product of small whole numbers with a broken kernel, in a few orders of warps and lanes: the worst that became of it.
fn product(id: &str, shape: (usize, usize, usize), edit: impl Fn(&str) -> String) -> Outcome {
    let (m, n, k) = shape;
    let kernel = KERNELS.iter().find(|kernel| kernel.id == id).unwrap();
    let whole = |count: usize, step: usize| -> Vec<f32> { (0..count).map(|i| (i * step % 7) as f32 - 3.0).collect() };
    let (a, b) = (whole(m * k, 5), whole(k * n, 3));
    for seed in 0..4 {
        let mut sim = Sim::new(seed);
        let (left, right) = (factor(&mut sim, &a, m, k), factor(&mut sim, &b, k, n));
        let (alpha, beta, c) = (sim.put(&[1.0f32]), sim.put(&[0.0f32]), sim.room::<f32>(m * n));
        let into = dense(c, m, n);
        let call: Call = gemm(kernel, alpha, left, right, beta, into, Finish::default()).unwrap();
        let module = broken(call.kernel, &edit);
        if let Err(finding) = sim.try_run(&module, &call) {
            return Outcome::Found(finding.kind);
        }
        let got: Result<Vec<f32>, Finding> = sim.machine.download(c.address(), c.len());
        let Ok(got) = got else {
            return Outcome::WrongNumbers;
        };
        let exact = |i: usize, j: usize| -> f32 { (0..k).map(|d| a[i * k + d] * b[d * n + j]).sum() };
        if (0..m * n).any(|at| got[at] != exact(at / n, at % n)) {
            return Outcome::WrongNumbers;
        }
    }
    Outcome::Unnoticed
}

#[test]
fn barriers_of_a_product() {
    for which in 0..2 {
        let outcome = product("sgemm_tiles", (20, 20, 40), |text| replace(text, "bar.sync", which, ""));
        assert!(
            matches!(outcome, Outcome::Found(Kind::Race | Kind::Unwritten)),
            "barrier {which}: {outcome:?}"
        );
    }
}

#[test]
fn asynchronous_copies() {
    let caught = |outcome| {
        matches!(
            outcome,
            Outcome::Found(Kind::Race | Kind::Unwritten | Kind::CopyInFlight)
        )
    };
    let shape = (70, 70, 100);
    let outcome = product("sgemm_async", shape, |text| {
        text.replace("cp.async.wait_group", "// cp.async.wait_group")
    });
    assert!(caught(outcome), "no wait: {outcome:?}");
    let outcome = product("sgemm_async", shape, |text| text.replace("bar.sync", "// bar.sync"));
    assert!(caught(outcome), "no barrier: {outcome:?}");
}

#[test]
fn fragments_of_a_tensor_core() {
    let swapped = product("gemm_tf32", (40, 40, 40), |text| {
        let at = text.find("mma.sync").unwrap();
        // The first operand in braces is D, the second A: its first two registers trade places.
        let a = at + text[at..].match_indices('{').nth(1).unwrap().0 + 1;
        let ends = a + text[a..].find('}').unwrap();
        let mut registers: Vec<&str> = text[a..ends].split(',').map(str::trim).collect();
        registers.swap(0, 1);
        format!("{}{}{}", &text[..a], registers.join(", "), &text[ends..])
    });
    assert_eq!(swapped, Outcome::WrongNumbers);
}

/// A kernel of a few lines over one array; `threads` in one block.
fn own(body: &str, threads: u32, floats: usize) -> Result<(), Finding> {
    let text = format!(
        ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry own(.param .u64 data) {{
        .reg .pred %p<4>; .reg .b64 %rd<8>; .reg .b32 %r<12>; .reg .f32 %f<8>;
        .shared .align 4 .b8 room[256];
        ld.param.u64 %rd1, [data];\nmov.u32 %r1, %tid.x;\nmul.wide.u32 %rd2, %r1, 4;\nadd.s64 %rd3, %rd1, %rd2;
        {body}\nret;\n}}"
    );
    let module = Module::parse(&text).unwrap();
    for seed in 0..4 {
        let options = Options {
            seed,
            ..Options::default()
        };
        let mut machine = Machine::new(options);
        let data = machine.upload(&vec![1.25f32; floats]);
        let args: [Arg; 1] = [data.into()];
        machine.launch(&module, "own", Launch::new([1, 1, 1], [threads, 1, 1]), &args)?;
    }
    Ok(())
}

fn kind(body: &str, threads: u32, floats: usize) -> Option<Kind> {
    own(body, threads, floats).err().map(|finding| finding.kind)
}

#[test]
fn bugs_that_ours_have_no_place_for() {
    let sum = "ld.global.f32 %f1, [%rd1];\nadd.f32 %f1, %f1, 0f3F800000;\nst.global.f32 [%rd1], %f1;";
    assert_eq!(kind(sum, 64, 4), Some(Kind::Race), "a sum without atomics");
    assert_eq!(
        kind("red.global.add.f32 [%rd1], 0f3F800000;", 64, 4),
        None,
        "the same with them"
    );
    assert_eq!(
        kind("mov.f32 %f1, 0f00000000;\nst.global.f32 [%rd3], %f1;", 65, 64),
        Some(Kind::OutOfBounds),
        "a store past the end"
    );
    let divergent = "setp.lt.u32 %p1, %r1, 16;\n@%p1 bra $past;\nbar.sync 0;\n$past:";
    assert_eq!(
        kind(divergent, 64, 4),
        Some(Kind::DivergentBarrier),
        "divergence before a barrier"
    );
    assert_eq!(
        kind("ld.global.v4.f32 {%f1, %f2, %f3, %f4}, [%rd1+4];", 1, 8),
        Some(Kind::Misaligned),
        "an unaligned vector"
    );
    let unwritten = "mov.u32 %r2, room;\nld.shared.f32 %f1, [%r2];\nst.global.f32 [%rd3], %f1;";
    assert_eq!(
        kind(unwritten, 1, 4),
        Some(Kind::Unwritten),
        "a read of memory nobody wrote"
    );
    let overflow = "mul.lo.u32 %r2, %r1, 2000000000;\nmul.wide.u32 %rd4, %r2, 4;\nadd.s64 %rd4, %rd1, %rd4;\nld.global.f32 %f1, [%rd4];";
    assert_eq!(
        kind(overflow, 4, 4),
        Some(Kind::OutOfBounds),
        "an index that overflows 32 bits"
    );
    let exchange = "mov.u32 %r2, room;\nshl.b32 %r3, %r1, 2;\nadd.u32 %r4, %r2, %r3;\nst.shared.u32 [%r4], %r1;\n{sync}\nxor.b32 %r5, %r3, 4;\nadd.u32 %r5, %r2, %r5;\nld.shared.u32 %r6, [%r5];\nst.global.u32 [%rd3], %r6;";
    let with = |sync: &str| exchange.replace("{sync}", sync);
    assert!(
        matches!(kind(&with(""), 32, 32), Some(Kind::Race | Kind::Unwritten)),
        "a missing __syncwarp"
    );
    assert_eq!(kind(&with("bar.warp.sync -1;"), 32, 32), None, "the same with it");
    let inactive = "setp.ge.u32 %p1, %r1, 16;\n@%p1 bra $past;\nshfl.sync.down.b32 %r2, %r1, 16, 31, -1;\n$past:";
    assert_eq!(
        kind(inactive, 32, 4),
        Some(Kind::InactiveLane),
        "a shuffle from an inactive lane"
    );
}

#[test]
fn a_tf32_operand_that_was_never_rounded() {
    let raw = ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry raw(.param .u64 data) {
        .reg .b64 %rd<3>; .reg .b32 %r<8>; .reg .f32 %f<8>;
        ld.param.u64 %rd1, [data];\nld.global.u32 %r1, [%rd1];\nmov.f32 %f1, 0f00000000;
        mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%f2, %f3, %f4, %f5}, {%r1, %r1, %r1, %r1}, {%r1, %r1}, {%f1, %f1, %f1, %f1};
        ret;\n}";
    let module = Module::parse(raw).unwrap();
    let run = |x: f32| {
        let mut machine = Machine::new(Options::default());
        let data = machine.upload(&[x]);
        machine.launch(&module, "raw", Launch::new([1, 1, 1], [32, 1, 1]), &[data.into()])
    };
    assert_eq!(run(0.1).unwrap_err().kind, Kind::NotTf32);
    assert!(run(0.5).is_ok());
}

#[test]
fn columns_that_nobody_wrote() {
    let mut sim = Sim::new(1);
    let kernel = KERNELS.iter().find(|kernel| kernel.id == "sgemm_tiles").unwrap();
    let square = |sim: &mut Sim| factor(sim, &[1.0; 40 * 40], 40, 40);
    let (a, b) = (square(&mut sim), square(&mut sim));
    let (alpha, beta, c) = (sim.put(&[1.0f32]), sim.put(&[0.0f32]), sim.room::<f32>(40 * 40));
    let into = dense(c, 40, 40);
    let mut call = gemm(kernel, alpha, a, b, beta, into, Finish::default()).unwrap();
    call.blocks -= 1;
    sim.run(&call);
    let missing = sim.machine.download::<f32>(c.address(), c.len()).unwrap_err();
    assert_eq!(missing.kind, Kind::Unwritten);
    // C read at beta = 0: with beta = 1 this kernel does read it, and nobody wrote it.
    let one = sim.put(&[1.0f32]);
    let (a, b) = (square(&mut sim), square(&mut sim));
    let fresh = dense(sim.room(40 * 40), 40, 40);
    let call = gemm(kernel, alpha, a, b, one, fresh, Finish::default()).unwrap();
    let module = Module::parse(ptx::SOURCES[ptx::entry(call.kernel).unwrap().source].text).unwrap();
    assert_eq!(sim.try_run(&module, &call).unwrap_err().kind, Kind::Unwritten);
}

#[test]
#[should_panic(expected = "element 0 is NaN")]
fn nan_passes_no_comparison() {
    hold("nan", &[f32::NAN], &[0.0], |_| f64::INFINITY);
}
