//! `cvt`, and all encodings of the 16-bit formats in both directions.

use crate::evaluate::{NAN, check, evaluate, f, i};

#[test]
fn between_integers() {
    check(
        "cvt.s32.s16 %d, %a;",
        32,
        [16],
        &[([0x8000], 0xffff_8000), ([0x7fff], 0x7fff)],
    );
    check("cvt.u32.u16 %d, %a;", 32, [16], &[([0x8000], 0x8000)]);
    check("cvt.s64.s32 %d, %a;", 64, [32], &[([i(-5)], -5i64 as u64)]);
    check("cvt.u64.u32 %d, %a;", 64, [32], &[([i(-5)], 0xffff_fffb)]);
    check("cvt.u32.u64 %d, %a;", 32, [64], &[([0x1_2345_6789], 0x2345_6789)]);
    // A narrow type in a wide register is extended by its own sign.
    check(
        "cvt.s8.s32 %d, %a;",
        32,
        [32],
        &[([0x1c2], 0xffff_ffc2), ([0x142], 0x42)],
    );
    check("cvt.u8.u32 %d, %a;", 32, [32], &[([0x1c2], 0xc2)]);
    check(
        "cvt.sat.u8.s32 %d, %a;",
        32,
        [32],
        &[([i(-1)], 0), ([300], 255), ([7], 7)],
    );
    check(
        "cvt.sat.s8.s32 %d, %a;",
        32,
        [32],
        &[([i(-300)], i(-128)), ([300], 127)],
    );
    check("cvt.sat.u32.s32 %d, %a;", 32, [32], &[([i(-1)], 0)]);
    check("cvt.sat.s32.u32 %d, %a;", 32, [32], &[([0xffff_ffff], 0x7fff_ffff)]);
}

#[test]
fn from_floats_to_integers() {
    let halves = [2.5f32, -2.5, 3.5, 0.7, -0.7];
    for (mode, wanted) in [
        ("rni", [2, -2, 4, 1, -1]),
        ("rzi", [2, -2, 3, 0, 0]),
        ("rmi", [2, -3, 3, 0, -1]),
        ("rpi", [3, -2, 4, 1, 0]),
    ] {
        let got = evaluate(
            &format!("cvt.{mode}.s32.f32 %d, %a;"),
            32,
            [32],
            &halves.map(|x| [f(x)]),
        );
        assert_eq!(got, wanted.map(i), "{mode}");
        let whole = evaluate(
            &format!("cvt.{mode}.f32.f32 %d, %a;"),
            32,
            [32],
            &halves.map(|x| [f(x)]),
        );
        let whole: Vec<f32> = whole.into_iter().map(|bits| f32::from_bits(bits as u32)).collect();
        assert_eq!(whole, wanted.map(|x| x as f32), "{mode}");
    }
    // Out of range gives the nearest value, NaN gives 0.
    check(
        "cvt.rzi.s32.f32 %d, %a;",
        32,
        [32],
        &[
            ([f(3e9)], 0x7fff_ffff),
            ([f(-3e9)], 0x8000_0000),
            ([NAN], 0),
            ([f(f32::INFINITY)], 0x7fff_ffff),
        ],
    );
    check(
        "cvt.rzi.u32.f32 %d, %a;",
        32,
        [32],
        &[
            ([f(-1.0)], 0),
            ([f(5e9)], 0xffff_ffff),
            ([NAN], 0),
            ([f(3e9)], 3_000_000_000),
        ],
    );
    check(
        "cvt.rni.u16.f32 %d, %a;",
        16,
        [32],
        &[([f(65535.5)], 65535), ([f(65534.5)], 65534), ([NAN], 0)],
    );
    check(
        "cvt.rzi.s64.f64 %d, %a;",
        64,
        [64],
        &[
            ([(-1.5f64).to_bits()], -1i64 as u64),
            ([1e30f64.to_bits()], i64::MAX as u64),
        ],
    );
    check("cvt.rni.ftz.f32.f32 %d, %a;", 32, [32], &[([1], 0)]);
}

