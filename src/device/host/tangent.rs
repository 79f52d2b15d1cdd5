//! The operations of second derivatives on a host device. Products, slopes and what is multiplied element by element go to the device's
//! arithmetic; the rest is small beside them, and computed here.

mod norm;
mod sampled;

use tilelab_kernels::{Float, reference};

use super::{Bound, Run};
use crate::device::arithmetic::{Arithmetic, Factor, Finish, View, ViewMut};
use crate::program::tangent::{self, Map, Second, Stacked};
use crate::program::{BufferId, Op, Scalar, TargetLoss};

/// Bytes of results that directions leave between one operation and the next: those of a few directions, which the second-level cache keeps.
const KEPT: usize = 1 << 20;

/// Blocks `first .. first + count` of `of`.
#[derive(Debug, Clone, Copy)]
struct Window {
    first: usize,
    count: usize,
    of: usize,
}

impl Window {
    /// The rows of a buffer of `rows` rows that lie in it.
    fn rows(self, rows: usize) -> std::ops::Range<usize> {
        let each = rows / self.of;
        self.first * each..(self.first + self.count) * each
    }

    fn blocks(self) -> std::ops::Range<usize> {
        self.first..self.first + self.count
    }
}

impl<'v, T> View<'v, T> {
    fn window(self, window: Window) -> View<'v, T> {
        let rows = window.rows(self.rows);
        View {
            data: &self.data[rows.start * self.cols..rows.end * self.cols],
            rows: rows.len(),
            cols: self.cols,
        }
    }

    /// Block k of `blocks`.
    fn block(self, k: usize, blocks: usize) -> View<'v, T> {
        self.window(Window {
            first: k,
            count: 1,
            of: blocks,
        })
    }
}

impl<T> ViewMut<'_, T> {
    fn window(&mut self, window: Window) -> ViewMut<'_, T> {
        let rows = window.rows(self.rows);
        ViewMut {
            data: &mut self.data[rows.start * self.cols..rows.end * self.cols],
            rows: rows.len(),
            cols: self.cols,
        }
    }

    fn block(&mut self, k: usize, blocks: usize) -> ViewMut<'_, T> {
        self.window(Window {
            first: k,
            count: 1,
            of: blocks,
        })
    }
}

impl<T> Factor<'_, T> {
    fn window(self, window: Window) -> Self {
        let view = self.view.window(window);
        Self { view, ..self }
    }
}

/// How many operations from the first on work on the same stack of directions.
pub(super) fn together(operations: &[Op]) -> usize {
    let directions = |op: &Op| match op {
        Op::Stacked(op) => Some(op.directions),
        _ => None,
    };
    let Some(first) = operations.first().and_then(directions) else {
        return 0;
    };
    operations.iter().take_while(|op| directions(op) == Some(first)).count()
}

