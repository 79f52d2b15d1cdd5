//! What happens to a product's tile before it leaves for C.

use super::Shape;
use crate::activation::Visitor;
use crate::simd::{Kernel, Simd};
use crate::vector_loops::{self, Map, Zip};
use crate::{Activation, Float, MatMut, MatRef, ShapeError};

/// What is done to `t = alpha * A * B + beta * C` before it is stored, in this order, each step optional:
/// `t += bias` (one value a column), `input = t`, `t = activation(t)`, `t *= derivative(saved)`, `sums += t`.
///
/// It holds slices, never scalars that training changes.
#[derive(Debug)]
pub struct Epilogue<'a, T> {
    pub(crate) bias: Option<&'a [T]>,
    pub(crate) input: Option<MatMut<'a, T>>,
    pub(crate) activation: Activation,
    pub(crate) derivative: Option<(Activation, MatRef<'a, T>)>,
    pub(crate) column_sum: Option<MatMut<'a, T>>,
}

impl<'a, T: Float> Epilogue<'a, T> {
    /// Stores the product as it is.
    pub const fn none() -> Self {
        Self {
            bias: None,
            input: None,
            activation: Activation::Identity,
            derivative: None,
            column_sum: None,
        }
    }

    /// Adds `bias[j]` to column j. Length: the columns of C.
    #[must_use]
    pub fn bias(self, bias: &'a [T]) -> Self {
        Self {
            bias: Some(bias),
            ..self
        }
    }

    /// Applies an activation.
    #[must_use]
    pub fn activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    /// Multiplies by an activation's derivative at `saved`, which has C's shape: the activation's output where
    /// the derivative can be had from it (relu), as [`crate::Context::activate_backward`] takes it.
    #[must_use]
    pub fn times_derivative(self, activation: Activation, saved: MatRef<'a, T>) -> Self {
        Self {
            derivative: Some((activation, saved)),
            ..self
        }
    }

    /// Stores what the activation is applied to, the pre-activation, in a matrix of C's shape: gelu and swish need
    /// it on the way back.
    #[must_use]
    pub fn store_input(self, input: MatMut<'a, T>) -> Self {
        Self {
            input: Some(input),
            ..self
        }
    }

    /// Sums each column of what is stored in C: the bias' gradient. Length: the columns of C. The rows of a block are
    /// added in their order, then the blocks in theirs, whatever the number of threads.
    #[must_use]
    pub fn column_sum(self, sums: &'a mut [T]) -> Self {
        Self {
            column_sum: Some(MatMut::one_row(sums)),
            ..self
        }
    }

    /// Whether it does nothing.
    pub(crate) fn is_none(&self) -> bool {
        self.bias.is_none() && !self.has_function()
    }

    /// Whether its operands fit C.
    pub(crate) fn check(&self, shape: Shape) -> Result<(), ShapeError> {
        if let Some(bias) = self.bias
            && bias.len() != shape.n
        {
            return Err(ShapeError::Length {
                operation: "gemm",
                operand: "the epilogue's bias",
                got: bias.len(),
                expected: shape.n,
            });
        }
        if let Some(sums) = &self.column_sum
            && sums.cols() != shape.n
        {
            return Err(ShapeError::Length {
                operation: "gemm",
                operand: "the epilogue's column sum",
                got: sums.cols(),
                expected: shape.n,
            });
        }
        let saved = self.derivative.map(|(_, saved)| saved);
        let input = self.input.as_ref().map(MatMut::as_ref);
        Self::check_matrix("the epilogue's saved matrix", saved, shape)?;
        Self::check_matrix("the epilogue's pre-activation", input, shape)
    }

    /// A matrix beside C: its shape, and rows without gaps between elements.
    fn check_matrix(operand: &'static str, matrix: Option<MatRef<'_, T>>, shape: Shape) -> Result<(), ShapeError> {
        let Some(matrix) = matrix else { return Ok(()) };
        if (matrix.rows(), matrix.cols()) != (shape.m, shape.n) {
            return Err(ShapeError::Shape {
                operation: "gemm",
                operand,
                got: (matrix.rows(), matrix.cols()),
                expected: (shape.m, shape.n),
            });
        }
        if matrix.cols() > 1 && matrix.col_stride() != 1 {
            return Err(ShapeError::ColumnStride {
                operation: "gemm",
                operand,
                col_stride: matrix.col_stride(),
            });
        }
        Ok(())
    }

