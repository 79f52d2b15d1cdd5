//! Oracles of the elementwise and row kernels. They give f64, not rounded to the element type; matrices row-major.

use super::{activation, at, derivative};
use crate::{Activation, Adam, Dropout, Float, Labels, MatRef, Momentum};

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

/// -sum_j target_ij log softmax(logits)\[i, j\], target being the label's one-hot row, smoothed.
pub fn cross_entropy_loss<T: Float>(logits: MatRef<'_, T>, labels: Labels<'_, T>) -> Vec<f64> {
    let (q, log_softmax) = (logits.cols(), log_softmax(logits));
    let row = |i: usize| -> f64 {
        let term = |j: usize| match target(labels, i, j, q) {
            // 0 times the logarithm of 0 counts for nothing.
            0.0 => 0.0,
            target => target * log_softmax[i * q + j],
        };
        -(0..q).map(term).sum::<f64>()
    };
    (0..logits.rows()).map(row).collect()
}

fn target<T: Float>(labels: Labels<'_, T>, i: usize, j: usize, q: usize) -> f64 {
    let smoothing = labels.smoothing.to_f64();
    (1.0 - smoothing) * f64::from(usize::from(labels.classes[i]) == j) + smoothing / q as f64
}

/// (losses, gradient): [`cross_entropy_loss`], and scale * (softmax - target).
pub fn softmax_cross_entropy<T: Float>(logits: MatRef<'_, T>, labels: Labels<'_, T>, scale: T) -> (Vec<f64>, Vec<f64>) {
    let (q, softmax) = (logits.cols(), softmax(logits));
    let gradient = elements(logits, |i, j| {
        scale.to_f64() * (softmax[i * q + j] - target(labels, i, j, q))
    });
    (cross_entropy_loss(logits, labels), gradient)
}

/// (losses, gradient) of binary cross-entropy with logits: the mean over each row, and scale / columns * (sigmoid - target).
pub fn binary_cross_entropy<T: Float>(logits: MatRef<'_, T>, targets: MatRef<'_, T>, scale: T) -> (Vec<f64>, Vec<f64>) {
    by_target(logits, targets, scale, |x, t| {
        let loss = x.max(0.0) - x * t + (-x.abs()).exp().ln_1p();
        (loss, activation(Activation::Sigmoid, x) - t)
    })
}

/// (losses, gradient) of the squared error: the mean over each row, and scale / columns * 2 (output - target).
pub fn squared_error<T: Float>(outputs: MatRef<'_, T>, targets: MatRef<'_, T>, scale: T) -> (Vec<f64>, Vec<f64>) {
    by_target(outputs, targets, scale, |x, t| ((x - t) * (x - t), 2.0 * (x - t)))
}

fn by_target<T: Float>(
    outputs: MatRef<'_, T>,
    targets: MatRef<'_, T>,
    scale: T,
    f: impl Fn(f64, f64) -> (f64, f64),
) -> (Vec<f64>, Vec<f64>) {
    let q = outputs.cols() as f64;
    let both = |i, j| f(at(outputs, i, j), at(targets, i, j));
    let row = |i| (0..outputs.cols()).map(|j| both(i, j).0).sum::<f64>() / q;
    let losses = (0..outputs.rows()).map(row).collect();
    (losses, elements(outputs, |i, j| scale.to_f64() / q * both(i, j).1))
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

/// The sum of a\[i, j\] b\[i, j\] over i.
pub fn column_dot<T: Float>(a: MatRef<'_, T>, b: MatRef<'_, T>) -> Vec<f64> {
    (0..a.cols())
        .map(|j| (0..a.rows()).map(|i| at(a, i, j) * at(b, i, j)).sum())
        .collect()
}

/// (mean, biased variance) of each column.
pub fn column_mean_variance<T: Float>(x: MatRef<'_, T>) -> (Vec<f64>, Vec<f64>) {
    let m = x.rows() as f64;
    let mean: Vec<f64> = column_sum(x).into_iter().map(|sum| sum / m).collect();
    let square = |i, j| (at(x, i, j) - mean[j]) * (at(x, i, j) - mean[j]);
    let variance = |j| (0..x.rows()).map(|i| square(i, j)).sum::<f64>() / m;
    let variance = (0..x.cols()).map(variance).collect();
    (mean, variance)
}

/// x kept and divided by the probability of that, or 0.
pub fn dropout<T: Float>(dropout: Dropout, x: MatRef<'_, T>) -> Vec<f64> {
    let factor = 1.0 / (1.0 - dropout.probability);
    elements(x, |i, j| if dropout.keeps(i, j) { at(x, i, j) * factor } else { 0.0 })
}

/// decay w - lr g.
pub fn sgd<T: Float>(decay: T, lr: T, gradient: &[T], weights: &[T]) -> Vec<f64> {
    let new = |(g, w): (&T, &T)| decay.to_f64() * w.to_f64() - lr.to_f64() * g.to_f64();
    gradient.iter().zip(weights).map(new).collect()
}

/// One step of one parameter with momentum: the new (weight, velocity).
pub fn momentum(rule: Momentum, gradient: f64, weight: f64, velocity: f64) -> (f64, f64) {
    let g = gradient + rule.l2 * weight;
    let v = rule.momentum * velocity + g;
    let by = if rule.nesterov { g + rule.momentum * v } else { v };
    (weight - rule.lr * by, v)
}

/// One step of one parameter by Adam or AdamW: the new (weight, first moment, second moment).
pub fn adam(rule: Adam, gradient: f64, weight: f64, (first, second): (f64, f64)) -> (f64, f64, f64) {
    let g = gradient + rule.l2 * weight;
    let a = rule.beta1 * first + (1.0 - rule.beta1) * g;
    let b = rule.beta2 * second + (1.0 - rule.beta2) * g * g;
    let t = rule.step as f64;
    let (a_hat, b_hat) = (a / (1.0 - rule.beta1.powf(t)), b / (1.0 - rule.beta2.powf(t)));
    let decayed = weight * (1.0 - rule.lr * rule.weight_decay);
    (decayed - rule.lr * a_hat / (b_hat.sqrt() + rule.epsilon), a, b)
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
