//! Losses of outputs against given targets, element by element and then the mean over a row's q columns:
//!
//! | loss | element | derivative |
//! |---|---|---|
//! | binary cross-entropy, logits x | max(x, 0) - x t + log(1 + exp(-abs x)) | sigmoid(x) - t |
//! | squared error | (x - t)^2 | 2 (x - t) |
//!
//! losses_i = mean_j element(x_ij, t_ij), gradient_ij = scale / q * derivative. The logits' form overflows nowhere; at infinite logits
//! the loss is 0 or infinite, NaN where x t is inf * 0.

use crate::elementary::{halves, log_one_plus};
use crate::elementwise::{Rows, Shared, length, over_rows};
use crate::simd::{Arithmetic, Kernel, Pair, Simd};
use crate::{Context, Float, MatMut, MatRef, ShapeError};

/// Rows whose sums are taken together.
const TOGETHER: usize = 8;

/// A loss of one element.
trait Loss<T: Float>: Copy + Send + Sync {
    /// (loss, derivative) at output x and target t. Must be `#[inline(always)]`.
    fn at<S: Arithmetic<T>>(self, s: S, x: S::V, t: S::V) -> (S::V, S::V);
}

#[derive(Clone, Copy)]
struct BinaryCrossEntropy;

impl<T: Float> Loss<T> for BinaryCrossEntropy {
    #[inline(always)]
    fn at<S: Arithmetic<T>>(self, s: S, x: S::V, t: S::V) -> (S::V, S::V) {
        let zero = s.splat(T::ZERO);
        let (positive, e) = halves(s, x);
        let loss = s.add(s.sub(s.max(zero, x), s.mul(x, t)), log_one_plus(s, e));
        let sigmoid = s.div(s.select(positive, s.splat(T::ONE), e), s.add(s.splat(T::ONE), e));
        (loss, s.sub(sigmoid, t))
    }
}

#[derive(Clone, Copy)]
struct SquaredError;

impl<T: Float> Loss<T> for SquaredError {
    #[inline(always)]
    fn at<S: Arithmetic<T>>(self, s: S, x: S::V, t: S::V) -> (S::V, S::V) {
        let d = s.sub(x, t);
        (s.mul(d, d), s.add(d, d))
    }
}

/// Rows `first..first + count`.
struct Run<L, T> {
    loss: L,
    outputs: Rows<T>,
    targets: Rows<T>,
    losses: Shared<T>,
    /// Where the gradient goes, and its scale over q.
    gradient: Option<(Rows<T>, T)>,
    first: usize,
    count: usize,
}

impl<T: Float, L: Loss<T>> Kernel<T> for Run<L, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let n = self.outputs.cols;
        // SAFETY (of both): every matrix has these rows with n elements, `losses` an element for each row, and no other task
        // has them.
        if n == 1 && self.flat() {
            // SAFETY: above; the rows are neighbours, so one run of `count` elements.
            unsafe { self.segment(s, self.first, self.count, Some(self.losses.at(self.first))) };
            return;
        }
        let mean = T::from_f64(1.0 / n as f64);
        if n <= S::LANES {
            // SAFETY: above.
            unsafe { self.narrow(s, mean) };
            return;
        }
        for i in self.first..self.first + self.count {
            // SAFETY: above.
            unsafe { self.losses.at(i).write(self.segment(s, i, n, None).times(mean)) };
        }
    }
}

impl<T: Float, L: Loss<T>> Run<L, T> {
    /// Rows that a vector holds, [`TOGETHER`] at a time: their sums across lanes are taken side by side. Where rows are neighbours everywhere
    /// all but the last are loaded and stored as whole vectors: what goes beyond a row is the next one's, which is written after it.
    ///
    /// # Safety
    /// Every matrix has the rows, and no other task has them.
    #[inline(always)]
    unsafe fn narrow<S: Simd<T>>(&self, s: S, mean: T) {
        let (n, flat, end) = (self.outputs.cols, self.flat(), self.first + self.count);
        let (used, zero) = (s.first(n), s.splat(T::ZERO));
        let mut i = self.first;
        while i < end {
            let rows = TOGETHER.min(end - i);
            let mut losses = [zero; TOGETHER];
            for (r, losses) in losses.iter_mut().enumerate().take(rows) {
                let row = i + r;
                let len = if flat && (end - row) * n >= S::LANES {
                    S::LANES
                } else {
                    n
                };
                // SAFETY: `len` elements are left from this row on.
                unsafe {
                    let x = s.load_up_to(self.outputs.row(row), len);
                    let t = s.load_up_to(self.targets.row(row), len);
                    let (loss, slope) = self.loss.at(s, x, t);
                    *losses = s.select(used, loss, zero);
                    if let Some((gradient, scale)) = self.gradient {
                        s.store_up_to(gradient.row(row), len, s.mul(s.splat(scale), slope));
                    }
                }
            }
            for (r, sum) in s.sums(losses).into_iter().enumerate().take(rows) {
                // SAFETY: a loss for each row.
                unsafe { self.losses.at(i + r).write(sum.times(mean)) };
            }
            i += rows;
        }
    }