    /// Whether some of it is beyond what micro-kernels do in registers: bias, relu, relu's derivative.
    pub(crate) fn is_long(&self) -> bool {
        let short = |activation| matches!(activation, Activation::Identity | Activation::Relu);
        self.input.is_some()
            || self.column_sum.is_some()
            || !short(self.activation)
            || self
                .derivative
                .is_some_and(|(activation, _)| activation != Activation::Relu)
    }

    /// All but the bias, for the tile of C at (row, col) while it lies in L1. `c` is where it lies, and its row stride;
    /// `sums` the tile's part of its block's column sums, unless null.
    pub(crate) fn on_tile(
        &self,
        c: (*mut T, usize),
        at: (usize, usize),
        used: (usize, usize),
        sums: *mut T,
    ) -> OnTile<'_, 'a, T> {
        OnTile {
            epilogue: self,
            c,
            at,
            used,
            sums,
        }
    }

    /// Whether there is more than a bias.
    pub(crate) fn has_function(&self) -> bool {
        self.activation != Activation::Identity
            || self.derivative.is_some()
            || self.input.is_some()
            || self.column_sum.is_some()
    }
}

/// Activation, derivative and what is written beside C for one tile, bias being in already.
pub(crate) struct OnTile<'e, 'a, T> {
    epilogue: &'e Epilogue<'a, T>,
    c: (*mut T, usize),
    /// Row and column of the tile in C.
    at: (usize, usize),
    /// Its rows and columns.
    used: (usize, usize),
    sums: *mut T,
}

/// A matrix's part under a tile: its address and row stride.
type Under<T> = (*mut T, usize);

impl<T: Float> Kernel<T> for OnTile<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let (epilogue, (row, col)) = (self.epilogue, self.at);
        if let Some(input) = &epilogue.input {
            let stride = input.row_stride();
            let to = (input.shared_ptr().wrapping_add(row * stride + col), stride);
            self.rows(s, Activation::Identity, None, to);
        }
        if epilogue.activation != Activation::Identity {
            self.rows(s, epilogue.activation, None, self.c);
        }
        if let Some((activation, saved)) = epilogue.derivative {
            let stride = saved.row_stride();
            let from = saved.as_ptr().wrapping_add(row * stride + col).cast_mut();
            self.rows(s, activation, Some((from, stride)), self.c);
        }
        if !self.sums.is_null() {
            self.add_up(s);
        }
    }
}

impl<T: Float> OnTile<'_, '_, T> {
    /// to <- f(tile), or where there is `saved` f'(saved) (.) tile, row by row.
    #[inline(always)]
    fn rows<S: Simd<T>>(&self, s: S, activation: Activation, saved: Option<Under<T>>, to: Under<T>) {
        struct Tile<T, S> {
            s: S,
            c: Under<T>,
            saved: Option<Under<T>>,
            to: Under<T>,
            used: (usize, usize),
        }
        impl<T: Float, S: Simd<T>> Visitor<T> for Tile<T, S> {
            #[inline(always)]
            fn function<F: Map<T> + Zip<T>>(self, f: F) {
                let (s, n) = (self.s, self.used.1);
                for i in 0..self.used.0 {
                    let at = |(p, stride): Under<T>| p.wrapping_add(i * stride);
                    let (c, to) = (at(self.c), at(self.to));
                    // SAFETY: row i of the tile has `used.1` elements, which this task alone writes, and so have the
                    // matrices beside C, whose rows are contiguous (`check`).
                    unsafe {
                        match self.saved {
                            None => vector_loops::map(s, f, c, to, n),
                            Some(saved) => vector_loops::zip(s, f, at(saved), c, to, n),
                        }
                    }
                }
            }
        }
        activation.visit(Tile {
            s,
            c: self.c,
            saved,
            to,
            used: self.used,
        });
    }

    /// sums <- sums + the tile's columns, row after row.
    #[inline(always)]
    fn add_up<S: Simd<T>>(&self, s: S) {
        for j in (0..self.used.1).step_by(S::LANES) {
            let keep = s.first(self.used.1 - j);
            // SAFETY: `used.1` sums, this task's alone, and rows as above.
            unsafe {
                let mut sum = s.load_masked(self.sums.add(j), keep);
                for i in 0..self.used.0 {
                    sum = s.add(sum, s.load_masked(self.c.0.add(i * self.c.1 + j), keep));
                }
                s.store_masked(self.sums.add(j), keep, sum);
            }
        }
    }
}
