//! Plain f64 oracles: what every kernel is checked against. Written to be read, in the order of the formulas.

mod rows;

pub use rows::{
    activate, activate_backward, adam, add_bias, binary_cross_entropy, column_dot, column_mean_variance, column_sum,
    cross_entropy_loss, dropout, gather_rows_u8, log_softmax, logsumexp, momentum, row_argmax, sgd, softmax,
    softmax_cross_entropy, squared_error,
};

use crate::activation::Saves;
use crate::{Activation, Epilogue, Float, MatMut, MatRef};

/// `f(x)`.
pub fn activation(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Identity => x,
        Activation::Relu => x.max(0.0),
        Activation::LeakyRelu { slope } => if_positive(x, x, slope * x),
        Activation::PRelu { alpha } => if_positive(x, x, alpha * x),
        Activation::Elu { alpha } => if_positive(x, x, alpha * x.exp_m1()),
        Activation::Sigmoid => sigmoid(x),
        Activation::Tanh => x.tanh(),
        Activation::Swish { beta } => x * sigmoid(beta * x),
        Activation::Gelu => x * distribution(x),
        Activation::GeluTanh => x * sigmoid(gelu_argument(x).0),
    }
}

/// `f'(saved)`, with `saved` the activation's input or output, as [`Activation::saves`] says; at a kink the value of `activation.rs`.
pub fn derivative(activation: Activation, saved: f64) -> f64 {
    match activation {
        Activation::Identity => 1.0,
        Activation::Relu => f64::from(saved > 0.0),
        Activation::LeakyRelu { slope } => if_positive(saved, 1.0, slope),
        Activation::PRelu { alpha } => {
            if saved < 0.0 {
                alpha
            } else {
                1.0
            }
        }
        Activation::Elu { alpha } => {
            let below = match activation.saves() {
                Saves::Output => saved + alpha,
                Saves::Input => alpha * saved.exp(),
            };
            if_positive(saved, 1.0, below)
        }
        Activation::Sigmoid => saved * (1.0 - saved),
        Activation::Tanh => (1.0 - saved) * (1.0 + saved),
        Activation::Swish { beta } => {
            let z = beta * saved;
            sigmoid(z) + z * sigmoid_slope(z)
        }
        Activation::Gelu => {
            let density = (-saved * saved / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
            distribution(saved) + saved * density
        }
        Activation::GeluTanh => {
            let (u, slope) = gelu_argument(saved);
            sigmoid(u) + saved * sigmoid_slope(u) * slope
        }
    }
}

/// `df/dp` at `x`, p being prelu's alpha or swish's beta; 0 for activations without one.
pub fn derivative_by_parameter(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::PRelu { .. } => x.min(0.0),
        Activation::Swish { beta } => x * x * sigmoid_slope(beta * x),
        _ => 0.0,
    }
}

