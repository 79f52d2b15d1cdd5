//! What the kernel tests share: the ISAs to test, operands, and matrices with guards.
#![allow(dead_code)] // each test file uses its own part

use tilelab_kernels::{Float, Isa, MatMut, MatRef};

/// The ISAs to test: the one that `TILELAB_ISA` forces, else all that this CPU has. A forced one that is missing fails.
pub fn isas() -> Vec<Isa> {
    if std::env::var_os("TILELAB_ISA").is_some() {
        return vec![Isa::selected().expect("TILELAB_ISA names an ISA that this CPU has")];
    }
    for isa in Isa::ALL.into_iter().filter(|isa| !isa.is_available()) {
        println!("skipped: needs a CPU with {isa}");
    }
    Isa::available()
}

/// A small fast generator (xorshift64*), so that operands are the same everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Uniform in [-1, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    /// Whole numbers from -`most` to `most`.
    pub fn whole(&mut self, most: u64) -> f64 {
        (self.bits() % (2 * most + 1)) as f64 - most as f64
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.bits() % end as u64) as usize
    }
}

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
