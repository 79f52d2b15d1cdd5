//! Second derivatives of the activations, stacked products, a layer's Hessian block and transposes, against their f64 oracles.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use support::contexts;
use tilelab_kernels::{Activation, Float, LayerTerms, MatMut, MatRef, Saves, reference};

const ACTIVATIONS: [Activation; 13] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.1 },
    Activation::LeakyRelu { slope: -0.2 },
    Activation::PRelu { alpha: 0.25 },
    Activation::Elu { alpha: 0.7 },
    Activation::Elu { alpha: -0.5 },
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Swish { beta: 1.0 },
    Activation::Swish { beta: 1.7 },
    Activation::Gelu,
    Activation::GeluTanh,
];

/// Numbers from -1 to 1.
fn numbers<T: Float>(count: usize, seed: usize) -> Vec<T> {
    (0..count)
        .map(|i| T::from_f64((((i + seed) * 7919 % 1009) as f64 - 504.0) / 504.0))
        .collect()
}

#[track_caller]
fn near<T: Float>(got: &[T], expected: &[f64], bound: impl Fn(usize) -> f64, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        // Written so that NaN fails.
        let close = (got.to_f64() - expected).abs() <= bound(i);
        assert!(close, "{what}: element {i} is {got}, it should be {expected}");
    }
}

fn derivatives<T: Float>() {
    for ctx in contexts() {
        for f in ACTIVATIONS {
            // Both sides of the kink, and the tails, at every length of a vector's rest.
            for count in [1, 7, 16, 33, 200] {
                let x: Vec<T> = numbers::<T>(count, 3)
                    .into_iter()
                    .map(|x| T::from_f64(8.0 * x.to_f64()))
                    .collect();
                let output: Vec<T> = x
                    .iter()
                    .map(|x| T::from_f64(reference::activation(f, x.to_f64())))
                    .collect();
                let saved = if f.saves() == Saves::Output { output } else { x };
                let gradient: Vec<T> = numbers(count, 5);
                let mut out = vec![T::from_f64(f64::NAN); count];
                let what = format!("{f:?} on {}, {} of {count}", ctx.isa(), T::NAME);
                ctx.activation_slope(f, &saved, &mut out).unwrap();
                let slopes: Vec<f64> = saved.iter().map(|x| reference::derivative(f, x.to_f64())).collect();
                // Terms of up to about 2 in size, a few roundings each.
                near(&out, &slopes, |_| 16.0 * T::EPSILON, &format!("slope of {what}"));
                ctx.activation_curvature(f, &saved, &gradient, &mut out).unwrap();
                let bends: Vec<f64> = saved
                    .iter()
                    .zip(&gradient)
                    .map(|(x, g)| g.to_f64() * reference::second_derivative(f, x.to_f64()))
                    .collect();
                // The tanh form's terms grow with u' up to where the sigmoid's slope has taken them to 0: 32 ulp of 8 at most.
                near(&out, &bends, |_| 64.0 * T::EPSILON, &format!("curvature of {what}"));
            }
        }
    }
}

#[test]
fn slopes_and_curvatures() {
    derivatives::<f32>();
    derivatives::<f64>();
}

/// The oracle's own second derivatives against central differences of its first.
#[test]
fn the_oracle_is_the_derivative_of_the_derivative() {
    let slope = |f: Activation, x: f64| {
        let saved = if f.saves() == Saves::Output {
            reference::activation(f, x)
        } else {
            x
        };
        reference::derivative(f, saved)
    };
    for f in ACTIVATIONS {
        for x in [-3.0, -1.2, -0.4, 0.3, 0.9, 2.5] {
            let saved = if f.saves() == Saves::Output {
                reference::activation(f, x)
            } else {
                x
            };
            let step = 1e-5;
            let expected = (slope(f, x + step) - slope(f, x - step)) / (2.0 * step);
            let got = reference::second_derivative(f, saved);
            assert!(
                (got - expected).abs() < 1e-8,
                "{f:?} at {x}: {got}, differences give {expected}"
            );
        }
    }
    for f in [Activation::PRelu { alpha: 0.25 }, Activation::Swish { beta: 1.3 }] {
        let parameter = match f {
            Activation::Swish { beta } => beta,
            _ => 0.25,
        };
        for x in [-2.0, -0.7, 0.8, 1.9] {
            let step = 1e-5;
            let at = |p: f64| f.with_parameter(p);
            let (above, below) = (at(parameter + step), at(parameter - step));
            let differ = |g: &dyn Fn(Activation) -> f64| (g(above) - g(below)) / (2.0 * step);
            let mixed = differ(&|f| reference::derivative(f, x));
            let second = differ(&|f| reference::derivative_by_parameter(f, x));
            let (by_both, by_parameter) = reference::second_derivatives_by_parameter(f, x);
            assert!(
                (by_both - mixed).abs() < 1e-8 && (by_parameter - second).abs() < 1e-8,
                "{f:?} at {x}"
            );
        }
    }
}

