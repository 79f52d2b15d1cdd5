//! Softmax along rows, its logarithm, and the logarithm of the sum.
//!
//! With M = max_j x_j and s = sum_j exp(x_j - M):
//!   softmax: y_j = exp(x_j - M) / s, log-softmax: y_j = (x_j - M) - log s, logsumexp: M + log s.
//!
//! # Passes over a row
//! First M, then exp(x_j - M), summed, and stored for softmax, then y. A row of up to some thousand elements stays in L1
//! between them, so that memory is read once and written once. Where y is stored past the caches it can't keep the
//! exponentials: they stay on the stack up to [`ROOM`] of them, and are computed twice beyond. The same numbers, so the same bits.
//!
//! # What happens at
//! - exp(x_j - M) below 2^-126.5 (f64: 2^-1022.5): 0 in the sum and in y.
//! - `-inf` among finite elements: softmax 0, log-softmax -inf. A row of `-inf` alone: NaN (0/0), logsumexp -inf.
//! - `+inf`: NaN in the whole row (inf/inf), logsumexp +inf. NaN: NaN in the whole row.
//!
//! # Error
//! A term has 1 ulp from exp and half an ulp each from x_j - M (relative to |x_j - M|, which the formula shares with every
//! implementation), the sum and the product. The sum adds at most 4 vectors' chains and then pairs, so that its relative error stays
//! below (n / (4 LANES) + 6) eps / 2.

use std::mem::MaybeUninit;

use crate::elementary::{exp_nonpositive, log};
use crate::elementwise::{self, Rows, length, over_rows};
use crate::simd::{Arithmetic, Kernel, Simd};
use crate::vector_loops::{self, Map};
use crate::{Context, Float, MatMut, MatRef, ShapeError};

/// Longest row whose exponentials are kept on the stack while its output goes past the caches.
const ROOM: usize = 4096;

/// exp(x - shift), for shift >= x.
#[derive(Clone, Copy)]
pub(crate) struct ExpBelow<T>(pub(crate) T);

impl<T: Float> Map<T> for ExpBelow<T> {
    #[inline(always)]
    fn map<S: Arithmetic<T>>(self, s: S, x: S::V) -> S::V {
        exp_nonpositive(s, s.sub(x, s.splat(self.0)))
    }
}

/// factor * x.
#[derive(Clone, Copy)]
pub(crate) struct Times<T>(pub(crate) T);

impl<T: Float> Map<T> for Times<T> {
    #[inline(always)]
    fn map<S: Arithmetic<T>>(self, s: S, x: S::V) -> S::V {
        s.mul(x, s.splat(self.0))
    }
}

/// factor * exp(x - shift), for shift >= x.
#[derive(Clone, Copy)]
struct TimesExpBelow<T>(T, T);

impl<T: Float> Map<T> for TimesExpBelow<T> {
    #[inline(always)]
    fn map<S: Arithmetic<T>>(self, s: S, x: S::V) -> S::V {
        Times(self.0).map(s, ExpBelow(self.1).map(s, x))
    }
}

/// (x - first) - second.
#[derive(Clone, Copy)]
struct MinusTwo<T>(T, T);

impl<T: Float> Map<T> for MinusTwo<T> {
    #[inline(always)]
    fn map<S: Arithmetic<T>>(self, s: S, x: S::V) -> S::V {
        s.sub(s.sub(x, s.splat(self.0)), s.splat(self.1))
    }
}

/// log of one number, by the vectors' own log.
#[inline(always)]
pub(crate) fn log_one<T: Float, S: Simd<T>>(s: S, x: T) -> T {
    s.first_lane(log(s, s.splat(x)))
}

/// Softmax of rows `first..first + count`.
struct Softmax<T> {
    x: Rows<T>,
    y: Rows<T>,
    first: usize,
    count: usize,
    /// y goes past the caches.
    streaming: bool,
}

impl<T: Float> Kernel<T> for Softmax<T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let n = self.x.cols;
        let mut room = [MaybeUninit::<T>::uninit(); ROOM];
        for i in self.first..self.first + self.count {
            // SAFETY: both matrices have row i with n elements, and no other task has it.
            unsafe {
                let (x, y) = (self.x.row(i), self.y.row(i));
                let next = self.x.next(i, self.first + self.count);
                let top = vector_loops::largest(s, x, n);
                if self.streaming && n <= ROOM {
                    let room = room.as_mut_ptr().cast::<T>();
                    let sum = vector_loops::sum_of(s, ExpBelow(top), x, Some(room), n, next);
                    vector_loops::map_streaming(s, Times(divide(s, T::ONE, sum)), room, y, n);
                } else if self.streaming {
                    let sum = vector_loops::sum_of(s, ExpBelow(top), x, None, n, next);
                    vector_loops::map_streaming(s, TimesExpBelow(divide(s, T::ONE, sum), top), x, y, n);
                } else {
                    let sum = vector_loops::sum_of(s, ExpBelow(top), x, Some(y), n, next);
                    vector_loops::map(s, Times(divide(s, T::ONE, sum)), y, y, n);
                }
            }
        }
        if self.streaming {
            s.fence();
        }
    }
}

