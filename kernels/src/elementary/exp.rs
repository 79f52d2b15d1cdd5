//! exp(x) = 2^n exp(r), n = round(x / ln 2), r = x - n ln 2, |r| <= ln 2 / 2.
//!
//! - n: x / ln 2 + SHIFT, with SHIFT = 1.5 * 2^23 (f64: 2^52), pushes the fraction out of the mantissa; the rounded n is left in
//!   the lowest bits, from where shifts make 2^n, and subtracting SHIFT again gives n as a number.
//! - r: two steps, n * LN2_HIGH being exact (Cody and Waite).
//! - exp(r) = 1 + r (1 + r (c2 + r (c3 + ...))): degree 6 for f32 (minimax, relative error 2^-28.2), 12 for f64 (2^-62.3), made by the
//!   Remez exchange with the first two coefficients held at 1 and each further one rounded before the rest is fitted again.
//! - softmax, sigmoid and gelu's tanh form take x = n ln 2 / 4 + r, |r| <= ln 2 / 8, in f32: degree 4 is then enough (2^-27.5), and 2^(n/4) is
//!   looked up by the lowest two bits of n, with what rounding took from it (`Arithmetic::power`). The lookups take the time of the two
//!   terms that they save (Zen 3), but a smaller r errs less: sigmoid has 2.0 ulp, with the long polynomial 2.4. f64 would need 128-bit
//!   shuffles, and keeps the long one.
//! - exp(x) - 1 = 2^n (exp(r) - 1) + (2^n - 1): the polynomial gives exp(r) - 1 without the 1, so nothing cancels near 0.
//! - Where x is itself a product a b, r = a b - n ln 2 comes from one FMA: rounding a b first would cost |x| / 2 ulp.
//!
//! Error, against a dense sample of all inputs: f32 0.9 ulp, f64 1.0 ulp; without FMA (portable) 1.0 ulp.
//! exp(-inf) = 0, exp(inf) = inf, exp(NaN) = NaN, exp(+-0) = 1, denormal inputs give 1. Denormal results are rounded once.
//!
//! References: 1. W. J. Cody, W. Waite, *Software Manual for the Elementary Functions*, 1980, ch. 6.
//! 2. J.-M. Muller, *Elementary Functions*, 3rd ed., 2016, ch. 11.

use super::{polynomial, polynomial_by_pairs};
use crate::Float;
use crate::simd::Arithmetic;

pub(super) const COEFFICIENTS_F32: &[f32] = &[
    0.499_999_94,
    0.166_665_17,
    0.041_668_102,
    0.008_369_201,
    0.001_383_906_5,
];

pub(super) const COEFFICIENTS_F64: &[f64] = &[
    0.5,
    0.16666666666666688,
    0.041666666666666824,
    0.008333333333313922,
    0.0013888888888779235,
    0.00019841269903232497,
    2.4801587553010516e-05,
    2.755722840542622e-06,
    2.755706791319156e-07,
    2.511426901921463e-08,
    2.09814586310397e-09,
];

pub(super) const STEP_F32: &[f32] = &[0.500_000_2, 0.166_721_08, 0.041_645_08];

/// n and n + SHIFT, with n the nearest whole number to x / ln 2.
#[inline(always)]
fn exponent<T: Float, S: Arithmetic<T>>(s: S, x: S::V) -> (S::V, S::V) {
    let biased = s.mul_add(x, s.splat(T::LOG2_E), s.splat(T::SHIFT));
    (s.sub(biased, s.splat(T::SHIFT)), biased)
}

/// exp(r).
#[inline(always)]
fn near_one<T: Float, S: Arithmetic<T>>(s: S, r: S::V) -> S::V {
    let p = s.mul_add(polynomial(s, r, T::EXP), r, s.splat(T::ONE));
    s.mul_add(p, r, s.splat(T::ONE))
}

