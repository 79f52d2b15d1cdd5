//! Integer arithmetic, logic, shifts and bit fields.

use crate::evaluate::{check, i};

const MIN: u64 = 0x8000_0000;
const MAX: u64 = 0x7fff_ffff;
const ONES: u64 = 0xffff_ffff;

#[test]
fn sums_wrap_and_saturate() {
    check(
        "add.s32 %d, %a, %b;",
        32,
        [32, 32],
        &[([MAX, 1], MIN), ([ONES, 1], 0), ([MIN, ONES], MAX)],
    );
    check(
        "add.sat.s32 %d, %a, %b;",
        32,
        [32, 32],
        &[([MAX, 1], MAX), ([MIN, ONES], MIN), ([i(-5), 3], i(-2))],
    );
    check(
        "sub.sat.s32 %d, %a, %b;",
        32,
        [32, 32],
        &[([MIN, 1], MIN), ([MAX, ONES], MAX), ([0, MIN], MAX)],
    );
    check(
        "sub.u16 %d, %a, %b;",
        16,
        [16, 16],
        &[([0, 1], 0xffff), ([0x8000, 1], 0x7fff)],
    );
    check(
        "add.u64 %d, %a, %b;",
        64,
        [64, 64],
        &[([u64::MAX, 1], 0), ([1 << 63, 1 << 63], 0)],
    );
    check("sub.s64 %d, %a, %b;", 64, [64, 64], &[([0, 1], u64::MAX)]);
}

#[test]
fn products_by_their_part() {
    let of = [32, 32];
    check(
        "mul.lo.s32 %d, %a, %b;",
        32,
        of,
        &[([i(-3), 7], i(-21)), ([0x1_0000, 0x1_0000], 0), ([MIN, ONES], MIN)],
    );
    check(
        "mul.hi.s32 %d, %a, %b;",
        32,
        of,
        &[([i(-1), 1], ONES), ([MIN, MIN], 0x4000_0000), ([MAX, 2], 0)],
    );
    check(
        "mul.hi.u32 %d, %a, %b;",
        32,
        of,
        &[([ONES, ONES], 0xffff_fffe), ([MIN, 2], 1)],
    );
    check(
        "mul.wide.s32 %d, %a, %b;",
        64,
        of,
        &[([i(-1), 5], -5i64 as u64), ([MIN, MIN], 1 << 62)],
    );
    check(
        "mul.wide.u32 %d, %a, %b;",
        64,
        of,
        &[([ONES, ONES], 0xffff_fffe_0000_0001)],
    );
    check(
        "mul.wide.s16 %d, %a, %b;",
        32,
        [16, 16],
        &[([0xffff, 2], i(-2)), ([0x8000, 0x8000], 0x4000_0000)],
    );
    check(
        "mul.lo.s64 %d, %a, %b;",
        64,
        [64, 64],
        &[([-3i64 as u64, 7], -21i64 as u64), ([1 << 32, 1 << 32], 0)],
    );
    check(
        "mul.hi.s64 %d, %a, %b;",
        64,
        [64, 64],
        &[([u64::MAX, 1], u64::MAX), ([1 << 62, 4], 1)],
    );
    check(
        "mul.hi.u64 %d, %a, %b;",
        64,
        [64, 64],
        &[([u64::MAX, u64::MAX], u64::MAX - 1)],
    );
}

#[test]
fn products_with_a_sum() {
    let of = [32, 32, 32];
    check(
        "mad.lo.s32 %d, %a, %b, %c;",
        32,
        of,
        &[([i(-2), 3, 10], 4), ([MAX, 2, 3], 1)],
    );
    check(
        "mad.hi.u32 %d, %a, %b, %c;",
        32,
        of,
        &[([ONES, ONES, 2], 0), ([MIN, 2, ONES], 0)],
    );
    check(
        "mad.wide.s32 %d, %a, %b, %c;",
        64,
        [32, 32, 64],
        &[([i(-1), 1, 3], 2), ([ONES, ONES, u64::MAX], 0)],
    );
    check(
        "mad.wide.u32 %d, %a, %b, %c;",
        64,
        [32, 32, 64],
        &[([ONES, 2, 1], 0x1_ffff_ffff)],
    );
    check(
        "sad.s32 %d, %a, %b, %c;",
        32,
        of,
        &[([i(-7), 5, 100], 112), ([MIN, MAX, 1], 0)],
    );
    check(
        "sad.u32 %d, %a, %b, %c;",
        32,
        of,
        &[([2, 5, 100], 103), ([ONES, 0, 1], 0)],
    );
    check(
        "dp4a.s32.s32 %d, %a, %b, %c;",
        32,
        of,
        &[
            ([0xff01_7f80, 0x0101_0101, 10], i(9)),
            ([0x8080_8080, 0x8080_8080, 0], 65_536),
        ],
    );
    check("dp4a.u32.s32 %d, %a, %b, %c;", 32, of, &[([0xff, 0xff, 0], i(-255))]);
}

