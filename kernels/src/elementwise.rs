//! How elementwise and row kernels share their work among threads.
//!
//! # Rules
//! - A result never depends on where its element or row lies, so chunks and threads can't change a bit.
//! - Chunks have [`CHUNK`] elements whatever the number of threads. Up to [`BREAK_EVEN`] elements one thread works: handing a
//!   chunk to a worker that spins costs about 1 us, to one that is parked about 50 us, and 2^16 elements take 10 to 40 us.

use crate::simd::{Kernel, Simd};
use crate::vector_loops::{self, Map, Zip};
use crate::{Context, Float, Isa, MatMut, MatRef, ShapeError};

/// Elements of a task: 128 KiB of f32.
pub(crate) const CHUNK: usize = 1 << 15;

/// Outputs of this many bytes and more are stored past the caches: nothing of them would be left there for a reader anyhow, and a
/// line need not be read before it is written (relu, 4096 x 4096: two thirds of memcpy's time on Zen 4).
const STREAM_FROM: usize = 32 << 20;

/// Whether an output of `len` elements is stored past the caches.
pub(crate) fn streams<T>(len: usize) -> bool {
    len.saturating_mul(size_of::<T>()) >= STREAM_FROM
}

/// Up to this many elements the caller's thread works alone.
pub(crate) const BREAK_EVEN: usize = 1 << 16;

/// A pointer that tasks on several threads share, each for elements of its own.
#[derive(Debug)]
pub(crate) struct Shared<T>(*mut T);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shared<T> {}

// SAFETY: a pointer alone does nothing; whoever uses it says why no two threads touch one element.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(crate) fn new(p: *mut T) -> Self {
        Self(p)
    }

    /// For elements that are only read.
    pub(crate) fn read(p: *const T) -> Self {
        Self(p.cast_mut())
    }

    /// The address `offset` elements further.
    ///
    /// # Safety
    /// It lies within the same slice.
    pub(crate) unsafe fn at(self, offset: usize) -> *mut T {
        // SAFETY: the caller vouches for the offset.
        unsafe { self.0.add(offset) }
    }
}

/// Calls `task(start, len)` for chunks that cover `0..len`, on the context's threads.
pub(crate) fn over_chunks(ctx: &Context, len: usize, task: &(dyn Fn(usize, usize) + Sync)) {
    if len <= BREAK_EVEN {
        return task(0, len);
    }
    ctx.working().pool.run(len.div_ceil(CHUNK), &|i| {
        task(i * CHUNK, CHUNK.min(len - i * CHUNK));
    });
}

/// Calls `task(first, rows)` for blocks of whole rows, about [`CHUNK`] elements each, on the context's threads.
pub(crate) fn over_rows(ctx: &Context, rows: usize, cols: usize, task: &(dyn Fn(usize, usize) + Sync)) {
    if rows.saturating_mul(cols) <= BREAK_EVEN {
        return task(0, rows);
    }
    let block = (CHUNK / cols).max(1);
    ctx.working().pool.run(rows.div_ceil(block), &|i| {
        task(i * block, block.min(rows - i * block));
    });
}

/// The rows of a matrix, contiguous each: what row kernels work on.
#[derive(Debug)]
pub(crate) struct Rows<T> {
    data: Shared<T>,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    stride: usize,
}

impl<T> Clone for Rows<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Rows<T> {}

impl<T> Rows<T> {
    /// The rows of `x`, to be read.
    pub(crate) fn of(operation: &'static str, operand: &'static str, x: MatRef<'_, T>) -> Result<Self, ShapeError> {
        contiguous(operation, operand, x.cols(), x.col_stride())?;
        Ok(Self {
            data: Shared::read(x.as_ptr()),
            rows: x.rows(),
            cols: x.cols(),
            stride: x.row_stride(),
        })
    }

    /// The rows of `x`, to be written.
    pub(crate) fn of_mut(
        operation: &'static str,
        operand: &'static str,
        x: &mut MatMut<'_, T>,
    ) -> Result<Self, ShapeError> {
        contiguous(operation, operand, x.cols(), x.col_stride())?;
        Ok(Self {
            data: Shared::new(x.as_mut_ptr()),
            rows: x.rows(),
            cols: x.cols(),
            stride: x.row_stride(),
        })
    }

    /// A matrix without gaps in scratch.
    pub(crate) fn of_room(data: Shared<T>, rows: usize, cols: usize) -> Self {
        Self {
            data,
            rows,
            cols,
            stride: cols,
        }
    }

    /// Whether there are no gaps between rows.
    pub(crate) fn is_flat(&self) -> bool {
        self.stride == self.cols || self.rows <= 1
    }

    /// Address of the row after row i, below row `end`.
    pub(crate) fn next(self, i: usize, end: usize) -> Option<*const T> {
        // SAFETY: the matrix reaches the rows below `end`.
        (i + 1 < end).then(|| unsafe { self.row(i + 1) }.cast_const())
    }

    /// Address of row i.
    ///
    /// # Safety
    /// `i < rows`.
    pub(crate) unsafe fn row(self, i: usize) -> *mut T {
        // SAFETY: the matrix reaches row i.
        unsafe { self.data.at(i * self.stride) }
    }

    /// `other` must have this shape.
    pub(crate) fn same_shape<U>(
        &self,
        operation: &'static str,
        operand: &'static str,
        other: &Rows<U>,
    ) -> Result<(), ShapeError> {
        if (other.rows, other.cols) == (self.rows, self.cols) {
            return Ok(());
        }
        Err(ShapeError::Shape {
            operation,
            operand,
            got: (other.rows, other.cols),
            expected: (self.rows, self.cols),
        })
    }
}

