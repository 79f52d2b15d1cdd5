//! Activations and the elementary functions under them: errors in ulp over a dense sample of all inputs, derivatives against the
//! oracle and against central differences, special values, every length.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use support::{Guarded, Random, assert_close, contexts, lengths, same_for_any_threads, ulps};
use tilelab_kernels::{Activation, Context, Float, Saves, reference};

const ALL: [Activation; 12] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.01 },
    Activation::PRelu { alpha: 0.25 },
    Activation::PRelu { alpha: -0.5 },
    Activation::Elu { alpha: 1.0 },
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Swish { beta: 1.0 },
    Activation::Swish { beta: 0.0 },
    Activation::Gelu,
    Activation::GeluTanh,
];

/// Every `step`-th f32 by its bits, of both signs.
fn sample(from: f32, to: f32, step: usize) -> Vec<f32> {
    let bits = (from.to_bits()..to.to_bits()).step_by(step);
    bits.flat_map(|bits| [f32::from_bits(bits), -f32::from_bits(bits)])
        .collect()
}

/// All magnitudes, and the range where these functions bend more closely.
fn all_inputs() -> Vec<f32> {
    let mut x = sample(0.0, f32::INFINITY, 9973);
    x.extend(sample(1e-3, 30.0, 211));
    x
}

/// A function under test and its largest error in ulp: where |x| <= 4, and beyond it relative, in eps, above `least`.
struct Promise {
    activation: Activation,
    ulps: f64,
    beyond: f64,
    least: f64,
}

const PROMISES: [Promise; 6] = [
    Promise {
        activation: Activation::Tanh,
        ulps: 2.0,
        beyond: 2.0,
        least: 0.0,
    },
    Promise {
        activation: Activation::Sigmoid,
        ulps: 2.0,
        beyond: 2.0,
        least: 0.0,
    },
    Promise {
        activation: Activation::Elu { alpha: 1.0 },
        ulps: 2.0,
        beyond: 2.0,
        least: 0.0,
    },
    Promise {
        activation: Activation::Swish { beta: 1.0 },
        ulps: 3.0,
        beyond: 3.0,
        least: 1e-36,
    },
    Promise {
        activation: Activation::Gelu,
        ulps: 4.0,
        beyond: 8.0,
        least: 5e-38,
    },
    Promise {
        activation: Activation::GeluTanh,
        ulps: 4.0,
        beyond: 80.0,
        least: 1e-37,
    },
];

#[test]
fn errors_in_ulp_over_a_dense_sample_of_all_f32() {
    for ctx in contexts() {
        let x = all_inputs();
        let mut y = vec![0.0f32; x.len()];
        for promise in &PROMISES {
            ctx.activate(promise.activation, &x, &mut y).unwrap();
            let mut worst = 0.0f64;
            for (&x, &y) in x.iter().zip(&y) {
                let want = reference::activation(promise.activation, f64::from(x));
                let error = ulps(y, want);
                let near = x.abs() <= 4.0;
                let small = want.abs() <= promise.least && f64::from(y).abs() <= promise.least;
                let bound = if near { promise.ulps } else { promise.beyond };
                assert!(
                    error <= bound || small,
                    "{} {:?} at {x:e}: {y:e}, not {want:e}: {error} ulp",
                    ctx.isa(),
                    promise.activation
                );
                worst = worst.max(if near { error } else { 0.0 });
            }
            println!(
                "{} {:?}: at most {worst:.2} ulp where |x| <= 4",
                ctx.isa(),
                promise.activation
            );
        }
        ctx.erf(&x, &mut y).unwrap();
        for (&x, &y) in x.iter().zip(&y) {
            let error = ulps(y, reference::erf(f64::from(x)));
            assert!(error <= 2.0, "{} erf at {x:e}: {y:e}: {error} ulp", ctx.isa());
        }
    }
}