#[test]
fn stacked_products() {
    for ctx in contexts() {
        for (len, blocks) in [(1, 1), (5, 3), (16, 2), (37, 4), (70_000, 2)] {
            let (y, x): (Vec<f32>, Vec<f32>) = (numbers(len, 1), numbers(len * blocks, 2));
            let before: Vec<f32> = numbers(len * blocks, 4);
            for add in [false, true] {
                let mut out = if add {
                    before.clone()
                } else {
                    vec![f32::NAN; len * blocks]
                };
                ctx.multiply_stacked(&y, &x, add, &mut out).unwrap();
                let expected: Vec<f64> = (0..len * blocks)
                    .map(|i| f64::from(y[i % len]) * f64::from(x[i]) + if add { f64::from(before[i]) } else { 0.0 })
                    .collect();
                near(
                    &out,
                    &expected,
                    |_| 2.0 * f64::from(f32::EPSILON),
                    &format!("{len} x {blocks} on {}", ctx.isa()),
                );
            }
        }
        assert!(
            ctx.multiply_stacked(&[1.0f32; 3], &[1.0; 7], false, &mut [0.0; 7])
                .is_err()
        );
        assert!(
            ctx.multiply_stacked(&[1.0f32; 3], &[1.0; 6], false, &mut [0.0; 7])
                .is_err()
        );
    }
}

fn layer<T: Float>() {
    for ctx in contexts() {
        for (n, inputs, units, q) in [
            (1, 1, 1, 1),
            (3, 4, 5, 2),
            (9, 6, 17, 3),
            (20, 11, 33, 1),
            (7, 3, 70, 4),
            (5, 13, 16, 2),
            // Too large for the way by triangles.
            (70, 3, 72, 2),
        ] {
            for (negative, diagonal, weights, add) in [
                (false, false, true, false),
                (true, true, false, false),
                (false, true, true, true),
            ] {
                let x: Vec<T> = numbers(n * inputs, 1);
                let factors: Vec<T> = numbers(n * (q + usize::from(negative)) * units, 2);
                let d: Vec<T> = numbers(n * units, 3);
                let g: Vec<T> = numbers(units, 4);
                let g: Vec<T> = (0..units * units)
                    .map(|at| g[at / units].times(g[at % units]))
                    .collect();
                let terms = LayerTerms {
                    x: MatRef::row_major(&x, n, inputs).unwrap(),
                    factors: &factors,
                    positive: q,
                    negative,
                    weights: weights.then_some(&g[..]),
                    diagonal: diagonal.then_some(&d[..]),
                    units,
                };
                let (size, stride) = (inputs * units, inputs * units + 3);
                let first = if add { T::ONE } else { T::from_f64(f64::NAN) };
                let mut out = vec![first; size * stride];
                // Gaps between the rows are nobody's.
                let guard = T::from_f64(-77.0);
                (0..size).for_each(|row| out[row * stride + size..][..3].fill(guard));
                let to = MatMut::new(&mut out[..(size - 1) * stride + size], size, size, stride, 1).unwrap();
                ctx.layer_hessian(terms, add, to).unwrap();
                let what = format!("{n} x {inputs} x {units}, {q} factors, {} on {}", T::NAME, ctx.isa());
                let expected = reference::layer_hessian(terms);
                for row in 0..size {
                    assert!(
                        out[row * stride + size..][..3].iter().all(|x| *x == guard) || row == size - 1,
                        "{what}: the gap"
                    );
                    let got = &out[row * stride..][..size];
                    let plus = if add { 1.0 } else { 0.0 };
                    let expected: Vec<f64> = expected[row * size..][..size].iter().map(|x| x + plus).collect();
                    // n sums of products of at most q + 2: each rounding is one of their size.
                    let bound = (n + q + 6) as f64 * T::EPSILON * (n * (q + 2)) as f64;
                    near(got, &expected, |_| bound, &what);
                    if !add {
                        assert!(
                            (0..size).all(|col| got[col] == out[col * stride + row]),
                            "{what}: symmetric to the bit"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_layers_block() {
    layer::<f32>();
    layer::<f64>();
}

#[test]
fn transposes() {
    for ctx in contexts() {
        for (rows, cols) in [(1, 1), (3, 40), (16, 16), (17, 31), (40, 5), (33, 64)] {
            let x: Vec<f32> = numbers(rows * (cols + 2), 1);
            let mut out = vec![-77.0f32; cols * (rows + 1)];
            let from = MatRef::new(&x, rows, cols, cols + 2, 1).unwrap();
            ctx.transpose(from, MatMut::new(&mut out, cols, rows, rows + 1, 1).unwrap())
                .unwrap();
            for j in 0..cols {
                for i in 0..rows {
                    assert_eq!(out[j * (rows + 1) + i], x[i * (cols + 2) + j]);
                }
                assert_eq!(out[j * (rows + 1) + rows], -77.0, "the gap behind a row");
            }
        }
    }
}
