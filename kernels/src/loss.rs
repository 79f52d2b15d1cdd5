//! Losses of a batch and their gradients in one pass: softmax with cross-entropy here, losses against given targets in `loss/targets.rs`.
//!
//! With M = max_j x_j, s = sum_j exp(x_j - M) and the row's class t:
//!   loss = -log softmax(x)_t = (M - x_t) + log s, gradient_j = scale (exp(x_j - M) / s - \[j = t\]).
//!
//! With label smoothing e the target is (1 - e) \[j = t\] + e / q in place of \[j = t\], q being the number of classes:
//!   loss = log s + (1 - e) (M - x_t) + (e / q) sum_j (M - x_j), gradient_j = scale (exp(x_j - M) / s - (1 - e) \[j = t\] - e / q).
//!
//! The exponentials are stored in the gradient's row while they are summed, and scaled there: the logits are read once from
//! memory, the gradient is written once. Special values as in `softmax.rs`; a row with a NaN has a NaN loss and gradient.

mod targets;

pub use targets::Gradient;

use crate::elementary::log;
use crate::elementwise::{Rows, Shared, length, over_rows};
use crate::simd::{Arithmetic, Kernel, Simd};
use crate::softmax::{ExpBelow, Times, divide};
use crate::vector_loops::{self, Map};
use crate::{Context, Float, MatMut, MatRef, ShapeError};

/// Rows `first..first + count`.
struct CrossEntropy<'a, T> {
    logits: Rows<T>,
    labels: &'a [u8],
    losses: Shared<T>,
    /// Where the gradient goes, and its scale.
    gradient: Option<(Rows<T>, T)>,
    /// Label smoothing.
    smoothing: T,
    first: usize,
    count: usize,
}

impl<T: Float> Kernel<T> for CrossEntropy<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let mut i = self.first;
        let end = self.first + self.count;
        // The logarithms of as many rows as a vector has lanes are taken at once.
        while i < end {
            let rows = S::LANES.min(end - i);
            let m = s.first(rows);
            // SAFETY: `losses` has an element for each row, and no other task has these.
            let losses = unsafe { self.losses.at(i) };
            let mut sums = [T::ONE; MAX_LANES];
            for (r, sum) in sums.iter_mut().enumerate().take(rows) {
                // SAFETY: row i + r exists, as has its label; no other task has it.
                unsafe { *sum = self.row(s, i + r, losses.add(r)) };
            }
            // SAFETY: the array has at least LANES elements, `losses` those of the mask.
            unsafe {
                s.store_masked(
                    losses,
                    m,
                    s.add(s.load_masked(losses, m), log(s, s.load(sums.as_ptr()))),
                )
            };
            i += rows;
        }
    }
}

/// No ISA has more lanes.
const MAX_LANES: usize = 16;

impl<T: Float> CrossEntropy<'_, T> {
    /// Writes M - x_t to `loss`, and the gradient's row; gives s.
    ///
    /// # Safety
    /// Row i is there and this task's alone; so is `loss`.
    #[inline(always)]
    unsafe fn row<S: Simd<T>>(&self, s: S, i: usize, loss: *mut T) -> T {
        let n = self.logits.cols;
        let label = usize::from(self.labels[i]);
        // SAFETY: row i has n elements, and the label was checked to be one of them. The gradient's row is as long.
        unsafe {
            let x = self.logits.row(i);
            let next = self.logits.next(i, self.first + self.count);
            let top = vector_loops::largest(s, x, n);
            let below = s.sub(s.splat(top), s.splat(x.add(label).read()));
            loss.write(s.first_lane(self.smoothed(s, below, top, x)));
            let Some((gradient, scale)) = self.gradient else {
                return vector_loops::sum_of(s, ExpBelow(top), x, None, n, next);
            };
            let y = gradient.row(i);
            let sum = vector_loops::sum_of(s, ExpBelow(top), x, Some(y), n, next);
            vector_loops::map(s, Times(divide(s, scale, sum)), y, y, n);
            let mut at_label = scale;
            if self.smoothing != T::ZERO {
                at_label = s.first_lane(s.sub(s.splat(scale), s.splat(scale.times(self.smoothing))));
                let each = s.first_lane(s.mul(s.splat(scale), s.splat(self.share())));
                vector_loops::map(s, Minus(each), y, y, n);
            }
            let y = y.add(label);
            y.write(s.first_lane(s.sub(s.splat(y.read()), s.splat(at_label))));
            sum
        }
    }

    /// e / q.
    #[inline(always)]
    fn share(&self) -> T {
        T::from_f64(self.smoothing.to_f64() / self.logits.cols as f64)
    }

    /// (1 - e) below + (e / q) sum_j (top - x_j).
    ///
    /// # Safety
    /// `x` is a row of the logits.
    #[inline(always)]
    unsafe fn smoothed<S: Simd<T>>(&self, s: S, below: S::V, top: T, x: *const T) -> S::V {
        if self.smoothing == T::ZERO {
            return below;
        }
        // SAFETY: the caller's promise.
        let sum = unsafe { vector_loops::sum_of(s, From(top), x, None, self.logits.cols, None) };
        let rest = s.sub(s.splat(T::ONE), s.splat(self.smoothing));
        s.mul_add(rest, below, s.mul(s.splat(self.share()), s.splat(sum)))
    }
}

