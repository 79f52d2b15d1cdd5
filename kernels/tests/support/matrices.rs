//! Matrices in every layout, with gaps that must stay untouched.

use tilelab_kernels::{Float, MatMut, MatRef};

/// A matrix inside a larger slice: gaps between rows and a guard behind, all poisoned with NaN.
pub struct Padded<T> {
    pub data: Vec<T>,
    pub rows: usize,
    pub cols: usize,
    pub row_stride: usize,
    pub col_stride: usize,
}

/// How a matrix lies in memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Layout {
    RowMajor,
    ColumnMajor,
    /// Neither stride is 1.
    Scattered,
}

impl<T: Float> Padded<T> {
    pub fn new(rows: usize, cols: usize, layout: Layout, gap: usize, mut value: impl FnMut() -> f64) -> Self {
        let (row_stride, col_stride) = match layout {
            Layout::RowMajor => (cols + gap, 1),
            Layout::ColumnMajor => (1, rows + gap),
            Layout::Scattered => (2 * cols + gap + 1, 2),
        };
        let len = rows * row_stride + cols * col_stride + 3;
        let mut padded = Self {
            data: vec![T::from_f64(f64::NAN); len],
            rows,
            cols,
            row_stride,
            col_stride,
        };
        for i in 0..rows {
            for j in 0..cols {
                padded.data[i * row_stride + j * col_stride] = T::from_f64(value());
            }
        }
        padded
    }

    pub fn view(&self) -> MatRef<'_, T> {
        MatRef::new(&self.data, self.rows, self.cols, self.row_stride, self.col_stride).unwrap()
    }

    pub fn view_mut(&mut self) -> MatMut<'_, T> {
        MatMut::new(&mut self.data, self.rows, self.cols, self.row_stride, self.col_stride).unwrap()
    }

    pub fn at(&self, i: usize, j: usize) -> f64 {
        self.data[i * self.row_stride + j * self.col_stride].to_f64()
    }

    /// Every element outside the matrix is still the poison it was.
    pub fn gaps_are_untouched(&self) -> bool {
        let mut inside = vec![false; self.data.len()];
        for i in 0..self.rows {
            for j in 0..self.cols {
                inside[i * self.row_stride + j * self.col_stride] = true;
            }
        }
        self.data
            .iter()
            .zip(inside)
            .all(|(x, inside)| inside || x.to_f64().is_nan())
    }
}