/// (r, n, n + SHIFT) for x between EXP_ZERO and EXP_INFINITE, or NaN.
#[inline(always)]
fn reduce<T: Float, S: Arithmetic<T>>(s: S, x: S::V) -> (S::V, S::V, S::V) {
    let (n, biased) = exponent(s, x);
    let r = s.mul_add(n, s.splat(T::MINUS_LN2_HIGH), x);
    (s.mul_add(n, s.splat(T::MINUS_LN2_LOW), r), n, biased)
}

/// exp(x) for any x.
#[inline(always)]
pub(crate) fn exp<T: Float, S: Arithmetic<T>>(s: S, x: S::V) -> S::V {
    // The order of operands lets NaN through: min and max give the second where one is NaN.
    exp_bounded(s, s.min(s.splat(T::EXP_INFINITE), s.max(s.splat(T::EXP_ZERO), x)))
}

/// exp(x) for x <= 0, gradual underflow included. NaN stays NaN.
#[inline(always)]
pub(crate) fn exp_negative<T: Float, S: Arithmetic<T>>(s: S, x: S::V) -> S::V {
    exp_bounded(s, s.max(s.splat(T::EXP_ZERO), x))
}

/// exp(x) for x between EXP_ZERO and EXP_INFINITE, or NaN.
#[inline(always)]
fn exp_bounded<T: Float, S: Arithmetic<T>>(s: S, x: S::V) -> S::V {
    let (r, n, biased) = reduce(s, x);
    s.ldexp(near_one(s, r), n, biased)
}

/// (q, p) with exp(r) 2^(n / STEPS) = (1 + q) p.
#[inline(always)]
fn grown<T: Float, S: Arithmetic<T>>(s: S, r: S::V, biased: S::V) -> (S::V, S::V) {
    let (power, rest) = s.power(biased);
    let square = s.mul(r, r);
    let q = s.mul_add(polynomial_by_pairs(s, r, square, T::STEP_EXP), square, s.add(r, rest));
    (q, power)
}

/// n on top of SHIFT + `extra`, with n the nearest whole number to STEPS x / ln 2, and x - n ln 2 / STEPS.
#[inline(always)]
fn reduce_by_steps<T: Float, S: Arithmetic<T>>(s: S, x: S::V, extra: T) -> (S::V, S::V) {
    let shift = s.splat(T::from_f64(T::SHIFT.to_f64() + extra.to_f64()));
    let biased = s.mul_add(x, s.splat(T::STEPS_LOG2_E), shift);
    let n = s.sub(biased, shift);
    let r = s.mul_add(n, s.splat(T::MINUS_STEP[0]), x);
    (s.mul_add(n, s.splat(T::MINUS_STEP[1]), r), biased)
}

/// (q, p) with exp(x) 2^SIGMOID_SHIFT = (1 + q) p for x from -40 to 746 (f32: 105), or NaN.
#[inline(always)]
pub(crate) fn exp_scaled<T: Float, S: Arithmetic<T>>(s: S, x: S::V) -> (S::V, S::V) {
    let (r, biased) = reduce_by_steps(s, x, T::SIGMOID_SHIFT);
    grown(s, r, biased)
}

/// ((exp(x) - 1) / 2, (exp(x) + 1) / 2) for x from 0 to 60, or NaN. ln 2 is taken in one piece: n of it are wrong by n 2^-29 (f64: n
/// 2^-55), which is nothing for small n, and little beside the 1 / (exp(x) + 1) that this is for where n is large.
#[inline(always)]
pub(crate) fn half_exp_and_one<T: Float, S: Arithmetic<T>>(s: S, x: S::V) -> (S::V, S::V) {
    let shift = s.splat(T::from_f64(T::SHIFT.to_f64() - 1.0));
    let biased = s.mul_add(x, s.splat(T::LOG2_E), shift);
    let n = s.sub(biased, shift);
    let r = s.mul_add(n, s.splat(T::from_f64(-std::f64::consts::LN_2)), x);
    let square = s.mul(r, r);
    let q = s.mul_add(polynomial_by_pairs(s, r, square, T::EXP), square, r);
    // 2^(n - 1), exactly; q p is added last, so that nothing cancels near 0.
    let power = s.pow2(biased);
    let half = s.splat(T::HALF);
    (
        s.mul_add(power, q, s.sub(power, half)),
        s.mul_add(power, q, s.add(power, half)),
    )
}