/// `f''(saved)`, with `saved` as in [`derivative`]; 0 at a kink.
pub fn second_derivative(activation: Activation, saved: f64) -> f64 {
    match activation {
        Activation::Elu { alpha } => {
            let below = match activation.saves() {
                Saves::Output => saved + alpha,
                Saves::Input => alpha * saved.exp(),
            };
            if_positive(saved, 0.0, below)
        }
        Activation::Sigmoid => saved * (1.0 - saved) * (1.0 - 2.0 * saved),
        Activation::Tanh => -2.0 * saved * (1.0 - saved) * (1.0 + saved),
        Activation::Swish { beta } => {
            let z = beta * saved;
            beta * sigmoid_slope(z) * (2.0 + z * (sigmoid(-z) - sigmoid(z)))
        }
        Activation::Gelu => {
            let density = (-saved * saved / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
            density * (2.0 - saved * saved)
        }
        Activation::GeluTanh => {
            let (u, slope) = gelu_argument(saved);
            let bend = 2.0 * (2.0 / std::f64::consts::PI).sqrt() * 6.0 * 0.044715 * saved;
            sigmoid_slope(u) * (2.0 * slope + saved * ((sigmoid(-u) - sigmoid(u)) * slope * slope + bend))
        }
        Activation::Identity | Activation::Relu | Activation::LeakyRelu { .. } | Activation::PRelu { .. } => 0.0,
    }
}

/// `d^2 f / dx dp` and `d^2 f / dp^2` at `x`, p being prelu's alpha or swish's beta; 0 for activations without one.
pub fn second_derivatives_by_parameter(activation: Activation, x: f64) -> (f64, f64) {
    match activation {
        Activation::PRelu { .. } => (f64::from(x < 0.0), 0.0),
        Activation::Swish { beta } => {
            let z = beta * x;
            let (slope, bend) = (sigmoid_slope(z), sigmoid(-z) - sigmoid(z));
            (x * slope * (2.0 + z * bend), x.powi(3) * slope * bend)
        }
        _ => (0.0, 0.0),
    }
}

/// The block of a Hessian by one layer's weights: the formula at the head of `hessian.rs`.
pub fn layer_hessian<T: Float>(terms: crate::LayerTerms<'_, T>) -> Vec<f64> {
    let (n, inputs, units, q) = (terms.x.rows(), terms.x.cols(), terms.units, terms.positive);
    let per_row = q + usize::from(terms.negative);
    let factor = |s: usize, c: usize, j: usize| terms.factors[(s * per_row + c) * units + j].to_f64();
    let e = |s: usize, j: usize, other: usize| {
        let plus: f64 = (0..q).map(|c| factor(s, c, j) * factor(s, c, other)).sum();
        let minus = if terms.negative {
            factor(s, q, j) * factor(s, q, other)
        } else {
            0.0
        };
        let diagonal = terms
            .diagonal
            .filter(|_| j == other)
            .map_or(0.0, |d| d[s * units + j].to_f64());
        let weight = terms.weights.map_or(1.0, |g| g[j * units + other].to_f64());
        weight * (plus - minus) + diagonal
    };
    let size = inputs * units;
    let element = |row: usize, col: usize| {
        let (i, j, other_i, other_j) = (row / units, row % units, col / units, col % units);
        (0..n)
            .map(|s| at(terms.x, s, i) * at(terms.x, s, other_i) * e(s, j, other_j))
            .sum()
    };
    (0..size * size).map(|at| element(at / size, at % size)).collect()
}

/// erf(x).
pub fn erf(x: f64) -> f64 {
    libm::erf(x)
}

fn if_positive(x: f64, then: f64, or: f64) -> f64 {
    if x > 0.0 { then } else { or }
}

/// 1 / (1 + exp(-x)), from the side that does not overflow.
fn sigmoid(x: f64) -> f64 {
    if x > 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        x.exp() / (1.0 + x.exp())
    }
}

/// y (1 - y), y = sigmoid(x): 1 - y would cancel.
fn sigmoid_slope(x: f64) -> f64 {
    sigmoid(x) * sigmoid(-x)
}

/// The standard normal distribution function.
fn distribution(x: f64) -> f64 {
    libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2) / 2.0
}

/// The sigmoid's argument in gelu's tanh form, and its derivative.
fn gelu_argument(x: f64) -> (f64, f64) {
    let k = 2.0 * (2.0 / std::f64::consts::PI).sqrt();
    (k * (x + 0.044715 * x.powi(3)), k * (1.0 + 3.0 * 0.044715 * x * x))
}

/// C <- epilogue(alpha * A * B + beta * C), every element summed in f64 in the order of k.
///
/// # Panics
/// When shapes don't fit: it is an oracle, its callers are tests.
pub fn gemm<T: Float>(
    alpha: T,
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    beta: T,
    mut c: MatMut<'_, T>,
    mut epilogue: Epilogue<'_, T>,
) {
    let mut sums = vec![0.0; c.cols()];
    assert!(a.cols() == b.rows() && a.rows() == c.rows() && b.cols() == c.cols());
    for i in 0..c.rows() {
        for j in 0..c.cols() {
            let mut sum = 0.0;
            for p in 0..a.cols() {
                sum += at(a, i, p) * at(b, p, j);
            }
            let mut t = alpha.to_f64() * sum;
            if beta != T::ZERO {
                t += beta.to_f64() * at(c.as_ref(), i, j);
            }
            if let Some(bias) = epilogue.bias {
                t += bias[j].to_f64();
            }
            if let Some(input) = &mut epilogue.input {
                input.set(i, j, T::from_f64(t));
            }
            t = self::activation(epilogue.activation, t);
            if let Some((activation, saved)) = epilogue.derivative {
                t *= derivative(activation, at(saved, i, j));
            }
            c.set(i, j, T::from_f64(t));
            sums[j] += t;
        }
    }
    if let Some(out) = &mut epilogue.column_sum {
        for (j, sum) in sums.into_iter().enumerate() {
            out.set(0, j, T::from_f64(sum));
        }
    }
}

fn at<T: Float>(x: MatRef<'_, T>, row: usize, col: usize) -> f64 {
    x.get(row, col).map_or(f64::NAN, |x| x.to_f64())
}
