//! Rounding to the formats of PTX: one rule for all of them, over the 53 bits of an f64 and the sign of what lies below.

/// `.rn`, `.rna`, `.rz`, `.rm`, `.rp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To nearest, ties to even.
    Nearest,
    /// To nearest, ties away from zero.
    NearestAway,
    /// Toward zero.
    Zero,
    /// Toward negative infinity.
    Down,
    /// Toward positive infinity.
    Up,
}

/// A binary format: bits of its significand with the hidden one, and the exponents of its least and greatest normal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Bits of the significand, the hidden one included.
    pub precision: u32,
    /// Exponent of the least normal number.
    pub least: i32,
    /// Exponent of the greatest.
    pub greatest: i32,
}

/// IEEE half.
pub const F16: Format = Format {
    precision: 11,
    least: -14,
    greatest: 15,
};
/// The upper half of an f32.
pub const BF16: Format = Format {
    precision: 8,
    least: -126,
    greatest: 127,
};
/// What tensor cores take of an f32: 10 bits of fraction.
pub const TF32: Format = Format {
    precision: 11,
    least: -126,
    greatest: 127,
};
/// IEEE single.
pub const F32: Format = Format {
    precision: 24,
    least: -126,
    greatest: 127,
};

impl Format {
    /// Rounds `x + below`, where only the sign of `below` matters: it is less than half a unit of the last place of `x`.
    /// The result is a number of the format, or an infinity where the mode overflows to it. NaN stays NaN.
    pub fn round(self, x: f64, below: f64, rounding: Rounding) -> f64 {
        if !x.is_finite() || x == 0.0 {
            return x;
        }
        let negative = x < 0.0;
        let bits = x.abs().to_bits();
        let field = (bits >> 52) as i32;
        // |x| = significand * 2^exponent.
        let (significand, exponent) = if field == 0 {
            (bits, -1074)
        } else {
            (bits & ((1 << 52) - 1) | 1 << 52, field - 1075)
        };
        // Room below the last bit for the sign of what lies there.
        let mut wide = (significand as u128) << 70;
        if below != 0.0 {
            wide = if (below < 0.0) == negative { wide + 1 } else { wide - 1 };
        }
        // The exponent of the leading bit after that step decides the unit in the last place.
        let lead = 127 - wide.leading_zeros() as i32 + exponent - 70;
        let unit = lead.max(self.least) - (self.precision as i32 - 1);
        let shift = (unit - (exponent - 70)) as u32;
        let (whole, rest) = if shift > 127 {
            (0, wide)
        } else {
            (wide >> shift, wide & ((1 << shift) - 1))
        };
        let half = if shift > 127 { u128::MAX } else { 1 << (shift - 1) };
        let up = match rounding {
            Rounding::Nearest => rest > half || rest == half && whole & 1 == 1,
            Rounding::NearestAway => rest >= half,
            Rounding::Zero => false,
            Rounding::Down => negative && rest > 0,
            Rounding::Up => !negative && rest > 0,
        };
        let magnitude = scaled((whole + up as u128) as f64, unit);
        let magnitude = if magnitude < scaled(1.0, self.greatest) * 2.0 {
            magnitude
        } else {
            let to_infinity = match rounding {
                Rounding::Nearest | Rounding::NearestAway => true,
                Rounding::Zero => false,
                Rounding::Down => negative,
                Rounding::Up => !negative,
            };
            if to_infinity { f64::INFINITY } else { self.max() }
        };
        if negative { -magnitude } else { magnitude }
    }

    /// The greatest finite number.
    pub fn max(self) -> f64 {
        scaled(2.0 - scaled(1.0, 1 - self.precision as i32), self.greatest)
    }
}

/// x * 2^exponent, exact where the result is a normal f64 or the exponents are those of the formats above.
fn scaled(x: f64, exponent: i32) -> f64 {
    // Two steps reach every exponent from -1074 on without a subnormal factor.
    let half = exponent / 2;
    x * f64::from_bits(((1023 + half) as u64) << 52) * f64::from_bits(((1023 + exponent - half) as u64) << 52)
}

