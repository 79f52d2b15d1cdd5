//! `.approx` instructions: results that err by as much as the manual allows, up, down or not at all, as the seed decides.

use crate::float::{F32, Rounding, canonical, flushed};

/// A function that a card approximates.
#[derive(Clone, Copy)]
pub(crate) struct Approximation {
    /// The exact value.
    pub f: fn(f32) -> f64,
    /// The greatest absolute error at x, where the exact value is y.
    pub error: fn(f64, f64) -> f64,
}

/// The approximation of this name, with the error that the PTX manual 8.0 gives.
pub(crate) fn named(name: &str) -> Option<Approximation> {
    let errs = |error: fn(f64, f64) -> f64, f: fn(f32) -> f64| Some(Approximation { f, error });
    match name {
        "rcp" => errs(|_, y| ulp(y), |x| 1.0 / f64::from(x)),
        "sqrt" => errs(|_, y| y * exp2(-23.0), |x| f64::from(x).sqrt()),
        "rsqrt" => errs(|_, y| y * exp2(-22.9), |x| 1.0 / f64::from(x).sqrt()),
        // 2^0 is 1 in the manual's table.
        "ex2" => errs(
            |x, y| if x == 0.0 { 0.0 } else { y * exp2(-22.0) },
            |x| f64::from(x).exp2(),
        ),
        // Absolute from 0.5 to 2, relative elsewhere.
        "lg2" => errs(
            |x, y| {
                if (0.5..=2.0).contains(&x) {
                    exp2(-22.0)
                } else {
                    y * exp2(-22.0)
                }
            },
            |x| f64::from(x).log2(),
        ),
        "sin" => errs(circle, |x| f64::from(x).sin()),
        "cos" => errs(circle, |x| f64::from(x).cos()),
        "tanh" => errs(|_, y| y * exp2(-11.0), |x| f64::from(x).tanh()),
        _ => None,
    }
}

/// The manual promises nothing beyond 100 pi.
fn circle(x: f64, _: f64) -> f64 {
    let exponent = if x.abs() <= std::f64::consts::TAU { -20.5 } else { -14.7 };
    exp2(exponent)
}

/// `div.approx` and `div.full`: two ulps. The former gives 0 for the largest divisors, whose reciprocal is subnormal.
pub(crate) fn divided(x: f64, y: f64, full: bool) -> (f64, f64) {
    let large = y.abs() > exp2(126.0) && y.is_finite();
    let exact = if large && !full { x * 0.0 } else { x / y };
    (exact, 2.0 * ulp(exact))
}

/// An f32 no farther from the exact value than `error`: `key` are the bits of the operands.
pub(crate) fn near(exact: f64, error: f64, ftz: bool, seed: u64, key: u64) -> u64 {
    let error = error.abs();
    let value = if exact == 0.0 || !exact.is_finite() {
        exact as f32
    } else {
        let hash = (key ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 62;
        // Rounded back toward the exact value, so that the error stays within its bound.
        let (target, rounding) = match hash {
            0 => (exact - error, Rounding::Up),
            1 => (exact + error, Rounding::Down),
            _ => (exact, Rounding::Nearest),
        };
        F32.round(target, 0.0, rounding) as f32
    };
    canonical(if ftz { flushed(value) } else { value })
}

/// The distance of floats at y.
fn ulp(y: f64) -> f64 {
    exp2(f64::from(((y.to_bits() >> 52 & 0x7ff) as i32 - 1023).max(-126) - 23))
}

fn exp2(x: f64) -> f64 {
    x.exp2()
}
