//! Reductions: sums, means and variances of columns, and where a row is largest.
//!
//! # Column sums
//! sums_j = sum_i f(x_ij), f being x, (x - mean)^2 or a product of two. Rows are taken [`STEP`] at a time, added in pairs, and the result to the running sums, which lie in
//! registers if they are few and in L1 else: memory is read in order. A single column without gaps is added up as vectors along it. Blocks of [`BLOCK`] rows have partial sums of their own, added in block order. Steps and blocks
//! depend on the shape alone, so the bits do not depend on the threads. The error is at most
//! (BLOCK / STEP + 3 + blocks) eps / 2 times the sum of |x_ij|.

// Loops over registers go by index, as in the micro-kernel.
#![allow(clippy::needless_range_loop)]

use crate::elementwise::{BREAK_EVEN, Rows, Shared, length, over_rows};
use crate::simd::{Kernel, Simd};
use crate::vector_loops;
use crate::{Context, Float, Isa, MatRef, ShapeError};

/// Rows added in pairs before they meet the running sum.
const STEP: usize = 8;

/// Rows of a partial sum.
const BLOCK: usize = 256;

/// Vectors of a single column that are summed side by side.
const WAYS: usize = 4;

/// What is summed: a function of a row's elements, and of the column's own values.
pub(crate) trait Term<T: Float>: Copy + Send + Sync {
    /// The term of row `i` at columns `j..`, of which `left` are there.
    ///
    /// # Safety
    /// Row `i` has these columns.
    unsafe fn at<S: Simd<T>>(self, s: S, i: usize, j: usize, left: usize) -> S::V;

    /// Whether the terms of a single column lie side by side: from row `i` on, `left` is then the rows that are left.
    fn runs_down(self) -> bool {
        false
    }
}

/// x
impl<T: Float> Term<T> for Rows<T> {
    #[inline(always)]
    unsafe fn at<S: Simd<T>>(self, s: S, i: usize, j: usize, left: usize) -> S::V {
        // SAFETY: the caller vouches for it.
        unsafe { s.load_up_to(self.row(i).add(j), left) }
    }

    #[inline(always)]
    fn runs_down(self) -> bool {
        self.cols == 1 && self.is_flat()
    }
}

/// (x - mean)^2
#[derive(Clone, Copy)]
struct SquaredDeviation<T> {
    x: Rows<T>,
    mean: Shared<T>,
}

impl<T: Float> Term<T> for SquaredDeviation<T> {
    #[inline(always)]
    unsafe fn at<S: Simd<T>>(self, s: S, i: usize, j: usize, left: usize) -> S::V {
        // SAFETY: the caller vouches for x, and there is a mean for each column.
        let d = unsafe { s.sub(self.x.at(s, i, j, left), s.load_up_to(self.mean.at(j), left)) };
        s.mul(d, d)
    }
}

/// a b
#[derive(Clone, Copy)]
struct Times<T> {
    a: Rows<T>,
    b: Rows<T>,
}

impl<T: Float> Term<T> for Times<T> {
    #[inline(always)]
    unsafe fn at<S: Simd<T>>(self, s: S, i: usize, j: usize, left: usize) -> S::V {
        // SAFETY: the caller vouches for a, and b has its shape.
        unsafe { s.mul(self.a.at(s, i, j, left), self.b.at(s, i, j, left)) }
    }

    #[inline(always)]
    fn runs_down(self) -> bool {
        self.a.runs_down() && self.b.runs_down()
    }
}

/// The sums of `cols` columns over rows `first..first + count`.
struct ColumnSum<F, T> {
    term: F,
    cols: usize,
    first: usize,
    count: usize,
    sums: *mut T,
}

impl<T: Float, F: Term<T>> Kernel<T> for ColumnSum<F, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        // SAFETY: rows first.. have `cols` elements, and so has `sums`, which is this task's own.
        unsafe {
            if self.term.runs_down() {
                return self.down(s);
            }
            if self.cols > 2 * S::LANES {
                return self.wide(s);
            }
            // Few columns keep their running sums in registers: in memory each step would wait for the one before it.
            let mut j = 0;
            while j < self.cols {
                self.narrow(s, j);
                j += S::LANES;
            }
        }
    }
}

impl<T: Float, F: Term<T>> ColumnSum<F, T> {
    /// The sums of one vector of columns from j on.
    ///
    /// # Safety
    /// The rows are there, and `sums` is valid for `cols` elements.
    #[inline(always)]
    unsafe fn narrow<S: Simd<T>>(&self, s: S, j: usize) {
        let (end, left) = (self.first + self.count, self.cols - j);
        let (mut i, mut sum) = (self.first, s.splat(T::ZERO));
        // SAFETY: the caller's promise.
        unsafe {
            while end - i >= STEP {
                sum = s.add(sum, self.terms::<S, STEP>(s, i, j));
                i += STEP;
            }
            while i < end {
                sum = s.add(sum, self.terms::<S, 1>(s, i, j));
                i += 1;
            }
            s.store_up_to(self.sums.add(j), left, sum);
        }
    }