/// f64: the oracle is no better than the kernel, so each promise has the oracle's error on top.
#[test]
fn f64_stays_within_a_few_ulp() {
    for ctx in contexts() {
        let x = Random(8).fill::<f64>(200_000, -6.0, 6.0);
        let mut y = vec![0.0; x.len()];
        for (activation, bound) in [
            (Activation::Tanh, 3.0),
            (Activation::Sigmoid, 3.0),
            (Activation::Elu { alpha: 1.0 }, 3.0),
            (Activation::Swish { beta: 1.0 }, 4.0),
            (Activation::Gelu, 8.0),
            (Activation::GeluTanh, 8.0),
        ] {
            ctx.activate(activation, &x, &mut y).unwrap();
            for (&x, &y) in x.iter().zip(&y) {
                let want = reference::activation(activation, x);
                let error = ulps(y, want);
                // gelu's oracle rounds the argument of its exponential, up to 25 in size, a few times.
                let oracle = if bound == 8.0 { 0.5 * x.abs().powi(3) } else { 0.0 };
                assert!(
                    error <= bound + oracle,
                    "{} {activation:?} at {x:e}: {y:e}, not {want:e}: {error} ulp",
                    ctx.isa()
                );
            }
        }
        ctx.erf(&x, &mut y).unwrap();
        for (&x, &y) in x.iter().zip(&y) {
            let error = ulps(y, reference::erf(x));
            assert!(error <= 4.0, "{} erf at {x:e}: {y:e}: {error} ulp", ctx.isa());
        }
    }
}

/// What the derivative is computed from, as f64 and rounded to T.
fn saved<T: Float>(activation: Activation, x: &[T]) -> Vec<T> {
    match activation.saves() {
        Saves::Input => x.to_vec(),
        Saves::Output => reference::activate(activation, x)
            .into_iter()
            .map(T::from_f64)
            .collect(),
    }
}

fn derivatives<T: Float>(ctx: &Context, n: usize) {
    let mut random = Random(n as u64);
    let mut x = random.fill::<T>(n, -9.0, 9.0);
    x.iter_mut().step_by(5).for_each(|x| *x = T::ZERO);
    let dy = random.fill::<T>(n, -1.0, 1.0);
    for activation in ALL {
        let what = format!("{activation:?} {n} {} {}", T::NAME, ctx.isa());
        let mut y = Guarded::<T>::new(n, n % 7);
        ctx.activate(activation, &x, y.slice()).unwrap();
        let want = reference::activate(activation, &x);
        // Relative bounds are those of the dense samples; here it is about lengths and gaps.
        assert_close(&what, &y.checked(), &want, |i| 256.0 * T::EPSILON * want[i].abs());
        let saved = saved(activation, &x);
        let mut dx = Guarded::<T>::new(n, 3);
        ctx.activate_backward(activation, &saved, &dy, dx.slice()).unwrap();
        let want = reference::activate_backward(activation, &saved, &dy);
        // A derivative is a sum of terms below 2 in size, so its error is one of them.
        let dx = dx.checked();
        assert_close(&what, &dx, &want, |_| 16.0 * T::EPSILON);

        let by_parameter = ctx.activation_parameter_gradient(activation, &x, &dy).unwrap();
        let terms = x.iter().zip(&dy);
        let term = |(x, dy): (&T, &T)| dy.to_f64() * reference::derivative_by_parameter(activation, x.to_f64());
        let want: f64 = terms.map(term).sum();
        assert_close(&what, &[by_parameter], &[want], |_| 64.0 * n as f64 * T::EPSILON);
    }
}

#[test]
fn every_length_agrees_with_the_oracle() {
    for ctx in contexts() {
        for n in lengths() {
            derivatives::<f32>(&ctx, n);
            derivatives::<f64>(&ctx, n);
        }
    }
}

/// The oracle's derivatives are those of the oracle's functions, away from kinks; what a kink has is in `kinks`.
#[test]
fn derivatives_agree_with_central_differences() {
    const STEP: f64 = 1e-5;
    for activation in ALL {
        for x in Random(3)
            .fill::<f64>(500, -5.0, 5.0)
            .into_iter()
            .filter(|x| x.abs() > 2.0 * STEP)
        {
            let f = |x| reference::activation(activation, x);
            let slope = (f(x + STEP) - f(x - STEP)) / (2.0 * STEP);
            let from = if activation.saves() == Saves::Input { x } else { f(x) };
            let derivative = reference::derivative(activation, from);
            assert!(
                (slope - derivative).abs() <= 1e-8,
                "{activation:?} at {x}: {slope} and {derivative}"
            );
        }
    }
    for x in Random(4).fill::<f64>(100, -5.0, 5.0) {
        let f = |beta| reference::activation(Activation::Swish { beta }, x);
        let slope = (f(0.7 + STEP) - f(0.7 - STEP)) / (2.0 * STEP);
        let derivative = reference::derivative_by_parameter(Activation::Swish { beta: 0.7 }, x);
        assert!(
            (slope - derivative).abs() <= 1e-8,
            "swish by beta at {x}: {slope} and {derivative}"
        );
    }
}