#[test]
fn quotients_by_sign() {
    let of = [32, 32];
    check(
        "div.s32 %d, %a, %b;",
        32,
        of,
        &[
            ([i(-7), 2], i(-3)),
            ([7, i(-2)], i(-3)),
            ([i(-7), i(-2)], 3),
            ([MIN, ONES], MIN),
        ],
    );
    check(
        "div.u32 %d, %a, %b;",
        32,
        of,
        &[([ONES, 2], MAX), ([7, 8], 0), ([5, 0], ONES)],
    );
    check(
        "rem.s32 %d, %a, %b;",
        32,
        of,
        &[
            ([i(-7), 2], i(-1)),
            ([7, i(-2)], 1),
            ([i(-7), i(-2)], i(-1)),
            ([MIN, ONES], 0),
        ],
    );
    check("rem.u32 %d, %a, %b;", 32, of, &[([ONES, 10], 5), ([7, 8], 7)]);
    check(
        "div.s64 %d, %a, %b;",
        64,
        [64, 64],
        &[([-7i64 as u64, 2], -3i64 as u64)],
    );
    check("rem.u64 %d, %a, %b;", 64, [64, 64], &[([u64::MAX, 10], 5)]);
    check("div.s16 %d, %a, %b;", 16, [16, 16], &[([0xfff9, 2], 0xfffd)]);
}

#[test]
fn extremes_and_signs() {
    let of = [32, 32];
    check("min.s32 %d, %a, %b;", 32, of, &[([i(-1), 1], i(-1)), ([MIN, MAX], MIN)]);
    check("min.u32 %d, %a, %b;", 32, of, &[([ONES, 1], 1), ([MIN, MAX], MAX)]);
    check("max.s32 %d, %a, %b;", 32, of, &[([i(-1), 1], 1), ([MIN, MAX], MAX)]);
    check("max.u64 %d, %a, %b;", 64, [64, 64], &[([1 << 63, 5], 1 << 63)]);
    check("max.s64 %d, %a, %b;", 64, [64, 64], &[([1 << 63, 5], 5)]);
    check("abs.s32 %d, %a;", 32, [32], &[([i(-5)], 5), ([MIN], MIN), ([7], 7)]);
    check("neg.s32 %d, %a;", 32, [32], &[([5], i(-5)), ([MIN], MIN), ([0], 0)]);
    check("neg.s64 %d, %a;", 64, [64], &[([5], -5i64 as u64)]);
}

#[test]
fn logic() {
    let (a, b) = (0xff00_ff00, 0x0ff0_0ff0);
    check("and.b32 %d, %a, %b;", 32, [32, 32], &[([a, b], a & b)]);
    check("or.b32 %d, %a, %b;", 32, [32, 32], &[([a, b], a | b)]);
    check("xor.b64 %d, %a, %b;", 64, [64, 64], &[([a, b], a ^ b)]);
    check("not.b32 %d, %a;", 32, [32], &[([a], 0x00ff_00ff)]);
    check("not.b64 %d, %a;", 64, [64], &[([0], u64::MAX)]);
    check("cnot.b32 %d, %a;", 32, [32], &[([0], 1), ([5], 0)]);
    // a & b ^ c has the table 0x6a.
    let c = 0x1234_5678;
    check(
        "lop3.b32 %d, %a, %b, %c, 0x6a;",
        32,
        [32, 32, 32],
        &[([a, b, c], a & b ^ c)],
    );
    check(
        "lop3.b32 %d, %a, %b, %c, 0xd8;",
        32,
        [32, 32, 32],
        &[([a, b, c], c & b | !c & a & ONES)],
    );
}

#[test]
fn shifts_beyond_the_width() {
    let of = [32, 32];
    check(
        "shl.b32 %d, %a, %b;",
        32,
        of,
        &[([1, 31], MIN), ([1, 32], 0), ([1, ONES], 0), ([0x8000_0001, 1], 2)],
    );
    check(
        "shr.u32 %d, %a, %b;",
        32,
        of,
        &[([MIN, 31], 1), ([ONES, 32], 0), ([ONES, ONES], 0)],
    );
    check(
        "shr.s32 %d, %a, %b;",
        32,
        of,
        &[
            ([MIN, 31], ONES),
            ([MIN, 32], ONES),
            ([MAX, 40], 0),
            ([i(-8), 1], i(-4)),
        ],
    );
    check("shl.b64 %d, %a, %b;", 64, [64, 32], &[([1, 63], 1 << 63), ([1, 64], 0)]);
    check(
        "shr.s64 %d, %a, %b;",
        64,
        [64, 32],
        &[([1 << 63, 64], u64::MAX), ([1 << 62, 62], 1)],
    );
    check(
        "shr.u64 %d, %a, %b;",
        64,
        [64, 32],
        &[([1 << 63, 63], 1), ([1 << 63, 64], 0)],
    );
    check(
        "shl.b16 %d, %a, %b;",
        16,
        [16, 32],
        &[([0x00ff, 8], 0xff00), ([1, 16], 0)],
    );
    check("shr.s16 %d, %a, %b;", 16, [16, 32], &[([0x8000, 99], 0xffff)]);
}

