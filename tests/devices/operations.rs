//! Operation by operation, at odd shapes, in full and in short batches.

use tilelab::device::{Batch, Device, ProgramId, Session, Set};
use tilelab::program::{Element, Epilogue, Field, Op, Operand, Product, Scalar, Shape, StepArgs};
use tilelab_kernels::Activation;

use super::{CHECKED, Few, assert_within, eps, labels, open, random};

/// Rows that are planned, rows that run.
pub(super) const ROWS: [(usize, usize); 4] = [(1, 1), (7, 7), (33, 32), (65, 3)];
pub(super) const ARGS: StepArgs = StepArgs {
    lr: 0.1,
    decay: 0.75,
    l2: 0.25,
    inverse_rows: 0.125,
    accumulate: 1.0,
    gradient_scale: 0.375,
    t: 1,
    row_offset: 0,
    seed: 0,
};

/// Runs `operations` on every device and on the reference, and hands both sessions to `compare` with the device's eps.
pub(super) fn each(
    few: &Few,
    operations: &[Op],
    inputs: &[(&str, &[f64])],
    labels: &[u8],
    compare: impl Fn(&str, &mut dyn Session, &mut dyn Session, f64),
) {
    for (device, float) in CHECKED {
        let mut got = few.run((device, float), operations, inputs, labels, &ARGS);
        let mut want = few.run((Device::Reference, float), operations, inputs, labels, &ARGS);
        let what = format!("{device} {float}, {} of {} rows", labels.len(), few.rows);
        compare(&what, &mut *got, &mut *want, eps(float));
    }
}

/// Naive sums of magnitudes |A||B|, which the rounding of a product is measured by.
fn magnitudes(
    a: impl Fn(usize, usize) -> f64,
    b: impl Fn(usize, usize) -> f64,
    (m, n, k): (usize, usize, usize),
) -> Vec<f64> {
    let sum = |i, j| (0..k).map(|p| (a(i, p) * b(p, j)).abs()).sum();
    (0..m * n).map(|at| sum(at / n, at % n)).collect()
}

/// The three products of a layer: X W, dZ W^T, X^T dZ, with every epilogue, alpha and beta.
#[test]
fn products() {
    for ((planned, m), (d, h)) in ROWS.into_iter().zip([(3, 5), (17, 33), (40, 1), (9, 19)]) {
        let mut few = Few::new(planned);
        let (x, w, z) = (
            few.real("x", Shape::batch(d)),
            few.real("w", Shape::fixed(d, h)),
            few.real("z", Shape::batch(h)),
        );
        let (dx, dw) = (few.real("dx", Shape::batch(d)), few.real("dw", Shape::fixed(d, h)));
        let (bias, saved) = (few.real("bias", Shape::fixed(1, h)), few.real("saved", Shape::batch(d)));
        let (vx, vw, vz, vb) = (random(m * d, 1), random(d * h, 2), random(m * h, 3), random(h, 4));
        // beta = 0 must not read C.
        let (vdx, vdw, vs) = (vec![f64::NAN; m * d], random(d * h, 6), random(m * d, 7));
        let inputs = [
            ("x", &vx[..]),
            ("w", &vw),
            ("z", &vz),
            ("bias", &vb),
            ("dx", &vdx),
            ("dw", &vdw),
            ("saved", &vs),
        ];
        let lr = Scalar::field(Field::Lr);
        let (plain, transposed) = (Operand::plain, Operand::transposed);
        let none = Epilogue::default();
        let relu = Epilogue {
            bias: Some(bias),
            activation: Activation::Relu,
            derivative: None,
        };
        let times = Epilogue {
            derivative: Some((Activation::Relu, saved)),
            ..none
        };
        let at = |values: &[f64], cols: usize, i: usize, j: usize| values[i * cols + j];
        let forward = magnitudes(|i, p| at(&vx, d, i, p), |p, j| at(&vw, h, p, j), (m, h, d));
        let backward = magnitudes(|i, p| at(&vz, h, i, p), |p, j| at(&vw, h, j, p), (m, d, h));
        let gradient = magnitudes(|i, p| at(&vx, d, p, i), |p, j| at(&vz, h, p, j), (d, h, m));
        let labels = labels(m, 2);
        let cases = [
            (Scalar::ONE, plain(x), plain(w), Scalar::ZERO, z, none, "z", &forward, d),
            (
                Scalar::ONE,
                plain(x),
                plain(w),
                Scalar::field(Field::Accumulate),
                z,
                relu,
                "z",
                &forward,
                d,
            ),
            (
                Scalar::constant(-0.5),
                plain(z),
                transposed(w),
                Scalar::ZERO,
                dx,
                times,
                "dx",
                &backward,
                h,
            ),
            (
                lr.times(-1.0),
                transposed(x),
                plain(z),
                Scalar::field(Field::Decay),
                dw,
                none,
                "dw",
                &gradient,
                m,
            ),
        ];
        for (alpha, a, b, beta, c, epilogue, name, magnitude, k) in cases {
            let operations = [Op::Product(Product {
                alpha,
                a,
                b,
                beta,
                c,
                epilogue,
            })];
            // (k + 3) eps (|alpha||A||B| + |beta||C|), one rounding more for the bias; relu and its derivative move
            // no error by a factor above 1. What C held lies in [-1, 1], and so does the bias.
            let (alpha, beta) = (alpha.value(&ARGS).abs(), beta.value(&ARGS).abs());
            each(&few, &operations, &inputs, &labels, |what, got, want, eps| {
                let bound = |i: usize| (k + 3) as f64 * eps * (alpha * magnitude[i] + beta) + 2.0 * eps;
                assert_within(
                    &format!("product {name}, {what}"),
                    &got.read(name).unwrap(),
                    &want.read(name).unwrap(),
                    bound,
                );
            });
        }
    }
}

