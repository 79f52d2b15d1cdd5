//! The operations of second derivatives on a host device. Products, slopes and what is multiplied element by element go to the device's
//! arithmetic; the rest is small beside them, and computed here.

mod norm;
mod sampled;

use tilelab_kernels::{Float, reference};

use super::{Bound, Run};
use crate::device::arithmetic::{Arithmetic, Factor, Finish, View, ViewMut};
use crate::program::tangent::{self, Map, Second, Stacked};
use crate::program::{BufferId, Scalar, TargetLoss};

impl<'v, T> View<'v, T> {
    /// Block k of `blocks`.
    fn block(self, k: usize, blocks: usize) -> View<'v, T> {
        let rows = self.rows / blocks;
        let data = &self.data[k * rows * self.cols..][..rows * self.cols];
        View {
            data,
            rows,
            cols: self.cols,
        }
    }
}

impl<T> ViewMut<'_, T> {
    fn block(&mut self, k: usize, blocks: usize) -> ViewMut<'_, T> {
        let rows = self.rows / blocks;
        let data = &mut self.data[k * rows * self.cols..][..rows * self.cols];
        ViewMut {
            data,
            rows,
            cols: self.cols,
        }
    }
}

impl<T> Factor<'_, T> {
    fn block(self, k: usize, blocks: usize) -> Self {
        let view = self.view.block(k, blocks);
        Self { view, ..self }
    }
}

/// What a sum begins with: not 0 times what is there, which may be NaN.
fn before<T: Float>(accumulate: f64, there: T) -> f64 {
    if accumulate == 0.0 {
        0.0
    } else {
        accumulate * there.to_f64()
    }
}

fn add<T: Float>(to: &mut T, more: f64) {
    *to = T::from_f64(to.to_f64() + more);
}

impl<T: Float, A: Arithmetic<T>> Run<'_, '_, T, A> {
    pub(super) fn second(&mut self, op: &Second) {
        let (arithmetic, args) = (&mut *self.arithmetic, self.args);
        let value = |bound: &Bound<'_, T>, id: BufferId| bound.real(id).data[0].to_f64();
        match *op {
            Second::Slope { activation, saved, out } => self.bound.with(out, |bound, out| {
                arithmetic.activation_slope(activation, bound.real(saved), out);
            }),
            Second::Curvature {
                activation,
                saved,
                gradient,
                out,
            } => self.bound.with(out, |bound, out| {
                arithmetic.activation_curvature(activation, bound.real(saved), bound.real(gradient), out);
            }),
            Second::LearnedSlope {
                activation,
                parameter,
                x,
                slope,
                by_parameter,
            } => {
                let activation = activation.with_parameter(value(&self.bound, parameter));
                self.bound.with(slope, |bound, slope| {
                    bound.with(by_parameter, |bound, by| {
                        for ((slope, by), x) in slope.data.iter_mut().zip(by.data).zip(bound.real(x).data) {
                            let x = x.to_f64();
                            *slope = T::from_f64(reference::derivative(activation, x));
                            *by = T::from_f64(reference::derivative_by_parameter(activation, x));
                        }
                    });
                });
            }
            Second::LearnedCurvature {
                activation,
                parameter,
                x,
                gradient,
                curvature,
                mixed,
                second,
            } => {
                let activation = activation.with_parameter(value(&self.bound, parameter));
                let mut sum = 0.0;
                self.bound.with(curvature, |bound, curvature| {
                    bound.with(mixed, |bound, mixed| {
                        let read = bound.real(x).data.iter().zip(bound.real(gradient).data);
                        for ((curvature, mixed), (x, g)) in curvature.data.iter_mut().zip(mixed.data).zip(read) {
                            let (x, g) = (x.to_f64(), g.to_f64());
                            let (by_both, by_parameter) = reference::second_derivatives_by_parameter(activation, x);
                            *curvature = T::from_f64(g * reference::second_derivative(activation, x));
                            *mixed = T::from_f64(g * by_both);
                            sum += g * by_parameter;
                        }
                    });
                });
                self.bound.with(second, |_, second| second.data[0] = T::from_f64(sum));
            }
            Second::Softmax { logits, out } => {
                self.bound
                    .with(out, |bound, out| arithmetic.softmax(bound.real(logits), out));
            }
            Second::Loss {
                loss,
                outputs,
                scale,
                out,
            } => self.bound.with(out, |bound, out| {
                let outputs = bound.real(outputs);
                let factor = scale.value(args) / outputs.cols as f64;
                for (out, x) in out.data.iter_mut().zip(outputs.data) {
                    let bend = match loss {
                        TargetLoss::SquaredError => 2.0,
                        // y (1 - y) of the sigmoid, from |x|: 1 - y would cancel.
                        TargetLoss::BinaryCrossEntropy => {
                            let e = (-x.to_f64().abs()).exp();
                            e / ((1.0 + e) * (1.0 + e))
                        }
                    };
                    *out = T::from_f64(factor * bend);
                }
            }),
            Second::Sampled {
                loss,
                outputs,
                scale,
                out,
            } => self.bound.with(out, |bound, out| {
                sampled::gradient(loss, bound.real(outputs), scale.value(args), args, out);
            }),
        }
    }

