//! Plain f64 oracles: what every kernel is checked against. Written to be read, in the order of the formulas.

mod rows;

pub use rows::{
    activate, activate_backward, add_bias, column_sum, cross_entropy_loss, gather_rows_u8, log_softmax, logsumexp,
    row_argmax, sgd, softmax, softmax_cross_entropy,
};

use crate::{Activation, Epilogue, Float, MatMut, MatRef};

/// `f(x)`.
pub fn activation(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Identity => x,
        Activation::Relu => x.max(0.0),
    }
}

/// `f'(saved)`, with `saved` the activation's output for relu; 0 at the kink.
pub fn derivative(activation: Activation, saved: f64) -> f64 {
    match activation {
        Activation::Identity => 1.0,
        Activation::Relu => f64::from(saved > 0.0),
    }
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
