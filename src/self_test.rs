//! `tilelab self-test`: every family of kernels on every ISA of this machine against the f64 oracle.
//!
//! The test suite goes deeper; this is what a user runs on a machine that its authors never saw, in a second or two.
//! Each check gives its largest error over its bound; NaN anywhere fails it.

#[cfg(feature = "cuda")]
pub mod cuda;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tilelab_kernels::{
    Activation, Context, Epilogue, Float, Isa, Labels, MatMut, MatRef, ShapeError, Threads, reference,
};

use crate::measure::{Check, SelfTest};

/// Rows and columns of the elementwise and row checks: off every vector's length.
const ROWS_AND_COLUMNS: [(usize, usize); 4] = [(1, 1), (3, 10), (17, 33), (64, 257)];

/// m, n, k of the products: inside one tile, off every tile, more than one block deep.
const PRODUCTS: [(usize, usize, usize); 5] = [(1, 1, 1), (13, 31, 5), (33, 10, 256), (65, 130, 67), (97, 161, 600)];

/// Runs every check on every ISA, with `threads` threads.
///
/// # Errors
/// When a context can't be made; a kernel that is wrong is a check that failed.
pub fn run(isas: &[Isa], threads: Threads) -> anyhow::Result<SelfTest> {
    let mut checks = Vec::new();
    for &isa in isas {
        let ctx = Context::new(isa, threads)?;
        family::<f32>(&ctx, &mut checks)?;
        family::<f64>(&ctx, &mut checks)?;
    }
    Ok(SelfTest { checks })
}

/// One check in the making.
struct Tally {
    cases: usize,
    worst: f64,
}

impl Tally {
    /// One case: `got` against `expected`, each within its bound.
    fn hold<T: Float>(&mut self, got: &[T], expected: &[f64], bound: impl Fn(usize) -> f64) {
        self.cases += 1;
        if got.len() != expected.len() {
            self.worst = f64::INFINITY;
        }
        for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
            let over = (got.to_f64() - expected).abs() / bound(i).max(f64::MIN_POSITIVE);
            if over.is_nan() || over > self.worst {
                self.worst = over;
            }
        }
    }
}

fn check<T: Float>(
    ctx: &Context,
    checks: &mut Vec<Check>,
    name: &str,
    cases: impl FnOnce(&mut Tally) -> Result<(), ShapeError>,
) -> anyhow::Result<()> {
    let mut tally = Tally { cases: 0, worst: 0.0 };
    cases(&mut tally)?;
    checks.push(Check {
        kernel: format!("{}{name}", T::LETTER),
        isa: ctx.isa().id().to_owned(),
        cases: tally.cases,
        error_over_bound: tally.worst,
        passed: tally.worst <= 1.0,
    });
    Ok(())
}

fn random<T: Float>(rng: &mut ChaCha8Rng, len: usize, most: f64) -> Vec<T> {
    (0..len).map(|_| T::from_f64(rng.random_range(-most..=most))).collect()
}

/// Every kernel family in one element type.
fn family<T: Float>(ctx: &Context, checks: &mut Vec<Check>) -> anyhow::Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let eps = T::EPSILON;
    check::<T>(ctx, checks, "gemm", |tally| products::<T>(ctx, &mut rng, tally))?;
    check::<T>(ctx, checks, "relu", |tally| {
        for (m, n) in ROWS_AND_COLUMNS {
            let (x, dy) = (random::<T>(&mut rng, m * n, 4.0), random::<T>(&mut rng, m * n, 4.0));
            let mut y = vec![T::from_f64(f64::NAN); m * n];
            ctx.activate(Activation::Relu, &x, &mut y)?;
            tally.hold(&y, &reference::activate(Activation::Relu, &x), |_| 0.0);
            let saved = y.clone();
            ctx.activate_backward(Activation::Relu, &saved, &dy, &mut y)?;
            tally.hold(&y, &reference::activate_backward(Activation::Relu, &saved, &dy), |_| {
                0.0
            });
        }
        Ok(())
    })?;
    check::<T>(ctx, checks, "softmax", |tally| {
        for (m, n) in ROWS_AND_COLUMNS {
            let x = random::<T>(&mut rng, m * n, 30.0);
            let mut y = vec![T::from_f64(f64::NAN); m * n];
            let view = MatRef::row_major(&x, m, n)?;
            ctx.softmax(view, MatMut::row_major(&mut y, m, n)?)?;
            let expected = reference::softmax(view);
            // exp of a rounded difference of up to 60, and a sum of n terms.
            tally.hold(&y, &expected, |i| (64.0 + (n as f64).sqrt()) * eps * expected[i]);
            ctx.log_softmax(view, MatMut::row_major(&mut y, m, n)?)?;
            let expected = reference::log_softmax(view);
            tally.hold(&y, &expected, |i| {
                (8.0 + (n as f64).sqrt()) * eps * (60.0 + expected[i].abs())
            });
        }
        Ok(())
    })?;
    check::<T>(ctx, checks, "softmax-cross-entropy", |tally| {
        for (m, n) in ROWS_AND_COLUMNS {
            let x = random::<T>(&mut rng, m * n, 8.0);
            let labels: Vec<u8> = (0..m).map(|i| (i * 7 % n.min(256)) as u8).collect();
            let scale = T::from_f64(1.0 / m as f64);
            let (mut losses, mut gradient) = (vec![T::from_f64(f64::NAN); m], vec![T::from_f64(f64::NAN); m * n]);
            let view = MatRef::row_major(&x, m, n)?;
            let out = MatMut::row_major(&mut gradient, m, n)?;
            ctx.softmax_cross_entropy(view, Labels::hard(&labels), scale, &mut losses, out)?;
            let (expected_losses, expected_gradient) =
                reference::softmax_cross_entropy(view, Labels::hard(&labels), scale);
            tally.hold(&losses, &expected_losses, |i| {
                32.0 * eps * (16.0 + expected_losses[i].abs())
            });
            tally.hold(&gradient, &expected_gradient, |_| 32.0 * eps * scale.to_f64());
        }
        Ok(())
    })?;
    check::<T>(ctx, checks, "column-sum", |tally| {
        for (m, n) in ROWS_AND_COLUMNS {
            let x = random::<T>(&mut rng, m * n, 1.0);
            let mut sums = vec![T::from_f64(f64::NAN); n];
            let view = MatRef::row_major(&x, m, n)?;
            ctx.column_sum(view, &mut sums)?;
            tally.hold(&sums, &reference::column_sum(view), |_| (m * m) as f64 * eps);
        }
        Ok(())
    })?;
    check::<T>(ctx, checks, "sgd", |tally| {
        for (m, n) in ROWS_AND_COLUMNS {
            let (gradient, mut weights) = (random::<T>(&mut rng, m * n, 1.0), random::<T>(&mut rng, m * n, 1.0));
            let (decay, lr) = (T::from_f64(0.99), T::from_f64(0.1));
            let expected = reference::sgd(decay, lr, &gradient, &weights);
            ctx.sgd(decay, lr, &gradient, &mut weights)?;
            tally.hold(&weights, &expected, |_| 3.0 * eps);
        }
        Ok(())
    })
}