/// Bits of the half nearest to `x` in the given direction.
pub fn to_f16(x: f64, rounding: Rounding) -> u16 {
    if x.is_nan() {
        return 0x7fff;
    }
    let sign = (x.is_sign_negative() as u16) << 15;
    let value = F16.round(x, 0.0, rounding).abs();
    if value.is_infinite() {
        return sign | 0x7c00;
    }
    if value < scaled(1.0, -14) {
        return sign | (value * scaled(1.0, 24)) as u16;
    }
    let exponent = (value.to_bits() >> 52) as i32 - 1023;
    let fraction = (value.to_bits() >> 42 & 0x3ff) as u16;
    sign | ((exponent + 15) as u16) << 10 | fraction
}

/// The value of a half.
pub fn from_f16(bits: u16) -> f32 {
    let (exponent, fraction) = ((bits >> 10 & 0x1f) as i32, (bits & 0x3ff) as f64);
    let magnitude = match exponent {
        0 => scaled(fraction, -24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => scaled(1024.0 + fraction, exponent - 25),
    };
    (if bits >> 15 == 1 { -magnitude } else { magnitude }) as f32
}

/// Bits of the bfloat16 nearest to `x` in the given direction.
pub fn to_bf16(x: f64, rounding: Rounding) -> u16 {
    if x.is_nan() {
        return 0x7fff;
    }
    ((BF16.round(x, 0.0, rounding) as f32).to_bits() >> 16) as u16
}

/// The value of a bfloat16.
pub fn from_bf16(bits: u16) -> f32 {
    f32::from_bits((bits as u32) << 16)
}

/// x + y rounded to f32 in the given direction.
pub fn add(x: f32, y: f32, rounding: Rounding) -> f32 {
    sum(x as f64, y as f64, rounding)
}

/// x * y + z rounded once to f32 in the given direction.
pub fn fused(x: f32, y: f32, z: f32, rounding: Rounding) -> f32 {
    // The product of two f32 has 48 bits: exact.
    sum(x as f64 * y as f64, z as f64, rounding)
}

/// The sum of two f64 rounded once to f32.
fn sum(x: f64, y: f64, rounding: Rounding) -> f32 {
    let high = x + y;
    // Knuth's two-sum: the error of the line above, exactly.
    let part = high - x;
    let low = (x - (high - part)) + (y - part);
    if high == 0.0 && rounding == Rounding::Down && (x != 0.0 || x.is_sign_negative() || y.is_sign_negative()) {
        return -0.0;
    }
    F32.round(high, if high.is_finite() { low } else { 0.0 }, rounding) as f32
}

/// x * y rounded to f32 in the given direction.
pub fn product(x: f32, y: f32, rounding: Rounding) -> f32 {
    F32.round(x as f64 * y as f64, 0.0, rounding) as f32
}

/// x / y rounded to f32 in the given direction.
pub fn quotient(x: f32, y: f32, rounding: Rounding) -> f32 {
    let (x, y) = (x as f64, y as f64);
    let high = x / y;
    let rest = if high.is_finite() && high != 0.0 {
        (-high).mul_add(y, x) * y.signum()
    } else {
        0.0
    };
    F32.round(high, rest, rounding) as f32
}

/// The square root rounded to f32 in the given direction.
pub fn root(x: f32, rounding: Rounding) -> f32 {
    let x = x as f64;
    let high = x.sqrt();
    let rest = if high.is_finite() && high != 0.0 {
        (-high).mul_add(high, x)
    } else {
        0.0
    };
    F32.round(high, rest, rounding) as f32
}

/// x rounded to an integer.
pub fn to_integer(x: f64, rounding: Rounding) -> f64 {
    match rounding {
        Rounding::Nearest => x.round_ties_even(),
        Rounding::NearestAway => x.round(),
        Rounding::Zero => x.trunc(),
        Rounding::Down => x.floor(),
        Rounding::Up => x.ceil(),
    }
}

/// A subnormal becomes zero of its sign.
#[inline(always)]
pub(crate) fn flushed(x: f32) -> f32 {
    if x.abs() < f32::MIN_POSITIVE {
        0.0f32.copysign(x)
    } else {
        x
    }
}

/// The NaN that arithmetic on a card gives is always this one.
#[inline(always)]
pub(crate) fn canonical(x: f32) -> u64 {
    if x.is_nan() { 0x7fff_ffff } else { x.to_bits() as u64 }
}
