//! Comparisons, selections, logic on predicates.

use crate::evaluate::{NAN, check, evaluate, f, i};

#[test]
fn integers_by_their_sign() {
    let (minus, one) = (i(-1), 1);
    for (op, signed, unsigned) in [
        ("lt", 1, 0),
        ("le", 1, 0),
        ("gt", 0, 1),
        ("ge", 0, 1),
        ("eq", 0, 0),
        ("ne", 1, 1),
    ] {
        check(
            &format!("setp.{op}.s32 %p, %a, %b;"),
            1,
            [32, 32],
            &[([minus, one], signed)],
        );
        check(
            &format!("setp.{op}.u32 %p, %a, %b;"),
            1,
            [32, 32],
            &[([minus, one], unsigned)],
        );
    }
    for (op, same) in [("lo", 0), ("ls", 1), ("hi", 0), ("hs", 1)] {
        check(&format!("setp.{op}.u32 %p, %a, %b;"), 1, [32, 32], &[([7, 7], same)]);
    }
    check(
        "setp.lt.s64 %p, %a, %b;",
        1,
        [64, 64],
        &[([u64::MAX, 0], 1), ([0, u64::MAX], 0)],
    );
    check(
        "setp.lt.s16 %p, %a, %b;",
        1,
        [16, 16],
        &[([0x8000, 0], 1), ([0, 0x8000], 0)],
    );
}

#[test]
fn a_nan_is_in_no_ordered_comparison_and_in_every_unordered_one() {
    let pairs = [
        [f(1.0), f(2.0)],
        [f(2.0), f(2.0)],
        [f(3.0), f(2.0)],
        [NAN, f(2.0)],
        [f(2.0), NAN],
        [NAN, NAN],
    ];
    for (op, numbers) in [
        ("eq", [0, 1, 0]),
        ("ne", [1, 0, 1]),
        ("lt", [1, 0, 0]),
        ("le", [1, 1, 0]),
        ("gt", [0, 0, 1]),
        ("ge", [0, 1, 1]),
    ] {
        let ordered = evaluate(&format!("setp.{op}.f32 %p, %a, %b;"), 1, [32, 32], &pairs);
        assert_eq!(ordered, [&numbers[..], &[0, 0, 0]].concat(), "{op}");
        let unordered = evaluate(&format!("setp.{op}u.f32 %p, %a, %b;"), 1, [32, 32], &pairs);
        assert_eq!(unordered, [&numbers[..], &[1, 1, 1]].concat(), "{op}u");
    }
    assert_eq!(
        evaluate("setp.num.f32 %p, %a, %b;", 1, [32, 32], &pairs),
        [1, 1, 1, 0, 0, 0]
    );
    assert_eq!(
        evaluate("setp.nan.f32 %p, %a, %b;", 1, [32, 32], &pairs),
        [0, 0, 0, 1, 1, 1]
    );
    check("setp.eq.f32 %p, %a, %b;", 1, [32, 32], &[([f(0.0), f(-0.0)], 1)]);
    check("setp.lt.ftz.f32 %p, %a, %b;", 1, [32, 32], &[([0, 1], 0)]);
    check("setp.lt.f32 %p, %a, %b;", 1, [32, 32], &[([0, 1], 1)]);
    check(
        "setp.geu.f64 %p, %a, %b;",
        1,
        [64, 64],
        &[([f64::NAN.to_bits(), 0], 1), ([0, 1f64.to_bits()], 0)],
    );
}

#[test]
fn a_comparison_joined_with_a_predicate() {
    for (join, both) in [("and", [0, 0, 0, 1]), ("or", [0, 1, 1, 1]), ("xor", [0, 1, 1, 0])] {
        // a < b, joined with c != 0.
        let rows = [[2, 1, 0], [2, 1, 1], [1, 2, 0], [1, 2, 1]];
        let body = format!("setp.ne.s32 %q, %c, 0;\nsetp.lt.{join}.s32 %p, %a, %b, %q;");
        assert_eq!(evaluate(&body, 1, [32, 32, 32], &rows), both, "{join}");
    }
    // The second predicate holds the opposite comparison.
    check("setp.lt.s32 %q|%p, %a, %b;", 1, [32, 32], &[([1, 2], 0), ([2, 1], 1)]);
}

#[test]
fn predicates() {
    let rows = [[0, 0], [0, 1], [1, 0], [1, 1]];
    for (op, wanted) in [("and", [0, 0, 0, 1]), ("or", [0, 1, 1, 1]), ("xor", [0, 1, 1, 0])] {
        let body = format!("setp.ne.s32 %p, %a, 0;\nsetp.ne.s32 %q, %b, 0;\n{op}.pred %p, %p, %q;");
        assert_eq!(evaluate(&body, 1, [32, 32], &rows), wanted, "{op}");
    }
    check(
        "setp.ne.s32 %q, %a, 0;\nnot.pred %p, %q;",
        1,
        [32],
        &[([0], 1), ([1], 0)],
    );
    check(
        "setp.ne.s32 %q, %a, 0;\nmov.pred %p, %q;",
        1,
        [32],
        &[([0], 0), ([1], 1)],
    );
    check(
        "setp.ne.s32 %p, %a, 0;\n@!%p mov.b32 %d, 5;\n@%p mov.b32 %d, 6;",
        32,
        [32],
        &[([0], 5), ([1], 6)],
    );
}

#[test]
fn selections() {
    let body = |ty| format!("setp.ne.s32 %p, %c, 0;\nselp.{ty} %d, %a, %b, %p;");
    check(&body("b32"), 32, [32, 32, 32], &[([3, 4, 1], 3), ([3, 4, 0], 4)]);
    check(&body("f32"), 32, [32, 32, 32], &[([NAN, 4, 1], NAN)]);
    check(
        &body("u64"),
        64,
        [64, 64, 32],
        &[([u64::MAX, 4, 1], u64::MAX), ([3, 4, 0], 4)],
    );
    let classes = [f(1.0), f(f32::INFINITY), NAN, 1, 0].map(|x| [x]);
    for (class, wanted) in [
        ("finite", [1, 0, 0, 1, 1]),
        ("infinite", [0, 1, 0, 0, 0]),
        ("number", [1, 1, 0, 1, 1]),
        ("notanumber", [0, 0, 1, 0, 0]),
        ("normal", [1, 0, 0, 0, 0]),
    ] {
        assert_eq!(
            evaluate(&format!("testp.{class}.f32 %p, %a;"), 1, [32], &classes),
            wanted,
            "{class}"
        );
    }
}
