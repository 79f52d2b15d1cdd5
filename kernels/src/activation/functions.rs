//! The activations as types, so that a loop is compiled once for each: [`Map`] is the function f, [`Zip`] takes (saved, dy) to
//! dy f'(saved).

use crate::Float;
use crate::elementary;
use crate::simd::Arithmetic;
use crate::vector_loops::{Map, Zip};

#[derive(Clone, Copy)]
pub(crate) struct Identity;

impl<T: Float> Map<T> for Identity {
    #[inline(always)]
    fn map<S: Arithmetic<T>>(self, _: S, x: S::V) -> S::V {
        x
    }
}

impl<T: Float> Zip<T> for Identity {
    #[inline(always)]
    fn zip<S: Arithmetic<T>>(self, _: S, _: S::V, dy: S::V) -> S::V {
        dy
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Relu;

impl<T: Float> Map<T> for Relu {
    /// NaN stays NaN (max gives its second operand), -0.0 gives -0.0.
    #[inline(always)]
    fn map<S: Arithmetic<T>>(self, s: S, x: S::V) -> S::V {
        s.max(s.splat(T::ZERO), x)
    }
}

impl<T: Float> Zip<T> for Relu {
    #[inline(always)]
    fn zip<S: Arithmetic<T>>(self, s: S, saved: S::V, dy: S::V) -> S::V {
        s.select(s.gt(saved, s.splat(T::ZERO)), dy, s.splat(T::ZERO))
    }
}

#[derive(Clone, Copy)]
pub(crate) struct LeakyRelu<T>(pub(crate) T);

impl<T: Float> Map<T> for LeakyRelu<T> {
    #[inline(always)]
    fn map<S: Arithmetic<T>>(self, s: S, x: S::V) -> S::V {
        s.select(s.gt(x, s.splat(T::ZERO)), x, s.mul(x, s.splat(self.0)))
    }
}

impl<T: Float> Zip<T> for LeakyRelu<T> {
    #[inline(always)]
    fn zip<S: Arithmetic<T>>(self, s: S, saved: S::V, dy: S::V) -> S::V {
        s.select(s.gt(saved, s.splat(T::ZERO)), dy, s.mul(dy, s.splat(self.0)))
    }
}

/// Leaky relu whose derivative at 0 is 1.
#[derive(Clone, Copy)]
pub(crate) struct PRelu<T>(pub(crate) T);

impl<T: Float> Map<T> for PRelu<T> {
    #[inline(always)]
    fn map<S: Arithmetic<T>>(self, s: S, x: S::V) -> S::V {
        LeakyRelu(self.0).map(s, x)
    }
}

impl<T: Float> Zip<T> for PRelu<T> {
    #[inline(always)]
    fn zip<S: Arithmetic<T>>(self, s: S, saved: S::V, dy: S::V) -> S::V {
        s.select(s.gt(s.splat(T::ZERO), saved), s.mul(dy, s.splat(self.0)), dy)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Elu<T> {
    pub(crate) alpha: T,
    /// The derivative is given f's output, else its input.
    pub(crate) from_output: bool,
}

impl<T: Float> Map<T> for Elu<T> {
    #[inline(always)]
    fn map<S: Arithmetic<T>>(self, s: S, x: S::V) -> S::V {
        let zero = s.splat(T::ZERO);
        // Both give their second operand where one is NaN.
        let below = s.min(zero, s.max(s.splat(T::EXP_FLUSHED), x));
        let below = s.mul(s.splat(self.alpha), elementary::exp_minus_one(s, below));
        s.select(s.gt(x, zero), x, below)
    }
}

impl<T: Float> Zip<T> for Elu<T> {
    #[inline(always)]
    fn zip<S: Arithmetic<T>>(self, s: S, saved: S::V, dy: S::V) -> S::V {
        let y = if self.from_output { saved } else { self.map(s, saved) };
        let below = s.mul(dy, s.add(y, s.splat(self.alpha)));
        s.select(s.gt(saved, s.splat(T::ZERO)), dy, below)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Sigmoid;

impl<T: Float> Map<T> for Sigmoid {
    #[inline(always)]
    fn map<S: Arithmetic<T>>(self, s: S, x: S::V) -> S::V {
        elementary::sigmoid(s, x)
    }
}

impl<T: Float> Zip<T> for Sigmoid {
    /// dy y (1 - y).
    #[inline(always)]
    fn zip<S: Arithmetic<T>>(self, s: S, y: S::V, dy: S::V) -> S::V {
        s.mul(dy, s.mul(y, s.sub(s.splat(T::ONE), y)))
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Tanh;

impl<T: Float> Map<T> for Tanh {
    #[inline(always)]
    fn map<S: Arithmetic<T>>(self, s: S, x: S::V) -> S::V {
        elementary::tanh(s, x)
    }
}

impl<T: Float> Zip<T> for Tanh {
    /// dy (1 - y) (1 + y).
    #[inline(always)]
    fn zip<S: Arithmetic<T>>(self, s: S, y: S::V, dy: S::V) -> S::V {
        let one = s.splat(T::ONE);
        s.mul(dy, s.mul(s.sub(one, y), s.add(one, y)))
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Swish<T>(pub(crate) T);

impl<T: Float> Map<T> for Swish<T> {
    #[inline(always)]
    fn map<S: Arithmetic<T>>(self, s: S, x: S::V) -> S::V {
        elementary::times_sigmoid(s, x, s.mul(s.splat(self.0), x))
    }
}

impl<T: Float> Zip<T> for Swish<T> {
    /// dy (y + z y (1 - y)), with z = beta x and y = sigmoid(z).
    #[inline(always)]
    fn zip<S: Arithmetic<T>>(self, s: S, x: S::V, dy: S::V) -> S::V {
        let z = s.mul(s.splat(self.0), x);
        let y = elementary::sigmoid(s, z);
        let slope = s.mul(y, s.sub(s.splat(T::ONE), y));
        s.mul(dy, s.mul_add(z, slope, y))
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Gelu;

impl<T: Float> Map<T> for Gelu {
    #[inline(always)]
    fn map<S: Arithmetic<T>>(self, s: S, x: S::V) -> S::V {
        elementary::gelu(s, x)
    }
}

impl<T: Float> Zip<T> for Gelu {
    #[inline(always)]
    fn zip<S: Arithmetic<T>>(self, s: S, x: S::V, dy: S::V) -> S::V {
        s.mul(dy, elementary::gelu_derivative(s, x))
    }
}

#[derive(Clone, Copy)]
pub(crate) struct GeluTanh;

impl<T: Float> Map<T> for GeluTanh {
    #[inline(always)]
    fn map<S: Arithmetic<T>>(self, s: S, x: S::V) -> S::V {
        elementary::gelu_tanh(s, x)
    }
}

impl<T: Float> Zip<T> for GeluTanh {
    #[inline(always)]
    fn zip<S: Arithmetic<T>>(self, s: S, x: S::V, dy: S::V) -> S::V {
        s.mul(dy, elementary::gelu_tanh_derivative(s, x))
    }
}

/// dy df/dalpha of prelu: (x, dy) -> dy min(x, 0).
#[derive(Clone, Copy)]
pub(crate) struct ByAlpha;

impl<T: Float> Zip<T> for ByAlpha {
    #[inline(always)]
    fn zip<S: Arithmetic<T>>(self, s: S, x: S::V, dy: S::V) -> S::V {
        s.mul(dy, s.min(s.splat(T::ZERO), x))
    }
}

/// dy df/dbeta of swish: (x, dy) -> dy x^2 y (1 - y), y = sigmoid(beta x).
#[derive(Clone, Copy)]
pub(crate) struct ByBeta<T>(pub(crate) T);

impl<T: Float> Zip<T> for ByBeta<T> {
    #[inline(always)]
    fn zip<S: Arithmetic<T>>(self, s: S, x: S::V, dy: S::V) -> S::V {
        let y = elementary::sigmoid(s, s.mul(s.splat(self.0), x));
        let slope = s.mul(y, s.sub(s.splat(T::ONE), y));
        s.mul(s.mul(dy, x), s.mul(x, slope))
    }
}
