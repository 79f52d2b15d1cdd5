//! Floating-point arithmetic: roundings, subnormals, NaN, and approximations within the manual's bounds.

use tilelab_ptxsim::Options;

use crate::evaluate::{NAN, check, evaluate, f, kernel, try_evaluate};

const INF: f32 = f32::INFINITY;
/// The least f32, and half an ulp of 1.
const TINY: f32 = f32::from_bits(1);
const HALF_ULP: f32 = 1.0 / 16_777_216.0;

#[test]
fn sums_and_products_round_as_they_are_told() {
    let (one, half_ulp, next) = (f(1.0), f(HALF_ULP), f(1.0 + f32::EPSILON));
    check(
        "add.f32 %d, %a, %b;",
        32,
        [32, 32],
        &[([one, half_ulp], one), ([next, half_ulp], f(1.0 + 2.0 * f32::EPSILON))],
    );
    check(
        "add.rz.f32 %d, %a, %b;",
        32,
        [32, 32],
        &[([next, half_ulp], next), ([f(-1.0), f(-HALF_ULP)], f(-1.0))],
    );
    check(
        "add.rp.f32 %d, %a, %b;",
        32,
        [32, 32],
        &[([one, f(TINY)], next), ([f(-1.0), f(-HALF_ULP)], f(-1.0))],
    );
    check(
        "add.rm.f32 %d, %a, %b;",
        32,
        [32, 32],
        &[
            ([one, f(TINY)], one),
            ([one, f(-TINY)], f(1.0 - HALF_ULP)),
            ([one, f(-1.0)], f(-0.0)),
        ],
    );
    check(
        "sub.rn.f32 %d, %a, %b;",
        32,
        [32, 32],
        &[([f(3.0), one], f(2.0)), ([f(INF), f(INF)], NAN)],
    );
    check(
        "mul.rz.f32 %d, %a, %b;",
        32,
        [32, 32],
        &[
            ([next, next], f(1.0 + 2.0 * f32::EPSILON)),
            ([f(f32::MAX), f(2.0)], f(f32::MAX)),
        ],
    );
    check(
        "mul.rp.f32 %d, %a, %b;",
        32,
        [32, 32],
        &[
            ([next, next], f(1.0 + 3.0 * f32::EPSILON)),
            ([f(TINY), f(0.5)], f(TINY)),
        ],
    );
    check(
        "mul.f32 %d, %a, %b;",
        32,
        [32, 32],
        &[
            ([f(f32::MAX), f(2.0)], f(INF)),
            ([f(0.0), f(INF)], NAN),
            ([f(TINY), f(0.5)], 0),
        ],
    );
}

#[test]
fn a_fused_product_is_rounded_once() {
    // (1 + e)^2 - (1 + 2 e) = e^2 is lost where the product is rounded first.
    let next = 1.0 + f32::EPSILON;
    let row = [f(next), f(next), f(-1.0 - 2.0 * f32::EPSILON)];
    check(
        "fma.rn.f32 %d, %a, %b, %c;",
        32,
        [32, 32, 32],
        &[(row, f(f32::EPSILON * f32::EPSILON))],
    );
    check(
        "mad.rn.f32 %d, %a, %b, %c;",
        32,
        [32, 32, 32],
        &[(row, f(f32::EPSILON * f32::EPSILON))],
    );
    check(
        "mul.rn.f32 %r3, %a, %b;\nadd.rn.f32 %d, %r3, %c;",
        32,
        [32, 32, 32],
        &[(row, 0)],
    );
    check(
        "fma.rm.f32 %d, %a, %b, %c;",
        32,
        [32, 32, 32],
        &[([f(1.0), f(1.0), f(-TINY)], f(1.0 - HALF_ULP))],
    );
    check(
        "fma.rz.f32 %d, %a, %b, %c;",
        32,
        [32, 32, 32],
        &[
            ([f(1.0), f(1.0), f(-TINY)], f(1.0 - HALF_ULP)),
            ([f(INF), f(0.0), f(1.0)], NAN),
        ],
    );
    let d = f64::to_bits;
    let next = 1.0 + f64::EPSILON;
    let row = [d(next), d(next), d(-1.0 - 2.0 * f64::EPSILON)];
    check(
        "fma.rn.f64 %d, %a, %b, %c;",
        64,
        [64, 64, 64],
        &[(row, d(f64::EPSILON * f64::EPSILON))],
    );
}

#[test]
fn subnormals_are_kept_or_flushed() {
    let (least, half) = (f(f32::MIN_POSITIVE), f(0.5));
    check("mul.f32 %d, %a, %b;", 32, [32, 32], &[([least, half], 0x0040_0000)]);
    check(
        "mul.ftz.f32 %d, %a, %b;",
        32,
        [32, 32],
        &[
            ([least, half], 0),
            ([least | 1 << 31, half], 1 << 31),
            ([0x0040_0000, f(2.0)], 0),
        ],
    );
    check(
        "add.ftz.f32 %d, %a, %b;",
        32,
        [32, 32],
        &[([1, 1], 0), ([least, 1], least)],
    );
    check(
        "add.sat.f32 %d, %a, %b;",
        32,
        [32, 32],
        &[
            ([f(0.75), f(0.5)], f(1.0)),
            ([f(-3.0), f(1.0)], 0),
            ([NAN, f(1.0)], 0),
            ([f(0.25), f(0.5)], f(0.75)),
        ],
    );
}

