//! Batch normalisation on a host device, where the statistics come from and go, and activations with a learned parameter.

use tilelab_kernels::{ColumnMeans, ColumnScales, Float};

use super::super::arithmetic::Arithmetic;
use super::Run;
use crate::program::{BatchNorm, BatchNormBackward, Op};

/// Rows of sums that the way back needs room for: mean of dy, mean of dy n, gamma r.
pub(super) const ROWS: usize = 3;

impl<T: Float, A: Arithmetic<T>> Run<'_, '_, T, A> {
    /// [`Op::ActivateLearned`] and its way back; nothing for any other.
    pub(super) fn learned(&mut self, op: &Op) {
        let arithmetic = &mut *self.arithmetic;
        match *op {
            Op::ActivateLearned {
                activation,
                parameter,
                x,
                out,
            } => {
                let activation = activation.with_parameter(self.bound.real(parameter).data[0].to_f64());
                self.bound
                    .with(out, |bound, out| arithmetic.activate(activation, bound.real(x), out));
            }
            Op::ActivateLearnedBackward {
                activation,
                parameter,
                x,
                gradient,
                accumulate,
                out,
                slope,
            } => {
                let activation = activation.with_parameter(self.bound.real(parameter).data[0].to_f64());
                let accumulate = accumulate.value(self.args);
                self.bound.with(out, |bound, out| {
                    let (saved, gradient) = (bound.real(x), bound.real(gradient));
                    arithmetic.activate_backward(activation, saved, gradient, out);
                });
                self.bound.with(slope, |bound, slope| {
                    let sum = arithmetic.parameter_gradient(activation, bound.real(x), bound.real(gradient));
                    // Not 0 times what is there, which may be NaN.
                    let before = if accumulate == 0.0 {
                        0.0
                    } else {
                        accumulate * slope.data[0].to_f64()
                    };
                    slope.data[0] = T::from_f64(sum + before);
                });
            }
            _ => {}
        }
    }

    pub(super) fn batch_norm(&mut self, norm: &BatchNorm) {
        let arithmetic = &mut *self.arithmetic;
        let (running_mean, running_variance, batches) = norm.running;
        let map = |to: &mut [T], from: &[T], f: &dyn Fn(f64) -> f64| {
            to.iter_mut()
                .zip(from)
                .for_each(|(to, x)| *to = T::from_f64(f(x.to_f64())));
        };
        let inverse_root = |variance: f64| 1.0 / (variance + BatchNorm::EPSILON).sqrt();
        self.bound.with(norm.mean, |bound, mean| {
            bound.with(norm.scale, |bound, scale| {
                if norm.training {
                    let x = bound.real(norm.x);
                    let rows = x.rows as f64;
                    arithmetic.column_statistics(x, mean.data, scale.data);
                    // r <- 0.9 r + 0.1 s
                    let towards = |running: &mut T, s: f64| {
                        let old = running.to_f64();
                        *running = T::from_f64(old + BatchNorm::MOMENTUM * (s - old));
                    };
                    bound.with(running_mean, |_, running| {
                        let pairs = running.data.iter_mut().zip(&*mean.data);
                        pairs.for_each(|(running, s)| towards(running, s.to_f64()));
                    });
                    // One row has no unbiased variance.
                    if rows > 1.0 {
                        bound.with(running_variance, |_, running| {
                            let unbiased = rows / (rows - 1.0);
                            let pairs = running.data.iter_mut().zip(&*scale.data);
                            pairs.for_each(|(running, s)| towards(running, unbiased * s.to_f64()));
                        });
                    }
                    bound.with(batches, |_, count| {
                        count.data[0] = T::from_f64(count.data[0].to_f64() + 1.0);
                    });
                    for r in &mut *scale.data {
                        *r = T::from_f64(inverse_root(r.to_f64()));
                    }
                } else {
                    map(mean.data, bound.real(running_mean).data, &|x| x);
                    map(scale.data, bound.real(running_variance).data, &inverse_root);
                }
                bound.with(norm.normal, |bound, normal| {
                    bound.with(norm.out, |bound, out| {
                        let by = ColumnScales {
                            mean: mean.data,
                            scale: scale.data,
                            gamma: bound.real(norm.gamma).data,
                            beta: bound.real(norm.beta).data,
                        };
                        arithmetic.batch_norm(bound.real(norm.x), by, normal, out);
                    });
                });
            });
        });
    }

    pub(super) fn batch_norm_backward(&mut self, back: &BatchNormBackward) {
        let accumulate = back.accumulate.value(self.args);
        let (arithmetic, room) = (&mut *self.arithmetic, &mut *self.row);
        let (gradient, normal) = (self.bound.real(back.gradient), self.bound.real(back.normal));
        let (columns, rows) = (gradient.cols, gradient.rows as f64);
        let (sums, rest) = room.split_at_mut(columns);
        let (products, rest) = rest.split_at_mut(columns);
        let scales = &mut rest[..columns];
        arithmetic.column_sum(gradient, sums);
        arithmetic.column_dot(gradient, normal, products);
        for (id, fresh) in [(back.d_beta, &*sums), (back.d_gamma, &*products)] {
            self.bound.with(id, |_, total| {
                for (total, fresh) in total.data.iter_mut().zip(fresh) {
                    *total = if accumulate == 0.0 {
                        *fresh
                    } else {
                        T::from_f64(fresh.to_f64() + accumulate * total.to_f64())
                    };
                }
            });
        }
        for sum in sums.iter_mut().chain(&mut *products) {
            // Of running statistics nothing is taken off: they are constants.
            *sum = if back.training {
                T::from_f64(sum.to_f64() / rows)
            } else {
                T::ZERO
            };
        }
        let (gamma, scale) = (self.bound.real(back.gamma).data, self.bound.real(back.scale).data);
        for ((to, gamma), scale) in scales.iter_mut().zip(gamma).zip(scale) {
            *to = T::from_f64(gamma.to_f64() * scale.to_f64());
        }
        self.bound.with(back.out, |bound, out| {
            let by = ColumnMeans {
                scale: scales,
                gradient: sums,
                product: products,
            };
            arithmetic.batch_norm_backward(bound.real(back.gradient), bound.real(back.normal), by, out);
        });
    }
}
