//! What happens to a product's tile before it leaves for C.

use crate::{Activation, Float, MatRef};

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
}
