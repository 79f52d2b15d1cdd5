//! Batch normalisation and learned activations, operation by operation.

use tilelab::device::Device;
use tilelab::program::{BatchNorm, BatchNormBackward, Element, Op, Scalar, Shape};
use tilelab_kernels::Activation;

use super::operations::{ARGS, ROWS, each};
use super::{Few, assert_within, random};

const STATISTICS: [&str; 3] = ["running", "spread", "batches"];

/// A program of one batch norm over m x n.
fn norm(planned: usize, n: usize, training: bool) -> (Few, Op) {
    let mut few = Few::new(planned);
    let x = few.real("x", Shape::batch(n));
    let [gamma, beta, mean, scale] = ["gamma", "beta", "mean", "scale"].map(|name| few.real(name, Shape::fixed(1, n)));
    let [running, spread] = ["running", "spread"].map(|name| few.real(name, Shape::fixed(1, n)));
    let batches = few.real("batches", Shape::fixed(1, 1));
    let [normal, out] = ["normal", "out"].map(|name| few.real(name, Shape::batch(n)));
    let op = Op::BatchNorm(BatchNorm {
        x,
        gamma,
        beta,
        running: (running, spread, batches),
        mean,
        scale,
        normal,
        out,
        training,
    });
    (few, op)
}

#[test]
fn batch_norm_in_both_modes() {
    for ((planned, m), n) in ROWS.into_iter().zip([1, 17, 10, 33]) {
        for training in [true, false] {
            let (few, op) = norm(planned, n, training);
            let (x, gamma, beta, running) = (random(m * n, 1), random(n, 2), random(n, 3), random(n, 4));
            let spread: Vec<f64> = random(n, 5).iter().map(|v| 0.5 + v.abs()).collect();
            let inputs = [
                ("x", &x[..]),
                ("gamma", &gamma),
                ("beta", &beta),
                ("running", &running),
                ("spread", &spread),
                ("batches", &[3.0]),
            ];
            each(&few, &[op], &inputs, &vec![0; m], |what, got, want, eps| {
                let what = format!("training {training}, {m} x {n}, {what}");
                // A spread of the values far below their size would enlarge the roundings: random(..) has none such
                // at more than one row, and at one row every normal number is exactly 0.
                for name in ["normal", "out", "running", "spread", "batches"] {
                    let (got, want) = (got.read(name).unwrap(), want.read(name).unwrap());
                    assert_within(&format!("{name}, {what}"), &got, &want, |i| {
                        64.0 * (m as f64 + 4.0) * eps * (1.0 + want[i].abs())
                    });
                }
            });
        }
    }
}

/// The notebook's: a batch of one gives beta; the same sample in two batches gives two answers. And by hand: rows 1, 3 have mean 2,
/// biased variance 1, unbiased variance 2.
#[test]
fn batch_norm_by_hand() {
    for device in [Device::Reference, Device::Cpu, Device::Baseline] {
        let run = |x: &[f64]| {
            let (few, op) = norm(4, 1, true);
            let inputs = [
                ("x", x),
                ("gamma", &[2.0][..]),
                ("beta", &[0.5]),
                ("running", &[1.0]),
                ("spread", &[1.0]),
                ("batches", &[0.0]),
            ];
            let mut session = few.run((device, Element::F64), &[op], &inputs, &vec![0; x.len()], &ARGS);
            (
                session.read("out").unwrap(),
                STATISTICS.map(|name| session.read(name).unwrap()[0]),
            )
        };
        let close = |got: f64, want: f64| assert!((got - want).abs() <= 1e-14, "{device}: {got}, not {want}");
        let (out, [running, spread, batches]) = run(&[1.0, 3.0]);
        let r = 1.0 / 1.00001f64.sqrt();
        close(out[0], 0.5 - 2.0 * r);
        close(out[1], 0.5 + 2.0 * r);
        close(running, 0.9 + 0.1 * 2.0);
        close(spread, 0.9 + 0.1 * 2.0);
        assert_eq!(batches, 1.0);
        let (out, [running, spread, _]) = run(&[3.0]);
        assert_eq!(
            (out[0], spread),
            (0.5, 1.0),
            "{device}: one row has no spread to learn from"
        );
        close(running, 0.9 + 0.1 * 3.0);
        assert_ne!(run(&[3.0, 1.0]).0[0], run(&[3.0, 9.0]).0[0]);
    }
}

