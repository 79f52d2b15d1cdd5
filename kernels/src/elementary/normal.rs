//! The normal distribution: erf, and what gelu is made of.
//!
//! - Mills' ratio: P(-t) = exp(-t^2 / 2) R(t) for t >= 0, P being the distribution function. R falls slowly from 1/2, and 1 / R tends to
//!   sqrt(2 pi) t, so R(t) = d(t) / (sqrt(2 pi) t d(t) + n(t)), d(0) = 1/2, n(0) = 1: for large t an error of d is in both and cancels, and n counts for little. Degrees
//!   4 and 4 for f32 (relative error 2^-25.9 on [0, 14.5]), 10 and 9 for f64 (2^-57.6 on [0, 38.7]): a least-squares fit with weights raised
//!   where the error is largest (Lawson) until it is level. A plain quotient of as many terms gave gelu 5.3 ulp, a polynomial in
//!   1 / (t + 4) 6.9.
//! - t^2 / 2 is not rounded on its way into exp (see `exp.rs`).
//! - gelu, erf form: x P(x) = max(x, 0) - |x| P(-|x|), right to the last places in the left tail too.
//! - gelu, tanh form: x sigmoid(x (k0 + k1 x^2)), k0 = 2 sqrt(2 / pi), k1 = 0.044715 k0, with the rounding error of k0 + k1 x^2 carried
//!   along: at x = -4 the argument is -11, and half an ulp of it is 11 half ulps of the result.
//! - erf(x) = x + x p(x^2) for |x| < 1 (f32 degree 6, 2^-29.6; f64 12, 2^-62.8), sign(x) (1 - 2 exp(-x^2) R(sqrt(2) |x|)) beyond.
//!
//! Error: gelu 4 ulp where |x| <= 4; beyond, relative, 8 eps for the erf form (f64: 16) and 80 for the tanh form, and results below 2^-124 (2^-1020) may be 0.
//! erf 2 ulp (f64: 3). gelu(-inf) = -0, gelu(inf) = inf, gelu(+-0) = +-0, NaN stays NaN; erf(+-inf) = +-1.
//!
//! References: 1. M. Abramowitz, I. Stegun, *Handbook of Mathematical Functions*, 26.2. 2. D. Hendrycks, K. Gimpel, *Gaussian Error
//! Linear Units*, 2016.

use super::{exp_of_minus_product, exp_of_product, polynomial};
use crate::Float;
use crate::simd::Arithmetic;

pub(super) const MILLS_F32: (&[f32], &[f32]) = (
    &[0.457_335_82, 0.197_560_53, 0.045_521_475, 0.004_857_011],
    &[0.459_243_11, 0.115_161_73, 0.012_120_048_4, 1.200_042_4e-6],
);

pub(super) const MILLS_F64: (&[f64], &[f64]) = (
    &[
        0.8469173677707001,
        0.7095340107001713,
        0.38063610717679724,
        0.1435648872054058,
        0.039620551450326995,
        0.008095490792117485,
        0.0012114056805722258,
        0.0001276284637264554,
        8.618504939863645e-06,
        2.8737884010446695e-07,
    ],
    &[
        1.2384051590287661,
        0.7842653574778837,
        0.3224240292616644,
        0.09345698542484411,
        0.019659753669440554,
        0.0029933370039767673,
        0.00031847641101554684,
        2.1603388178521485e-05,
        7.20351926076844e-07,
    ],
);

pub(super) const ERF_F32: &[f32] = &[
    0.128_379_17,
    -0.376_126_26,
    0.112_835_85,
    -0.026_853_804,
    0.005_188_318,
    -0.000_801_013,
    7.853_691e-5,
];

pub(super) const ERF_F64: &[f64] = &[
    0.1283791670955126,
    -0.3761263890318375,
    0.11283791670954857,
    -0.026866170645072886,
    0.005223977624780788,
    -0.0008548326978737861,
    0.00012055331036744756,
    -1.4925593503237364e-05,
    1.6460972759469394e-06,
    -1.635002462343393e-07,
    1.4657875885443337e-08,
    -1.1365650951129719e-09,
    5.94523683167666e-11,
];

/// R(t) = (1 / 2 + d) / q for t >= 0: (d, t (1 / 2 + d), q). The leading terms, 1 / 2 and 1, are added last: where t is small they are
/// the sum, and each rounding of it would be one of the result.
#[inline(always)]
fn mills<T: Float, S: Arithmetic<T>>(s: S, t: S::V) -> (S::V, S::V, S::V) {
    let d = s.mul(polynomial(s, t, T::MILLS.0), t);
    let scaled = s.mul_add(t, d, s.mul(t, s.splat(T::HALF)));
    let n = s.mul(polynomial(s, t, T::MILLS.1), t);
    let q = s.mul_add(scaled, s.splat(T::from_f64(SLOPE)), n);
    (d, scaled, s.add(q, s.splat(T::ONE)))
}

/// sqrt(2 pi).
const SLOPE: f64 = 2.506_628_274_631_000_5;

/// (t, (q, p)) with (1 + q) p = exp(-t^2 / 2) and t = |x|, or where the exponential is 0.
#[inline(always)]
fn bell<T: Float, S: Arithmetic<T>>(s: S, x: S::V) -> (S::V, (S::V, S::V)) {
    // min gives its second operand where one is NaN.
    let t = s.min(s.splat(T::BELL_ZERO), s.abs(x));
    let half = s.mul(t, s.splat(T::from_f64(-0.5)));
    (t, exp_of_product(s, half, t, None))
}

