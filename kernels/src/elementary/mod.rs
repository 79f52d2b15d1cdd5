//! Elementary functions on vectors: what activations, softmax and losses are made of.
//!
//! | function | method | file |
//! |---|---|---|
//! | `exp`, `exp_negative`, `exp_nonpositive`, `exp_of_product`, `exp_minus_one`, `half_exp_and_one`, `exp_scaled`, `exp_of_minus_product` | x = n ln 2 + r, then a minimax polynomial in r | `exp.rs` |
//! | `log`, `log_one_plus` | x = 2^n (1 + f), then a minimax polynomial (f32) or rational form (f64) in f | `log.rs` |
//! | `tanh`, `sigmoid` | quotients with exp; near 0 a polynomial | `tanh.rs` |
//! | `erf`, `gelu` in both forms, their derivatives | exp times a rational function | `normal.rs` |
//!
//! Each file's header derives its method and states its error bound. All are generic over the element type and the ISA:
//! what differs between f32 and f64 is the table of constants [`Elementary`].

mod exp;
mod log;
mod normal;
mod tanh;

pub(crate) use exp::{exp, exp_minus_one, exp_negative, exp_nonpositive, exp_of_product};
use exp::{exp_of_minus_product, exp_scaled, half_exp_and_one};
pub(crate) use log::{log, log_one_plus};
pub(crate) use normal::{erf, gelu, gelu_derivative, gelu_tanh, gelu_tanh_derivative};
pub(crate) use tanh::{halves, sigmoid, tanh, times_sigmoid};

use crate::elementwise::{self, length};
use crate::simd::Arithmetic;
use crate::vector_loops::Map;
use crate::{Context, Float, ShapeError};

/// The constants of an element type's elementary functions. Part of [`Float`]; not for users.
#[doc(hidden)]
pub trait Elementary: Sized + 'static {
    /// 1.5 * 2^(mantissa bits): added to a small number it leaves the nearest whole number in the lowest bits.
    const SHIFT: Self;
    /// 1 / ln 2.
    const LOG2_E: Self;
    /// The leading bits of ln 2: few enough that n * LN2_HIGH is exact for every exponent n.
    const LN2_HIGH: Self;
    /// ln 2 - LN2_HIGH.
    const LN2_LOW: Self;
    /// -LN2_HIGH.
    const MINUS_LN2_HIGH: Self;
    /// -LN2_LOW.
    const MINUS_LN2_LOW: Self;
    /// Below it exp is 0, and at it: 2^n rounds to 0.
    const EXP_ZERO: Self;
    /// Above it exp is infinite, and at it.
    const EXP_INFINITE: Self;
    /// At it the exponent n is that of no normal number any more (-127 or -1023): [`Arithmetic::pow2`] gives 0.
    const EXP_FLUSHED: Self;
    /// Steps of a reduction by [`Arithmetic::power`] from 2^n to 2^(n+1).
    const STEPS: Self;
    /// STEPS / ln 2.
    const STEPS_LOG2_E: Self;
    /// ln 2 / STEPS in two parts, negated; few enough bits in the first that n times it is exact.
    const MINUS_STEP: [Self; 2];
    /// c2, c3, ... of exp(r) = 1 + r + c2 r^2 + ... on |r| <= ln 2 / (2 STEPS).
    const STEP_EXP: &'static [Self];
    /// log2 of [`Elementary::SIGMOID_SCALE`], times STEPS.
    const SIGMOID_SHIFT: Self;
    /// A power of two by which exp(x) is finite wherever 1 / exp(x) is not 0.
    const SIGMOID_SCALE: Self;
    /// -x from which on sigmoid(x) is 1 beyond doubt, and from which on it is 0.
    const MINUS_SIGMOID_ENDS: [Self; 2];
    /// c2, c3, ... of exp(r) = 1 + r + c2 r^2 + c3 r^3 + ... on |r| <= ln 2 / 2.
    const EXP: &'static [Self];
    /// Smallest normal number.
    const SMALLEST_NORMAL: Self;
    /// A power of two that makes every denormal number normal.
    const RAISE: Self;
    /// Its exponent.
    const RAISE_EXPONENT: Self;
    /// 1/2.
    const HALF: Self;
    /// Positive infinity.
    const INFINITY: Self;
    /// Not a number.
    const NAN: Self;
    /// From here on tanh is 1.
    const TANH_ONE: Self;
    /// Where exp(-t^2 / 2) is flushed to 0.
    const BELL_ZERO: Self;
    /// Where exp(-t (k0 + k1 t^2)) of gelu's tanh form is.
    const GELU_ZERO: Self;
    /// -x from which on exp(-x (k0 + k1 x^2)) is infinite, its exponent being just one too large; and x from which on 1 + exp(...) is 1.
    const GELU_ENDS: [Self; 2];
    /// Mills' ratio: see `normal.rs`.
    const MILLS: (&'static [Self], &'static [Self]);
    /// erf(x) / x - 1 in x^2, for |x| < 1.
    const ERF: &'static [Self];
    /// k0 and k1 of gelu's tanh form.
    const GELU: [Self; 2];

    /// log(1 + f) - f + half_square, where half_square is f^2 / 2, for 1 + f in `[sqrt(1/2), sqrt(2))`.
    fn log_tail<S: Arithmetic<Self>>(s: S, f: S::V, half_square: S::V) -> S::V
    where
        Self: Float;
}