/// Products in both layouts of both operands, with every epilogue.
fn products<T: Float>(ctx: &Context, rng: &mut ChaCha8Rng, tally: &mut Tally) -> Result<(), ShapeError> {
    for (turn, (m, n, k)) in PRODUCTS.into_iter().enumerate() {
        for transposed in [(false, false), (true, false), (false, true)] {
            let (a, b) = (random::<T>(rng, m * k, 1.0), random::<T>(rng, k * n, 1.0));
            let (bias, saved) = (random::<T>(rng, n, 1.0), random::<T>(rng, m * n, 1.0));
            let old = random::<T>(rng, m * n, 1.0);
            let lies = |data, rows, cols, transposed| {
                if transposed {
                    MatRef::<T>::row_major(data, cols, rows).map(MatRef::transposed)
                } else {
                    MatRef::<T>::row_major(data, rows, cols)
                }
            };
            let (a, b) = (lies(&a, m, k, transposed.0)?, lies(&b, k, n, transposed.1)?);
            let saved = MatRef::row_major(&saved, m, n)?;
            let epilogue = || match turn % 4 {
                0 => Epilogue::none(),
                1 => Epilogue::none().bias(&bias),
                2 => Epilogue::none().bias(&bias).activation(Activation::Relu),
                _ => Epilogue::none().times_derivative(Activation::Relu, saved),
            };
            for beta in [T::ZERO, T::from_f64(0.5)] {
                let mut c = if beta == T::ZERO {
                    vec![T::from_f64(f64::NAN); m * n]
                } else {
                    old.clone()
                };
                let mut oracle = c.clone();
                ctx.gemm(T::ONE, a, b, beta, MatMut::row_major(&mut c, m, n)?, epilogue())?;
                reference::gemm(T::ONE, a, b, beta, MatMut::row_major(&mut oracle, m, n)?, epilogue());
                let expected: Vec<f64> = oracle.iter().map(|x| x.to_f64()).collect();
                // |a|, |b|, |bias|, |C| are at most 1.
                tally.hold(&c, &expected, |_| (k + 5) as f64 * T::EPSILON * (k as f64 + 2.0));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_or_missing_number_fails_a_check() {
        for (got, passes) in [([1.0f32, 2.0], true), ([1.0, 2.1], false), ([1.0, f32::NAN], false)] {
            let mut tally = Tally { cases: 0, worst: 0.0 };
            tally.hold(&got, &[1.0, 2.0], |_| 1e-3);
            assert_eq!(tally.worst <= 1.0, passes, "{got:?}");
        }
        let mut tally = Tally { cases: 0, worst: 0.0 };
        tally.hold(&[1.0f32], &[1.0, 2.0], |_| 1e-3);
        assert!(tally.worst.is_infinite());
    }

    #[test]
    fn this_machine_passes() {
        let done = run(&Isa::available(), Threads::one()).unwrap();
        assert!(
            done.checks.iter().all(|check| check.passed && check.cases > 0),
            "{:?}",
            done.checks
        );
        assert_eq!(done.checks.len(), 12 * Isa::available().len());
    }
}