/// a (1 + q) p.
#[inline(always)]
fn times<T: Float, S: Arithmetic<T>>(s: S, a: S::V, (q, p): (S::V, S::V)) -> S::V {
    s.mul(s.mul_add(a, q, a), p)
}

/// x P(x).
#[inline(always)]
pub(crate) fn gelu<T: Float, S: Arithmetic<T>>(s: S, x: S::V) -> S::V {
    let (t, e) = bell(s, x);
    let (_, scaled, q) = mills(s, t);
    let tail = s.div(times(s, scaled, e), q);
    s.sub(s.max(s.splat(T::ZERO), x), tail)
}

/// P(x) + x p(x), p being the density.
#[inline(always)]
pub(crate) fn gelu_derivative<T: Float, S: Arithmetic<T>>(s: S, x: S::V) -> S::V {
    let (t, e) = bell(s, x);
    let (d, _, q) = mills(s, t);
    let tail = s.div(times(s, s.add(d, s.splat(T::HALF)), e), q);
    let distribution = s.select(s.gt(x, s.splat(T::ZERO)), s.sub(s.splat(T::ONE), tail), tail);
    // t with x's sign: where |x| is larger the density is 0 anyhow.
    let x = s.copysign(t, x);
    s.mul_add(times(s, x, e), s.splat(T::from_f64(DENSITY_AT_0)), distribution)
}

/// 1 / sqrt(2 pi).
const DENSITY_AT_0: f64 = 0.398_942_280_401_432_7;

/// (t^2, v, low) with v + low = k0 + k1 t^2, low being what the FMA that makes v rounds away, and the square's low part. Those of k0
/// and k1 almost cancel where they count most, at |t| = 4.
#[inline(always)]
fn slope_of_tanh_form<T: Float, S: Arithmetic<T>>(s: S, t: S::V) -> (S::V, S::V, S::V) {
    let (k0, k1) = (s.splat(T::GELU[0]), s.splat(T::GELU[1]));
    let square = s.mul(t, t);
    let square_low = s.fused_mul_add(t, t, s.sub(s.splat(T::ZERO), square));
    let v = s.fused_mul_add(k1, square, k0);
    let low = s.fused_mul_add(k1, square, s.sub(k0, v));
    (square, v, s.mul_add(k1, square_low, low))
}

/// (t, t^2, exp(-t (k0 + k1 t^2))) with t = |x|, or where the exponential is 0.
#[inline(always)]
fn bell_of_tanh_form<T: Float, S: Arithmetic<T>>(s: S, x: S::V) -> (S::V, S::V, S::V) {
    let t = s.min(s.splat(T::GELU_ZERO), s.abs(x));
    let minus = s.sub(s.splat(T::ZERO), t);
    let (square, v, low) = slope_of_tanh_form(s, t);
    let e = exp_of_product(s, minus, v, Some(s.mul(minus, low)));
    (t, square, times(s, s.splat(T::ONE), e))
}

/// x sigmoid(x (k0 + k1 x^2)) = x / (1 + exp(-x (k0 + k1 x^2))).
#[inline(always)]
pub(crate) fn gelu_tanh<T: Float, S: Arithmetic<T>>(s: S, x: S::V) -> S::V {
    let [infinite, one] = T::GELU_ENDS;
    // max and min give their second operand where one is NaN.
    let top = s.max(s.splat(infinite), x);
    let t = s.min(s.splat(one), top);
    let (_, v, low) = slope_of_tanh_form(s, t);
    let (q, p) = exp_of_minus_product(s, t, v, s.mul(t, low));
    // Not p q + p: p may be infinite.
    let d = s.mul_add(p, s.add(q, s.splat(T::ONE)), s.splat(T::ONE));
    s.div(top, d)
}

/// y + x y (1 - y) (k0 + 3 k1 x^2), y being the sigmoid.
#[inline(always)]
pub(crate) fn gelu_tanh_derivative<T: Float, S: Arithmetic<T>>(s: S, x: S::V) -> S::V {
    let (t, square, e) = bell_of_tanh_form(s, x);
    let one = s.splat(T::ONE);
    let inverse = s.div(one, s.add(e, one));
    let y = s.mul(inverse, s.select(s.gt(x, s.splat(T::ZERO)), one, e));
    let triple = T::from_f64(3.0).times(T::GELU[1]);
    let inner = s.mul_add(s.splat(triple), square, s.splat(T::GELU[0]));
    let slope = s.mul(s.mul(s.mul(inverse, inverse), e), s.copysign(t, x));
    s.mul_add(slope, inner, y)
}

/// erf(x).
#[inline(always)]
pub(crate) fn erf<T: Float, S: Arithmetic<T>>(s: S, x: S::V) -> S::V {
    let near = s.mul_add(polynomial(s, s.mul(x, x), T::ERF), x, x);
    // Beyond 7 it is 1 in f64 too; min gives its second operand where one is NaN.
    let t = s.min(s.splat(T::from_f64(7.0)), s.abs(x));
    let e = exp_of_product(s, s.sub(s.splat(T::ZERO), t), t, None);
    let (d, _, q) = mills(s, s.mul(t, s.splat(T::from_f64(std::f64::consts::SQRT_2))));
    let far = s.sub(
        s.splat(T::ONE),
        s.div(times(s, s.add(s.add(d, d), s.splat(T::ONE)), e), q),
    );
    s.select(s.gt(s.splat(T::ONE), s.abs(x)), near, s.copysign(far, x))
}