#[test]
fn from_integers_to_floats() {
    // 2^24 + 1 lies between two floats.
    let odd = 16_777_217;
    check(
        "cvt.rn.f32.u32 %d, %a;",
        32,
        [32],
        &[
            ([odd], f(16_777_216.0)),
            ([odd + 2], f(16_777_220.0)),
            ([0xffff_ffff], f(4_294_967_296.0)),
        ],
    );
    check("cvt.rz.f32.u32 %d, %a;", 32, [32], &[([odd + 2], f(16_777_218.0))]);
    check(
        "cvt.rp.f32.s32 %d, %a;",
        32,
        [32],
        &[([odd], f(16_777_218.0)), ([i(-16_777_217)], f(-16_777_216.0))],
    );
    check(
        "cvt.rm.f32.s32 %d, %a;",
        32,
        [32],
        &[([odd], f(16_777_216.0)), ([i(-16_777_217)], f(-16_777_218.0))],
    );
    check(
        "cvt.rn.f32.u64 %d, %a;",
        32,
        [64],
        &[
            ([(1 << 60) + (1 << 36) + 1], f(1.152_921_6e18)),
            ([u64::MAX], f(18_446_744_073_709_551_616.0)),
        ],
    );
    check(
        "cvt.rn.f64.u32 %d, %a;",
        64,
        [32],
        &[([0xffff_ffff], 4_294_967_295f64.to_bits())],
    );
    check(
        "cvt.rn.f64.s64 %d, %a;",
        64,
        [64],
        &[([-3i64 as u64], (-3f64).to_bits())],
    );
    check(
        "cvt.rn.f16.s32 %d, %a;",
        16,
        [32],
        &[([i(-2049)], 0xe800), ([2051], 0x6802), ([70_000], 0x7c00)],
    );
    check("cvt.rn.bf16.u32 %d, %a;", 16, [32], &[([3], 0x4040), ([257], 0x4380)]);
}

#[test]
fn between_floats() {
    check(
        "cvt.f64.f32 %d, %a;",
        64,
        [32],
        &[
            ([f(0.1)], f64::from(0.1f32).to_bits()),
            ([1], f64::from(f32::from_bits(1)).to_bits()),
        ],
    );
    check(
        "cvt.rn.f32.f64 %d, %a;",
        32,
        [64],
        &[([0.1f64.to_bits()], f(0.1)), ([1e300f64.to_bits()], f(f32::INFINITY))],
    );
    check(
        "cvt.rz.f32.f64 %d, %a;",
        32,
        [64],
        &[([1e300f64.to_bits()], f(f32::MAX)), ([0.1f64.to_bits()], f(0.1) - 1)],
    );
    check(
        "cvt.sat.f32.f32 %d, %a;",
        32,
        [32],
        &[([f(-0.5)], 0), ([f(2.0)], f(1.0)), ([NAN], 0), ([f(0.25)], f(0.25))],
    );
    // To nearest, ties away from zero, 10 bits of fraction.
    let ulp = f32::EPSILON * 8192.0;
    check(
        "cvt.rna.tf32.f32 %d, %a;",
        32,
        [32],
        &[
            ([f(1.0 + ulp / 2.0)], f(1.0 + ulp)),
            ([f(-1.0 - ulp / 2.0)], f(-1.0 - ulp)),
            ([f(1.0 + ulp / 2.0) - 1], f(1.0)),
            ([f(0.1)], 0x3dcc_c000),
            ([NAN], NAN),
            ([f(f32::MAX)], f(f32::INFINITY)),
        ],
    );
    check(
        "cvt.rn.bf16x2.f32 %d, %a, %b;",
        32,
        [32, 32],
        &[([f(1.0), f(-2.0)], 0x3f80_c000), ([NAN, f(1e-40)], 0x7fff_0001)],
    );
    check(
        "cvt.rn.f16x2.f32 %d, %a, %b;",
        32,
        [32, 32],
        &[([f(1.0), f(2.0)], 0x3c00_4000)],
    );
    check(
        "cvt.rn.relu.bf16.f32 %d, %a;",
        16,
        [32],
        &[([f(-1.0)], 0), ([f(1.0)], 0x3f80)],
    );
    check("cvt.rz.bf16.f32 %d, %a;", 16, [32], &[([0x3f80_ffff], 0x3f80)]);
}