#[test]
fn extremes_with_nan_and_signed_zeros() {
    let (nan, two) = (NAN, f(2.0));
    check(
        "min.f32 %d, %a, %b;",
        32,
        [32, 32],
        &[
            ([nan, two], two),
            ([two, nan], two),
            ([nan, nan], NAN),
            ([f(0.0), f(-0.0)], f(-0.0)),
            ([f(-1.0), two], f(-1.0)),
        ],
    );
    check(
        "max.f32 %d, %a, %b;",
        32,
        [32, 32],
        &[
            ([nan, two], two),
            ([0xffc0_0001, nan], NAN),
            ([f(-0.0), f(0.0)], 0),
            ([f(-INF), two], two),
        ],
    );
    check(
        "max.NaN.f32 %d, %a, %b;",
        32,
        [32, 32],
        &[([nan, two], NAN), ([two, nan], NAN), ([f(1.0), two], two)],
    );
    check(
        "min.NaN.f32 %d, %a, %b;",
        32,
        [32, 32],
        &[([two, nan], NAN), ([f(1.0), two], f(1.0))],
    );
    check(
        "min.f64 %d, %a, %b;",
        64,
        [64, 64],
        &[([f64::NAN.to_bits(), 1f64.to_bits()], 1f64.to_bits())],
    );
}

#[test]
fn signs_keep_the_payload() {
    check(
        "neg.f32 %d, %a;",
        32,
        [32],
        &[([f(1.0)], f(-1.0)), ([0], 1 << 31), ([0x7fc1_2345], 0xffc1_2345)],
    );
    check(
        "abs.f32 %d, %a;",
        32,
        [32],
        &[([f(-1.0)], f(1.0)), ([0xffc1_2345], 0x7fc1_2345)],
    );
    check(
        "abs.f64 %d, %a;",
        64,
        [64],
        &[([(-2.5f64).to_bits()], 2.5f64.to_bits())],
    );
    // The sign of a, the rest of b.
    check(
        "copysign.f32 %d, %a, %b;",
        32,
        [32, 32],
        &[([f(-1.0), f(2.5)], f(-2.5)), ([f(1.0), f(-2.5)], f(2.5))],
    );
}

#[test]
fn quotients_and_roots_are_rounded_once() {
    let third = 1.0f32 / 3.0;
    check(
        "div.rn.f32 %d, %a, %b;",
        32,
        [32, 32],
        &[
            ([f(1.0), f(3.0)], f(third)),
            ([f(1.0), 0], f(INF)),
            ([0, 0], NAN),
            ([f(TINY), f(2.0)], 0),
        ],
    );
    check(
        "div.rz.f32 %d, %a, %b;",
        32,
        [32, 32],
        &[([f(1.0), f(3.0)], f(third) - 1), ([f(-1.0), f(3.0)], f(-third) - 1)],
    );
    check(
        "div.rp.f32 %d, %a, %b;",
        32,
        [32, 32],
        &[([f(1.0), f(3.0)], f(third)), ([f(-1.0), f(3.0)], f(-third) - 1)],
    );
    check(
        "rcp.rn.f32 %d, %a;",
        32,
        [32],
        &[([f(3.0)], f(third)), ([f(-0.0)], f(-INF)), ([f(INF)], 0)],
    );
    check(
        "rcp.rm.f32 %d, %a;",
        32,
        [32],
        &[([f(3.0)], f(third) - 1), ([f(-4.0)], f(-0.25))],
    );
    check(
        "sqrt.rn.f32 %d, %a;",
        32,
        [32],
        &[
            ([f(2.0)], f(2f32.sqrt())),
            ([f(-1.0)], NAN),
            ([f(-0.0)], f(-0.0)),
            ([f(9.0)], f(3.0)),
        ],
    );
    check(
        "sqrt.rz.f32 %d, %a;",
        32,
        [32],
        &[([f(2.0)], f(2f32.sqrt())), ([f(5.0)], f(5f32.sqrt()) - 1)],
    );
    check(
        "sqrt.rp.f32 %d, %a;",
        32,
        [32],
        &[([f(2.0)], f(2f32.sqrt()) + 1), ([f(4.0)], f(2.0))],
    );
}