#[test]
fn elementwise() {
    for ((planned, m), n) in ROWS.into_iter().zip([1, 17, 10, 33]) {
        let mut few = Few::new(planned);
        let (x, out) = (few.real("x", Shape::batch(n)), few.real("out", Shape::batch(n)));
        let (saved, bias) = (few.real("saved", Shape::batch(n)), few.real("bias", Shape::fixed(1, n)));
        let (vx, mut vs, vb) = (random(m * n, 1), random(m * n, 2), random(n, 3));
        vs[0] = 0.0; // the kink, whose derivative is 0
        let inputs = [("x", &vx[..]), ("saved", &vs), ("bias", &vb)];
        let labels = labels(m, 2);
        let activation = Activation::Relu;
        let cases = [
            // One sum: |x + b| <= 2.
            (Op::AddBias { bias, x }, "x", 2.0),
            // A maximum, and a product with 0 or 1, are exact.
            (Op::Activate { activation, x, out }, "out", 0.0),
            (
                Op::Activate {
                    activation: Activation::Identity,
                    x,
                    out,
                },
                "out",
                0.0,
            ),
            (
                Op::ActivateBackward {
                    activation,
                    saved,
                    gradient: x,
                    out,
                },
                "out",
                0.0,
            ),
        ];
        for (op, name, roundings) in cases {
            each(
                &few,
                std::slice::from_ref(&op),
                &inputs,
                &labels,
                |what, got, want, eps| {
                    let (got, want) = (got.read(name).unwrap(), want.read(name).unwrap());
                    assert_within(&format!("{} {what}", op.name()), &got, &want, |_| roundings * eps);
                },
            );
        }
    }
}

#[test]
fn updates() {
    for (rows, cols) in [(1, 1), (3, 17), (40, 33)] {
        let mut few = Few::new(1);
        let (w, g) = (
            few.real("w", Shape::fixed(rows, cols)),
            few.real("g", Shape::fixed(rows, cols)),
        );
        let (vw, vg) = (random(rows * cols, 1), random(rows * cols, 2));
        let op = Op::Sgd {
            decay: Scalar::field(Field::Decay),
            lr: Scalar::field(Field::Lr),
            gradient: g,
            weights: w,
        };
        each(&few, &[op], &[("w", &vw), ("g", &vg)], &[0], |what, got, want, eps| {
            // Two products and a sum, each of numbers up to |decay w| + |lr g| < 1, and lr itself.
            assert_within(what, &got.read("w").unwrap(), &want.read("w").unwrap(), |_| 2.0 * eps);
            assert_eq!(got.read("g").unwrap(), vg, "{what}: the gradient is only read");
        });
    }
}

