//! Oracles of the elementwise and row kernels. They give f64, not rounded to the element type; matrices row-major.

use super::{activation, at, derivative};
use crate::{Activation, Float, MatRef};

/// f(x).
pub fn activate<T: Float>(f: Activation, x: &[T]) -> Vec<f64> {
    x.iter().map(|x| activation(f, x.to_f64())).collect()
}

/// dy f'(saved).
pub fn activate_backward<T: Float>(f: Activation, saved: &[T], dy: &[T]) -> Vec<f64> {
    saved
        .iter()
        .zip(dy)
        .map(|(saved, dy)| derivative(f, saved.to_f64()) * dy.to_f64())
        .collect()
}

/// z\[i, j\] + bias\[j\].
pub fn add_bias<T: Float>(bias: &[T], z: MatRef<'_, T>) -> Vec<f64> {
    elements(z, |i, j| at(z, i, j) + bias[j].to_f64())
}

/// exp(x\[i, j\]) / the sum of row i.
pub fn softmax<T: Float>(x: MatRef<'_, T>) -> Vec<f64> {
    let sums = shifted_sums(x);
    elements(x, |i, j| (at(x, i, j) - sums[i].0).exp() / sums[i].1)
}

/// log(softmax(x)).
pub fn log_softmax<T: Float>(x: MatRef<'_, T>) -> Vec<f64> {
    let sums = shifted_sums(x);
    elements(x, |i, j| at(x, i, j) - sums[i].0 - sums[i].1.ln())
}

/// log of the sum of exp(x\[i, j\]) over j.
pub fn logsumexp<T: Float>(x: MatRef<'_, T>) -> Vec<f64> {
    let sums = shifted_sums(x);
    let value = |(i, &(top, sum)): (usize, &(f64, f64))| {
        let has_nan = (0..x.cols()).any(|j| at(x, i, j).is_nan());
        if top.is_finite() || has_nan {
            top + sum.ln()
        } else {
            top
        }
    };
    sums.iter().enumerate().map(value).collect()
}

/// -log softmax(logits)\[i, labels\[i\]\].
pub fn cross_entropy_loss<T: Float>(logits: MatRef<'_, T>, labels: &[u8]) -> Vec<f64> {
    let log_softmax = log_softmax(logits);
    labels
        .iter()
        .enumerate()
        .map(|(i, &label)| -log_softmax[i * logits.cols() + usize::from(label)])
        .collect()
}

/// (losses, gradient): [`cross_entropy_loss`], and scale * (softmax - onehot).
pub fn softmax_cross_entropy<T: Float>(logits: MatRef<'_, T>, labels: &[u8], scale: T) -> (Vec<f64>, Vec<f64>) {
    let softmax = softmax(logits);
    let gradient = elements(logits, |i, j| {
        let onehot = f64::from(usize::from(labels[i]) == j);
        scale.to_f64() * (softmax[i * logits.cols() + j] - onehot)
    });
    (cross_entropy_loss(logits, labels), gradient)
}

/// Where each row is largest: the first of equals, NaN passed over.
pub fn row_argmax<T: Float>(x: MatRef<'_, T>) -> Vec<u32> {
    let place = |i| {
        let mut best = 0;
        for j in 0..x.cols() {
            if at(x, i, best).is_nan() || at(x, i, j) > at(x, i, best) {
                best = j;
            }
        }
        let all_nan = (0..x.cols()).all(|j| at(x, i, j).is_nan());
        if all_nan { 0 } else { best as u32 }
    };
    (0..x.rows()).map(place).collect()
}

/// The sum of x\[i, j\] over i.
pub fn column_sum<T: Float>(x: MatRef<'_, T>) -> Vec<f64> {
    (0..x.cols())
        .map(|j| (0..x.rows()).map(|i| at(x, i, j)).sum())
        .collect()
}

/// decay w - lr g.
pub fn sgd<T: Float>(decay: T, lr: T, gradient: &[T], weights: &[T]) -> Vec<f64> {
    let new = |(g, w): (&T, &T)| decay.to_f64() * w.to_f64() - lr.to_f64() * g.to_f64();
    gradient.iter().zip(weights).map(new).collect()
}

/// scale * source\[rows\[i\] * cols + j\].
pub fn gather_rows_u8<T: Float>(source: &[u8], cols: usize, rows: &[u32], scale: T) -> Vec<f64> {
    let row = |&row: &u32| &source[row as usize * cols..][..cols];
    rows.iter()
        .flat_map(row)
        .map(|&byte| scale.to_f64() * f64::from(byte))
        .collect()
}

/// f(i, j) of every element, row by row.
fn elements<T: Float>(x: MatRef<'_, T>, f: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let mut all = Vec::with_capacity(x.rows() * x.cols());
    for i in 0..x.rows() {
        all.extend((0..x.cols()).map(|j| f(i, j)));
    }
    all
}

/// For each row its largest element M, and the sum of exp(x - M). M is NaN if an element is.
fn shifted_sums<T: Float>(x: MatRef<'_, T>) -> Vec<(f64, f64)> {
    let sums = |i| {
        let row = (0..x.cols()).map(|j| at(x, i, j));
        let top = row
            .clone()
            .fold(f64::NEG_INFINITY, |top, x| if x > top || x.is_nan() { x } else { top });
        (top, row.map(|x| (x - top).exp()).sum())
    };
    (0..x.rows()).map(sums).collect()
}
