//! The device `reference`: plain loops in f64, in the order of the formulas. The oracle that every other device is checked
//! against, so it shares no code with them but the definition of the activations.

use tilelab_kernels::{Activation, Labels, reference};

use super::arithmetic::{Arithmetic, Factor, Finish, View, ViewMut};

/// Has nothing: every operation is a loop.
pub(super) struct Reference;

impl Factor<'_, f64> {
    fn at(&self, i: usize, j: usize) -> f64 {
        let (row, col) = if self.transposed { (j, i) } else { (i, j) };
        self.view.data[row * self.view.cols + col]
    }

    fn inner(&self) -> usize {
        if self.transposed {
            self.view.rows
        } else {
            self.view.cols
        }
    }
}

/// log of the sum of exp(x_j), with the largest taken out so that no exp overflows.
fn log_sum_exp(row: &[f64]) -> f64 {
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + row.iter().map(|x| (x - largest).exp()).sum::<f64>().ln()
}

impl Arithmetic<f64> for Reference {
    fn kernel(&self) -> String {
        "f64-loops".to_owned()
    }

    fn threads(&self) -> usize {
        1
    }

    fn gather(&mut self, bytes: &[u8], rows: &[u32], scale: f64, out: ViewMut<'_, f64>) {
        for (i, &row) in rows.iter().enumerate() {
            for j in 0..out.cols {
                out.data[i * out.cols + j] = scale * f64::from(bytes[row as usize * out.cols + j]);
            }
        }
    }

    fn product(
        &mut self,
        alpha: f64,
        a: Factor<'_, f64>,
        b: Factor<'_, f64>,
        beta: f64,
        c: ViewMut<'_, f64>,
        finish: Finish<'_, f64>,
    ) {
        let mut sums = vec![0.0; c.cols];
        for i in 0..c.rows {
            // Row by row of B, so that the loop is not slower than it has to be; each sum still goes up in k.
            sums.fill(0.0);
            for p in 0..a.inner() {
                let factor = a.at(i, p);
                sums.iter_mut()
                    .enumerate()
                    .for_each(|(j, sum)| *sum += factor * b.at(p, j));
            }
            for (j, sum) in sums.iter().enumerate() {
                let at = i * c.cols + j;
                let mut t = alpha * sum;
                if beta != 0.0 {
                    t += beta * c.data[at];
                }
                if let Some(bias) = finish.bias {
                    t += bias[j];
                }
                t = reference::activation(finish.activation, t);
                if let Some((activation, saved)) = finish.derivative {
                    t *= reference::derivative(activation, saved.data[at]);
                }
                c.data[at] = t;
            }
        }
    }

    fn add_bias(&mut self, bias: &[f64], x: ViewMut<'_, f64>) {
        for (at, x) in x.data.iter_mut().enumerate() {
            *x += bias[at % bias.len()];
        }
    }

    fn activate(&mut self, activation: Activation, x: View<'_, f64>, out: ViewMut<'_, f64>) {
        for (at, out) in out.data.iter_mut().enumerate() {
            *out = reference::activation(activation, x.data[at]);
        }
    }

    fn activate_backward(
        &mut self,
        activation: Activation,
        saved: View<'_, f64>,
        gradient: View<'_, f64>,
        out: ViewMut<'_, f64>,
    ) {
        for (at, out) in out.data.iter_mut().enumerate() {
            *out = gradient.data[at] * reference::derivative(activation, saved.data[at]);
        }
    }

    fn softmax_cross_entropy(
        &mut self,
        logits: View<'_, f64>,
        labels: Labels<'_, f64>,
        scale: f64,
        losses: &mut [f64],
        gradient: ViewMut<'_, f64>,
    ) {
        let (e, q) = (labels.smoothing, logits.cols as f64);
        for (i, &label) in labels.classes.iter().enumerate() {
            let row = &logits.data[i * logits.cols..][..logits.cols];
            let log_sum = log_sum_exp(row);
            losses[i] = 0.0;
            for (j, x) in row.iter().enumerate() {
                let target = (1.0 - e) * f64::from(j == usize::from(label)) + e / q;
                if target > 0.0 {
                    losses[i] += target * (log_sum - x);
                }
                gradient.data[i * logits.cols + j] = scale * ((x - log_sum).exp() - target);
            }
        }
    }

    fn cross_entropy(&mut self, logits: View<'_, f64>, labels: &[u8], losses: &mut [f64]) {
        for (i, &label) in labels.iter().enumerate() {
            let row = &logits.data[i * logits.cols..][..logits.cols];
            losses[i] = log_sum_exp(row) - row[usize::from(label)];
        }
    }

    fn column_sum(&mut self, x: View<'_, f64>, sums: &mut [f64]) {
        for (j, sum) in sums.iter_mut().enumerate() {
            *sum = (0..x.rows).map(|i| x.data[i * x.cols + j]).sum();
        }
    }

    fn sgd(&mut self, decay: f64, lr: f64, gradient: View<'_, f64>, weights: ViewMut<'_, f64>) {
        for (at, w) in weights.data.iter_mut().enumerate() {
            *w = decay * *w - lr * gradient.data[at];
        }
    }

    fn row_argmax(&mut self, x: View<'_, f64>, out: &mut [u32]) {
        for (i, out) in out.iter_mut().enumerate() {
            let row = &x.data[i * x.cols..][..x.cols];
            let best = (0..row.len()).reduce(|best, j| if row[j] > row[best] { j } else { best });
            *out = best.unwrap_or(0) as u32;
        }
    }
}