impl Elementary for f32 {
    const SHIFT: f32 = 12582912.0;
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    const LN2_HIGH: f32 = 0.693_145_75; // 15 bits: 0x1.62e4p-1
    const LN2_LOW: f32 = 1.428_606_8e-6;
    const MINUS_LN2_HIGH: f32 = -Self::LN2_HIGH;
    const MINUS_LN2_LOW: f32 = -Self::LN2_LOW;
    const EXP_ZERO: f32 = -104.0;
    const EXP_INFINITE: f32 = 89.0;
    const EXP_FLUSHED: f32 = -88.0;
    const STEPS: f32 = 4.0;
    const STEPS_LOG2_E: f32 = 4.0 * Self::LOG2_E;
    const MINUS_STEP: [f32; 2] = [-0.173_278_81, -7.986_546e-6]; // 12 bits: 0x1.62ep-3
    const STEP_EXP: &'static [f32] = exp::STEP_F32;
    const SIGMOID_SHIFT: f32 = -64.0 * Self::STEPS;
    const SIGMOID_SCALE: f32 = 5.421_011e-20; // 2^-64
    const MINUS_SIGMOID_ENDS: [f32; 2] = [-40.0, 105.0];
    const EXP: &'static [f32] = exp::COEFFICIENTS_F32;
    const SMALLEST_NORMAL: f32 = f32::MIN_POSITIVE;
    const RAISE: f32 = 16777216.0;
    const RAISE_EXPONENT: f32 = 24.0;
    const HALF: f32 = 0.5;
    const INFINITY: f32 = f32::INFINITY;
    const NAN: f32 = f32::NAN;
    const TANH_ONE: f32 = 10.0;
    const BELL_ZERO: f32 = 13.266;
    const GELU_ZERO: f32 = 10.03;
    const GELU_ENDS: [f32; 2] = [-10.06, 6.0];
    const MILLS: (&'static [f32], &'static [f32]) = normal::MILLS_F32;
    const ERF: &'static [f32] = normal::ERF_F32;
    const GELU: [f32; 2] = [1.595_769_2, 0.071_354_814];

    #[inline(always)]
    fn log_tail<S: Arithmetic<f32>>(s: S, f: S::V, _half_square: S::V) -> S::V {
        log::tail_f32(s, f)
    }
}

