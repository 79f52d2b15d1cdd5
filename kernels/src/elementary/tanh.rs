//! tanh and the logistic sigmoid, from exp.
//!
//! - tanh(x) = N / (N + 2) with N = exp(2 |x|) - 1, whose quotient costs 2.5 ulp where it is computed like this. Where N < 2 it is
//!   h - h N / (N + 2), h = N / 2: the quotient's errors count by what it is of the whole, at most one half. Where N >= 2 it is 1 - 2 / (N + 2). Both
//!   are a - a (a / d) with a = min(N / 2, 1), d = (N + 2) / 2. From |x| = 10 (f64: 20) it is 1. A polynomial near 0 and
//!   1 - 2 / (exp(2 |x|) + 1) beyond took a third longer; quotients of polynomials as XLA has them half as long, but err by 5 ulp.
//! - sigmoid(x) = 1 / (1 + e) for x > 0, e / (1 + e) else, with e = exp(-|x|): neither overflows.
//!
//! Error, against a dense sample of all inputs: tanh f32 and f64 2 ulp, sigmoid f32 and f64 2 ulp (denormal results too).
//! tanh(+-inf) = +-1, tanh(+-0) = +-0, sigmoid(-inf) = 0, sigmoid(inf) = 1, NaN stays NaN, denormal x: tanh(x) = x, sigmoid(x) = 1/2.
//!
//! Reference: N. Beebe, *The Mathematical-Function Computation Handbook*, 2017, ch. 12.

use super::{exp_negative, exp_scaled, half_exp_and_one};
use crate::Float;
use crate::simd::Arithmetic;

/// tanh(x) = a - a (a / d) with a = min((e - 1) / 2, 1) and d = (e + 1) / 2, e = exp(2 |x|).
#[inline(always)]
pub(crate) fn tanh<T: Float, S: Arithmetic<T>>(s: S, x: S::V) -> S::V {
    // min gives its second operand where one is NaN.
    let bounded = s.min(s.splat(T::TANH_ONE), s.abs(x));
    let (half, d) = half_exp_and_one(s, s.add(bounded, bounded));
    let a = s.min(s.splat(T::ONE), half);
    let y = s.mul_add(s.sub(s.splat(T::ZERO), a), s.div(a, d), a);
    s.copysign(y, x)
}

/// (x > 0, exp(-|x|)).
#[inline(always)]
pub(crate) fn halves<T: Float, S: Arithmetic<T>>(s: S, x: S::V) -> (S::M, S::V) {
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