#[test]
fn funnel_shifts() {
    let of = [32, 32, 32];
    let (low, high) = (0x1234_5678, 0x9abc_def0);
    check(
        "shf.l.clamp.b32 %d, %a, %b, %c;",
        32,
        of,
        &[
            ([low, high, 12], 0xcdef_0123),
            ([low, high, 44], low),
            ([low, high, 0], high),
        ],
    );
    check(
        "shf.l.wrap.b32 %d, %a, %b, %c;",
        32,
        of,
        &[([low, high, 44], 0xcdef_0123), ([low, high, 32], high)],
    );
    check(
        "shf.r.clamp.b32 %d, %a, %b, %c;",
        32,
        of,
        &[
            ([low, high, 12], 0xef01_2345),
            ([low, high, 44], high),
            ([low, high, 0], low),
        ],
    );
    check(
        "shf.r.wrap.b32 %d, %a, %b, %c;",
        32,
        of,
        &[([low, high, 44], 0xef01_2345), ([low, high, 32], low)],
    );
}

#[test]
fn counts_of_bits() {
    check("popc.b32 %d, %a;", 32, [32], &[([0], 0), ([ONES], 32), ([0x8001], 2)]);
    check("popc.b64 %d, %a;", 32, [64], &[([u64::MAX], 64)]);
    check("clz.b32 %d, %a;", 32, [32], &[([0], 32), ([1], 31), ([MIN], 0)]);
    check("clz.b64 %d, %a;", 32, [64], &[([0], 64), ([1], 63), ([1 << 63], 0)]);
    check(
        "brev.b32 %d, %a;",
        32,
        [32],
        &[([1], MIN), ([0x0000_ffff], 0xffff_0000)],
    );
    check("brev.b64 %d, %a;", 64, [64], &[([1], 1 << 63)]);
    check(
        "bfind.u32 %d, %a;",
        32,
        [32],
        &[([0], ONES), ([1], 0), ([MIN], 31), ([0x00ff_0000], 23)],
    );
    check(
        "bfind.s32 %d, %a;",
        32,
        [32],
        &[([0], ONES), ([ONES], ONES), ([i(-2)], 0), ([0x100], 8)],
    );
    check(
        "bfind.shiftamt.u32 %d, %a;",
        32,
        [32],
        &[([0], ONES), ([MIN], 0), ([1], 31)],
    );
}

#[test]
fn fields_of_bits() {
    let of = [32, 32, 32];
    let x = 0xf8c1_22a0;
    check(
        "bfe.u32 %d, %a, %b, %c;",
        32,
        of,
        &[
            ([x, 16, 8], 0xc1),
            ([x, 24, 32], 0xf8),
            ([x, 0, 0], 0),
            ([x, 40, 8], 0),
            ([x, 0x110, 8], 0xc1),
        ],
    );
    // Beyond the field comes its last bit; a field past the end takes the sign of the whole.
    check(
        "bfe.s32 %d, %a, %b, %c;",
        32,
        of,
        &[
            ([x, 16, 8], i(-63)),
            ([0x70, 4, 3], ONES),
            ([x, 28, 8], ONES),
            ([x, 0, 0], 0),
            ([x, 40, 8], ONES),
        ],
    );
    check("bfe.u64 %d, %a, %b, %c;", 64, [64, 32, 32], &[([u64::MAX, 60, 8], 15)]);
    check(
        "bfi.b32 %d, %a, %b, 4, 8;",
        32,
        [32, 32],
        &[([0xab, ONES], 0xffff_fabf), ([0x1ab, 0], 0xab0)],
    );
    check(
        "bfi.b32 %d, %a, 0xffffffff, %b, %c;",
        32,
        of,
        &[([0, 28, 8], 0x0fff_ffff), ([0, 32, 4], ONES), ([0, 4, 0], ONES)],
    );
    check("bfi.b64 %d, %a, %b, 32, 32;", 64, [64, 64], &[([7, 9], 7 << 32 | 9)]);
}

#[test]
fn bytes_by_a_selector() {
    let (a, b) = (0x3322_1100, 0x7766_5544);
    check(
        "prmt.b32 %d, %a, %b, %c;",
        32,
        [32, 32, 32],
        &[
            ([a, b, 0x3210], a),
            ([a, b, 0x7654], b),
            ([a, b, 0x0167], 0x0011_6677),
            // Bit 3 of a selector spreads the sign of the byte.
            ([0x80, 0x7f00_0000, 0x888f], 0xffff_ff00),
        ],
    );
}
