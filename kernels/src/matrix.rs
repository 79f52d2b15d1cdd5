//! Matrices as kernels see them: a slice, a shape and two strides.
//!
//! Element (i, j) lies at `i * row_stride + j * col_stride`. Row-major means `col_stride` 1, its transpose is the same
//! memory with the strides swapped: nothing is ever copied to transpose.

use std::marker::PhantomData;

use crate::ShapeError;

/// A matrix that is read.
///
/// It points at its elements and not at the slice they came from: the gaps between rows may be borrowed by somebody else.
#[derive(Debug)]
pub struct MatRef<'a, T> {
    data: *const T,
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
    owner: PhantomData<&'a [T]>,
}

// SAFETY: a MatRef is a shared borrow of its elements, like &[T].
unsafe impl<T: Sync> Send for MatRef<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for MatRef<'_, T> {}

impl<T> Clone for MatRef<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for MatRef<'_, T> {}

/// A matrix that is written. No two of its elements share an address.
#[derive(Debug)]
pub struct MatMut<'a, T> {
    data: *mut T,
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
    owner: PhantomData<&'a mut [T]>,
}

// SAFETY: a MatMut is an exclusive borrow of its slice, like &mut [T].
unsafe impl<T: Send> Send for MatMut<'_, T> {}
// SAFETY: a shared MatMut only gives out what a shared &mut [T] would.
unsafe impl<T: Sync> Sync for MatMut<'_, T> {}

