//! Optimizers, losses against targets, dropout and every activation, operation by operation.

use tilelab::program::{AdamRule, Element, Field, MomentumRule, Op, Role, Scalar, Shape, TargetLoss};
use tilelab_kernels::{Activation, Dropout};

use super::operations::{ARGS, ROWS, each};
use super::{CHECKED, Few, assert_within, labels, random};

#[test]
fn updates_with_state() {
    let (lr, l2) = (Scalar::field(Field::Lr), Scalar::field(Field::L2));
    for (rows, cols) in [(1, 1), (3, 17), (40, 33)] {
        let mut few = Few::new(1);
        let shape = Shape::fixed(rows, cols);
        let [w, g, a, b] = ["w", "g", "a", "b"].map(|name| few.real(name, shape));
        let values: Vec<Vec<f64>> = (1..5).map(|seed| random(rows * cols, seed)).collect();
        let second: Vec<f64> = values[3].iter().map(|x| x.abs() + 0.0625).collect();
        let inputs = [
            ("w", &values[0][..]),
            ("g", &values[1]),
            ("a", &values[2]),
            ("b", &second),
        ];
        let momentum = |nesterov| Op::Momentum {
            rule: MomentumRule {
                momentum: 0.9,
                nesterov,
                lr,
                l2,
            },
            gradient: g,
            weights: w,
            velocity: a,
        };
        let adam = |decoupled| Op::Adam {
            rule: AdamRule {
                betas: (0.9, 0.999),
                epsilon: 1e-8,
                lr,
                l2: if decoupled { Scalar::ZERO } else { l2 },
                weight_decay: if decoupled { l2 } else { Scalar::ZERO },
            },
            gradient: g,
            weights: w,
            moments: (a, b),
        };
        for op in [momentum(false), momentum(true), adam(false), adam(true)] {
            each(
                &few,
                std::slice::from_ref(&op),
                &inputs,
                &[0],
                |what, got, want, eps| {
                    // Numbers up to 3 in size with a few roundings; Adam's quotient at t = 1 is up to 10, times lr 0.1 / 0.1.
                    for name in ["w", "a", "b"] {
                        let what = format!("{} {name}, {what}", op.name());
                        let (got, want) = (got.read(name).unwrap(), want.read(name).unwrap());
                        assert_within(&what, &got, &want, |i| 16.0 * eps * (1.0 + want[i].abs()));
                    }
                    assert_eq!(got.read("g").unwrap(), values[1], "{what}: the gradient is only read");
                },
            );
        }
    }
}

#[test]
fn losses_against_targets() {
    for ((planned, m), q) in ROWS.into_iter().zip([1, 10, 1, 33]) {
        for loss in [TargetLoss::SquaredError, TargetLoss::BinaryCrossEntropy] {
            let mut few = Few::new(planned);
            let (y, x) = (few.labels(), few.real("x", Shape::batch(q)));
            let [t, slopes] = ["t", "slopes"].map(|name| few.real(name, Shape::batch(q)));
            let rows = few.real("rows", Shape::batch(1));
            let vx: Vec<f64> = random(m * q, 1).iter().map(|x| f64::from((8.0 * x) as f32)).collect();
            let labels = labels(m, q.max(2));
            let operations = [
                Op::LoadLabels { out: y },
                Op::Targets { labels: y, out: t },
                Op::TargetLoss {
                    loss,
                    outputs: x,
                    targets: t,
                    losses: rows,
                    gradient: Some((Scalar::field(Field::InverseRows), slopes)),
                },
            ];
            each(&few, &operations, &[("x", &vx)], &labels, |what, got, want, eps| {
                let targets = got.read("t").unwrap();
                for (i, &label) in labels.iter().enumerate() {
                    let row = &targets[i * q..][..q];
                    let wanted = |j: usize| {
                        if q == 1 {
                            f64::from(label)
                        } else {
                            f64::from(j == usize::from(label))
                        }
                    };
                    assert!((0..q).all(|j| row[j] == wanted(j)), "{what}: row {i} is {row:?}");
                }
                // Elements up to 81 in size, q of them.
                let bound = eps * (q as f64 + 8.0) * 81.0;
                assert_within(what, &got.read("rows").unwrap(), &want.read("rows").unwrap(), |_| bound);
                let (got, want) = (got.read("slopes").unwrap(), want.read("slopes").unwrap());
                assert_within(what, &got, &want, |_| 8.0 * eps * 18.0);
            });
        }
    }
}

