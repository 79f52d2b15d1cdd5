//! Products with a narrow C: `n` up to [`NARROW`], every element a dot product.
//!
//! ```text
//! c[i][j] = alpha * sum over p of a[i, p] * b[p, j] + beta * c[i][j]
//! ```
//! A tile kernel would use 1 to 4 lanes of its vectors here. Instead the vectors run along k: rows of A as they lie,
//! columns of B made contiguous first (k x n elements, nothing beside A). [`ROWS`] rows share each load of B and keep as
//! many sums in flight as the FMA's latency asks for. The order of an element's sum depends on k and the ISA alone.

// Loops over registers go by index, as in the micro-kernel.
#![allow(clippy::needless_range_loop)]

use super::loops::{Product, Shared};
use crate::context::Working;
use crate::simd::{Kernel, Simd};
use crate::{Float, MatRef};

/// Widest C that goes this way.
pub(crate) const NARROW: usize = 4;

/// Rows of A side by side.
const ROWS: usize = 8;

/// Rows of a task: A's part of it, at k = 784, is about 100 KiB.
const TASK: usize = 32;

impl<T: Float> Product<'_, T> {
    /// Whether this product is one of them: a narrow C with neighbouring columns, rows of A that run along k.
    pub(crate) fn is_dots(&self) -> bool {
        let columns = self.c_col == 1 || self.shape.n == 1;
        let along = self.a.matrix().is_some_and(|a| a.col_stride() == 1) && self.b.matrix().is_some();
        self.shape.n <= NARROW && along && columns && !self.forced
    }

    /// Runs it.
    pub(crate) fn run_dots(&self, working: &mut Working) {
        let (m, n, k) = (self.shape.m, self.shape.n, self.shape.k);
        let (Some(a), Some(matrix)) = (self.a.matrix(), self.b.matrix()) else {
            return;
        };
        let b = matrix.as_ptr();
        let columns = if matrix.row_stride() == 1 && n == 1 {
            b
        } else {
            let copy = working.scratch.b.room::<T>(n * k);
            for j in 0..n {
                for p in 0..k {
                    // SAFETY: (p, j) lies in B, and the scratch has room for n columns of k.
                    unsafe {
                        copy.add(j * k + p)
                            .write(*b.add(p * matrix.row_stride() + j * matrix.col_stride()))
                    };
                }
            }
            copy.cast_const()
        };
        let columns = Shared(columns.cast_mut());
        let tasks = m.div_ceil(TASK);
        let room = self.epilogue.column_sum.as_ref().map_or(0, |_| tasks * n);
        let sums = Shared(working.scratch.partial.room::<T>(room));
        self.each(&mut working.pool, tasks, |task, _| {
            let rows = (task * TASK, m.min((task + 1) * TASK));
            T::run_on(
                self.isa,
                Dots {
                    product: self,
                    a,
                    columns: columns.from(0),
                    rows,
                    sums: self.sums_of(task, 0, n, sums, true),
                },
            );
        });
        self.add_sums(sums.from(0), tasks);
    }
}

/// Some rows of a narrow product.
struct Dots<'a, T: 'static> {
    product: &'a Product<'a, T>,
    a: MatRef<'a, T>,
    /// Columns of B, k elements each.
    columns: *const T,
    rows: (usize, usize),
    /// Their column sums, or null.
    sums: *mut T,
}

impl<T: Float> Kernel<T> for Dots<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let product = self.product;
        let (n, (first, end)) = (product.shape.n, self.rows);
        for i in (first..end).step_by(ROWS) {
            let used = ROWS.min(end - i);
            for j in 0..n {
                // SAFETY: rows i.. of A, column j of B: validated shapes. A short last group reads its last row again.
                let sums = unsafe { self.sums(s, i, used, j) };
                for (r, sum) in sums.into_iter().enumerate().take(used) {
                    // SAFETY: element (i + r, j) of C, which this task alone writes.
                    unsafe { product.put(i + r, j, sum) };
                }
            }
        }
        let epilogue = &product.epilogue;
        if epilogue.has_function() {
            let c = product.c.wrapping_add(first * product.c_row);
            epilogue
                .on_tile((c, product.c_row), (first, 0), (end - first, n), self.sums)
                .run(s);
        }
    }
}

impl<T: Float> Dots<'_, T> {
    /// Rows `i..i + used` of A times column `j` of B.
    #[inline(always)]
    unsafe fn sums<S: Simd<T>>(&self, s: S, i: usize, used: usize, j: usize) -> [T; ROWS] {
        let (a, k) = (self.a, self.product.shape.k);
        let b = self.columns.wrapping_add(j * k);
        let mut rows = [a.as_ptr(); ROWS];
        for r in 0..ROWS {
            rows[r] = rows[r].wrapping_add((i + r.min(used - 1)) * a.row_stride());
        }
        let mut acc = [s.splat(T::ZERO); ROWS];
        let whole = k - k % S::LANES;
        // SAFETY: k elements from each row and from the column, the last vector masked.
        unsafe {
            let mut p = 0;
            while p < whole {
                let x = s.load(b.add(p));
                for r in 0..ROWS {
                    acc[r] = s.mul_add(s.load(rows[r].add(p)), x, acc[r]);
                }
                p += S::LANES;
            }
            if p < k {
                let rest = s.first(k - p);
                let x = s.load_masked(b.add(p), rest);
                for r in 0..ROWS {
                    acc[r] = s.mul_add(s.load_masked(rows[r].add(p), rest), x, acc[r]);
                }
            }
        }
        let mut sums = [T::ZERO; ROWS];
        for r in 0..ROWS {
            sums[r] = s.sum(acc[r]);
        }
        sums
    }
}

impl<T: Float> Product<'_, T> {
    /// alpha * sum + beta * C + bias goes to element (row, col) of C.
    ///
    /// # Safety
    /// It is nobody else's now.
    #[inline(always)]
    unsafe fn put(&self, row: usize, col: usize, sum: T) {
        let c = self.c.wrapping_add(row * self.c_row + col * self.c_col);
        let mut x = self.alpha.times(sum);
        // SAFETY: the caller's promise; C is read only where beta is not 0.
        unsafe {
            if self.beta != T::ZERO {
                x = x.plus(self.beta.times(c.read()));
            }
            if let Some(bias) = self.epilogue.bias {
                x = x.plus(bias[col]);
            }
            c.write(x);
        }
    }
}