/// shift - x.
#[derive(Clone, Copy)]
struct From<T>(T);

impl<T: Float> Map<T> for From<T> {
    #[inline(always)]
    fn map<S: Arithmetic<T>>(self, s: S, x: S::V) -> S::V {
        s.sub(s.splat(self.0), x)
    }
}

/// x - shift.
#[derive(Clone, Copy)]
struct Minus<T>(T);

impl<T: Float> Map<T> for Minus<T> {
    #[inline(always)]
    fn map<S: Arithmetic<T>>(self, s: S, x: S::V) -> S::V {
        s.sub(x, s.splat(self.0))
    }
}

/// What belongs to a batch beside its logits.
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a, T> {
    /// The class of each row.
    pub classes: &'a [u8],
    /// Label smoothing, from 0 (none) to 1.
    pub smoothing: T,
}

impl<'a, T: Float> Labels<'a, T> {
    /// Without smoothing.
    pub fn hard(classes: &'a [u8]) -> Self {
        Self {
            classes,
            smoothing: T::ZERO,
        }
    }
}

impl Context {
    /// losses\[i\] = -log softmax(logits)\[i, labels\[i\]\] and gradient = scale * (softmax(logits) - onehot(labels)); with smoothing as
    /// the header of `loss.rs` has it.
    ///
    /// `scale` is 1 / (rows of the whole batch) for the gradient of the mean loss.
    ///
    /// # Errors
    /// When shapes don't fit, rows are not contiguous, or a label is no column; then nothing was written.
    pub fn softmax_cross_entropy<T: Float>(
        &self,
        logits: MatRef<'_, T>,
        labels: Labels<'_, T>,
        scale: T,
        losses: &mut [T],
        mut gradient: MatMut<'_, T>,
    ) -> Result<(), ShapeError> {
        const OPERATION: &str = "softmax_cross_entropy";
        let logits = Rows::of(OPERATION, "logits", logits)?;
        let gradient = Rows::of_mut(OPERATION, "gradient", &mut gradient)?;
        logits.same_shape(OPERATION, "gradient", &gradient)?;
        self.cross_entropy(OPERATION, logits, labels, losses, Some((gradient, scale)))
    }

    /// The losses of [`Context::softmax_cross_entropy`] alone.
    ///
    /// # Errors
    /// As there.
    pub fn cross_entropy_loss<T: Float>(
        &self,
        logits: MatRef<'_, T>,
        labels: Labels<'_, T>,
        losses: &mut [T],
    ) -> Result<(), ShapeError> {
        const OPERATION: &str = "cross_entropy_loss";
        self.cross_entropy(OPERATION, Rows::of(OPERATION, "logits", logits)?, labels, losses, None)
    }

    fn cross_entropy<T: Float>(
        &self,
        operation: &'static str,
        logits: Rows<T>,
        labels: Labels<'_, T>,
        losses: &mut [T],
        gradient: Option<(Rows<T>, T)>,
    ) -> Result<(), ShapeError> {
        let Labels {
            classes: labels,
            smoothing,
        } = labels;
        length(operation, "labels", labels.len(), logits.rows)?;
        length(operation, "losses", losses.len(), logits.rows)?;
        if let Some(place) = labels.iter().position(|&label| usize::from(label) >= logits.cols) {
            return Err(ShapeError::Index {
                operation,
                index: usize::from(labels[place]),
                place,
                limit: logits.cols,
            });
        }
        let (isa, losses) = (self.isa(), Shared::new(losses.as_mut_ptr()));
        over_rows(self, logits.rows, logits.cols, &|first, count| {
            T::run_on(
                isa,
                CrossEntropy {
                    logits,
                    labels,
                    losses,
                    gradient,
                    smoothing,
                    first,
                    count,
                },
            );
        });
        Ok(())
    }
}
