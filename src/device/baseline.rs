//! The device `baseline`: products by the `gemm` crate on one thread, everything else by plain loops, as one would write them
//! first. What our kernels have to beat.

use std::ops::{Add, AddAssign, Div, Mul, Sub};

use tilelab_kernels::{Activation, Float, Labels};

use super::arithmetic::{Arithmetic, Factor, Finish, View, ViewMut};
use super::gemm_crate;

/// What plain loops compute with.
pub(super) trait Plain:
    Float + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + AddAssign
{
    fn exp(self) -> Self;
    fn ln(self) -> Self;
}

impl Plain for f32 {
    fn exp(self) -> Self {
        f32::exp(self)
    }

    fn ln(self) -> Self {
        f32::ln(self)
    }
}

impl Plain for f64 {
    fn exp(self) -> Self {
        f64::exp(self)
    }

    fn ln(self) -> Self {
        f64::ln(self)
    }
}

/// Has nothing: the crate keeps its own scratch.
pub(super) struct Baseline;

/// f(x).
fn value<T: Plain>(activation: Activation, x: T) -> T {
    match activation {
        Activation::Identity => x,
        // Not `max`: a NaN must stay one.
        Activation::Relu => {
            if x < T::ZERO {
                T::ZERO
            } else {
                x
            }
        }
        other => T::from_f64(tilelab_kernels::reference::activation(other, x.to_f64())),
    }
}

/// f'(saved).
fn derivative<T: Plain>(activation: Activation, saved: T) -> T {
    match activation {
        Activation::Identity => T::ONE,
        Activation::Relu => {
            if saved > T::ZERO {
                T::ONE
            } else {
                T::ZERO
            }
        }
        other => T::from_f64(tilelab_kernels::reference::derivative(other, saved.to_f64())),
    }
}

/// The largest of a row and the sum of exp(x - largest).
fn exponentials<T: Plain>(row: &[T]) -> (T, T) {
    let largest = row
        .iter()
        .fold(row[0], |largest, &x| if x > largest { x } else { largest });
    let sum = row.iter().fold(T::ZERO, |sum, &x| sum + (x - largest).exp());
    (largest, sum)
}

impl<T: Plain> Arithmetic<T> for Baseline {
    fn kernel(&self) -> String {
        "gemm-crate".to_owned()
    }

    fn threads(&self) -> usize {
        1
    }

    fn gather(&mut self, bytes: &[u8], rows: &[u32], scale: T, out: ViewMut<'_, T>) {
        for (to, &row) in out.data.chunks_exact_mut(out.cols).zip(rows) {
            let from = &bytes[row as usize * out.cols..][..out.cols];
            to.iter_mut()
                .zip(from)
                .for_each(|(to, &from)| *to = T::from_f64(f64::from(from)) * scale);
        }
    }

    fn product(
        &mut self,
        alpha: T,
        a: Factor<'_, T>,
        b: Factor<'_, T>,
        beta: T,
        c: ViewMut<'_, T>,
        finish: Finish<'_, T>,
    ) {
        let n = c.cols;
        gemm_crate::product(alpha, a.mat(), b.mat(), beta, c.data);
        for (i, row) in c.data.chunks_exact_mut(n).enumerate() {
            if let Some(bias) = finish.bias {
                row.iter_mut().zip(bias).for_each(|(x, &bias)| *x += bias);
            }
            if finish.activation != Activation::Identity {
                row.iter_mut().for_each(|x| *x = value(finish.activation, *x));
            }
            if let Some((activation, saved)) = finish.derivative {
                let saved = &saved.data[i * n..][..n];
                row.iter_mut()
                    .zip(saved)
                    .for_each(|(x, &saved)| *x = *x * derivative(activation, saved));
            }
        }
    }

    fn add_bias(&mut self, bias: &[T], x: ViewMut<'_, T>) {
        for row in x.data.chunks_exact_mut(x.cols) {
            row.iter_mut().zip(bias).for_each(|(x, &bias)| *x += bias);
        }
    }

    fn activate(&mut self, activation: Activation, x: View<'_, T>, out: ViewMut<'_, T>) {
        out.data
            .iter_mut()
            .zip(x.data)
            .for_each(|(out, &x)| *out = value(activation, x));
    }

    fn activate_backward(
        &mut self,
        activation: Activation,
        saved: View<'_, T>,
        gradient: View<'_, T>,
        out: ViewMut<'_, T>,
    ) {
        for ((out, &saved), &gradient) in out.data.iter_mut().zip(saved.data).zip(gradient.data) {
            *out = gradient * derivative(activation, saved);
        }
    }

    fn softmax_cross_entropy(
        &mut self,
        logits: View<'_, T>,
        labels: Labels<'_, T>,
        scale: T,
        losses: &mut [T],
        gradient: ViewMut<'_, T>,
    ) {
        let rows = logits
            .data
            .chunks_exact(logits.cols)
            .zip(gradient.data.chunks_exact_mut(logits.cols));
        let e = labels.smoothing;
        let (rest, share) = (T::ONE - e, e / T::from_f64(logits.cols as f64));
        for (((row, gradient), &label), loss) in rows.zip(labels.classes).zip(losses) {
            let label = usize::from(label);
            let (largest, sum) = exponentials(row);
            *loss = rest * (largest - row[label]) + sum.ln();
            for (j, (out, &x)) in gradient.iter_mut().zip(row).enumerate() {
                *loss += share * (largest - x);
                let target = if j == label { rest + share } else { share };
                *out = scale * ((x - largest).exp() / sum - target);
            }
        }
    }

    fn cross_entropy(&mut self, logits: View<'_, T>, labels: &[u8], losses: &mut [T]) {
        for ((row, &label), loss) in logits.data.chunks_exact(logits.cols).zip(labels).zip(losses) {
            let (largest, sum) = exponentials(row);
            *loss = largest - row[usize::from(label)] + sum.ln();
        }
    }

    fn column_sum(&mut self, x: View<'_, T>, sums: &mut [T]) {
        sums.fill(T::ZERO);
        for row in x.data.chunks_exact(x.cols) {
            sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += x);
        }
    }

    fn sgd(&mut self, decay: T, lr: T, gradient: View<'_, T>, weights: ViewMut<'_, T>) {
        weights
            .data
            .iter_mut()
            .zip(gradient.data)
            .for_each(|(w, &g)| *w = decay * *w - lr * g);
    }

    fn row_argmax(&mut self, x: View<'_, T>, out: &mut [u32]) {
        for (row, out) in x.data.chunks_exact(x.cols).zip(out) {
            let mut best = 0;
            for (j, x) in row.iter().enumerate() {
                if *x > row[best] {
                    best = j;
                }
            }
            *out = best as u32;
        }
    }
}
