//! tanh and the logistic sigmoid, from exp.
//!
//! - tanh(x) = x + x^3 p(x^2) for |x| < 0.55 (degree 4, relative error 2^-27.9; f64: 10, 2^-58.6, fitted as in `normal.rs`),
//!   sign(x) (1 - 2 / (exp(2 |x|) + 1)) beyond, where the quotient is below 1/2. From |x| = 10 (f64: 20) it is 1. The single form
//!   e / (e + 2) with e = exp(2 |x|) - 1 was a quarter faster when it was tried, but has 2.5 ulp.
//! - sigmoid(x) = 1 / (1 + e) for x > 0, e / (1 + e) else, with e = exp(-|x|): neither overflows.
//!
//! Error, against a dense sample of all inputs: tanh f32 and f64 2 ulp, sigmoid f32 and f64 2 ulp (denormal results too).
//! tanh(+-inf) = +-1, tanh(+-0) = +-0, sigmoid(-inf) = 0, sigmoid(inf) = 1, NaN stays NaN, denormal x: tanh(x) = x, sigmoid(x) = 1/2.
//!
//! Reference: N. Beebe, *The Mathematical-Function Computation Handbook*, 2017, ch. 12.

use super::{exp_negative, exp_roughly, exp_scaled, polynomial};
use crate::Float;
use crate::simd::Arithmetic;

pub(super) const NEAR_F32: &[f32] = &[-0.333_333_3, 0.133_331_1, -0.053_909_138, 0.021_308_126, -0.006_608_394];

pub(super) const NEAR_F64: &[f64] = &[
    -0.3333333333333333,
    0.1333333333333267,
    -0.053968253967403484,
    0.021869488492679324,
    -0.008863234380187912,
    0.0035921101892702483,
    -0.0014556605528716897,
    0.0005889306096471749,
    -0.00023462051411895566,
    8.509231168813229e-05,
    -2.058969563010083e-05,
];

/// tanh(x).
#[inline(always)]
pub(crate) fn tanh<T: Float, S: Arithmetic<T>>(s: S, x: S::V) -> S::V {
    let (one, two) = (s.splat(T::ONE), s.splat(T::from_f64(2.0)));
    let square = s.mul(x, x);
    let near = s.mul_add(s.mul(square, x), polynomial(s, square, T::TANH), x);
    // min gives its second operand where one is NaN.
    let magnitude = s.abs(x);
    let bounded = s.min(s.splat(T::TANH_ONE), magnitude);
    let (q, power) = exp_roughly(s, s.add(bounded, bounded));
    let far = s.sub(one, s.div(two, s.mul_add(power, q, s.add(power, one))));
    // The sign is that of -0.0 too.
    s.copysign(s.select(s.gt(s.splat(T::from_f64(0.55)), magnitude), near, far), x)
}

/// (x > 0, exp(-|x|)).
#[inline(always)]
fn halves<T: Float, S: Arithmetic<T>>(s: S, x: S::V) -> (S::M, S::V) {
    let zero = s.splat(T::ZERO);
    (s.gt(x, zero), exp_negative(s, s.sub(zero, s.abs(x))))
}

/// 1 / (1 + exp(-x)) = c / (c + c exp(-x)), c being SIGMOID_SCALE: c exp(-x) is finite, and the quotient alone rounds to a denormal number.
#[inline(always)]
pub(crate) fn sigmoid<T: Float, S: Arithmetic<T>>(s: S, x: S::V) -> S::V {
    let [least, most] = T::MINUS_SIGMOID_ENDS;
    // max and min give their second operand where one is NaN.
    let minus = s.max(s.splat(least), s.sub(s.splat(T::ZERO), x));
    let (q, p) = exp_scaled(s, s.min(s.splat(most), minus));
    let c = s.splat(T::SIGMOID_SCALE);
    // c + p + p q, the largest last: p q is small beside either.
    s.div(c, s.add(s.mul_add(p, q, s.min(p, c)), s.max(p, c)))
}

/// x sigmoid(z).
#[inline(always)]
pub(crate) fn times_sigmoid<T: Float, S: Arithmetic<T>>(s: S, x: S::V, z: S::V) -> S::V {
    let (positive, e) = halves(s, z);
    over_one_plus(s, s.select(positive, x, s.mul(x, e)), e)
}

/// a / (1 + e) for e in [0, 1].
#[inline(always)]
fn over_one_plus<T: Float, S: Arithmetic<T>>(s: S, a: S::V, e: S::V) -> S::V {
    let one = s.splat(T::ONE);
    let d = s.add(e, one);
    let q = s.div(a, d);
    // What d lacks of 1 + e, exactly: a / (d + lost) = q - q lost / d, and d is 1 where lost matters most.
    let lost = s.sub(e, s.sub(d, one));
    s.sub(q, s.mul(q, lost))
}