    pub(super) fn stacked(&mut self, op: &Stacked) {
        let (blocks, args) = (op.directions, self.args);
        let arithmetic = &mut *self.arithmetic;
        match op.map {
            Map::Product { a, b, beta, c } => self.stacked_product(blocks, (a, b), beta, c),
            Map::AddBias { bias, x } => self.bound.with(x, |bound, mut x| {
                let bias = bound.real(bias);
                for k in 0..blocks {
                    arithmetic.add_bias(bias.block(k, blocks).data, x.block(k, blocks));
                }
            }),
            Map::Multiply { by, x, add, out } => self.bound.with(out, |bound, out| {
                arithmetic.multiply_stacked(bound.real(by), bound.real(x), add, out);
            }),
            Map::Outer {
                factor,
                y,
                add: adds,
                out,
            } => self.bound.with(out, |bound, mut out| {
                for (k, factor) in bound.real(factor).data.iter().enumerate() {
                    let factor = factor.to_f64();
                    for (out, y) in out.block(k, blocks).data.iter_mut().zip(bound.real(y).data) {
                        let there = if adds { out.to_f64() } else { 0.0 };
                        *out = T::from_f64(there + factor * y.to_f64());
                    }
                }
            }),
            Map::Dot { y, x, accumulate, out } => self.bound.with(out, |bound, out| {
                let accumulate = accumulate.value(args);
                for (k, out) in out.data.iter_mut().enumerate() {
                    let pairs = bound.real(y).data.iter().zip(bound.real(x).block(k, blocks).data);
                    let sum: f64 = pairs.map(|(y, x)| y.to_f64() * x.to_f64()).sum();
                    *out = T::from_f64(sum + before(accumulate, *out));
                }
            }),
            Map::ColumnSum { x, accumulate, sums } => {
                let (accumulate, row) = (accumulate.value(args), &mut *self.row);
                self.bound.with(sums, |bound, mut sums| {
                    for k in 0..blocks {
                        let (x, sums) = (bound.real(x).block(k, blocks), sums.block(k, blocks));
                        if accumulate == 0.0 {
                            arithmetic.column_sum(x, sums.data);
                            continue;
                        }
                        let fresh = &mut row[..sums.cols];
                        arithmetic.column_sum(x, fresh);
                        for (sum, fresh) in sums.data.iter_mut().zip(fresh) {
                            *sum = T::from_f64(fresh.to_f64() + before(accumulate, *sum));
                        }
                    }
                });
            }
            Map::Softmax {
                probabilities,
                x,
                scale,
                out,
            } => self.by_rows((probabilities, x, out), {
                let scale = T::from_f64(scale.value(args));
                move |p, x, out| {
                    let dot = p.iter().zip(x).fold(T::ZERO, |sum, (p, x)| sum.plus(p.times(*x)));
                    let minus = T::ZERO.plus(dot.times(T::from_f64(-1.0)));
                    for ((out, p), x) in out.iter_mut().zip(p).zip(x) {
                        *out = scale.times(p.times(x.plus(minus)));
                    }
                }
            }),
            Map::RankOne {
                gradient,
                x,
                scale,
                out,
            } => self.by_rows((gradient, x, out), {
                let scale = scale.value(args);
                move |g, x, out| {
                    let dot: f64 = g.iter().zip(x).map(|(g, x)| g.to_f64() * x.to_f64()).sum();
                    for (out, g) in out.iter_mut().zip(g) {
                        *out = T::from_f64(g.to_f64() * (dot / scale));
                    }
                }
            }),
            Map::AddScaled { by, x, y } => {
                let by = by.value(args);
                // lambda is 0 in most products, and there are as many elements as parameters.
                if by != 0.0 {
                    self.bound.with(y, |bound, y| {
                        arithmetic.sgd(T::ONE, T::from_f64(-by), bound.real(x), y);
                    });
                }
            }
            Map::Norm(map) => norm::forward(&mut self.bound, blocks, &map),
            Map::NormBackward(map) => norm::backward(&mut self.bound, blocks, &map, map.accumulate.value(args)),
        }
    }

    /// C_k <- A_k B_k + beta C_k: one product where the blocks of A lie above each other and B is the same for all.
    fn stacked_product(
        &mut self,
        blocks: usize,
        (a, b): (tangent::Factor, tangent::Factor),
        beta: Scalar,
        c: BufferId,
    ) {
        let (alpha, beta) = (T::ONE, self.scalar(beta));
        let finish = Finish {
            bias: None,
            activation: Default::default(),
            derivative: None,
        };
        let arithmetic = &mut *self.arithmetic;
        self.bound.with(c, |bound, mut c| {
            let (left, right) = (bound.factor(a.operand), bound.factor(b.operand));
            if a.stacked && !a.operand.transposed && !b.stacked {
                return arithmetic.product(alpha, left, right, beta, c, finish);
            }
            for k in 0..blocks {
                let left = if a.stacked { left.block(k, blocks) } else { left };
                let right = if b.stacked { right.block(k, blocks) } else { right };
                arithmetic.product(alpha, left, right, beta, c.block(k, blocks), finish);
            }
        });
    }

    /// work(row of y, row of x_k, row of out_k) for every row of every block.
    fn by_rows(&mut self, (y, x, out): (BufferId, BufferId, BufferId), work: impl Fn(&[T], &[T], &mut [T])) {
        self.bound.with(out, |bound, out| {
            let (y, x) = (bound.real(y), bound.real(x));
            let cols = out.cols;
            let rows = out.data.chunks_exact_mut(cols).zip(x.data.chunks_exact(cols));
            for ((out, x), y) in rows.zip(y.data.chunks_exact(cols).cycle()) {
                work(y, x, out);
            }
        });
    }
}