/// The greatest error of an approximation over inputs, as a part of what is allowed, over several seeds; it must be near 1, or the
/// interpreter would be kinder than a card.
fn approximation(name: &str, inputs: &[f32], exact: fn(f64) -> f64, allowed: fn(f64, f64) -> f64) {
    let module = kernel(&format!("{name} %d, %a;"), 32, &[32]);
    let rows: Vec<[u64; 1]> = inputs.iter().map(|&x| [f(x)]).collect();
    let mut worst = 0.0f64;
    for seed in 0..4 {
        let options = Options {
            seed,
            ..Options::default()
        };
        for (&x, bits) in inputs.iter().zip(try_evaluate(&module, &rows, options).unwrap()) {
            let (x, got) = (f64::from(x), f64::from(f32::from_bits(bits as u32)));
            let part = (got - exact(x)).abs() / allowed(x, exact(x));
            assert!(
                part <= 1.0,
                "{name} of {x} is {got}, {} exactly: {part} of what is allowed",
                exact(x)
            );
            worst = worst.max(part);
        }
    }
    assert!(worst > 0.5, "{name} errs by {worst} of what is allowed at most");
}

/// Positive numbers of many sizes.
fn positive() -> Vec<f32> {
    (0..1024)
        .map(|i| f32::from_bits(0x2000_0000 + i * 0x0007_1337))
        .collect()
}

#[test]
fn approximations_err_within_their_bounds() {
    approximation(
        "rcp.approx.ftz.f32",
        &positive(),
        |x| 1.0 / x,
        |_, y| (y.abs().log2().floor() - 23.0).exp2(),
    );
    approximation(
        "rsqrt.approx.f32",
        &positive(),
        |x| 1.0 / x.sqrt(),
        |_, y| y * (-22.9f64).exp2(),
    );
    approximation("sqrt.approx.f32", &positive(), f64::sqrt, |_, y| y * (-23f64).exp2());
    let small: Vec<f32> = (0..1024).map(|i| (i as f32 - 511.5) * 0.037).collect();
    approximation("ex2.approx.f32", &small, f64::exp2, |_, y| y * (-22f64).exp2());
    approximation("ex2.approx.ftz.f32", &small, f64::exp2, |_, y| y * (-22f64).exp2());
    approximation("tanh.approx.f32", &small, f64::tanh, |_, y| y.abs() * (-11f64).exp2());
    let near_one: Vec<f32> = (1..1024).map(|i| 0.5 + i as f32 / 700.0).filter(|&x| x < 2.0).collect();
    approximation("lg2.approx.f32", &near_one, f64::log2, |_, _| (-22f64).exp2());
    approximation("lg2.approx.ftz.f32", &positive().split_off(700), f64::log2, |_, y| {
        y.abs() * (-22f64).exp2() + f64::MIN_POSITIVE
    });
    let circle: Vec<f32> = (0..1024).map(|i| (i as f32 - 511.5) * 0.0122).collect();
    approximation("sin.approx.f32", &circle, f64::sin, |_, _| (-20.5f64).exp2());
    approximation("cos.approx.f32", &circle, f64::cos, |_, _| (-20.5f64).exp2());
}

#[test]
fn special_values_of_approximations() {
    check(
        "ex2.approx.f32 %d, %a;",
        32,
        [32],
        &[
            ([f(-INF)], 0),
            ([f(INF)], f(INF)),
            ([f(-0.0)], f(1.0)),
            ([NAN], NAN),
            ([f(200.0)], f(INF)),
        ],
    );
    check(
        "ex2.approx.ftz.f32 %d, %a;",
        32,
        [32],
        &[([f(-130.0)], 0), ([1], f(1.0))],
    );
    check(
        "lg2.approx.f32 %d, %a;",
        32,
        [32],
        &[
            ([0], f(-INF)),
            ([f(-0.0)], f(-INF)),
            ([f(-1.0)], NAN),
            ([f(INF)], f(INF)),
        ],
    );
    check(
        "rcp.approx.ftz.f32 %d, %a;",
        32,
        [32],
        &[([0], f(INF)), ([f(-0.0)], f(-INF)), ([f(-INF)], f(-0.0)), ([1], f(INF))],
    );
    check(
        "rsqrt.approx.f32 %d, %a;",
        32,
        [32],
        &[([0], f(INF)), ([f(-1.0)], NAN), ([f(INF)], 0)],
    );
    check(
        "sqrt.approx.f32 %d, %a;",
        32,
        [32],
        &[([f(-1.0)], NAN), ([f(-0.0)], f(-0.0)), ([f(INF)], f(INF))],
    );
    // The largest divisors: 0, but for an infinite dividend.
    let large = f(f32::MAX);
    check(
        "div.approx.f32 %d, %a, %b;",
        32,
        [32, 32],
        &[([f(8.0), large], 0), ([f(INF), large], NAN), ([f(1.0), f(INF)], 0)],
    );
    let full = evaluate(
        "div.full.f32 %d, %a, %b;",
        32,
        [32, 32],
        &[[large, large], [f(6.0), f(3.0)]],
    );
    for (got, wanted) in full.into_iter().zip([1.0f32, 2.0]) {
        assert!((f32::from_bits(got as u32) - wanted).abs() <= 2.0 * wanted * f32::EPSILON);
    }
}