/// Both are loops that the host devices share: by hand, then. Inputs are f32 numbers, so a device reads what is here.
#[test]
fn squares_and_scales() {
    for (rows, cols) in [(1, 1), (3, 17), (40, 33)] {
        let mut few = Few::new(1);
        let (g, sum) = (few.real("g", Shape::fixed(rows, cols)), few.metric("sum"));
        let vg: Vec<f64> = random(rows * cols, 1).iter().map(|&x| f64::from(x as f32)).collect();
        let by = Scalar::field(Field::GradientScale);
        let operations = [
            Op::AddSquares { x: g, metric: sum },
            Op::Scale { by, x: g },
            Op::AddSquares { x: g, metric: sum },
        ];
        for (device, float) in CHECKED {
            let what = format!("{device} {float}");
            let mut got = few.run((device, float), &operations, &[("g", &vg)], &[0], &ARGS);
            let scaled: Vec<f64> = vg.iter().map(|x| 0.375 * x).collect();
            assert_within(&what, &got.read("g").unwrap(), &scaled, |i| {
                eps(float) * scaled[i].abs()
            });
            let square: f64 = vg.iter().map(|x| x * x).sum();
            let bound = (vg.len() as f64 * f64::EPSILON + 2.0 * eps(float)) * square;
            let sum = got.metrics().unwrap().get("sum");
            assert_within(&what, &[sum], &[square * (1.0 + 0.375 * 0.375)], |_| 2.0 * bound);
        }
    }
}

#[test]
fn column_sums() {
    for ((planned, m), n) in ROWS.into_iter().zip([1, 17, 10, 33]) {
        let mut few = Few::new(planned);
        let (x, sums) = (few.real("x", Shape::batch(n)), few.real("sums", Shape::fixed(1, n)));
        let (vx, vs) = (random(m * n, 1), random(n, 2));
        for accumulate in [Scalar::ZERO, Scalar::field(Field::Accumulate), Scalar::constant(-2.0)] {
            let factor = accumulate.value(&ARGS).abs();
            let op = Op::ColumnSum { x, accumulate, sums };
            each(
                &few,
                &[op],
                &[("x", &vx), ("sums", &vs)],
                &labels(m, 2),
                |what, got, want, eps| {
                    let magnitude = |j: usize| (0..m).map(|i| vx[i * n + j].abs()).sum::<f64>() + factor * vs[j].abs();
                    let bound = |j: usize| (m + 1) as f64 * eps * magnitude(j);
                    assert_within(what, &got.read("sums").unwrap(), &want.read("sums").unwrap(), bound);
                },
            );
        }
    }
}

#[test]
fn losses() {
    for (((planned, m), q), scale) in ROWS.into_iter().zip([1, 10, 10, 100]).zip([1.0, 8.0, 30.0, 3.0]) {
        let mut few = Few::new(planned);
        let (x, y) = (few.real("x", Shape::batch(q)), few.labels());
        let (rows, gradient) = (few.real("rows", Shape::batch(1)), few.real("gradient", Shape::batch(q)));
        let sum = few.metric("sum");
        let vx: Vec<f64> = random(m * q, 1).iter().map(|x| f64::from((scale * x) as f32)).collect();
        let largest = vx.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
        let labels = labels(m, q);
        let inverse = Scalar::field(Field::InverseRows);
        let both = Op::SoftmaxCrossEntropy {
            smoothing: 0.0,
            logits: x,
            labels: y,
            scale: inverse,
            losses: rows,
            gradient,
        };
        let only = Op::CrossEntropy {
            logits: x,
            labels: y,
            losses: rows,
        };
        for op in [both, only] {
            let with_gradient = matches!(op, Op::SoftmaxCrossEntropy { .. });
            let operations = [Op::LoadLabels { out: y }, op, Op::AddSum { x: rows, metric: sum }];
            each(&few, &operations, &[("x", &vx)], &labels, |what, got, want, eps| {
                // x - max rounds by eps of at most 2 max|x|, which is the relative error of each exp; exp and log add
                // a few eps of their own, and q of them are summed.
                let relative = eps * (q as f64 + 8.0 + 4.0 * largest);
                assert_within(what, &got.read("rows").unwrap(), &want.read("rows").unwrap(), |_| {
                    relative
                });
                if with_gradient {
                    // scale * (p - y) with scale 1/8, and |p|, |p - y| <= 1.
                    let (got, want) = (got.read("gradient").unwrap(), want.read("gradient").unwrap());
                    assert_within(what, &got, &want, |_| 0.125 * (relative + 2.0 * eps));
                }
                // The sum adds what the rows have, in f64 and in an order of its own.
                let rows: f64 = got.read("rows").unwrap().iter().sum();
                let sum = got.metrics().unwrap().get("sum");
                assert_within(what, &[sum], &[rows], |_| m as f64 * f64::EPSILON * rows.abs());
                assert_eq!(
                    got.metrics().unwrap().get("sum"),
                    0.0,
                    "{what}: a sum begins again when it was read"
                );
            });
        }
    }
}