    /// The sum of a single column whose elements are neighbours: [`WAYS`] vectors of them side by side, then across the lanes.
    ///
    /// # Safety
    /// As [`ColumnSum::narrow`], and the terms run down.
    #[inline(always)]
    unsafe fn down<S: Simd<T>>(&self, s: S) {
        let (mut i, end) = (self.first, self.first + self.count);
        let mut sums = [s.splat(T::ZERO); WAYS];
        // SAFETY: the caller's promise.
        unsafe {
            while i + WAYS * S::LANES <= end {
                for w in 0..WAYS {
                    sums[w] = s.add(sums[w], self.term.at(s, i + w * S::LANES, 0, S::LANES));
                }
                i += WAYS * S::LANES;
            }
            while i < end {
                sums[0] = s.add(sums[0], self.term.at(s, i, 0, end - i));
                i += S::LANES;
            }
            let all = s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3]));
            self.sums.write(s.sum(all));
        }
    }

    /// All sums, a step of rows after the other.
    ///
    /// # Safety
    /// As [`ColumnSum::narrow`].
    #[inline(always)]
    unsafe fn wide<S: Simd<T>>(&self, s: S) {
        let end = self.first + self.count;
        let mut j = 0;
        while j < self.cols {
            // SAFETY: `cols` sums.
            unsafe { s.store_up_to(self.sums.add(j), self.cols - j, s.splat(T::ZERO)) };
            j += S::LANES;
        }
        let mut i = self.first;
        while i < end {
            // SAFETY: the caller's promise: rows i to i + 7, where they exist.
            unsafe {
                if end - i >= STEP {
                    self.add::<S, STEP>(s, i);
                    i += STEP;
                } else {
                    self.add::<S, 1>(s, i);
                    i += 1;
                }
            }
        }
    }

    /// The terms of rows i to i + R in the columns from j on, added in pairs: ((x0 + x1) + (x2 + x3)) + ...
    ///
    /// # Safety
    /// The rows are there.
    #[inline(always)]
    unsafe fn terms<S: Simd<T>, const R: usize>(&self, s: S, i: usize, j: usize) -> S::V {
        let mut x = [s.splat(T::ZERO); R];
        for r in 0..R {
            // SAFETY: the caller's promise.
            x[r] = unsafe { self.term.at(s, i + r, j, self.cols - j) };
        }
        let mut width = R / 2;
        let mut stride = 1;
        while width > 0 {
            for r in 0..width {
                x[2 * r * stride] = s.add(x[2 * r * stride], x[(2 * r + 1) * stride]);
            }
            stride *= 2;
            width /= 2;
        }
        x[0]
    }

    /// sums\[j\] += the terms of rows i to i + R.
    ///
    /// # Safety
    /// As [`ColumnSum::narrow`].
    #[inline(always)]
    unsafe fn add<S: Simd<T>, const R: usize>(&self, s: S, i: usize) {
        let mut j = 0;
        while j < self.cols {
            let left = self.cols - j;
            // SAFETY: the caller's promise.
            unsafe {
                let sums = self.sums.add(j);
                let terms = self.terms::<S, R>(s, i, j);
                s.store_up_to(sums, left, s.add(s.load_up_to(sums, left), terms));
            }
            j += S::LANES;
        }
    }
}

/// Sums of `term` over rows `first..first + count`, into `cols` sums.
fn sum_rows<T: Float>(isa: Isa, term: impl Term<T>, cols: usize, (first, count): (usize, usize), sums: *mut T) {
    T::run_on(
        isa,
        ColumnSum {
            term,
            cols,
            first,
            count,
            sums,
        },
    );
}

/// sums\[j\] = the sum of `term` over `rows` rows.
pub(crate) fn column_sums<T: Float>(ctx: &Context, term: impl Term<T>, rows: usize, sums: &mut [T]) {
    let (isa, cols) = (ctx.isa(), sums.len());
    if cols == 0 {
        return;
    }
    if rows <= BLOCK {
        return sum_rows(isa, term, cols, (0, rows), sums.as_mut_ptr());
    }
    let blocks = rows.div_ceil(BLOCK);
    let working = &mut *ctx.working();
    let partial = Shared::new(working.scratch.partial.room::<T>(blocks * cols));
    let block = |i: usize| {
        let first = i * BLOCK;
        // SAFETY: the room has `cols` elements for each block, and each block is one task.
        let sums = unsafe { partial.at(i * cols) };
        sum_rows(isa, term, cols, (first, BLOCK.min(rows - first)), sums);
    };
    if rows.saturating_mul(cols) <= BREAK_EVEN {
        (0..blocks).for_each(block);
    } else {
        working.pool.run(blocks, &block);
    }
    let partial = Rows::of_room(partial, blocks, cols);
    sum_rows(isa, partial, cols, (0, blocks), sums.as_mut_ptr());
}