fn contiguous(
    operation: &'static str,
    operand: &'static str,
    cols: usize,
    col_stride: usize,
) -> Result<(), ShapeError> {
    if cols <= 1 || col_stride == 1 {
        return Ok(());
    }
    Err(ShapeError::ColumnStride {
        operation,
        operand,
        col_stride,
    })
}

/// `got` must be `expected`.
pub(crate) fn length(
    operation: &'static str,
    operand: &'static str,
    got: usize,
    expected: usize,
) -> Result<(), ShapeError> {
    if got == expected {
        return Ok(());
    }
    Err(ShapeError::Length {
        operation,
        operand,
        got,
        expected,
    })
}

/// y\[i\] = f(x\[i\]).
pub(crate) fn map<T: Float>(ctx: &Context, f: impl Map<T>, x: &[T], y: &mut [T]) {
    debug_assert_eq!(x.len(), y.len());
    let (isa, out, streaming) = (ctx.isa(), Shared::new(y.as_mut_ptr()), streams::<T>(y.len()));
    over_chunks(ctx, x.len(), &|start, len| {
        // SAFETY: the chunk lies within both slices, which are of one length; chunks do not overlap.
        unsafe { map_segment(isa, f, (x.as_ptr().add(start), out.at(start), len), streaming) };
    });
}

/// The sum of f(a\[i\], b\[i\]): chunks have sums of their own, added in f64 in their order.
pub(crate) fn sum_of_zip<T: Float>(ctx: &Context, f: impl Zip<T>, a: &[T], b: &[T]) -> T {
    struct Sum<'a, T, F>(F, &'a [T], &'a [T]);

    impl<T: Float, F: Zip<T>> Kernel<T> for Sum<'_, T, F> {
        type Output = T;

        #[inline(always)]
        fn run<S: Simd<T>>(self, s: S) -> T {
            // SAFETY: both slices have this length.
            unsafe { vector_loops::sum_of_zip(s, self.0, self.1.as_ptr(), self.2.as_ptr(), self.1.len()) }
        }
    }

    debug_assert_eq!(a.len(), b.len());
    let (isa, chunks) = (ctx.isa(), a.len().div_ceil(CHUNK));
    let working = &mut *ctx.working();
    let sums = Shared::new(working.scratch.partial.room::<T>(chunks));
    let chunk = |i: usize| {
        let part = i * CHUNK..a.len().min((i + 1) * CHUNK);
        let sum = T::run_on(isa, Sum(f, &a[part.clone()], &b[part]));
        // SAFETY: the room has an element for each chunk, and each chunk is one task.
        unsafe { sums.at(i).write(sum) };
    };
    if a.len() <= BREAK_EVEN {
        (0..chunks).for_each(chunk);
    } else {
        working.pool.run(chunks, &chunk);
    }
    // SAFETY: every chunk has written its sum.
    T::from_f64((0..chunks).map(|i| unsafe { sums.at(i).read() }.to_f64()).sum())
}

/// y\[i\] = f(x\[i\]) for `(x, y, len)`, on the caller's thread, past the caches if `streaming`.
///
/// # Safety
/// `x` is valid for reads and `y` for writes of `len` elements; they are the same or do not overlap.
unsafe fn map_segment<T: Float, F: Map<T>>(isa: Isa, f: F, parts: (*const T, *mut T, usize), streaming: bool) {
    struct Segment<T, F>(F, (*const T, *mut T, usize), bool);

    impl<T: Float, F: Map<T>> Kernel<T> for Segment<T, F> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd<T>>(self, s: S) {
            let Self(f, (x, y, len), streaming) = self;
            // SAFETY: the caller of `map_segment` vouches for both.
            unsafe {
                if streaming {
                    vector_loops::map_streaming(s, f, x, y, len);
                    s.fence();
                } else {
                    vector_loops::map(s, f, x, y, len);
                }
            }
        }
    }

    T::run_on(isa, Segment(f, parts, streaming));
}

/// c\[i\] = f(a\[i\], b\[i\]).
pub(crate) fn zip<T: Float>(ctx: &Context, f: impl Zip<T>, a: &[T], b: &[T], c: &mut [T]) {
    debug_assert!(a.len() == c.len() && b.len() == c.len());
    let (isa, out) = (ctx.isa(), Shared::new(c.as_mut_ptr()));
    over_chunks(ctx, a.len(), &|start, len| {
        // SAFETY: the chunk lies within the three slices, which are of one length; chunks do not overlap.
        unsafe { zip_segment(isa, f, a.as_ptr().add(start), b.as_ptr().add(start), out.at(start), len) };
    });
}

/// c\[i\] = f(a\[i\], b\[i\]) on the caller's thread.
///
/// # Safety
/// `a` and `b` are valid for reads and `c` for writes of `len` elements; c is the same as a or b, or does not overlap them.
pub(crate) unsafe fn zip_segment<T: Float, F: Zip<T>>(isa: Isa, f: F, a: *const T, b: *const T, c: *mut T, len: usize) {
    struct Segment<T, F>(F, *const T, *const T, *mut T, usize);

    impl<T: Float, F: Zip<T>> Kernel<T> for Segment<T, F> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd<T>>(self, s: S) {
            let Self(f, a, b, c, len) = self;
            // SAFETY: the caller of `zip_segment` vouches for all three.
            unsafe { vector_loops::zip(s, f, a, b, c, len) };
        }
    }

    T::run_on(isa, Segment(f, a, b, c, len));
}
