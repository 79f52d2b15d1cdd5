//! What a product multiplies: a matrix, bytes that become numbers while they are packed, or a B that was packed before.

use super::{Blocking, PackedB};
use crate::simd::{Block, Kernel, Simd, Target};
use crate::{Float, MatRef, ShapeError};

/// An operand of [`crate::Context::gemm`]. Made by `into` from a [`MatRef`], [`Bytes`], or a reference to a [`PackedB`].
#[derive(Debug, Clone, Copy)]
pub enum Operand<'a, T> {
    /// A matrix as it lies in memory.
    Matrix(MatRef<'a, T>),
    /// Bytes, scaled.
    Bytes(Bytes<'a, T>),
    /// A fixed B, packed in advance. Not for A.
    Packed(&'a PackedB<T>),
}

impl<'a, T> From<MatRef<'a, T>> for Operand<'a, T> {
    fn from(matrix: MatRef<'a, T>) -> Self {
        Self::Matrix(matrix)
    }
}

impl<'a, T> From<Bytes<'a, T>> for Operand<'a, T> {
    fn from(bytes: Bytes<'a, T>) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a, T> From<&'a PackedB<T>> for Operand<'a, T> {
    fn from(packed: &'a PackedB<T>) -> Self {
        Self::Packed(packed)
    }
}

impl<T: Float> Operand<'_, T> {
    /// Rows and columns.
    pub(crate) fn size(&self) -> (usize, usize) {
        match self {
            Self::Matrix(matrix) => (matrix.rows(), matrix.cols()),
            Self::Bytes(bytes) => bytes.size(),
            Self::Packed(packed) => packed.size(),
        }
    }

    /// Its transpose; `None` for a packed one.
    pub(crate) fn transposed(self) -> Option<Self> {
        match self {
            Self::Matrix(matrix) => Some(Self::Matrix(matrix.transposed())),
            Self::Bytes(bytes) => Some(Self::Bytes(bytes.transposed())),
            Self::Packed(_) => None,
        }
    }

    /// The matrix that may be read where it lies.
    pub(crate) fn matrix(&self) -> Option<MatRef<'_, T>> {
        match self {
            Self::Matrix(matrix) => Some(*matrix),
            _ => None,
        }
    }

    /// Whether it is a matrix whose columns lie along memory.
    pub(crate) fn runs_along_columns(&self) -> bool {
        matches!(self, Self::Matrix(matrix) if matrix.row_stride() == 1)
    }

    /// The cache blocks that it was packed by.
    pub(crate) fn blocking(&self) -> Option<Blocking> {
        match self {
            Self::Packed(packed) => Some(packed.blocking),
            _ => None,
        }
    }
}

/// A matrix of bytes, times a scale: a batch of images as they lie in the data set, which become numbers only in the
/// packed panels. Element (i, j) is `scale * data[rows[i] * cols + j]`.
#[derive(Debug, Clone, Copy)]
pub struct Bytes<'a, T> {
    data: &'a [u8],
    cols: usize,
    count: usize,
    rows: Option<&'a [u32]>,
    scale: T,
    transposed: bool,
}

const OPERATION: &str = "gemm";

impl<'a, T: Float> Bytes<'a, T> {
    /// `rows` x `cols` bytes, a row after the other without gaps.
    ///
    /// # Errors
    /// When `data` is shorter than that.
    pub fn row_major(data: &'a [u8], rows: usize, cols: usize, scale: T) -> Result<Self, ShapeError> {
        MatRef::row_major(data, rows, cols)?;
        Ok(Self {
            data,
            cols,
            count: rows,
            rows: None,
            scale,
            transposed: false,
        })
    }

    /// Rows of `cols` bytes, gathered by index: one row for each index.
    ///
    /// # Errors
    /// When an index is not that of a whole row of `data`.
    pub fn gathered(data: &'a [u8], cols: usize, rows: &'a [u32], scale: T) -> Result<Self, ShapeError> {
        // Rows without columns are all there.
        let limit = data.len().checked_div(cols).unwrap_or(usize::MAX);
        if let Some(place) = rows.iter().position(|&row| row as usize >= limit) {
            return Err(ShapeError::Index {
                operation: OPERATION,
                index: rows[place] as usize,
                place,
                limit,
            });
        }
        Ok(Self {
            data,
            cols,
            count: rows.len(),
            rows: Some(rows),
            scale,
            transposed: false,
        })
    }

