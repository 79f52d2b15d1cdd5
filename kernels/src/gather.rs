//! Rows of a byte matrix, gathered by index and made numbers: a batch of images out of the data set.

use crate::elementwise::{Rows, length, over_rows};
use crate::simd::{Kernel, Simd};
use crate::{Context, Float, MatMut, ShapeError};

/// Rows `first..first + count` of the output.
struct Gather<'a, T> {
    source: &'a [u8],
    rows: &'a [u32],
    scale: T,
    out: Rows<T>,
    first: usize,
    count: usize,
}

impl<T: Float> Kernel<T> for Gather<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let n = self.out.cols;
        let scale = s.splat(self.scale);
        for i in self.first..self.first + self.count {
            // SAFETY: the index was checked to be a row of `source`; row i of `out` is this task's alone.
            let (from, to) = unsafe { (self.source.as_ptr().add(self.rows[i] as usize * n), self.out.row(i)) };
            let mut j = 0;
            while j + S::LANES <= n {
                // SAFETY: j + LANES <= n.
                unsafe { s.store(to.add(j), s.mul(s.load_u8(from.add(j)), scale)) };
                j += S::LANES;
            }
            if j < n {
                let mut last = [0; 16];
                // SAFETY: n - j < LANES <= 16 bytes and elements are left.
                unsafe {
                    std::ptr::copy_nonoverlapping(from.add(j), last.as_mut_ptr(), n - j);
                    s.store_masked(to.add(j), s.first(n - j), s.mul(s.load_u8(last.as_ptr()), scale));
                }
            }
        }
    }
}

impl Context {
    /// out\[i, j\] = scale * source\[rows\[i\] * cols + j\], `cols` being the columns of `out`.
    ///
    /// # Errors
    /// When `source` is no whole number of rows, `cols` or the number of `rows` is not that of `out`, an index is outside of
    /// `source`, or the rows of `out` are not contiguous; then nothing was written.
    pub fn gather_rows_u8<T: Float>(
        &self,
        source: &[u8],
        cols: usize,
        rows: &[u32],
        scale: T,
        mut out: MatMut<'_, T>,
    ) -> Result<(), ShapeError> {
        const OPERATION: &str = "gather_rows_u8";
        let out = Rows::of_mut(OPERATION, "out", &mut out)?;
        length(OPERATION, "a row of out", out.cols, cols)?;
        length(OPERATION, "rows", rows.len(), out.rows)?;
        let limit = source.len().checked_div(cols).unwrap_or(0);
        length(OPERATION, "source", source.len(), limit * cols)?;
        let outside = rows.iter().position(|&row| row as usize >= limit);
        if let (Some(place), true) = (outside, cols > 0) {
            return Err(ShapeError::Index {
                operation: OPERATION,
                index: rows[place] as usize,
                place,
                limit,
            });
        }
        let isa = self.isa();
        over_rows(self, out.rows, out.cols, &|first, count| {
            T::run_on(
                isa,
                Gather {
                    source,
                    rows,
                    scale,
                    out,
                    first,
                    count,
                },
            );
        });
        Ok(())
    }
}