/// Elements that the shape reaches: one more than the offset of its last element.
fn needed(rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> Option<usize> {
    if rows == 0 || cols == 0 {
        return Some(0);
    }
    let last_row = (rows - 1).checked_mul(row_stride)?;
    let last_col = (cols - 1).checked_mul(col_stride)?;
    last_row.checked_add(last_col)?.checked_add(1)
}

fn check(len: usize, rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> Result<(), ShapeError> {
    match needed(rows, cols, row_stride, col_stride) {
        Some(needed) if needed <= len => Ok(()),
        needed => Err(ShapeError::TooShort {
            rows,
            cols,
            row_stride,
            col_stride,
            needed: needed.unwrap_or(usize::MAX),
            len,
        }),
    }
}

/// Whether two elements may share an address. Exact for the layouts that occur (one stride spans the other's whole
/// extent), and refusing beyond them.
fn overlaps(rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> bool {
    if rows == 0 || cols == 0 {
        return false;
    }
    let by_rows = rows == 1 || (row_stride > (cols - 1).saturating_mul(col_stride));
    let by_cols = cols == 1 || (col_stride > (rows - 1).saturating_mul(row_stride));
    let distinct_in_row = cols == 1 || col_stride > 0;
    let distinct_in_col = rows == 1 || row_stride > 0;
    !(distinct_in_row && distinct_in_col && (by_rows || by_cols))
}

impl<'a, T> MatRef<'a, T> {
    /// `rows` x `cols` elements of `data` at these strides, both in elements. A stride of 0 repeats a row or column.
    ///
    /// # Errors
    /// When the last element lies outside `data`.
    pub fn new(
        data: &'a [T],
        rows: usize,
        cols: usize,
        row_stride: usize,
        col_stride: usize,
    ) -> Result<Self, ShapeError> {
        check(data.len(), rows, cols, row_stride, col_stride)?;
        Ok(Self {
            data: data.as_ptr(),
            rows,
            cols,
            row_stride,
            col_stride,
            owner: PhantomData,
        })
    }

    /// `rows` x `cols`, a row after the other without gaps.
    ///
    /// # Errors
    /// When `data` is shorter than `rows * cols`.
    pub fn row_major(data: &'a [T], rows: usize, cols: usize) -> Result<Self, ShapeError> {
        Self::new(data, rows, cols, cols, 1)
    }

    /// The transpose: the same memory, rows and columns exchanged.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Elements from one row to the next.
    pub fn row_stride(&self) -> usize {
        self.row_stride
    }

    /// Elements from one column to the next.
    pub fn col_stride(&self) -> usize {
        self.col_stride
    }

    /// Address of element (0, 0).
    pub fn as_ptr(&self) -> *const T {
        self.data
    }

    /// Element (row, col); `None` outside the shape.
    pub fn get(&self, row: usize, col: usize) -> Option<&'a T> {
        // SAFETY: inside the shape, whose elements are borrowed for 'a.
        (row < self.rows && col < self.cols)
            .then(|| unsafe { &*self.data.add(row * self.row_stride + col * self.col_stride) })
    }
}

impl<'a, T> MatMut<'a, T> {
    /// `rows` x `cols` elements of `data` at these strides, both in elements.
    ///
    /// # Errors
    /// When the last element lies outside `data`, or when two elements share an address.
    pub fn new(
        data: &'a mut [T],
        rows: usize,
        cols: usize,
        row_stride: usize,
        col_stride: usize,
    ) -> Result<Self, ShapeError> {
        check(data.len(), rows, cols, row_stride, col_stride)?;
        if overlaps(rows, cols, row_stride, col_stride) {
            return Err(ShapeError::Overlap {
                rows,
                cols,
                row_stride,
                col_stride,
            });
        }
        let data = data.as_mut_ptr();
        Ok(Self {
            data,
            rows,
            cols,
            row_stride,
            col_stride,
            owner: PhantomData,
        })
    }

    /// `rows` x `cols`, a row after the other without gaps.
    ///
    /// # Errors
    /// When `data` is shorter than `rows * cols`.
    pub fn row_major(data: &'a mut [T], rows: usize, cols: usize) -> Result<Self, ShapeError> {
        Self::new(data, rows, cols, cols, 1)
    }

    /// The transpose: the same memory, rows and columns exchanged.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// The same matrix, borrowed for a shorter time.
    #[must_use]
    pub fn reborrow(&mut self) -> MatMut<'_, T> {
        MatMut {
            owner: PhantomData,
            ..*self
        }
    }

    /// Itself, to be read.
    pub fn as_ref(&self) -> MatRef<'_, T> {
        MatRef {
            data: self.data,
            rows: self.rows,
            cols: self.cols,
            row_stride: self.row_stride,
            col_stride: self.col_stride,
            owner: PhantomData,
        }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Elements from one row to the next.
    pub fn row_stride(&self) -> usize {
        self.row_stride
    }

    /// Elements from one column to the next.
    pub fn col_stride(&self) -> usize {
        self.col_stride
    }

    /// Writes element (row, col).
    ///
    /// # Panics
    /// Outside the shape.
    pub fn set(&mut self, row: usize, col: usize, value: T) {
        assert!(
            row < self.rows && col < self.cols,
            "({row}, {col}) is outside {}x{}",
            self.rows,
            self.cols
        );
        // SAFETY: inside the shape, which lies inside the slice.
        unsafe {
            self.data
                .add(row * self.row_stride + col * self.col_stride)
                .write(value)
        };
    }

    /// Address of element (0, 0).
    pub fn as_mut_ptr(&mut self) -> *mut T {
        self.data
    }

    /// The same from a shared reference, for tasks that write disjoint elements.
    pub(crate) fn shared_ptr(&self) -> *mut T {
        self.data
    }

    /// All of `data` as one row.
    pub(crate) fn one_row(data: &'a mut [T]) -> Self {
        Self {
            rows: 1,
            cols: data.len(),
            row_stride: data.len(),
            col_stride: 1,
            data: data.as_mut_ptr(),
            owner: PhantomData,
        }
    }
}

#[cfg(feature = "ndarray")]
mod with_ndarray;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_slices_and_overlaps_are_refused_with_both_shapes() {
        let mut data = [0.0f32; 12];
        assert!(MatRef::row_major(&data, 3, 4).is_ok());
        let error = MatRef::row_major(&data, 3, 5).unwrap_err().to_string();
        assert!(
            error.contains("3x5") && error.contains("15") && error.contains("12"),
            "{error}"
        );
        assert!(MatRef::new(&data, usize::MAX, 2, usize::MAX, 1).is_err());
        assert!(
            MatRef::new(&data, 3, 4, 0, 1).is_ok(),
            "a row may be repeated when it is only read"
        );
        for (rows, cols, row_stride, col_stride) in [(3, 4, 3, 1), (3, 4, 0, 1), (2, 2, 1, 1), (2, 1, 0, 1)] {
            assert!(MatMut::new(&mut data, rows, cols, row_stride, col_stride).is_err());
        }
        for (rows, cols, row_stride, col_stride) in
            [(3, 4, 4, 1), (4, 3, 1, 4), (1, 3, 0, 4), (2, 2, 5, 2), (0, 9, 0, 0)]
        {
            assert!(MatMut::new(&mut data, rows, cols, row_stride, col_stride).is_ok());
        }
    }

    #[test]
    fn a_transpose_is_the_same_memory() {
        let data = [1, 2, 3, 4, 5, 6];
        let a = MatRef::row_major(&data, 2, 3).unwrap();
        assert_eq!(a.transposed().get(2, 1), a.get(1, 2));
        assert_eq!(a.transposed().get(1, 2), None);
    }
}