#[test]
fn one_output_counts_as_yes_above_its_threshold() {
    for (device, float) in CHECKED {
        let mut few = Few::new(5);
        let (x, y) = (few.real("x", Shape::batch(1)), few.labels());
        let out = few.add("out", Shape::batch(1), Element::U32, Role::Activation);
        let metric = few.metric("count");
        let operations = [
            Op::LoadLabels { out: y },
            Op::Above { x, threshold: 0.5, out },
            Op::AddMatches {
                indices: out,
                labels: y,
                metric,
            },
        ];
        let values = [0.5, 0.75, -1.0, f64::NAN, 2.0];
        let mut session = few.run((device, float), &operations, &[("x", &values)], &[0, 1, 1, 0, 0], &ARGS);
        assert_eq!(session.metrics().unwrap().get("count"), 3.0, "{device} {float}");
    }
}

#[test]
fn dropout_is_the_kernels() {
    for ((planned, m), n) in ROWS.into_iter().zip([1, 17, 10, 33]) {
        let mut few = Few::new(planned);
        let [x, out] = ["x", "out"].map(|name| few.real(name, Shape::batch(n)));
        let vx = random(m * n, 1);
        let op = Op::Dropout {
            probability: 0.375,
            layer: 2,
            x,
            out,
        };
        let dropout = Dropout {
            probability: 0.375,
            seed: ARGS.seed,
            step: ARGS.t,
            layer: 2,
            first_row: ARGS.row_offset,
        };
        let kept = |i: usize| {
            if dropout.keeps(i / n, i % n) {
                vx[i] / 0.625
            } else {
                0.0
            }
        };
        let want: Vec<f64> = (0..m * n).map(kept).collect();
        each(&few, &[op], &[("x", &vx)], &labels(m, 2), |what, got, _, eps| {
            assert_within(what, &got.read("out").unwrap(), &want, |i| eps * want[i].abs());
        });
    }
}

#[test]
fn every_activation_and_its_derivative() {
    let all = [
        Activation::LeakyRelu { slope: 0.01 },
        Activation::PRelu { alpha: 0.25 },
        Activation::Elu { alpha: 1.0 },
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Swish { beta: 1.0 },
        Activation::Gelu,
        Activation::GeluTanh,
    ];
    for activation in all {
        let (mut few, m, n) = (Few::new(9), 9, 37);
        let [x, y, g, dx] = ["x", "y", "g", "dx"].map(|name| few.real(name, Shape::batch(n)));
        let vx: Vec<f64> = random(m * n, 1).iter().map(|x| f64::from((4.0 * x) as f32)).collect();
        let vg = random(m * n, 2);
        let operations = [
            Op::Activate { activation, x, out: y },
            Op::ActivateBackward {
                activation,
                saved: x,
                gradient: g,
                out: dx,
            },
        ];
        each(
            &few,
            &operations,
            &[("x", &vx), ("g", &vg)],
            &labels(m, 2),
            |what, got, want, eps| {
                let what = format!("{activation:?}, {what}");
                assert_within(&what, &got.read("y").unwrap(), &want.read("y").unwrap(), |_| 16.0 * eps);
                assert_within(&what, &got.read("dx").unwrap(), &want.read("dx").unwrap(), |_| {
                    80.0 * eps
                });
            },
        );
    }
}
