//! Reductions: sums of columns, and where a row is largest.
//!
//! # Column sums
//! sums_j = sum_i x_ij. Rows are taken [`STEP`] at a time, added in pairs, and the result to the running sums, which lie in L1: memory is
//! read in order. Blocks of [`BLOCK`] rows have partial sums of their own, added in block order. Steps and blocks
//! depend on the shape alone, so the bits do not depend on the threads. The error is at most
//! (BLOCK / STEP + 3 + blocks) eps / 2 times the sum of |x_ij|.

use crate::elementwise::{BREAK_EVEN, Rows, Shared, length, over_rows};
use crate::simd::{Kernel, Simd};
use crate::vector_loops;
use crate::{Context, Float, MatRef, ShapeError};

/// Rows added in pairs before they meet the running sum.
const STEP: usize = 8;

/// Rows of a partial sum.
const BLOCK: usize = 256;

/// Columns `from..to` of rows `first..first + count`, into `sums[from..to]`.
struct ColumnSum<T> {
    x: Rows<T>,
    first: usize,
    count: usize,
    sums: *mut T,
}

impl<T: Float> Kernel<T> for ColumnSum<T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let (n, end) = (self.x.cols, self.first + self.count);
        let mut i = self.first;
        let mut j = 0;
        while j < n {
            let m = s.first(n - j);
            // SAFETY: the mask has the columns that are left, at most.
            unsafe { s.store_masked(self.sums.add(j), m, s.splat(T::ZERO)) };
            j += S::LANES;
        }
        while i < end {
            // SAFETY: rows i to i + 7, where they exist, have n elements, and so has `sums`, which is this task's own.
            unsafe {
                if end - i >= STEP {
                    let x = [0, 1, 2, 3, 4, 5, 6, 7].map(|r| self.x.row(i + r).cast_const());
                    add_eight(s, x, self.sums, n);
                    i += STEP;
                } else {
                    vector_loops::zip(s, Add, self.x.row(i), self.sums, self.sums, n);
                    i += 1;
                }
            }
        }
    }
}

/// sums\[j\] += ((x0 + x1) + (x2 + x3)) + ((x4 + x5) + (x6 + x7)).
///
/// # Safety
/// All are valid for `n` elements, `sums` for writes, and it overlaps none.
#[inline(always)]
unsafe fn add_eight<T: Float, S: Simd<T>>(s: S, x: [*const T; STEP], sums: *mut T, n: usize) {
    let mut j = 0;
    while j + S::LANES <= n {
        // SAFETY: j + LANES <= n.
        unsafe {
            let a = s.add(
                s.add(s.load(x[0].add(j)), s.load(x[1].add(j))),
                s.add(s.load(x[2].add(j)), s.load(x[3].add(j))),
            );
            let b = s.add(
                s.add(s.load(x[4].add(j)), s.load(x[5].add(j))),
                s.add(s.load(x[6].add(j)), s.load(x[7].add(j))),
            );
            s.store(sums.add(j), s.add(s.load(sums.add(j)), s.add(a, b)));
        }
        j += S::LANES;
    }
    if j < n {
        let m = s.first(n - j);
        // SAFETY: the mask has the n - j columns that are left.
        unsafe {
            let a = s.add(
                s.add(s.load_masked(x[0].add(j), m), s.load_masked(x[1].add(j), m)),
                s.add(s.load_masked(x[2].add(j), m), s.load_masked(x[3].add(j), m)),
            );
            let b = s.add(
                s.add(s.load_masked(x[4].add(j), m), s.load_masked(x[5].add(j), m)),
                s.add(s.load_masked(x[6].add(j), m), s.load_masked(x[7].add(j), m)),
            );
            s.store_masked(sums.add(j), m, s.add(s.load_masked(sums.add(j), m), s.add(a, b)));
        }
    }
}

#[derive(Clone, Copy)]
struct Add;

impl<T: Float> vector_loops::Zip<T> for Add {
    #[inline(always)]
    fn zip<S: Simd<T>>(self, s: S, a: S::V, b: S::V) -> S::V {
        s.add(a, b)
    }
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
        let (isa, n) = (self.isa(), x.cols);
        if n == 0 {
            return Ok(());
        }
        if x.rows <= BLOCK {
            T::run_on(
                isa,
                ColumnSum {
                    x,
                    first: 0,
                    count: x.rows,
                    sums: sums.as_mut_ptr(),
                },
            );
            return Ok(());
        }
        let blocks = x.rows.div_ceil(BLOCK);
        let working = &mut *self.working();
        let partial = Shared::new(working.scratch.partial.room::<T>(blocks * n));
        let block = |i: usize| {
            let first = i * BLOCK;
            // SAFETY: the room has n elements for each block, and each block is one task.
            let sums = unsafe { partial.at(i * n) };
            T::run_on(
                isa,
                ColumnSum {
                    x,
                    first,
                    count: BLOCK.min(x.rows - first),
                    sums,
                },
            );
        };
        if x.rows.saturating_mul(n) <= BREAK_EVEN {
            (0..blocks).for_each(block);
        } else {
            working.pool.run(blocks, &block);
        }
        // SAFETY: the blocks' sums are a matrix of blocks rows and n columns, written above.
        let partial = unsafe { std::slice::from_raw_parts(partial.at(0), blocks * n) };
        let partial = Rows::of("column_sum", "partial", MatRef::row_major(partial, blocks, n)?)?;
        T::run_on(
            isa,
            ColumnSum {
                x: partial,
                first: 0,
                count: blocks,
                sums: sums.as_mut_ptr(),
            },
        );
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
