//! Column sums and row argmax.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use support::{Guarded, Random, assert_close, contexts, lengths, same_for_any_threads};
use tilelab_kernels::{Context, Float, MatRef, reference};

fn column_sum<T: Float>(ctx: &Context, rows: usize, cols: usize) {
    let x = Random((rows + cols) as u64).fill::<T>(rows * (cols + 1), -1.0, 1.0);
    let x = MatRef::new(&x, rows, cols, cols + 1, 1).unwrap();
    let mut sums = Guarded::<T>::new(cols, 3);
    ctx.column_sum(x, sums.slice()).unwrap();
    // (BLOCK / STEP + 3 + blocks) eps / 2 times the sum of |x| <= rows.
    let bound = (35.0 + rows as f64 / 256.0) * 0.5 * T::EPSILON * rows as f64;
    let what = format!("{rows}x{cols} {} {}", T::NAME, ctx.isa());
    assert_close(&what, &sums.checked(), &reference::column_sum(x), |_| bound);
}

#[test]
fn column_sums_agree_with_the_oracle_at_every_shape() {
    for ctx in contexts() {
        for n in lengths() {
            column_sum::<f32>(&ctx, 11, n);
            column_sum::<f64>(&ctx, 11, n);
            column_sum::<f32>(&ctx, n, 10);
        }
        for (rows, cols) in [(256, 10), (257, 10), (1000, 33), (2049, 100)] {
            column_sum::<f32>(&ctx, rows, cols);
            column_sum::<f64>(&ctx, rows, cols);
        }
    }
}

#[test]
fn whole_numbers_sum_exactly() {
    for ctx in contexts() {
        let x: Vec<f32> = (0..3000 * 21).map(|i| ((i * 7919) % 15) as f32 - 7.0).collect();
        let x = MatRef::row_major(&x, 3000, 21).unwrap();
        let mut sums = [0.0f32; 21];
        ctx.column_sum(x, &mut sums).unwrap();
        assert_close("whole", &sums, &reference::column_sum(x), |_| 0.0);
    }
}

#[test]
fn argmax_is_the_first_of_the_largest() {
    for ctx in contexts() {
        for cols in lengths() {
            // Few different values, so that equals abound.
            let mut random = Random(cols as u64);
            let x: Vec<f32> = (0..5 * cols).map(|_| random.below(cols / 2 + 1) as f32).collect();
            let x = MatRef::row_major(&x, 5, cols).unwrap();
            let mut out = [9u32; 5];
            ctx.row_argmax(x, &mut out).unwrap();
            assert_eq!(out.to_vec(), reference::row_argmax(x), "{} {cols} columns", ctx.isa());
        }
    }
}

#[test]
fn argmax_passes_over_nan() {
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    let rows = [
        [nan, -3.0, nan, -2.0, -2.0],
        [nan; 5],
        [-inf; 5],
        [nan, -inf, nan, -inf, nan],
        [1.0, inf, nan, inf, 2.0],
        [-0.0, 0.0, -1.0, nan, 0.0],
    ];
    let want = [3, 0, 0, 1, 1, 0];
    for ctx in contexts() {
        for (row, want) in rows.iter().zip(want) {
            let mut out = [9u32];
            let x = MatRef::row_major(row, 1, 5).unwrap();
            ctx.row_argmax(x, &mut out).unwrap();
            assert_eq!(out[0], want, "{} {row:?}", ctx.isa());
            assert_eq!(reference::row_argmax(x), [want]);
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let x = Random(3).fill::<f32>(3001 * 70, -1.0, 1.0);
    same_for_any_threads(|ctx| {
        let (mut sums, mut places) = (vec![0.0; 70], vec![0; 3001]);
        let x = MatRef::row_major(&x, 3001, 70).unwrap();
        ctx.column_sum(x, &mut sums).unwrap();
        ctx.row_argmax(x, &mut places).unwrap();
        (sums, places)
    });
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let ctx = &contexts()[0];
    let x = [0.0f32; 12];
    let x = MatRef::row_major(&x, 3, 4).unwrap();
    assert!(ctx.column_sum(x, &mut [0.0; 3]).is_err());
    assert!(ctx.column_sum(x.transposed(), &mut [0.0; 3]).is_err());
    assert!(ctx.row_argmax(x, &mut [0; 4]).is_err());
}
