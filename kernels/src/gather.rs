//! Rows of a matrix, gathered by index: a batch out of the data set. Bytes are made numbers.
//!
//! The rows lie anywhere in a set that no near cache holds, so a row's first lines are asked for some rows ahead; the hardware follows a
//! long row from there on.

use crate::elementwise::{Rows, length, over_rows};
use crate::simd::{Kernel, Simd};
use crate::{Context, Float, MatMut, ShapeError};

/// Rows between the one that is asked for and the one that is copied.
const AHEAD: usize = 8;
/// Bytes of a cache line.
const LINE: usize = 64;
/// Lines of a row that are asked for.
const LINES: usize = 4;

/// Asks for the first lines of the row that is [`AHEAD`] of row `i`, if there is one.
#[inline(always)]
fn ask_ahead<E, T: Float, S: Simd<T>>(s: S, source: &[E], rows: &[u32], (i, cols): (usize, usize)) {
    let Some(&row) = rows.get(i + AHEAD) else { return };
    // Only an address: nothing is read.
    let from = source.as_ptr().wrapping_add(row as usize * cols).cast::<u8>();
    for line in 0..(cols * size_of::<E>()).div_ceil(LINE).min(LINES) {
        s.prefetch(from.wrapping_add(line * LINE).cast());
    }
}

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
            ask_ahead(s, self.source, self.rows, (i, n));
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

/// The same of f32, which are taken as they are.
struct GatherReals<'a, T> {
    source: &'a [f32],
    rows: &'a [u32],
    out: Rows<T>,
    first: usize,
    count: usize,
}

impl<T: Float> Kernel<T> for GatherReals<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let n = self.out.cols;
        for i in self.first..self.first + self.count {
            ask_ahead(s, self.source, self.rows, (i, n));
            // SAFETY: the index was checked to be a row of `source`; row i of `out` is this task's alone.
            let (from, to) = unsafe { (self.source.as_ptr().add(self.rows[i] as usize * n), self.out.row(i)) };
            if size_of::<T>() == size_of::<f32>() {
                // SAFETY: T is f32, and both rows have n elements.
                unsafe { copy(s, from.cast(), to, n) };
            } else {
                for j in 0..n {
                    // SAFETY: as above; the conversion is exact.
                    unsafe { to.add(j).write(T::from_f64(f64::from(from.add(j).read()))) };
                }
            }
        }
    }
}

/// `n` elements, the last ones as a whole vector that overlaps the one before it: a copy of a slice for each row of 20 took half as long again.
///
/// # Safety
/// `from` is valid for reads and `to` for writes of them; they do not overlap.
#[inline(always)]
unsafe fn copy<T: Float, S: Simd<T>>(s: S, from: *const T, to: *mut T, n: usize) {
    // SAFETY: no vector reaches beyond n.
    unsafe {
        if n < S::LANES {
            return s.store_up_to(to, n, s.load_up_to(from, n));
        }
        let last = n - S::LANES;
        let mut j = 0;
        while j < last {
            s.store(to.add(j), s.load(from.add(j)));
            j += S::LANES;
        }
        s.store(to.add(last), s.load(from.add(last)));
    }
}

/// `rows` must be rows of a `source` of `cols` columns.
fn check<E>(operation: &'static str, source: &[E], cols: usize, rows: &[u32]) -> Result<(), ShapeError> {
    let limit = source.len().checked_div(cols).unwrap_or(0);
    length(operation, "source", source.len(), limit * cols)?;
    // The largest first, eight at a time; which one it is, only where it is wrong.
    let largest = rows.iter().fold(0, |largest, &row| row.max(largest)) as usize;
    if cols == 0 || rows.is_empty() || largest < limit {
        return Ok(());
    }
    let place = rows.iter().position(|&row| row as usize >= limit).unwrap_or_default();
    Err(ShapeError::Index {
        operation,
        index: rows[place] as usize,
        place,
        limit,
    })
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
        check(OPERATION, source, cols, rows)?;
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
    /// out\[i, j\] = source\[rows\[i\] * cols + j\], `cols` being the columns of `out`.
    ///
    /// # Errors
    /// As [`Context::gather_rows_u8`].
    pub fn gather_rows_f32<T: Float>(
        &self,
        source: &[f32],
        rows: &[u32],
        mut out: MatMut<'_, T>,
    ) -> Result<(), ShapeError> {
        const OPERATION: &str = "gather_rows_f32";
        let out = Rows::of_mut(OPERATION, "out", &mut out)?;
        length(OPERATION, "rows", rows.len(), out.rows)?;
        check(OPERATION, source, out.cols, rows)?;
        let isa = self.isa();
        over_rows(self, out.rows, out.cols, &|first, count| {
            T::run_on(
                isa,
                GatherReals {
                    source,
                    rows,
                    out,
                    first,
                    count,
                },
            );
        });
        Ok(())
    }
}
