//! log(x) = n ln 2 + log(1 + f), x = 2^n (1 + f), 1 + f in [sqrt(1/2), sqrt(2)).
//!
//! - n and f are exact: shifts and one subtraction. Denormal x is first multiplied by 2^24 (f64: 2^54).
//! - f32: log(1 + f) = f - f^2/2 + f^3 P(f), P of degree 8 (Remez, relative error of the logarithm 2^-29.2).
//! - f64: with z = f / (2 + f), log(1 + f) = f - f^2/2 + z (f^2/2 + R(z^2)), R(w) = w (c1 + c2 w + ...) with 7 terms (2^-59.4):
//!   the atanh series, made minimax; the division costs less than the 14 terms that a polynomial in f would need.
//! - The parts are added smallest first, n ln 2 in two pieces of which the larger is exact.
//!
//! Error, against a dense sample of all inputs: f32 0.9 ulp, f64 0.9 ulp; without FMA (portable) 1.0 ulp.
//! log(+-0) = -inf, log(x < 0) = NaN, log(inf) = inf, log(NaN) = NaN; denormals are exact like others.
//!
//! References: 1. S. Moshier, Cephes, `logf.c`, 1992 (the f32 form). 2. Sun Microsystems, fdlibm, `e_log.c`, 1993 (the f64 form).

use super::polynomial;
use crate::Float;
use crate::simd::Arithmetic;

const TAIL_F32: &[f32] = &[
    0.333_333_13,
    -0.250_001_7,
    0.200_022_25,
    -0.166_592_14,
    0.142_094_24,
    -0.125_522_12,
    0.121_123_09,
    -0.109_032_29,
    0.053_156_58,
];

const TAIL_F64: &[f64] = &[
    0.6666666666666735,
    0.39999999999408736,
    0.2857142874391388,
    0.2222219839857211,
    0.1818357423833756,
    0.1531377726932807,
    0.14798867935252114,
];

/// f^3 P(f).
#[inline(always)]
pub(super) fn tail_f32<S: Arithmetic<f32>>(s: S, f: S::V) -> S::V {
    s.mul(s.mul(f, s.mul(f, f)), polynomial(s, f, TAIL_F32))
}

/// z (f^2/2 + R(z^2)).
#[inline(always)]
pub(super) fn tail_f64<S: Arithmetic<f64>>(s: S, f: S::V, half_square: S::V) -> S::V {
    let z = s.div(f, s.add(f, s.splat(2.0)));
    let w = s.mul(z, z);
    s.mul(z, s.mul_add(w, polynomial(s, w, TAIL_F64), half_square))
}

/// log(x) for any x.
#[inline(always)]
pub(crate) fn log<T: Float, S: Arithmetic<T>>(s: S, x: S::V) -> S::V {
    let denormal = s.gt(s.splat(T::SMALLEST_NORMAL), x);
    let raised = s.select(denormal, s.mul(x, s.splat(T::RAISE)), x);
    let lowered = s.select(denormal, s.splat(T::RAISE_EXPONENT), s.splat(T::ZERO));
    let (m, n) = s.frexp(raised);
    let n = s.sub(n, lowered);
    let f = s.sub(m, s.splat(T::ONE));
    let half_square = s.mul(s.mul(f, s.splat(T::HALF)), f);
    let small = s.mul_add(n, s.splat(T::LN2_LOW), T::log_tail(s, f, half_square));
    let y = s.add(f, s.sub(small, half_square));
    let y = s.mul_add(n, s.splat(T::LN2_HIGH), y);
    // What the bits above do not know: infinity, zero, negative numbers and NaN.
    let y = s.select(s.gt(s.splat(T::INFINITY), x), y, x);
    let y = s.select(
        s.eq(x, s.splat(T::ZERO)),
        s.sub(s.splat(T::ZERO), s.splat(T::INFINITY)),
        y,
    );
    s.select(s.gt(s.splat(T::ZERO), x), s.splat(T::NAN), y)
}

/// log(1 + x) for x from 0 to 1, or NaN, without the loss of 1 + x: u = 1 + x rounded, log(u) + (x - (u - 1)) / u.
#[inline(always)]
pub(crate) fn log_one_plus<T: Float, S: Arithmetic<T>>(s: S, x: S::V) -> S::V {
    let u = s.add(x, s.splat(T::ONE));
    let lost = s.sub(x, s.sub(u, s.splat(T::ONE)));
    s.add(log(s, u), s.div(lost, u))
}