    /// The transpose: the same bytes.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            transposed: !self.transposed,
            ..self
        }
    }

    /// Rows and columns, after a transposition.
    fn size(&self) -> (usize, usize) {
        if self.transposed {
            (self.cols, self.count)
        } else {
            (self.count, self.cols)
        }
    }

    /// Whether the rows of the matrix are rows of bytes.
    pub(crate) fn runs_along_rows(&self) -> bool {
        !self.transposed
    }

    /// Offset of row `i` of bytes.
    #[inline(always)]
    fn row(&self, i: usize) -> usize {
        self.cols * self.rows.map_or(i, |rows| rows[i] as usize)
    }

    /// `LANES` numbers from offset `at`: the first `n` from the bytes, then zeros.
    #[inline(always)]
    fn load<S: Simd<T>>(&self, s: S, at: usize, n: usize) -> S::V {
        let scale = s.splat(self.scale);
        if at + S::LANES <= self.data.len() {
            // SAFETY: LANES bytes from `at` lie in the slice.
            let x = unsafe { s.load_u8(self.data.as_ptr().add(at)) };
            let x = s.mul(x, scale);
            return if n >= S::LANES {
                x
            } else {
                s.select(s.first(n), x, s.splat(T::ZERO))
            };
        }
        let mut last = [0; 16];
        for (to, from) in last.iter_mut().zip(&self.data[at..][..n]) {
            *to = *from;
        }
        // SAFETY: LANES is at most 16.
        let x = unsafe { s.load_u8(last.as_ptr()) };
        s.mul(x, scale)
    }
}

/// One panel of bytes to be packed, as [`super::pack::Panel`] is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BytePanel<'a, T> {
    pub bytes: Bytes<'a, T>,
    /// Lines are rows of bytes, steps their columns; or the other way round.
    pub lines_are_rows: bool,
    /// First line and first step.
    pub line: usize,
    pub step: usize,
    /// Lines and steps.
    pub width: usize,
    pub depth: usize,
    /// Where it goes: `depth * pitch` elements.
    pub to: *mut T,
    /// Elements from one step to the next there; at least `width`.
    pub pitch: usize,
}

impl<T: Float> Kernel<T> for BytePanel<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let end = self.to.wrapping_add(self.depth * self.pitch);
        // The last vector of lines first, as in `Panel::each`.
        for line in (0..self.pitch).step_by(S::LANES).rev() {
            let width = self.width.saturating_sub(line).min(S::LANES);
            let keep = self.pitch - line;
            if self.lines_are_rows {
                self.transpose(s, line, width, keep);
                continue;
            }
            let to = Target::in_panel(self.to.wrapping_add(line), self.pitch, keep, S::LANES, end);
            for p in 0..self.depth {
                let x = self
                    .bytes
                    .load(s, self.bytes.row(self.step + p) + self.line + line, width);
                // SAFETY: step p of the panel holds `pitch` elements; a whole vector ends in the panel.
                unsafe {
                    let to_step = to.data.add(p * self.pitch);
                    if p < to.whole {
                        s.store(to_step, x);
                    } else {
                        s.store_masked(to_step, s.first(keep), x);
                    }
                }
            }
        }
    }
}

impl<T: Float> BytePanel<'_, T> {
    /// Lines `line..line + width`, LANES steps at a time through a block on the stack.
    #[inline(always)]
    fn transpose<S: Simd<T>>(&self, s: S, line: usize, width: usize, keep: usize) {
        let mut block = [[T::ZERO; 16]; 16];
        for p in (0..self.depth).step_by(S::LANES) {
            let cols = (self.depth - p).min(S::LANES);
            for (i, row) in block.iter_mut().enumerate().take(width) {
                let from = self.bytes.row(self.line + line + i) + self.step + p;
                // SAFETY: a row of the block holds LANES elements, at most 16.
                unsafe { s.store(row.as_mut_ptr(), self.bytes.load(s, from, cols)) };
            }
            let from = Block {
                data: block.as_ptr().cast(),
                row: 16,
                rows: width,
                cols,
            };
            let (to, end) = (
                self.to.wrapping_add(p * self.pitch + line),
                self.to.wrapping_add(self.depth * self.pitch),
            );
            // SAFETY: the block holds `width` rows of LANES elements; steps p.. of the panel hold `pitch` elements each.
            unsafe { s.transpose(from, Target::in_panel(to, self.pitch, keep, S::LANES, end)) };
        }
    }
}
