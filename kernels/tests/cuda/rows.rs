//! What is done row by row, softmax, and the probe's kernels.

use tilelab_kernels::cuda::probe::{self, Stream, Walk, chase};
use tilelab_kernels::cuda::rows::{self, TargetLoss};
use tilelab_kernels::cuda::softmax;
use tilelab_kernels::{Dropout, Labels, MatRef, reference};

use crate::sim::{Sim, hold, random};

const EPS: f64 = f32::EPSILON as f64;
/// Short rows, rows off a warp, and one that takes a block.
const SHAPES: [(usize, usize); 5] = [(1, 1), (5, 10), (9, 33), (3, 256), (2, 1025)];

#[test]
fn a_batch_is_gathered() {
    for cols in [1, 3, 4, 784] {
        let mut sim = Sim::new(1);
        let bytes: Vec<u8> = (0..20 * cols).map(|i| (i * 37 % 256) as u8).collect();
        let reals = random(1, 20 * cols, 1.0);
        let labels: Vec<u8> = (0..20).map(|i| i % 10).collect();
        let which = [19u32, 0, 7, 7, 3];
        let (b, r, l, w) = (sim.put(&bytes), sim.put(&reals), sim.put(&labels), sim.put(&which));
        let (out, out_reals, out_labels) = (sim.room(5 * cols), sim.room(5 * cols), sim.room(5));
        let scale = 1.0 / 255.0f32;
        sim.run(&rows::gather_bytes(b, Some(w), scale, out, (5, cols)).unwrap());
        let expected = reference::gather_rows_u8(&bytes, cols, &which, scale);
        hold("bytes", &sim.get(out), &expected, |_| EPS);
        sim.run(&rows::gather_reals(r, Some(w), out_reals, (5, cols)).unwrap());
        let expected: Vec<f32> = which
            .iter()
            .flat_map(|&row| &reals[row as usize * cols..][..cols])
            .copied()
            .collect();
        assert_eq!(sim.get(out_reals), expected);
        sim.run(&rows::gather_labels(l, Some(w), out_labels).unwrap());
        assert_eq!(sim.get(out_labels), [9, 0, 7, 7, 3]);
        // Without indices the first rows.
        sim.run(&rows::gather_bytes(b, None, scale, out, (5, cols)).unwrap());
        let expected = reference::gather_rows_u8(&bytes, cols, &[0, 1, 2, 3, 4], scale);
        hold("bytes in order", &sim.get(out), &expected, |_| EPS);
    }
}

#[test]
fn bias_targets_and_dropout() {
    for (m, n) in SHAPES {
        let mut sim = Sim::new(2);
        let (x, bias) = (random(1, m * n, 1.0), random(2, n, 1.0));
        let (xs, biases) = (sim.put(&x), sim.put(&bias));
        sim.run(&rows::add_bias(biases, xs).unwrap());
        let view = MatRef::row_major(&x, m, n).unwrap();
        hold("bias", &sim.get(xs), &reference::add_bias(&bias, view), |_| 2.0 * EPS);

        let labels: Vec<u8> = (0..m).map(|i| (i * 3 % n.min(256)) as u8).collect();
        let (ls, targets) = (sim.put(&labels), sim.room(m * n));
        sim.run(&rows::targets(ls, targets, n).unwrap());
        let expected: Vec<f32> = (0..m * n)
            .map(|e| {
                if n == 1 {
                    f32::from(labels[e / n])
                } else {
                    f32::from(u8::from(usize::from(labels[e / n]) == e % n))
                }
            })
            .collect();
        assert_eq!(sim.get(targets), expected);

        let dropout = Dropout {
            probability: 0.4,
            seed: 11,
            step: 1 << 40,
            layer: 2,
            first_row: 5,
        };
        let (key, xs, out) = (sim.put(&dropout.key_words()), sim.put(&x), sim.room(m * n));
        sim.run(&rows::dropout(0.4, key, xs, out, (m, n)).unwrap());
        hold("dropout", &sim.get(out), &reference::dropout(dropout, view), |_| {
            4.0 * EPS
        });
    }
}

