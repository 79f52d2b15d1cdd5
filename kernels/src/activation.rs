//! Activations and their derivatives.
//!
//! | activation | f(x) | f'(x) | at the kink |
//! |---|---|---|---|
//! | identity | x | 1 | |
//! | relu | max(x, 0) | \[x > 0\] | 0 |
//! | leaky relu | x if x > 0, else slope x | 1, else slope | slope |
//! | prelu | x if x > 0, else alpha x | 1, else alpha | 1 |
//! | elu | x if x > 0, else alpha (exp(x) - 1) | 1, else f + alpha | alpha |
//! | sigmoid | y = 1 / (1 + exp(-x)) | y (1 - y) | |
//! | tanh | y = tanh x | 1 - y^2 | |
//! | swish | x y, y = sigmoid(beta x) | y + beta x y (1 - y) | |
//! | gelu | x P(x), P = (1 + erf(x / sqrt 2)) / 2 | P + x p(x), p the density | |
//! | gelu, tanh form | x y, y = sigmoid(u), u = 2 sqrt(2 / pi) (x + 0.044715 x^3) | y + x y (1 - y) u' | |
//!
//! # What happens at
//! NaN stays NaN in f. -0.0 stays -0.0 but in elu and swish, which give 0. Infinities give the limit, but swish at -inf (beta > 0), which is
//! -inf * 0: NaN. Error bounds are in `elementary/tanh.rs` and `elementary/normal.rs`; elu 2 ulp, swish 3 ulp of |x| sigmoid(beta x) where
//! beta = 1 (else beta x rounds first).

mod functions;

use functions::{ByAlpha, ByBeta, Elu, Gelu, GeluTanh, Identity, LeakyRelu, PRelu, Relu, Sigmoid, Swish, Tanh};

use crate::elementwise::{self, Rows, length, over_rows};
use crate::simd::Arithmetic;
use crate::vector_loops::{Map, Zip};
use crate::{Context, Float, MatMut, ShapeError};

/// An elementwise activation function.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Activation {
    /// x
    #[default]
    Identity,
    /// max(x, 0); its derivative at 0 is 0.
    Relu,
    /// x above 0, else slope x; its derivative at 0 is `slope`.
    LeakyRelu {
        /// 0.01 by custom.
        slope: f64,
    },
    /// Leaky relu with a learned slope; its derivative at 0 is 1.
    PRelu {
        /// 0.25 to begin with by custom.
        alpha: f64,
    },
    /// x above 0, else alpha (exp(x) - 1).
    Elu {
        /// 1 by custom.
        alpha: f64,
    },
    /// 1 / (1 + exp(-x))
    Sigmoid,
    /// tanh x
    Tanh,
    /// x sigmoid(beta x); with beta = 1 also called SiLU.
    Swish {
        /// 1 by custom.
        beta: f64,
    },
    /// x times the standard normal distribution function at x.
    Gelu,
    /// Its approximation x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)).
    GeluTanh,
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
    /// What [`Context::activate_backward`] takes as `saved`. The output where that is enough, since it is kept anyhow.
    pub fn saves(self) -> Saves {
        match self {
            Self::Identity | Self::Relu | Self::Sigmoid | Self::Tanh => Saves::Output,
            // With a negative slope the output has lost the input's sign.
            Self::LeakyRelu { slope: s } | Self::Elu { alpha: s } if s >= 0.0 => Saves::Output,
            _ => Saves::Input,
        }
    }

    /// The same function with its learned parameter, prelu's alpha or swish's beta, at this value; others stay as they are.
    #[must_use]
    pub fn with_parameter(self, value: f64) -> Self {
        match self {
            Self::PRelu { .. } => Self::PRelu { alpha: value },
            Self::Swish { .. } => Self::Swish { beta: value },
            other => other,
        }
    }

    /// Gives `visitor` the function itself, so that loops are compiled once for each.
    #[inline(always)]
    pub(crate) fn visit<T: Float, W: Visitor<T>>(self, visitor: W) {
        match self {
            Self::Identity => visitor.function(Identity),
            Self::Relu => visitor.function(Relu),
            Self::LeakyRelu { slope } => visitor.function(LeakyRelu(T::from_f64(slope))),
            Self::PRelu { alpha } => visitor.function(PRelu(T::from_f64(alpha))),
            Self::Elu { alpha } => visitor.function(Elu {
                alpha: T::from_f64(alpha),
                from_output: self.saves() == Saves::Output,
            }),
            Self::Sigmoid => visitor.function(Sigmoid),
            Self::Tanh => visitor.function(Tanh),
            Self::Swish { beta } => visitor.function(Swish(T::from_f64(beta))),
            Self::Gelu => visitor.function(Gelu),
            Self::GeluTanh => visitor.function(GeluTanh),
        }
    }
}

/// Who wants an activation as a type: see [`Activation::visit`].
pub(crate) trait Visitor<T: Float> {
    /// `f`'s [`Map`] is the activation, its [`Zip`] takes (saved, dy) to dy * f'(saved). Must be `#[inline(always)]` where it
    /// runs inside a function that enables an ISA.
    fn function<F: Map<T> + Zip<T>>(self, f: F);
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

    /// The sum of dy * df/dp over all elements, p being prelu's alpha or swish's beta, and `x` the activation's input: the gradient
    /// of a learned parameter. 0 for activations without one. Its order depends on the length alone.
    ///
    /// # Errors
    /// When the lengths differ.
    pub fn activation_parameter_gradient<T: Float>(
        &self,
        activation: Activation,
        x: &[T],
        dy: &[T],
    ) -> Result<T, ShapeError> {
        length("activation_parameter_gradient", "dy", dy.len(), x.len())?;
        Ok(match activation {
            Activation::PRelu { .. } => elementwise::sum_of_zip(self, ByAlpha, x, dy),
            Activation::Swish { beta } => elementwise::sum_of_zip(self, ByBeta(T::from_f64(beta)), x, dy),
            _ => T::ZERO,
        })
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
    fn zip<S: Arithmetic<T>>(self, s: S, a: S::V, b: S::V) -> S::V {
        s.add(a, b)
    }
}
