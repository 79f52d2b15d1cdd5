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
        let end = self.first + self.count;
        let mut i = self.first;
        while i < end {
            // Rows that follow each other there as here are one run: of a batch that is the whole set, all of them.
            let follows = |pair: &[u32]| pair[1] == pair[0].wrapping_add(1);
            let run = if self.out.is_flat() {
                1 + self.rows[i..end].windows(2).take_while(|pair| follows(pair)).count()
            } else {
                1
            };
            ask_ahead(s, self.source, self.rows, (i, n));
            let from = &self.source[self.rows[i] as usize * n..][..run * n];
            // SAFETY: rows i.. of `out` have n elements each, follow each other if there is more than one, and are this task's alone.
            let to = unsafe { std::slice::from_raw_parts_mut(self.out.row(i), run * n) };
            // Of f32 a copy: both conversions are exact, and the compiler takes them out.
            to.iter_mut()
                .zip(from)
                .for_each(|(to, &x)| *to = T::from_f64(f64::from(x)));
            i += run;
        }
    }
}

/// `rows` must be rows of a `source` of `cols` columns.
fn check<E>(operation: &'static str, source: &[E], cols: usize, rows: &[u32]) -> Result<(), ShapeError> {
    let limit = source.len().checked_div(cols).unwrap_or(0);
    length(operation, "source", source.len(), limit * cols)?;
    let outside = rows.iter().position(|&row| row as usize >= limit);
    match outside {
        Some(place) if cols > 0 => Err(ShapeError::Index {
            operation,
            index: rows[place] as usize,
            place,
            limit,
        }),
        _ => Ok(()),
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