#[test]
fn kinks() {
    for ctx in contexts() {
        let at_zero = |activation| {
            let mut dx = [7.0f32];
            ctx.activate_backward(activation, &[0.0], &[1.0], &mut dx).unwrap();
            dx[0]
        };
        assert_eq!(at_zero(Activation::Relu), 0.0);
        assert_eq!(at_zero(Activation::PRelu { alpha: 0.25 }), 1.0);
        assert_eq!(at_zero(Activation::LeakyRelu { slope: 0.01 }), 0.01);
        assert_eq!(at_zero(Activation::Elu { alpha: 1.5 }), 1.5);
    }
}

#[test]
fn special_values() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let x = [nan, inf, -inf, 0.0, -0.0, 1e-40, -1e-40, 3e38, -3e38];
    for ctx in contexts() {
        let run = |activation| {
            let mut y = [7.0f32; 9];
            ctx.activate(activation, &x, &mut y).unwrap();
            y
        };
        for activation in ALL {
            let y = run(activation);
            let zero_is_signed = !matches!(activation, Activation::Elu { .. } | Activation::Swish { .. });
            let kept =
                activation == Activation::Sigmoid || (y[4] == 0.0 && (y[4].is_sign_negative() || !zero_is_signed));
            // A negative slope turns the zero's sign.
            let turned = activation == Activation::PRelu { alpha: -0.5 };
            assert!(y[0].is_nan() && (kept || turned), "{} {activation:?}: {y:?}", ctx.isa());
        }
        assert_eq!(
            run(Activation::Tanh)[1..],
            [1.0, -1.0, 0.0, 0.0, 1e-40, -1e-40, 1.0, -1.0]
        );
        assert_eq!(run(Activation::Sigmoid)[1..], [1.0, 0.0, 0.5, 0.5, 0.5, 0.5, 1.0, 0.0]);
        for gelu in [Activation::Gelu, Activation::GeluTanh] {
            let y = run(gelu);
            assert_eq!(
                (y[1], y[2], y[7], y[8]),
                (inf, 0.0, 3e38, 0.0),
                "{} {gelu:?}",
                ctx.isa()
            );
        }
        let elu = run(Activation::Elu { alpha: 1.0 });
        assert_eq!((elu[1], elu[2], elu[8]), (inf, -1.0, -1.0));
        let mut erf = [7.0f32; 9];
        ctx.erf(&x, &mut erf).unwrap();
        assert!(erf[0].is_nan() && erf[1] == 1.0 && erf[2] == -1.0 && erf[4] == 0.0);
    }
}

/// Outputs beyond the size from which stores go past the caches: the same bits as in small pieces, up to the ragged ends.
#[test]
fn streamed_outputs_have_the_same_bits() {
    let n = (8 << 20) + 77;
    let x = Random(5).fill::<f32>(n, -8.0, 8.0);
    for ctx in contexts() {
        let (mut whole, mut part) = (vec![9.0f32; n + 3], vec![9.0f32; 1 << 16]);
        ctx.activate(Activation::Sigmoid, &x, &mut whole[3..]).unwrap();
        for (i, x) in x.chunks(1 << 16).enumerate() {
            ctx.activate(Activation::Sigmoid, x, &mut part[..x.len()]).unwrap();
            assert!(
                part[..x.len()] == whole[3 + (i << 16)..][..x.len()],
                "{} piece {i}",
                ctx.isa()
            );
        }
        assert_eq!(whole[..3], [9.0; 3]);
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let n = 300_001;
    let mut random = Random(4);
    let (x, dy) = (random.fill::<f32>(n, -9.0, 9.0), random.fill::<f32>(n, -1.0, 1.0));
    same_for_any_threads(|ctx| {
        let (mut y, mut dx) = (vec![0.0; n], vec![0.0; n]);
        ctx.activate(Activation::Gelu, &x, &mut y).unwrap();
        ctx.activate_backward(Activation::Gelu, &x, &dy, &mut dx).unwrap();
        let swish = Activation::Swish { beta: 1.2 };
        (y, dx, ctx.activation_parameter_gradient(swish, &x, &dy).unwrap())
    });
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let ctx = &contexts()[0];
    let (x, mut y) = ([0.0f32; 12], [0.0f32; 11]);
    assert!(ctx.erf(&x, &mut y).is_err());
    let short = y;
    assert!(
        ctx.activation_parameter_gradient(Activation::PRelu { alpha: 0.1 }, &x, &short)
            .is_err()
    );
    assert!(ctx.activate(Activation::Gelu, &x, &mut y).is_err());
}
