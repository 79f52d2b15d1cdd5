//! Matrices laid out as a bench wants them: how far from row to row, and how far off a cache line.

use tilelab_kernels::{MatMut, MatRef};

/// Bytes of a cache line.
const LINE: usize = 64;

/// How a row-major matrix lies in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Layout {
    /// Elements from one row to the next; fewer than the row has, as by default, means no gap.
    pub row: usize,
    /// Bytes from the start of a cache line to element (0, 0): a multiple of an element's size below 64.
    pub offset_bytes: usize,
}

/// A matrix in memory of its own.
#[derive(Debug, Clone)]
pub struct Field<T = f32> {
    data: Vec<T>,
    start: usize,
    rows: usize,
    cols: usize,
    row: usize,
}

impl<T> Field<T> {
    /// `rows` x `cols`, every element and gap `fill()`.
    pub fn new(rows: usize, cols: usize, layout: Layout, fill: impl FnMut() -> T) -> Self {
        let row = layout.row.max(cols);
        let (line, offset) = (LINE / size_of::<T>(), layout.offset_bytes / size_of::<T>());
        let mut data = Vec::with_capacity(rows * row + 2 * line);
        data.resize_with(rows * row + 2 * line, fill);
        // The heap block stays where it is while the vector is neither grown nor cloned.
        let past = data.as_ptr().addr() / size_of::<T>() % line;
        let start = (line - past) % line + offset % line;
        Self {
            data,
            start,
            rows,
            cols,
            row,
        }
    }

    /// To be read.
    pub fn view(&self) -> MatRef<'_, T> {
        match MatRef::new(&self.data[self.start..], self.rows, self.cols, self.row, 1) {
            Ok(view) => view,
            Err(error) => unreachable!("a field is made with its shape: {error}"),
        }
    }

    /// To be written.
    pub fn view_mut(&mut self) -> MatMut<'_, T> {
        match MatMut::new(&mut self.data[self.start..], self.rows, self.cols, self.row, 1) {
            Ok(view) => view,
            Err(error) => unreachable!("a field is made with its shape: {error}"),
        }
    }

    /// Element (i, j), or (j, i) of what is seen `transposed`.
    #[inline]
    pub fn at(&self, i: usize, j: usize, transposed: bool) -> T
    where
        T: Copy,
    {
        let (i, j) = if transposed { (j, i) } else { (i, j) };
        self.data[self.start + i * self.row + j]
    }

    /// Its elements without gaps.
    pub fn dense(&self) -> Vec<T>
    where
        T: Copy,
    {
        let rows = self.data[self.start..].chunks(self.row).take(self.rows);
        rows.flat_map(|row| &row[..self.cols]).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_lies_as_asked_and_holds_its_elements() {
        for (row, offset_bytes) in [(0, 0), (0, 4), (5, 16), (9, 32), (64, 60)] {
            let mut count = 0.0f32;
            let mut field = Field::new(3, 5, Layout { row, offset_bytes }, || {
                count += 1.0;
                count
            });
            assert_eq!(field.view().as_ptr().addr() % LINE, offset_bytes);
            assert_eq!(field.view().row_stride(), row.max(5));
            field.view_mut().set(2, 4, -1.0);
            let dense = field.dense();
            assert_eq!((dense.len(), dense[14]), (15, -1.0));
            assert_eq!(field.view().get(1, 2), Some(&dense[7]));
        }
    }
}