impl Elementary for f64 {
    const SHIFT: f64 = 6755399441055744.0;
    const LOG2_E: f64 = std::f64::consts::LOG2_E;
    const LN2_HIGH: f64 = 0.693_147_180_369_123_8; // 32 bits: 0x1.62e42feep-1
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    const MINUS_LN2_HIGH: f64 = -Self::LN2_HIGH;
    const MINUS_LN2_LOW: f64 = -Self::LN2_LOW;
    const EXP_ZERO: f64 = -745.2;
    const EXP_INFINITE: f64 = 709.9;
    const EXP_FLUSHED: f64 = -709.2;
    const STEPS: f64 = 1.0;
    const STEPS_LOG2_E: f64 = Self::LOG2_E;
    const MINUS_STEP: [f64; 2] = [Self::MINUS_LN2_HIGH, Self::MINUS_LN2_LOW];
    const STEP_EXP: &'static [f64] = exp::COEFFICIENTS_F64;
    const SIGMOID_SHIFT: f64 = -512.0;
    const SIGMOID_SCALE: f64 = 7.458_340_731_200_207e-155; // 2^-512
    const MINUS_SIGMOID_ENDS: [f64; 2] = [-40.0, 746.0];
    const EXP: &'static [f64] = exp::COEFFICIENTS_F64;
    const SMALLEST_NORMAL: f64 = f64::MIN_POSITIVE;
    const RAISE: f64 = 18014398509481984.0;
    const RAISE_EXPONENT: f64 = 54.0;
    const HALF: f64 = 0.5;
    const INFINITY: f64 = f64::INFINITY;
    const NAN: f64 = f64::NAN;
    const TANH_ONE: f64 = 20.0;
    const BELL_ZERO: f64 = 37.661;
    const GELU_ZERO: f64 = 21.155;
    const GELU_ENDS: [f64; 2] = [-21.160, 8.0];
    const MILLS: (&'static [f64], &'static [f64]) = normal::MILLS_F64;
    const ERF: &'static [f64] = normal::ERF_F64;
    const GELU: [f64; 2] = [1.5957691216057308, 0.07135481627260025];

    #[inline(always)]
    fn log_tail<S: Arithmetic<f64>>(s: S, f: S::V, half_square: S::V) -> S::V {
        log::tail_f64(s, f, half_square)
    }
}

/// c\[0\] + c\[1\] x + c\[2\] x^2 + ... by Horner's rule. The tables are constants, so that the loop unrolls.
#[inline(always)]
pub(crate) fn polynomial<T: Float, S: Arithmetic<T>>(s: S, x: S::V, c: &'static [T]) -> S::V {
    let mut i = c.len() - 1;
    let mut sum = s.splat(c[i]);
    while i > 0 {
        i -= 1;
        sum = s.mul_add(sum, x, s.splat(c[i]));
    }
    sum
}

/// The same by pairs, c\[2k\] + c\[2k+1\] x being added up by Horner's rule in `square` = x^2: as many FMAs, half the latency.
#[inline(always)]
pub(crate) fn polynomial_by_pairs<T: Float, S: Arithmetic<T>>(s: S, x: S::V, square: S::V, c: &'static [T]) -> S::V {
    let pair = |k: usize| {
        let first = s.splat(c[2 * k]);
        if 2 * k + 1 < c.len() {
            s.mul_add(x, s.splat(c[2 * k + 1]), first)
        } else {
            first
        }
    };
    let mut k = c.len().div_ceil(2) - 1;
    let mut sum = pair(k);
    while k > 0 {
        k -= 1;
        sum = s.mul_add(sum, square, pair(k));
    }
    sum
}

/// Makes a [`Map`] of a function of one vector.
macro_rules! function {
    ($name:ident, $function:path) => {
        #[derive(Clone, Copy)]
        struct $name;

        impl<T: Float> Map<T> for $name {
            #[inline(always)]
            fn map<S: Arithmetic<T>>(self, s: S, x: S::V) -> S::V {
                $function(s, x)
            }
        }
    };
}

function!(Exp, exp);
function!(Log, log);
function!(Erf, erf);

impl Context {
    /// y = exp(x), element by element. Error at most 1 ulp; 0 below -104 (f64: -745.2), infinite above 88.7 (709.7).
    ///
    /// # Errors
    /// When the lengths differ.
    pub fn exp<T: Float>(&self, x: &[T], y: &mut [T]) -> Result<(), ShapeError> {
        length("exp", "y", y.len(), x.len())?;
        elementwise::map(self, Exp, x, y);
        Ok(())
    }

    /// y = the natural logarithm of x, element by element. Error at most 1 ulp; -inf at 0, NaN below.
    ///
    /// # Errors
    /// When the lengths differ.
    pub fn log<T: Float>(&self, x: &[T], y: &mut [T]) -> Result<(), ShapeError> {
        length("log", "y", y.len(), x.len())?;
        elementwise::map(self, Log, x, y);
        Ok(())
    }

    /// y = erf(x), element by element. Error at most 2 ulp (f64: 3).
    ///
    /// # Errors
    /// When the lengths differ.
    pub fn erf<T: Float>(&self, x: &[T], y: &mut [T]) -> Result<(), ShapeError> {
        length("erf", "y", y.len(), x.len())?;
        elementwise::map(self, Erf, x, y);
        Ok(())
    }
}