#[test]
fn softmax_and_cross_entropy() {
    for (m, n) in SHAPES {
        let mut sim = Sim::new(3);
        let x = random(1, m * n, 20.0);
        let view = MatRef::row_major(&x, m, n).unwrap();
        let (xs, out) = (sim.put(&x), sim.room(m * n));
        sim.run(&softmax::softmax(xs, out, (m, n)).unwrap());
        let expected = reference::softmax(view);
        let terms = 64.0 + n as f64;
        hold("softmax", &sim.get(out), &expected, |i| {
            terms * EPS * expected[i] + 1e-38
        });
        sim.run(&softmax::log_softmax(xs, out, (m, n)).unwrap());
        let expected = reference::log_softmax(view);
        hold("log-softmax", &sim.get(out), &expected, |i| {
            terms * EPS * (40.0 + expected[i].abs())
        });

        let labels: Vec<u8> = (0..m).map(|i| (i * 7 % n.min(256)) as u8).collect();
        for smoothing in [0.0f32, 0.1] {
            let scale = 1.0 / m as f32;
            let (ls, scales, losses, gradient) = (sim.put(&labels), sim.put(&[scale]), sim.room(m), sim.room(m * n));
            let call = softmax::softmax_cross_entropy(xs, ls, smoothing, losses, Some((scales, gradient)));
            sim.run(&call.unwrap());
            let targets = Labels {
                classes: &labels,
                smoothing,
            };
            let (expected_losses, expected) = reference::softmax_cross_entropy(view, targets, scale);
            hold("losses", &sim.get(losses), &expected_losses, |i| {
                terms * EPS * (40.0 + expected_losses[i])
            });
            hold("gradient", &sim.get(gradient), &expected, |_| {
                terms * EPS * f64::from(scale)
            });
            let alone = sim.room(m);
            sim.run(&softmax::softmax_cross_entropy(xs, ls, smoothing, alone, None).unwrap());
            let (alone, with) = (sim.get(alone), sim.get(losses));
            hold("losses alone", &alone, &expected_losses, |i| {
                terms * EPS * (40.0 + expected_losses[i])
            });
            assert_eq!(alone.len(), with.len());
        }
    }
}

#[test]
fn a_row_with_nan_has_a_nan_loss_and_gradient() {
    for n in [10, 1025] {
        let mut sim = Sim::new(4);
        let mut x = random(1, 2 * n, 1.0);
        x[n + 3] = f32::NAN;
        let (xs, labels, scale) = (sim.put(&x), sim.put(&[1u8, 2]), sim.put(&[1.0f32]));
        let (losses, gradient) = (sim.room(2), sim.room(2 * n));
        sim.run(&softmax::softmax_cross_entropy(xs, labels, 0.0, losses, Some((scale, gradient))).unwrap());
        let (losses, gradient) = (sim.get(losses), sim.get(gradient));
        assert!(losses[0].is_finite() && losses[1].is_nan());
        assert!(gradient[..n].iter().all(|x| x.is_finite()) && gradient[n..].iter().all(|x| x.is_nan()));
    }
}

#[test]
fn losses_against_given_targets() {
    for (m, n) in SHAPES {
        let mut sim = Sim::new(5);
        let (x, t) = (random(1, m * n, 4.0), random(2, m * n, 1.0));
        let (xs, ts, scale) = (sim.put(&x), sim.put(&t), sim.put(&[0.25f32]));
        let (outputs, targets) = (
            MatRef::row_major(&x, m, n).unwrap(),
            MatRef::row_major(&t, m, n).unwrap(),
        );
        for (loss, (losses64, gradient64)) in [
            (
                TargetLoss::SquaredError,
                reference::squared_error(outputs, targets, 0.25),
            ),
            (
                TargetLoss::BinaryCrossEntropy,
                reference::binary_cross_entropy(outputs, targets, 0.25),
            ),
        ] {
            let (losses, gradient) = (sim.room(m), sim.room(m * n));
            sim.run(&rows::target_loss(loss, xs, ts, losses, Some((scale, gradient))).unwrap());
            hold("losses", &sim.get(losses), &losses64, |_| {
                32.0 * (n as f64).sqrt() * EPS * 25.0
            });
            hold("gradient", &sim.get(gradient), &gradient64, |_| {
                32.0 * EPS * 10.0 / n as f64
            });
            sim.run(&rows::target_loss(loss, xs, ts, losses, None).unwrap());
            hold("losses alone", &sim.get(losses), &losses64, |_| {
                32.0 * (n as f64).sqrt() * EPS * 25.0
            });
        }
    }
}