#[test]
fn matches() {
    for ((planned, m), n) in ROWS.into_iter().zip([1, 10, 3, 100]) {
        let mut few = Few::new(planned);
        let (x, y) = (few.real("x", Shape::batch(n)), few.labels());
        let indices = few.add(
            "indices",
            Shape::batch(1),
            Element::U32,
            tilelab::program::Role::Activation,
        );
        let count = few.metric("count");
        // Whole numbers, so that many rows have equal largest elements: the first counts.
        let vx: Vec<f64> = random(m * n, 1).iter().map(|x| (2.0 * x).round()).collect();
        let labels = labels(m, n);
        let largest = |i: usize| {
            let row = &vx[i * n..][..n];
            row.iter().position(|x| row.iter().all(|other| other <= x)).unwrap()
        };
        let operations = [
            Op::LoadLabels { out: y },
            Op::RowArgmax { x, out: indices },
            Op::AddMatches {
                indices,
                labels: y,
                metric: count,
            },
        ];
        each(&few, &operations, &[("x", &vx)], &labels, |what, got, want, _| {
            let by_hand: Vec<f64> = (0..m).map(|i| largest(i) as f64).collect();
            assert_eq!(got.read("indices").unwrap(), by_hand, "{what}");
            assert_eq!(want.read("indices").unwrap(), by_hand, "reference of {what}");
            let right = (0..m).filter(|&i| largest(i) == usize::from(labels[i])).count();
            assert_eq!(got.metrics().unwrap().get("count"), right as f64, "{what}");
            assert_eq!(
                want.metrics().unwrap().get("count"),
                right as f64,
                "reference of {what}"
            );
        });
    }
}

/// Rows of a set by index, in any order and repeated, and rows as they are.
#[test]
fn rows_are_loaded() {
    let (columns, rows) = (5, [3, 0, 3, 1]);
    let bytes: Vec<u8> = (0..4 * columns).map(|i| (i * 37 % 256) as u8).collect();
    let classes = [9, 200, 0, 7];
    let sets = [Set::new(&bytes, &classes, columns).unwrap()];
    for (device, float) in CHECKED.into_iter().chain([(Device::Reference, Element::F32)]) {
        let what = format!("{device} {float}");
        let mut few = Few::new(6);
        let (x, y) = (few.real("x", Shape::batch(columns)), few.labels());
        let program = few.program(
            float,
            vec![
                Op::LoadRows {
                    byte_scale: 1.0 / 255.0,
                    out: x,
                },
                Op::LoadLabels { out: y },
            ],
        );
        let mut session = open(device, std::slice::from_ref(&program), &sets);
        session.run(ProgramId(0), &Batch::of_set(&program, &sets, 0, &rows).unwrap(), &ARGS);
        let want: Vec<f64> = rows
            .iter()
            .flat_map(|&r| &bytes[r as usize * columns..][..columns])
            .map(|&b| f64::from(b) / 255.0)
            .collect();
        // The byte is exact; 1/255 and the product round.
        assert_within(&what, &session.read("x").unwrap(), &want, |_| 2.0 * eps(float));
        assert_eq!(session.read("labels").unwrap(), [7.0, 9.0, 7.0, 200.0], "{what}");
        let values: Vec<f32> = (0..10).map(|i| i as f32 - 4.5).collect();
        session.run(
            ProgramId(0),
            &Batch::of_slices(&program, &values, &[4, 5]).unwrap(),
            &ARGS,
        );
        let want: Vec<f64> = values.iter().map(|&x| f64::from(x)).collect();
        assert_eq!(
            session.read("x").unwrap(),
            want,
            "{what}: real numbers are taken as they are"
        );
        assert_eq!(session.read("labels").unwrap(), [4.0, 5.0], "{what}");
    }
}