/// The value of a half from its fields: a second way, so that the interpreter's is held against something.
fn half(bits: u64) -> f64 {
    let (sign, exponent, fraction) = (bits >> 15, bits >> 10 & 31, (bits & 0x3ff) as f64);
    let magnitude = match exponent {
        0 => fraction / 16_777_216.0,
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        e => (1.0 + fraction / 1024.0) * ((e as f64) - 15.0).exp2(),
    };
    if sign == 1 { -magnitude } else { magnitude }
}

fn all_encodings() -> Vec<[u64; 1]> {
    (0..65_536).map(|bits| [bits]).collect()
}

#[test]
fn every_half_has_its_value_and_comes_back() {
    let values = evaluate("cvt.f32.f16 %d, %a;", 32, [16], &all_encodings());
    let back = evaluate(
        "cvt.f32.f16 %r3, %a;\ncvt.rn.f16.f32 %d, %r3;",
        16,
        [16],
        &all_encodings(),
    );
    for (bits, (value, back)) in (0u64..).zip(values.into_iter().zip(back)) {
        let (got, wanted) = (f64::from(f32::from_bits(value as u32)), half(bits));
        if wanted.is_nan() {
            assert!(got.is_nan() && half(back).is_nan(), "{bits:#x}");
        } else {
            assert_eq!(got.to_bits(), wanted.to_bits(), "{bits:#x}");
            assert_eq!(back, bits);
        }
    }
}

#[test]
fn every_bfloat_has_its_value_and_comes_back() {
    // The value of a bfloat is the f32 that it is the upper half of.
    let body = "mov.b16 %h1, 0;\nmov.b32 %r3, {%h1, %a};\ncvt.rn.bf16.f32 %d, %r3;";
    let back = evaluate(body, 16, [16], &all_encodings());
    for (bits, back) in (0u64..).zip(back) {
        let value = f32::from_bits((bits as u32) << 16);
        if value.is_nan() {
            assert_eq!(back, 0x7fff, "{bits:#x}");
        } else {
            assert_eq!(back, bits);
        }
    }
}

/// Between two neighbours of a 16-bit format: just below the middle, the middle, just above it. To nearest, ties to the even encoding.
fn middles(instruction: &str, value: impl Fn(u64) -> f64, last: u64) {
    let positive: Vec<u64> = (0..last).collect();
    for (sign, nudge, up) in [
        (1.0, -1, Some(false)),
        (1.0, 0, None),
        (1.0, 1, Some(true)),
        (-1.0, 0, None),
    ] {
        let rows: Vec<[u64; 1]> = positive
            .iter()
            .map(|&bits| {
                let middle = ((value(bits) + value(bits + 1)) / 2.0 * sign) as f32;
                [u64::from(middle.to_bits().wrapping_add_signed(nudge))]
            })
            .collect();
        let got = evaluate(&format!("{instruction} %d, %a;"), 16, [32], &rows);
        for (&bits, got) in positive.iter().zip(got) {
            let nearest = bits + u64::from(up.unwrap_or(bits % 2 == 1));
            let sign = if sign < 0.0 { 0x8000 } else { 0 };
            assert_eq!(
                got,
                nearest | sign,
                "{instruction}: between {bits:#x} and the next, nudged by {nudge}"
            );
        }
    }
}

#[test]
fn every_middle_of_two_halves_is_rounded_to_even() {
    // Beyond the greatest half lies infinity, where the next half would be.
    middles(
        "cvt.rn.f16.f32",
        |bits| if bits == 0x7c00 { 65_536.0 } else { half(bits) },
        0x7c00,
    );
}

#[test]
fn every_middle_of_two_bfloats_is_rounded_to_even() {
    let value = |bits: u64| f64::from(f32::from_bits((bits as u32) << 16));
    // The last middle lies beyond what an f32 can say as a sum: it is left to f32::MAX in `between_floats`.
    middles("cvt.rn.bf16.f32", value, 0x7f7f);
    check(
        "cvt.rn.bf16.f32 %d, %a;",
        16,
        [32],
        &[([f(f32::MAX)], 0x7f80), ([0x7f7f_7fff], 0x7f7f)],
    );
}