/// a / b of two numbers.
#[inline(always)]
pub(crate) fn divide<T: Float, S: Simd<T>>(s: S, a: T, b: T) -> T {
    s.first_lane(s.div(s.splat(a), s.splat(b)))
}

/// Log-softmax of rows `first..first + count`.
struct LogSoftmax<T> {
    x: Rows<T>,
    y: Rows<T>,
    first: usize,
    count: usize,
    /// y goes past the caches.
    streaming: bool,
}

impl<T: Float> Kernel<T> for LogSoftmax<T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let n = self.x.cols;
        for i in self.first..self.first + self.count {
            // SAFETY: both matrices have row i with n elements, and no other task has it.
            unsafe {
                let (x, y) = (self.x.row(i), self.y.row(i));
                let next = self.x.next(i, self.first + self.count);
                let top = vector_loops::largest(s, x, n);
                let sum = vector_loops::sum_of(s, ExpBelow(top), x, None, n, next);
                let f = MinusTwo(top, log_one(s, sum));
                if self.streaming {
                    vector_loops::map_streaming(s, f, x, y, n);
                } else {
                    vector_loops::map(s, f, x, y, n);
                }
            }
        }
        if self.streaming {
            s.fence();
        }
    }
}

/// Logsumexp of rows `first..first + count`.
struct LogSumExp<T> {
    x: Rows<T>,
    out: *mut T,
    first: usize,
    count: usize,
}

impl<T: Float> Kernel<T> for LogSumExp<T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let n = self.x.cols;
        for i in self.first..self.first + self.count {
            // SAFETY: the matrix has row i with n elements.
            let (x, top) = unsafe { (self.x.row(i), vector_loops::largest(s, self.x.row(i), n)) };
            let next = self.x.next(i, self.first + self.count);
            // SAFETY: as above.
            let value = unsafe { log_sum_exp(s, x, (top, next), n) };
            // SAFETY: `out` has an element for each row, and no other task has this one.
            unsafe { self.out.add(i).write(value) };
        }
    }
}

/// log of the sum of exp(x\[j\]), `top` being the largest: where that is infinite, it is the answer unless there is a NaN.
///
/// # Safety
/// `x` is valid for reads of `n` elements.
#[inline(always)]
unsafe fn log_sum_exp<T: Float, S: Simd<T>>(s: S, x: *const T, (top, next): (T, Option<*const T>), n: usize) -> T {
    let finite = top.to_f64().is_finite();
    // SAFETY: the caller vouches for x.
    let sum = unsafe { vector_loops::sum_of(s, ExpBelow(if finite { top } else { T::ZERO }), x, None, n, next) };
    if finite {
        return s.first_lane(s.add(s.splat(top), s.splat(log_one(s, sum))));
    }
    // SAFETY: as above.
    let elements = unsafe { std::slice::from_raw_parts(x, n) };
    if elements.iter().any(|v| v.to_f64().is_nan()) {
        T::NAN
    } else {
        top
    }
}

impl Context {
    /// y = softmax of each row of x.
    ///
    /// # Errors
    /// When the shapes differ, or rows are not contiguous.
    pub fn softmax<T: Float>(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<(), ShapeError> {
        let (x, y) = (Rows::of("softmax", "x", x)?, Rows::of_mut("softmax", "y", &mut y)?);
        x.same_shape("softmax", "y", &y)?;
        let (isa, streaming) = (self.isa(), elementwise::streams::<T>(x.rows.saturating_mul(x.cols)));
        over_rows(self, x.rows, x.cols, &|first, count| {
            T::run_on(
                isa,
                Softmax {
                    x,
                    y,
                    first,
                    count,
                    streaming,
                },
            );
        });
        Ok(())
    }

    /// y = log(softmax) of each row of x, without the loss of log(0).
    ///
    /// # Errors
    /// As [`Context::softmax`].
    pub fn log_softmax<T: Float>(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<(), ShapeError> {
        let (x, y) = (
            Rows::of("log_softmax", "x", x)?,
            Rows::of_mut("log_softmax", "y", &mut y)?,
        );
        x.same_shape("log_softmax", "y", &y)?;
        let (isa, streaming) = (self.isa(), elementwise::streams::<T>(x.rows.saturating_mul(x.cols)));
        over_rows(self, x.rows, x.cols, &|first, count| {
            T::run_on(
                isa,
                LogSoftmax {
                    x,
                    y,
                    first,
                    count,
                    streaming,
                },
            );
        });
        Ok(())
    }

    /// out\[i\] = log of the sum of exp(x\[i, j\]) over j; -inf for a matrix without columns.
    ///
    /// # Errors
    /// When `out` has not one element a row, or rows are not contiguous.
    pub fn logsumexp<T: Float>(&self, x: MatRef<'_, T>, out: &mut [T]) -> Result<(), ShapeError> {
        length("logsumexp", "out", out.len(), x.rows())?;
        let x = Rows::of("logsumexp", "x", x)?;
        let (isa, out) = (self.isa(), elementwise::Shared::new(out.as_mut_ptr()));
        over_rows(self, x.rows, x.cols, &|first, count| {
            // SAFETY: an offset of 0.
            let out = unsafe { out.at(0) };
            T::run_on(isa, LogSumExp { x, out, first, count })
        });
        Ok(())
    }
}
