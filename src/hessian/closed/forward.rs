//! The forward pass, and what the blocks are made of: X~, A~, g, s, phi', phi'' (W g), and the factors v, u.

use tilelab_kernels::{Epilogue, Float, Labels, MatMut, MatRef, Saves};

use super::{Closed, Share, checked, room};
use crate::mlp::Loss;

impl<T: Float> Closed<T> {
    pub(super) fn forward(&mut self) {
        let (rows, depth) = (self.rows, self.model.depth());
        for l in 1..=depth {
            let layer = self.model.layer(l);
            let (before, after) = self.room.h.split_at_mut(l - 1);
            let from = before.last().unwrap_or(&self.x);
            let (weights, bias) = &self.parameters[l - 1];
            let to = if l == depth {
                room(&mut self.room.outputs, rows * layer.outputs)
            } else {
                &mut self.room.z[l - 1]
            };
            let a = checked(MatRef::row_major(from, rows, layer.inputs));
            let b = checked(MatRef::row_major(weights, layer.inputs, layer.outputs));
            let c = checked(MatMut::row_major(to, rows, layer.outputs));
            checked(self.context.gemm(T::ONE, a, b, T::ZERO, c, Epilogue::none().bias(bias)));
            if l < depth {
                checked(
                    self.context
                        .activate(layer.activation, &self.room.z[l - 1], &mut after[0]),
                );
            }
        }
        self.loss();
        with_ones(
            &mut self.room.hidden,
            self.room.h.last().unwrap_or(&self.x),
            rows,
            self.output,
        );
        if self.sizes().0 > 0 {
            with_ones(&mut self.room.inputs, &self.x, rows, self.hidden);
            self.hidden_layer();
        }
    }

    /// g and s of every sample; for softmax p in the place of s.
    fn loss(&mut self) {
        let (rows, (q, _)) = (self.rows, self.last());
        let scale = T::from_f64(1.0 / rows as f64);
        let outputs = &self.room.outputs;
        let gradient = room(&mut self.room.gradient, rows * q);
        let bend = room(&mut self.room.bend, rows * q);
        match self.model.loss() {
            Loss::CrossEntropy { smoothing } => {
                let logits = checked(MatRef::row_major(outputs, rows, q));
                checked(self.context.softmax(logits, checked(MatMut::row_major(bend, rows, q))));
                let smoothing = T::from_f64(smoothing);
                let labels = Labels {
                    classes: &self.labels,
                    smoothing,
                };
                // g = scale (p - t), from the softmax that is there.
                let (rest, share) = (1.0 - smoothing.to_f64(), smoothing.to_f64() / q as f64);
                let (other, own) = (T::from_f64(-share), T::from_f64(-(rest + share)));
                let all = gradient
                    .chunks_exact_mut(q)
                    .zip(bend.chunks_exact(q))
                    .zip(labels.classes);
                for ((gradient, p), &label) in all {
                    for (j, (g, p)) in gradient.iter_mut().zip(p).enumerate() {
                        *g = scale.times(p.plus(if j == usize::from(label) { own } else { other }));
                    }
                }
            }
            loss => {
                let share = T::from_f64(1.0 / (rows * q) as f64);
                let (two, minus) = (T::from_f64(2.0), T::from_f64(-1.0));
                let squared = matches!(loss, Loss::SquaredError);
                if squared {
                    bend.fill(two.times(share));
                } else {
                    checked(
                        self.context
                            .activate(tilelab_kernels::Activation::Sigmoid, outputs, bend),
                    );
                }
                for (i, &label) in self.labels.iter().enumerate() {
                    for j in 0..q {
                        let at = i * q + j;
                        let target = if q == 1 {
                            T::from_f64(f64::from(label))
                        } else {
                            one_if(j == usize::from(label))
                        };
                        if squared {
                            gradient[at] = two.times(share).times(outputs[at].plus(minus.times(target)));
                        } else {
                            let y = bend[at];
                            gradient[at] = share.times(y.plus(minus.times(target)));
                            bend[at] = share.times(y).times(T::ONE.plus(minus.times(y)));
                        }
                    }
                }
            }
        }
    }