    /// Whether rows are neighbours everywhere.
    #[inline(always)]
    fn flat(&self) -> bool {
        let gradient = self.gradient.is_none_or(|(rows, _)| rows.is_flat());
        self.outputs.is_flat() && self.targets.is_flat() && gradient
    }

    /// `n` elements from row `i` on: their losses to `each` if there is one, their sum, their gradient.
    ///
    /// # Safety
    /// They are there, and this task's alone.
    #[inline(always)]
    unsafe fn segment<S: Simd<T>>(&self, s: S, i: usize, n: usize, each: Option<*mut T>) -> T {
        let mut sum = s.splat(T::ZERO);
        let mut j = 0;
        while S::PAIRS && j + 2 * S::LANES <= n {
            let second = j + S::LANES;
            // SAFETY: the caller's promise.
            unsafe {
                let (outputs, targets) = (self.outputs.row(i), self.targets.row(i));
                let x = (s.load(outputs.add(j)), s.load(outputs.add(second)));
                let t = (s.load(targets.add(j)), s.load(targets.add(second)));
                let (loss, slope) = self.loss.at(Pair(s), x, t);
                sum = s.add(sum, s.add(loss.0, loss.1));
                if let Some(each) = each {
                    s.store(each.add(j), loss.0);
                    s.store(each.add(second), loss.1);
                }
                if let Some((gradient, scale)) = self.gradient {
                    let (gradient, scale) = (gradient.row(i), s.splat(scale));
                    s.store(gradient.add(j), s.mul(scale, slope.0));
                    s.store(gradient.add(second), s.mul(scale, slope.1));
                }
            }
            j += 2 * S::LANES;
        }
        while j < n {
            let left = n - j;
            // SAFETY: the caller's promise.
            unsafe {
                let x = s.load_up_to(self.outputs.row(i).add(j), left);
                let t = s.load_up_to(self.targets.row(i).add(j), left);
                let (loss, slope) = self.loss.at(s, x, t);
                sum = s.add(sum, s.select(s.first(left), loss, s.splat(T::ZERO)));
                if let Some(each) = each {
                    s.store_up_to(each.add(j), left, loss);
                }
                if let Some((gradient, scale)) = self.gradient {
                    s.store_up_to(gradient.row(i).add(j), left, s.mul(s.splat(scale), slope));
                }
            }
            j += S::LANES;
        }
        s.sum(sum)
    }
}

/// The gradient of a loss: what it is multiplied by, and where it goes.
#[derive(Debug)]
pub struct Gradient<'a, T> {
    /// 1 / (rows of the whole batch) makes it the gradient of the mean loss.
    pub scale: T,
    /// Of the outputs' shape.
    pub into: MatMut<'a, T>,
}

fn run<T: Float>(
    ctx: &Context,
    operation: &'static str,
    loss: impl Loss<T>,
    (outputs, targets): (MatRef<'_, T>, MatRef<'_, T>),
    losses: &mut [T],
    gradient: Option<Gradient<'_, T>>,
) -> Result<(), ShapeError> {
    length(operation, "losses", losses.len(), outputs.rows())?;
    let (outputs, targets) = (
        Rows::of(operation, "outputs", outputs)?,
        Rows::of(operation, "targets", targets)?,
    );
    outputs.same_shape(operation, "targets", &targets)?;
    let gradient = match gradient {
        None => None,
        Some(Gradient { scale, mut into }) => {
            let rows = Rows::of_mut(operation, "gradient", &mut into)?;
            outputs.same_shape(operation, "gradient", &rows)?;
            Some((rows, T::from_f64(scale.to_f64() / outputs.cols as f64)))
        }
    };
    let (isa, losses) = (ctx.isa(), Shared::new(losses.as_mut_ptr()));
    over_rows(ctx, outputs.rows, outputs.cols, &|first, count| {
        T::run_on(
            isa,
            Run {
                loss,
                outputs,
                targets,
                losses,
                gradient,
                first,
                count,
            },
        );
    });
    Ok(())
}

impl Context {
    /// losses\[i\] = the mean over row i of the binary cross-entropy of logits against targets in 0..=1, and its gradient if asked for.
    ///
    /// # Errors
    /// When shapes don't fit, or rows are not contiguous.
    pub fn binary_cross_entropy<T: Float>(
        &self,
        logits: MatRef<'_, T>,
        targets: MatRef<'_, T>,
        losses: &mut [T],
        gradient: Option<Gradient<'_, T>>,
    ) -> Result<(), ShapeError> {
        let operands = (logits, targets);
        run(
            self,
            "binary_cross_entropy",
            BinaryCrossEntropy,
            operands,
            losses,
            gradient,
        )
    }

    /// losses\[i\] = the mean over row i of (output - target)^2, and its gradient if asked for.
    ///
    /// # Errors
    /// When shapes don't fit, or rows are not contiguous.
    pub fn squared_error<T: Float>(
        &self,
        outputs: MatRef<'_, T>,
        targets: MatRef<'_, T>,
        losses: &mut [T],
        gradient: Option<Gradient<'_, T>>,
    ) -> Result<(), ShapeError> {
        let operands = (outputs, targets);
        run(self, "squared_error", SquaredError, operands, losses, gradient)
    }
}
