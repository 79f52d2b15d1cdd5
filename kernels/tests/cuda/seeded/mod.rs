//! Bugs that kernels are known to have had, put into the committed PTX on purpose or, where ours has nothing to break, into a few lines of
//! their own: each must be found. Those of the host are in `tests/fakecuda/tests/host.rs`, a missing barrier of softmax in
//! `tests/ptxsim/tests/suite.rs`.

mod products;
mod small;

use tilelab_kernels::cuda::gemm::{Factor, Finish, KERNELS, Matrix, gemm};
use tilelab_kernels::cuda::{Call, Slice, ptx};
use tilelab_ptxsim::{Finding, Kind, Module};

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

/// The register that gets a parameter.
fn register_of(text: &str, param: usize) -> &str {
    let at = text.find(&format!("_param_{param}];")).unwrap();
    let begins = text[..at].rfind('%').unwrap();
    text[begins..at].split(',').next().unwrap()
}

/// The statement number `which` that holds `part`.
fn statement<'t>(text: &'t str, part: &str, which: usize) -> &'t str {
    let at = text.match_indices(part).nth(which).unwrap().0;
    let begins = text[..at].rfind([';', '\n', '\t']).unwrap() + 1;
    let ends = at + text[at..].find(';').unwrap() + 1;
    &text[begins..ends]
}

/// A product of small whole numbers with a broken kernel, in a few orders of warps and lanes: the worst that became of it.
fn product(id: &str, shape: (usize, usize, usize), edit: impl Fn(&str) -> String) -> Outcome {
    product_of(1.0, id, shape, edit)
}

/// The same, of whole multiples of `unit`.
fn product_of(unit: f32, id: &str, shape: (usize, usize, usize), edit: impl Fn(&str) -> String) -> Outcome {
    let (m, n, k) = shape;
    let kernel = KERNELS.iter().find(|kernel| kernel.id == id).unwrap();
    let whole =
        |count: usize, step: usize| -> Vec<f32> { (0..count).map(|i| ((i * step % 7) as f32 - 3.0) * unit).collect() };
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
#[should_panic(expected = "element 0 is NaN")]
fn nan_passes_no_comparison() {
    hold("nan", &[f32::NAN], &[0.0], |_| f64::INFINITY);
}