/// What an operation leaves.
fn result(map: &Map) -> BufferId {
    match *map {
        Map::Product { c, .. } => c,
        Map::AddBias { x, .. } => x,
        Map::Multiply { out, .. }
        | Map::Outer { out, .. }
        | Map::Dot { out, .. }
        | Map::Softmax { out, .. }
        | Map::RankOne { out, .. } => out,
        Map::ColumnSum { sums, .. } => sums,
        Map::AddScaled { y, .. } => y,
        Map::Norm(map) => map.out,
        Map::NormBackward(map) => map.out,
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

    /// Operations on one stack of directions, all of them for a few directions before the next few: no direction's result is another's
    /// argument, and what lies between two operations stays in cache.
    pub(super) fn stacked(&mut self, operations: &[Op]) {
        let stacked = || {
            operations.iter().filter_map(|op| match op {
                Op::Stacked(op) => Some(op),
                _ => None,
            })
        };
        let of = stacked().map(|op| op.directions).next().unwrap_or(0);
        let elements = |op: &Stacked| self.bound.real(result(&op.map)).data.len();
        let bytes = stacked().map(elements).sum::<usize>() * size_of::<T>();
        let few = (KEPT * of / bytes.max(1)).max(1);
        for first in (0..of).step_by(few) {
            let count = few.min(of - first);
            for op in stacked() {
                self.map(&op.map, Window { first, count, of });
            }
        }
    }

    fn map(&mut self, map: &Map, window: Window) {
        let args = self.args;
        let arithmetic = &mut *self.arithmetic;
        let of = window.of;
        match *map {
            Map::Product { a, b, beta, c } => self.stacked_product(window, (a, b), beta, c),
            Map::AddBias { bias, x } => self.bound.with(x, |bound, mut x| {
                let bias = bound.real(bias);
                for k in window.blocks() {
                    arithmetic.add_bias(bias.block(k, of).data, x.block(k, of));
                }
            }),
            Map::Multiply { by, x, add, out } => self.bound.with(out, |bound, mut out| {
                arithmetic.multiply_stacked(bound.real(by), bound.real(x).window(window), add, out.window(window));
            }),
            Map::Outer {
                factor,
                y,
                add: adds,
                out,
            } => self.bound.with(out, |bound, mut out| {
                let factors = bound.real(factor).data;
                for k in window.blocks() {
                    let factor = factors[k].to_f64();
                    for (out, y) in out.block(k, of).data.iter_mut().zip(bound.real(y).data) {
                        let there = if adds { out.to_f64() } else { 0.0 };
                        *out = T::from_f64(there + factor * y.to_f64());
                    }
                }
            }),
            Map::Dot { y, x, accumulate, out } => self.bound.with(out, |bound, out| {
                let accumulate = accumulate.value(args);
                for k in window.blocks() {
                    let pairs = bound.real(y).data.iter().zip(bound.real(x).block(k, of).data);
                    let sum: f64 = pairs.map(|(y, x)| y.to_f64() * x.to_f64()).sum();
                    let out = &mut out.data[k];
                    *out = T::from_f64(sum + before(accumulate, *out));
                }
            }),
            Map::ColumnSum { x, accumulate, sums } => {
                let (accumulate, row) = (accumulate.value(args), &mut *self.row);
                self.bound.with(sums, |bound, mut sums| {
                    for k in window.blocks() {
                        let (x, sums) = (bound.real(x).block(k, of), sums.block(k, of));
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
            } => self.by_rows(window, (probabilities, x, out), {
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
            } => self.by_rows(window, (gradient, x, out), {
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
                    self.bound.with(y, |bound, mut y| {
                        let x = bound.real(x).window(window);
                        arithmetic.sgd(T::ONE, T::from_f64(-by), x, y.window(window));
                    });
                }
            }
            Map::Norm(map) => norm::forward(&mut self.bound, window.blocks(), &map),
            Map::NormBackward(map) => {
                norm::backward(&mut self.bound, window.blocks(), &map, map.accumulate.value(args));
            }
        }
    }

    /// C_k <- A_k B_k + beta C_k: one product where the blocks of A lie above each other and B is the same for all.
    fn stacked_product(
        &mut self,
        window: Window,
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
                return arithmetic.product(alpha, left.window(window), right, beta, c.window(window), finish);
            }
            for first in window.blocks() {
                let one = Window {
                    first,
                    count: 1,
                    of: window.of,
                };
                let left = if a.stacked { left.window(one) } else { left };
                let right = if b.stacked { right.window(one) } else { right };
                arithmetic.product(alpha, left, right, beta, c.window(one), finish);
            }
        });
    }

    /// work(row of y, row of x_k, row of out_k) for every row of every block.
    fn by_rows(
        &mut self,
        window: Window,
        (y, x, out): (BufferId, BufferId, BufferId),
        work: impl Fn(&[T], &[T], &mut [T]),
    ) {
        self.bound.with(out, |bound, mut out| {
            let (y, x, out) = (bound.real(y), bound.real(x).window(window), out.window(window));
            let cols = out.cols;
            let rows = out.data.chunks_exact_mut(cols).zip(x.data.chunks_exact(cols));
            for ((out, x), y) in rows.zip(y.data.chunks_exact(cols).cycle()) {
                work(y, x, out);
            }
        });
    }
}