/// Rows `first..first + count`.
struct RowArgmax<T> {
    x: Rows<T>,
    out: Shared<u32>,
    first: usize,
    count: usize,
}

impl<T: Float> Kernel<T> for RowArgmax<T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let n = self.x.cols;
        for i in self.first..self.first + self.count {
            // SAFETY: row i has n elements; `out` has an element for each row, and no other task has this one.
            unsafe {
                let x = self.x.row(i);
                let top = s.splat(vector_loops::largest(s, x, n));
                let mut j = 0;
                let mut place = 0;
                while j < n {
                    let m = s.first(n - j);
                    let equal = s.mask_bits(s.eq(s.load_masked(x.add(j), m), top)) & s.mask_bits(m);
                    if equal != 0 {
                        place = j + equal.trailing_zeros() as usize;
                        break;
                    }
                    j += S::LANES;
                }
                self.out.at(i).write(place as u32);
            }
        }
    }
}

impl Context {
    /// sums\[j\] = sum of x\[i, j\] over i: the gradient of a bias.
    ///
    /// # Errors
    /// When `sums` has not one element a column, or rows are not contiguous.
    pub fn column_sum<T: Float>(&self, x: MatRef<'_, T>, sums: &mut [T]) -> Result<(), ShapeError> {
        length("column_sum", "sums", sums.len(), x.cols())?;
        let x = Rows::of("column_sum", "x", x)?;
        column_sums(self, x, x.rows, sums);
        Ok(())
    }

    /// sums\[j\] = sum of a\[i, j\] b\[i, j\] over i.
    ///
    /// # Errors
    /// When shapes don't fit, or rows are not contiguous.
    pub fn column_dot<T: Float>(&self, a: MatRef<'_, T>, b: MatRef<'_, T>, sums: &mut [T]) -> Result<(), ShapeError> {
        length("column_dot", "sums", sums.len(), a.cols())?;
        let (a, b) = (Rows::of("column_dot", "a", a)?, Rows::of("column_dot", "b", b)?);
        a.same_shape("column_dot", "b", &b)?;
        column_sums(self, Times { a, b }, a.rows, sums);
        Ok(())
    }

    /// mean\[j\] and the biased variance\[j\] = sum of (x\[i, j\] - mean\[j\])^2 / m over the m rows, in two passes: nothing cancels.
    /// NaN for a matrix without rows.
    ///
    /// # Errors
    /// When `mean` or `variance` has not one element a column, or rows are not contiguous.
    pub fn column_mean_variance<T: Float>(
        &self,
        x: MatRef<'_, T>,
        mean: &mut [T],
        variance: &mut [T],
    ) -> Result<(), ShapeError> {
        const OPERATION: &str = "column_mean_variance";
        length(OPERATION, "mean", mean.len(), x.cols())?;
        length(OPERATION, "variance", variance.len(), x.cols())?;
        let x = Rows::of(OPERATION, "x", x)?;
        let divide = |sums: &mut [T]| {
            for sum in sums {
                *sum = T::from_f64(sum.to_f64() / x.rows as f64);
            }
        };
        column_sums(self, x, x.rows, mean);
        divide(mean);
        let mean = Shared::read(mean.as_ptr());
        column_sums(self, SquaredDeviation { x, mean }, x.rows, variance);
        divide(variance);
        Ok(())
    }

    /// out\[i\] = the column where row i is largest: the first of equals. NaN is never the largest; a row of NaN, or without columns, gives 0.
    ///
    /// # Errors
    /// When `out` has not one element a row, or rows are not contiguous.
    pub fn row_argmax<T: Float>(&self, x: MatRef<'_, T>, out: &mut [u32]) -> Result<(), ShapeError> {
        length("row_argmax", "out", out.len(), x.rows())?;
        let x = Rows::of("row_argmax", "x", x)?;
        let (isa, out) = (self.isa(), Shared::new(out.as_mut_ptr()));
        over_rows(self, x.rows, x.cols, &|first, count| {
            T::run_on(isa, RowArgmax { x, out, first, count })
        });
        Ok(())
    }
}
