//! Promises of the matrix product. Letters are those of the design's list of tests.

#![allow(clippy::unwrap_used)] // A test may panic.

#[path = "../support/mod.rs"]
mod support;

mod case;
mod large;
mod operands;
mod outputs;
mod tiles;

use support::isas;
use tilelab_kernels::gemm::Shape;
use tilelab_kernels::{Activation, Context, Epilogue, Isa, MatMut, MatRef, ShapeError, Threads};

/// Sizes of zero: C is scaled, or becomes the epilogue of nothing.
#[test]
fn empty_products_and_special_values() {
    for isa in isas() {
        let ctx = Context::new(isa, Threads::one()).unwrap();
        let empty: [f32; 0] = [];
        let mut c = [1.0f32, -2.0, 3.0, f32::NAN];
        let (a, b) = (
            MatRef::row_major(&empty, 2, 0).unwrap(),
            MatRef::row_major(&empty, 0, 2).unwrap(),
        );
        ctx.gemm(
            1.0,
            a,
            b,
            2.0,
            MatMut::row_major(&mut c, 2, 2).unwrap(),
            Epilogue::none(),
        )
        .unwrap();
        assert_eq!(c[..3], [2.0, -4.0, 6.0]);
        assert!(c[3].is_nan());
        ctx.gemm(
            1.0,
            a,
            b,
            0.0,
            MatMut::row_major(&mut c, 2, 2).unwrap(),
            Epilogue::none().bias(&[4.0, 5.0]),
        )
        .unwrap();
        assert_eq!(c, [4.0, 5.0, 4.0, 5.0]);
        // NaN goes through relu: a diverged training must show.
        let relu = Epilogue::none().activation(Activation::Relu);
        let (x, y) = ([f32::NAN, -1.0], [1.0]);
        let mut c = [0.0; 2];
        let out = MatMut::row_major(&mut c, 2, 1).unwrap();
        ctx.gemm(
            1.0,
            MatRef::row_major(&x, 2, 1).unwrap(),
            MatRef::row_major(&y, 1, 1).unwrap(),
            0.0,
            out,
            relu,
        )
        .unwrap();
        assert!(c[0].is_nan() && c[1] == 0.0, "{isa}: {c:?}");
    }
}

#[test]
fn operands_that_do_not_fit_are_refused_with_all_shapes() {
    let ctx = Context::new(Isa::Portable, Threads::one()).unwrap();
    let data = [0.0f32; 64];
    let mut out = [0.0f32; 64];
    let view = |rows, cols| MatRef::row_major(&data, rows, cols).unwrap();
    let mut run = |a, b, (rows, cols), epilogue| {
        ctx.gemm(
            1.0,
            a,
            b,
            0.0,
            MatMut::row_major(&mut out, rows, cols).unwrap(),
            epilogue,
        )
        .map_err(|e| e.to_string())
    };
    let none = Epilogue::none;
    let error = run(view(3, 4), view(5, 6), (3, 6), none()).unwrap_err();
    assert!(
        error.contains("3x4") && error.contains("5x6") && error.contains("3x6"),
        "{error}"
    );
    assert!(run(view(3, 4), view(4, 6), (3, 5), none()).is_err());
    assert!(run(view(3, 4), view(4, 6), (2, 6), none()).is_err());
    assert!(
        run(view(3, 4), view(4, 6), (3, 6), none().bias(&data[..5]))
            .unwrap_err()
            .contains("5 elements, 6")
    );
    assert!(
        run(
            view(3, 4),
            view(4, 6),
            (3, 6),
            none().times_derivative(Activation::Relu, view(3, 5))
        )
        .is_err()
    );
    assert!(run(view(3, 4), view(4, 6), (3, 6), none().bias(&data[..6])).is_ok());
    let plan = ctx.plan_gemm::<f32>(Shape { m: 4, n: 6, k: 4 });
    let mut run = |m| {
        plan.run(
            1.0,
            view(m, 4),
            view(4, 6),
            0.0,
            MatMut::row_major(&mut out, m, 6).unwrap(),
            none(),
        )
    };
    assert!(run(3).is_ok() && run(4).is_ok());
    assert!(matches!(
        run(5),
        Err(ShapeError::Plan {
            planned: (4, 6, 4),
            got: (5, 6, 4),
            ..
        })
    ));
}