#[test]
fn batch_norm_backward_and_its_sums() {
    for ((planned, m), n) in ROWS.into_iter().zip([1, 17, 10, 33]) {
        for accumulate in [Scalar::ZERO, Scalar::ONE] {
            let mut few = Few::new(planned);
            let [dy, normal, dx] = ["dy", "normal", "dx"].map(|name| few.real(name, Shape::batch(n)));
            let [scale, gamma, d_gamma, d_beta] =
                ["scale", "gamma", "d_gamma", "d_beta"].map(|name| few.real(name, Shape::fixed(1, n)));
            let op = Op::BatchNormBackward(BatchNormBackward {
                training: true,
                gradient: dy,
                normal,
                scale,
                gamma,
                accumulate,
                out: dx,
                d_gamma,
                d_beta,
            });
            let values: Vec<Vec<f64>> = (1..3).map(|seed| random(m * n, seed)).collect();
            let by_column: Vec<Vec<f64>> = (3..7).map(|seed| random(n, seed)).collect();
            // What is overwritten is never read.
            let before = |values: &[f64]| {
                if accumulate.is_zero() {
                    vec![f64::NAN; n]
                } else {
                    values.to_vec()
                }
            };
            let (old_gamma, old_beta) = (before(&by_column[2]), before(&by_column[3]));
            let inputs = [
                ("dy", &values[0][..]),
                ("normal", &values[1]),
                ("scale", &by_column[0]),
                ("gamma", &by_column[1]),
                ("d_gamma", &old_gamma),
                ("d_beta", &old_beta),
            ];
            each(&few, &[op], &inputs, &vec![0; m], |what, got, want, eps| {
                for name in ["dx", "d_gamma", "d_beta"] {
                    let (got, want) = (got.read(name).unwrap(), want.read(name).unwrap());
                    assert_within(&format!("{name}, {what}"), &got, &want, |_| {
                        8.0 * (m as f64 + 4.0) * eps * 4.0
                    });
                }
            });
        }
    }
}

#[test]
fn learned_activations() {
    for ((planned, m), n) in ROWS.into_iter().zip([1, 17, 10, 33]) {
        for activation in [Activation::PRelu { alpha: 9.0 }, Activation::Swish { beta: 9.0 }] {
            let mut few = Few::new(planned);
            let [x, dy, y, dx] = ["x", "dy", "y", "dx"].map(|name| few.real(name, Shape::batch(n)));
            let [p, dp] = ["p", "dp"].map(|name| few.real(name, Shape::fixed(1, 1)));
            let operations = [
                Op::ActivateLearned {
                    activation,
                    parameter: p,
                    x,
                    out: y,
                },
                Op::ActivateLearnedBackward {
                    activation,
                    parameter: p,
                    x,
                    gradient: dy,
                    accumulate: Scalar::ONE,
                    out: dx,
                    slope: dp,
                },
            ];
            let (vx, vdy) = (random(m * n, 1), random(m * n, 2));
            let inputs = [("x", &vx[..]), ("dy", &vdy), ("p", &[0.75]), ("dp", &[0.5])];
            each(&few, &operations, &inputs, &vec![0; m], |what, got, want, eps| {
                let what = format!("{activation:?}, {what}");
                for (name, terms) in [("y", 1), ("dx", 1), ("dp", m * n)] {
                    let (got, want) = (got.read(name).unwrap(), want.read(name).unwrap());
                    assert_within(&format!("{name}, {what}"), &got, &want, |_| {
                        16.0 * eps * (terms as f64 + 3.0)
                    });
                }
                // The number in the operation counts for nothing: 0.75 does.
                let slope = |x: f64| match activation {
                    Activation::PRelu { .. } => {
                        if x > 0.0 {
                            x
                        } else {
                            0.75 * x
                        }
                    }
                    _ => x / (1.0 + (-0.75 * x).exp()),
                };
                assert_within(
                    &what,
                    &got.read("y").unwrap(),
                    &vx.iter().map(|&x| slope(x)).collect::<Vec<_>>(),
                    |_| 16.0 * eps * 4.0,
                );
            });
        }
    }
}
