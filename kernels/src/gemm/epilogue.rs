//! What happens to a product's tile before it leaves for C.

use super::Shape;
use crate::simd::{Kernel, Simd};
use crate::{Activation, Float, MatRef, ShapeError};

/// What is done to `t = alpha * A * B + beta * C` before it is stored, in this order, each step optional:
/// `t += bias` (one value a column), `t = activation(t)`, `t *= derivative(saved)`.
///
/// It holds slices, never scalars that training changes.
#[derive(Debug, Clone, Copy)]
pub struct Epilogue<'a, T> {
    pub(crate) bias: Option<&'a [T]>,
    pub(crate) activation: Activation,
    pub(crate) derivative: Option<(Activation, MatRef<'a, T>)>,
}

impl<'a, T: Float> Epilogue<'a, T> {
    /// Stores the product as it is.
    pub const fn none() -> Self {
        Self {
            bias: None,
            activation: Activation::Identity,
            derivative: None,
        }
    }

    /// Adds `bias[j]` to column j. Length: the columns of C.
    #[must_use]
    pub const fn bias(self, bias: &'a [T]) -> Self {
        Self {
            bias: Some(bias),
            ..self
        }
    }

    /// Applies an activation.
    #[must_use]
    pub const fn activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    /// Multiplies by an activation's derivative at `saved`, which has C's shape: the activation's output where
    /// the derivative can be had from it (relu), as [`crate::Context::activate_backward`] takes it.
    #[must_use]
    pub const fn times_derivative(self, activation: Activation, saved: MatRef<'a, T>) -> Self {
        Self {
            derivative: Some((activation, saved)),
            ..self
        }
    }

    /// Whether it does nothing.
    pub(crate) fn is_none(&self) -> bool {
        self.bias.is_none() && self.activation == Activation::Identity && self.derivative.is_none()
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
        let Some((_, saved)) = self.derivative else {
            return Ok(());
        };
        if (saved.rows(), saved.cols()) != (shape.m, shape.n) {
            return Err(ShapeError::Shape {
                operation: "gemm",
                operand: "the epilogue's saved matrix",
                got: (saved.rows(), saved.cols()),
                expected: (shape.m, shape.n),
            });
        }
        if saved.cols() > 1 && saved.col_stride() != 1 {
            return Err(ShapeError::ColumnStride {
                operation: "gemm",
                operand: "the epilogue's saved matrix",
                col_stride: saved.col_stride(),
            });
        }
        Ok(())
    }

    /// Whether some of it is beyond what micro-kernels do in registers: bias, relu, relu's derivative.
    pub(crate) fn is_long(&self) -> bool {
        let short = |activation| matches!(activation, Activation::Identity | Activation::Relu);
        !short(self.activation)
            || self
                .derivative
                .is_some_and(|(activation, _)| activation != Activation::Relu)
    }

    /// All but the bias, for the tile of C at (row, col) while it lies in L1.
    pub(crate) fn on_tile(&self, c: *mut T, c_row: usize, at: (usize, usize), used: (usize, usize)) -> OnTile<'a, T> {
        OnTile {
            epilogue: *self,
            c,
            c_row,
            at,
            used,
        }
    }

    /// Whether there is more than a bias.
    pub(crate) fn has_function(&self) -> bool {
        self.activation != Activation::Identity || self.derivative.is_some()
    }
}

/// Activation and derivative on one tile, bias being in already.
pub(crate) struct OnTile<'a, T> {
    epilogue: Epilogue<'a, T>,
    c: *mut T,
    c_row: usize,
    /// Row and column of the tile in C.
    at: (usize, usize),
    /// Its rows and columns.
    used: (usize, usize),
}

impl<T: Float> Kernel<T> for OnTile<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        for i in 0..self.used.0 {
            for j in (0..self.used.1).step_by(S::LANES) {
                let keep = s.first(self.used.1 - j);
                // SAFETY: row i of the tile has `used.1` elements, which this task alone writes, and so has the saved
                // matrix, whose rows are contiguous (`check`).
                unsafe {
                    let c = self.c.add(i * self.c_row + j);
                    let mut x = self.epilogue.activation.apply(s, s.load_masked(c, keep));
                    if let Some((activation, saved)) = self.epilogue.derivative {
                        let row = saved.as_ptr().add((self.at.0 + i) * saved.row_stride() + self.at.1 + j);
                        x = activation.times_derivative(s, s.load_masked(row, keep), x);
                    }
                    s.store_masked(c, keep, x);
                }
            }
        }
    }
}