#[test]
fn the_largest_column_and_metrics() {
    for (m, n) in SHAPES {
        let mut sim = Sim::new(6);
        // Few values, so that equals are many; and NaN.
        let mut x: Vec<f32> = random(1, m * n, 3.0).iter().map(|x| x.round()).collect();
        if n > 1 {
            x[1] = f32::NAN;
            let last = (m - 1) * n;
            x[last..].fill(if m % 2 == 0 { f32::NEG_INFINITY } else { f32::NAN });
        }
        let (xs, out) = (sim.put(&x), sim.room(m));
        sim.run(&rows::row_argmax(xs, out).unwrap());
        let expected = reference::row_argmax(MatRef::row_major(&x, m, n).unwrap());
        assert_eq!(sim.get(out), expected, "{m} x {n}");

        let labels: Vec<u8> = expected
            .iter()
            .enumerate()
            .map(|(i, &e)| if i % 2 == 0 { e as u8 } else { 255 })
            .collect();
        let matches = expected
            .iter()
            .zip(&labels)
            .filter(|(e, l)| **e == u32::from(**l))
            .count();
        let (ls, metric) = (sim.put(&labels), sim.put(&[2.0f64]));
        sim.run(&rows::add_matches(out, ls, metric).unwrap());
        assert_eq!(sim.get(metric), [2.0 + matches as f64]);

        let losses = random(3, m * n, 1.0);
        let (card, metric) = (sim.put(&losses), sim.put(&[1.0f64]));
        sim.run(&rows::add_sum(card, metric).unwrap());
        sim.run(&rows::add_squares(card, metric).unwrap());
        let expected = 1.0
            + losses
                .iter()
                .map(|&x| f64::from(x) + f64::from(x) * f64::from(x))
                .sum::<f64>();
        assert!((sim.get(metric)[0] - expected).abs() < 1e-9);
    }
}

#[test]
fn chains_and_streams() {
    let mut sim = Sim::new(7);
    let next: Vec<u32> = (0..97).map(|i| (i + 31) % 97).collect();
    let (card, out) = (sim.put(&next), sim.room::<u64>(5));
    let walk = Walk {
        start: 5,
        warm: 100,
        steps: 40,
        slices: 3,
    };
    sim.run(&chase(walk, card, out).unwrap());
    let got = sim.get(out);
    assert_eq!((got[0], walk.loads()), ((5 + 220 * 31) % 97, 220));
    // The clock counts instructions here: slices are alike, and within the whole.
    assert!(
        got[2..].iter().all(|&cycles| cycles >= 40) && got[1] > got[2..].iter().sum(),
        "{got:?}"
    );
    assert!(
        chase(Walk { slices: 4, ..walk }, card, out).is_err(),
        "more slices than room"
    );

    let (b, c) = (random(1, 1032, 1.0), random(2, 1032, 1.0));
    let (bs, cs, a) = (sim.put(&b), sim.put(&c), sim.room(1032));
    sim.run(&probe::stream(Stream::Triad(bs, cs, a)).unwrap());
    let expected: Vec<f64> = b
        .iter()
        .zip(&c)
        .map(|(b, c)| f64::from(*b) + 3.0 * f64::from(*c))
        .collect();
    hold("triad", &sim.get(a), &expected, |_| 4.0 * EPS);
    sim.run(&probe::stream(Stream::Copy(bs, a)).unwrap());
    assert_eq!(sim.get(a), b);
    sim.run(&probe::stream(Stream::Write(a)).unwrap());
    assert_eq!(sim.get(a), vec![1.0; 1032]);
    let sums = sim.room(probe::threads(1032));
    sim.run(&probe::stream(Stream::Read(a, sums)).unwrap());
    assert_eq!(sim.get(sums).iter().sum::<f32>(), 1032.0);
}