    /// phi', phi'' (W g), and v and u, or for squared error W S W^T.
    fn hidden_layer(&mut self) {
        let (rows, (q, h)) = (self.rows, self.last());
        let activation = self.activation();
        let (z, a) = (&self.room.z[0], &self.room.h[0]);
        let saved = if activation.saves() == Saves::Output { a } else { z };
        checked(
            self.context
                .activation_slope(activation, saved, room(&mut self.room.slope, rows * h)),
        );
        let weights = checked(MatRef::row_major(&self.parameters[1].0, h, q));
        let transposed = room(&mut self.room.transposed, q * h);
        checked(
            self.context
                .transpose(weights, checked(MatMut::row_major(transposed, q, h))),
        );
        if !activation.is_piecewise_linear() {
            let gradient = checked(MatRef::row_major(&self.room.gradient, rows, q));
            let back = room(&mut self.room.back, rows * h);
            let to = checked(MatMut::row_major(back, rows, h));
            checked(
                self.context
                    .gemm(T::ONE, gradient, weights.transposed(), T::ZERO, to, Epilogue::none()),
            );
            let out = room(&mut self.room.curvature, rows * h);
            checked(self.context.activation_curvature(activation, saved, back, out));
        }
        if self.model.loss() == Loss::SquaredError {
            // S is one number in all samples: so is W S W^T one matrix.
            let between = room(&mut self.room.between, h * h);
            let to = checked(MatMut::row_major(between, h, h));
            let (s, none) = (self.room.bend[0], Epilogue::none());
            checked(self.context.gemm(s, weights, weights.transposed(), T::ZERO, to, none));
            return;
        }
        let softmax = self.is_softmax();
        if softmax {
            let p = checked(MatRef::row_major(&self.room.bend, rows, q));
            let mean = room(&mut self.room.mean, rows * h);
            let to = checked(MatMut::row_major(mean, rows, h));
            checked(
                self.context
                    .gemm(T::ONE, p, weights.transposed(), T::ZERO, to, Epilogue::none()),
            );
        }
        let per_row = q + usize::from(softmax);
        let scale = 1.0 / rows as f64;
        let root = T::from_f64(scale.sqrt());
        let factors = room(&mut self.room.factors, rows * per_row * h);
        for (n, factors) in factors.chunks_exact_mut(per_row * h).enumerate() {
            let slope = &self.room.slope[n * h..][..h];
            for (c, row) in factors.chunks_exact_mut(h).enumerate() {
                let (by, from) = if c < q {
                    let bend = self.room.bend[n * q + c].to_f64();
                    let square = if softmax { bend * scale } else { bend };
                    (T::from_f64(square.sqrt()), &self.room.transposed[c * h..][..h])
                } else {
                    (root, &self.room.mean[n * h..][..h])
                };
                for ((to, f), w) in row.iter_mut().zip(slope).zip(from) {
                    *to = by.times(f.times(*w));
                }
            }
        }
    }
}

fn one_if<T: Float>(yes: bool) -> T {
    if yes { T::ONE } else { T::ZERO }
}

/// The columns of `from` that count, and a column of ones where the bias does.
fn with_ones<T: Float>(to: &mut Vec<T>, from: &[T], rows: usize, share: Share) {
    let cols = from.len() / rows;
    let width = share.inputs(cols);
    let to = room(to, rows * width);
    if width == 0 {
        return;
    }
    for (to, from) in to.chunks_exact_mut(width).zip(from.chunks_exact(cols)) {
        if share.weights {
            to[..cols].copy_from_slice(from);
        }
        if share.bias {
            to[width - 1] = T::ONE;
        }
    }
}
