//! Activations and their derivatives.

use crate::elementwise::{self, Rows, length, over_rows};
use crate::simd::Simd;
use crate::vector_loops::{Map, Zip};
use crate::{Context, Float, MatMut, ShapeError};

/// An elementwise activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Activation {
    /// x
    #[default]
    Identity,
    /// max(x, 0); its derivative at 0 is 0.
    Relu,
}

/// What an activation's derivative is computed from, and so what a forward pass must keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Saves {
    /// The activation's input, the pre-activation.
    Input,
    /// The activation's output.
    Output,
}

impl Activation {
    /// What [`Context::activate_backward`] takes as `saved`.
    pub const fn saves(self) -> Saves {
        match self {
            Activation::Identity | Activation::Relu => Saves::Output,
        }
    }

    /// f(x).
    #[inline(always)]
    pub(crate) fn apply<T: Float, S: Simd<T>>(self, s: S, x: S::V) -> S::V {
        match self {
            Activation::Identity => x,
            Activation::Relu => Relu.map(s, x),
        }
    }

    /// dy * f'(saved).
    #[inline(always)]
    pub(crate) fn times_derivative<T: Float, S: Simd<T>>(self, s: S, saved: S::V, dy: S::V) -> S::V {
        match self {
            Activation::Identity => dy,
            Activation::Relu => Relu.zip(s, saved, dy),
        }
    }

    /// Gives `visitor` the function itself, so that loops are compiled once for each.
    fn visit<T: Float, W: Visitor<T>>(self, visitor: W) {
        match self {
            Activation::Identity => visitor.function(Identity),
            Activation::Relu => visitor.function(Relu),
        }
    }
}

/// Who wants an activation as a type: see [`Activation::visit`].
trait Visitor<T: Float> {
    /// `f`'s [`Map`] is the activation, its [`Zip`] takes (saved, dy) to dy * f'(saved).
    fn function<F: Map<T> + Zip<T>>(self, f: F);
}

#[derive(Clone, Copy)]
struct Identity;

impl<T: Float> Map<T> for Identity {
    #[inline(always)]
    fn map<S: Simd<T>>(self, _: S, x: S::V) -> S::V {
        x
    }
}

impl<T: Float> Zip<T> for Identity {
    #[inline(always)]
    fn zip<S: Simd<T>>(self, _: S, _: S::V, dy: S::V) -> S::V {
        dy
    }
}

#[derive(Clone, Copy)]
struct Relu;

impl<T: Float> Map<T> for Relu {
    /// NaN stays NaN (max gives its second operand), -0.0 gives -0.0.
    #[inline(always)]
    fn map<S: Simd<T>>(self, s: S, x: S::V) -> S::V {
        s.max(s.splat(T::ZERO), x)
    }
}

impl<T: Float> Zip<T> for Relu {
    #[inline(always)]
    fn zip<S: Simd<T>>(self, s: S, saved: S::V, dy: S::V) -> S::V {
        s.select(s.gt(saved, s.splat(T::ZERO)), dy, s.splat(T::ZERO))
    }
}

impl Context {
    /// y = f(x), element by element.
    ///
    /// # Errors
    /// When the lengths differ.
    pub fn activate<T: Float>(&self, activation: Activation, x: &[T], y: &mut [T]) -> Result<(), ShapeError> {
        struct Forward<'a, T>(&'a Context, &'a [T], &'a mut [T]);
        impl<T: Float> Visitor<T> for Forward<'_, T> {
            fn function<F: Map<T> + Zip<T>>(self, f: F) {
                elementwise::map(self.0, f, self.1, self.2);
            }
        }
        length("activate", "y", y.len(), x.len())?;
        activation.visit(Forward(self, x, y));
        Ok(())
    }

    /// dx = dy * f'(saved), element by element; `saved` is the activation's input or output, as [`Activation::saves`] says.
    ///
    /// # Errors
    /// When the lengths differ.
    pub fn activate_backward<T: Float>(
        &self,
        activation: Activation,
        saved: &[T],
        dy: &[T],
        dx: &mut [T],
    ) -> Result<(), ShapeError> {
        struct Backward<'a, T>(&'a Context, &'a [T], &'a [T], &'a mut [T]);
        impl<T: Float> Visitor<T> for Backward<'_, T> {
            fn function<F: Map<T> + Zip<T>>(self, f: F) {
                elementwise::zip(self.0, f, self.1, self.2, self.3);
            }
        }
        length("activate_backward", "dy", dy.len(), saved.len())?;
        length("activate_backward", "dx", dx.len(), saved.len())?;
        activation.visit(Backward(self, saved, dy, dx));
        Ok(())
    }

    /// z\[i, j\] += bias\[j\].
    ///
    /// # Errors
    /// When `bias` has not one element a column, or the rows of `z` are not contiguous.
    pub fn add_bias<T: Float>(&self, bias: &[T], mut z: MatMut<'_, T>) -> Result<(), ShapeError> {
        length("add_bias", "bias", bias.len(), z.cols())?;
        let rows = Rows::of_mut("add_bias", "z", &mut z)?;
        let isa = self.isa();
        over_rows(self, rows.rows, rows.cols, &|first, count| {
            for i in first..first + count {
                // SAFETY: row i lies within z and no other task has it; bias has as many elements.
                unsafe { elementwise::zip_segment(isa, Add, bias.as_ptr(), rows.row(i), rows.row(i), rows.cols) };
            }
        });
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Add;

impl<T: Float> Zip<T> for Add {
    #[inline(always)]
    fn zip<S: Simd<T>>(self, s: S, a: S::V, b: S::V) -> S::V {
        s.add(a, b)
    }
}