/// (q, p) with exp(-a b - low) = (1 + q) p, for a b up to where the result is infinite (p is then) and down to EXP_FLUSHED, or NaN. The
/// product is not rounded, and `low` (of a few ulp of it) is what the caller knows beyond it. p is rounded.
#[inline(always)]
pub(crate) fn exp_of_minus_product<T: Float, S: Arithmetic<T>>(s: S, a: S::V, b: S::V, low: S::V) -> (S::V, S::V) {
    let z = s.mul(a, b);
    let biased = s.mul_add(z, s.splat(T::from_f64(-T::STEPS_LOG2_E.to_f64())), s.splat(T::SHIFT));
    let n = s.sub(biased, s.splat(T::SHIFT));
    // What the product lacks of a b, exactly, and all other small parts.
    let small = s.fused_mul_add(a, b, s.sub(s.splat(T::ZERO), z));
    let small = s.add(
        s.mul_add(n, s.splat(T::from_f64(-T::MINUS_STEP[1].to_f64())), small),
        low,
    );
    let r = s.sub(
        s.mul_add(n, s.splat(T::MINUS_STEP[0]), s.sub(s.splat(T::ZERO), z)),
        small,
    );
    let (power, _) = s.power(biased);
    let square = s.mul(r, r);
    (
        s.mul_add(polynomial_by_pairs(s, r, square, T::STEP_EXP), square, r),
        power,
    )
}

/// exp(x) for x <= 0, with every result below 2^-126.5 (f64: 2^-1022.5) flushed to 0: the terms of a softmax, relative to its
/// largest. NaN stays NaN.
#[inline(always)]
pub(crate) fn exp_nonpositive<T: Float, S: Arithmetic<T>>(s: S, x: S::V) -> S::V {
    let (r, biased) = reduce_by_steps(s, s.max(s.splat(T::EXP_FLUSHED), x), T::ZERO);
    let (q, power) = grown(s, r, biased);
    s.mul_add(power, q, power)
}

/// (q, p) with exp(a b + low) = (1 + q) p, for a b between EXP_FLUSHED and 0, or NaN, flushed as [`exp_nonpositive`]. The product is not
/// rounded, and `low` (of a few ulp of it) is what the caller knows beyond it; p is a power of two. Whoever multiplies by it
/// with one FMA, a q + a, saves the rounding of 1 + q.
#[inline(always)]
pub(crate) fn exp_of_product<T: Float, S: Arithmetic<T>>(s: S, a: S::V, b: S::V, low: Option<S::V>) -> (S::V, S::V) {
    let (n, biased) = exponent(s, s.mul(a, b));
    let r = s.fused_mul_add(a, b, s.mul(n, s.splat(T::MINUS_LN2_HIGH)));
    let r = s.mul_add(n, s.splat(T::MINUS_LN2_LOW), r);
    let r = match low {
        Some(low) => s.add(r, low),
        None => r,
    };
    let slope = s.mul_add(polynomial(s, r, T::EXP), r, s.splat(T::ONE));
    (s.mul(slope, r), s.pow2(biased))
}

/// exp(x) - 1 for x from EXP_FLUSHED to 60, or NaN.
#[inline(always)]
pub(crate) fn exp_minus_one<T: Float, S: Arithmetic<T>>(s: S, x: S::V) -> S::V {
    let (r, _, biased) = reduce(s, x);
    let q = s.mul_add(s.mul(polynomial(s, r, T::EXP), r), r, r);
    let power = s.pow2(biased);
    s.mul_add(q, power, s.sub(power, s.splat(T::ONE)))
}
