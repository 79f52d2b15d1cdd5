//! Softmax, log-softmax and logsumexp: against the oracle at every length, and what must hold of any softmax.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use support::{Guarded, Random, assert_close, contexts, lengths, same_for_any_threads};
use tilelab_kernels::{Context, Float, MatMut, MatRef, ShapeError, reference};

/// Relative error of one row's exponential and sum, in eps: see the header of `softmax.rs`. `reach` is the largest |x - M|.
fn relative(n: usize, reach: f64) -> f64 {
    4.0 + reach + n as f64 / 16.0
}

fn against_the_oracle<T: Float>(ctx: &Context, rows: usize, cols: usize, reach: f64) {
    let (stride, mut random) = (cols + 3, Random(cols as u64));
    let x = random.fill::<T>(rows * stride + 1, -reach / 2.0, reach / 2.0);
    let x = MatRef::new(&x[1..], rows, cols, stride, 1).unwrap();
    let error = relative(cols, reach) * T::EPSILON;
    let what = |name| format!("{name} {rows}x{cols} {} {}", T::NAME, ctx.isa());

    let mut y = Guarded::<T>::new(rows * cols, 3);
    ctx.softmax(x, MatMut::row_major(y.slice(), rows, cols).unwrap())
        .unwrap();
    let want = reference::softmax(x);
    let flushed = if T::NAME == "f32" {
        2f64.powi(-125)
    } else {
        2f64.powi(-1021)
    };
    assert_close(&what("softmax"), &y.checked(), &want, |i| error * want[i] + flushed);

    let mut y = Guarded::<T>::new(rows * cols, 5);
    ctx.log_softmax(x, MatMut::row_major(y.slice(), rows, cols).unwrap())
        .unwrap();
    let want = reference::log_softmax(x);
    assert_close(&what("log_softmax"), &y.checked(), &want, |i| {
        error + want[i].abs() * 2.0 * T::EPSILON
    });

    let mut y = Guarded::<T>::new(rows, 1);
    ctx.logsumexp(x, y.slice()).unwrap();
    let want = reference::logsumexp(x);
    assert_close(&what("logsumexp"), &y.checked(), &want, |i| {
        error + want[i].abs() * 2.0 * T::EPSILON
    });
}

#[test]
fn every_length_agrees_with_the_oracle() {
    for ctx in contexts() {
        for cols in lengths() {
            against_the_oracle::<f32>(&ctx, 3, cols, 20.0);
            against_the_oracle::<f64>(&ctx, 3, cols, 20.0);
        }
        for (rows, cols, reach) in [(1, 1023, 80.0), (5, 4100, 200.0), (300, 10, 8.0), (0, 7, 1.0)] {
            against_the_oracle::<f32>(&ctx, rows, cols, reach);
            against_the_oracle::<f64>(&ctx, rows, cols, reach);
        }
    }
}

fn softmax<T: Float>(ctx: &Context, x: &[T]) -> Vec<f64> {
    let mut y = vec![T::ZERO; x.len()];
    let row = MatMut::row_major(&mut y, 1, x.len()).unwrap();
    ctx.softmax(MatRef::row_major(x, 1, x.len()).unwrap(), row).unwrap();
    y.iter().map(|y| y.to_f64()).collect()
}

/// The sum with its rounding errors carried along (Kahan), so that the test adds none of its own.
fn exact_sum(y: &[f64]) -> f64 {
    let (mut sum, mut lost) = (0.0, 0.0);
    for y in y {
        let next = sum + (y - lost);
        lost = (next - sum) - (y - lost);
        sum = next;
    }
    sum
}

fn sums_to_one<T: Float>(ctx: &Context, n: usize, reach: f64) {
    let sum = exact_sum(&softmax(ctx, &Random(n as u64).fill::<T>(n, -reach, reach)));
    let bound = 4.0 * T::EPSILON * (n as f64).sqrt();
    assert!(
        (sum - 1.0).abs() <= bound,
        "{} {} n={n} reach={reach}: {sum}",
        ctx.isa(),
        T::NAME
    );
}

#[test]
fn rows_sum_to_one() {
    for ctx in contexts() {
        for n in [1, 2, 10, 100, 1000, 1024, 10_000, 100_000] {
            for reach in [0.0, 1.0, 30.0] {
                sums_to_one::<f32>(&ctx, n, reach);
                sums_to_one::<f64>(&ctx, n, reach);
            }
        }
    }
}

#[test]
fn a_common_shift_changes_nothing() {
    for ctx in contexts() {
        // Multiples of 1/8 stay exact under the shift, so the results must be equal to the bit.
        let x: Vec<f32> = (0..77).map(|i| ((i * 37) % 61) as f32 / 8.0).collect();
        for shift in [-1000.0, -8.0, 0.125, 4096.0] {
            let shifted: Vec<f32> = x.iter().map(|x| x + shift).collect();
            assert!(
                softmax(&ctx, &x) == softmax(&ctx, &shifted),
                "{} shift {shift}",
                ctx.isa()
            );
        }
    }
}

#[test]
fn infinities_and_nan_do_what_the_header_says() {
    let inf = f32::INFINITY;
    for ctx in contexts() {
        let isa = ctx.isa();
        for n in [3, 16, 40, 100] {
            let mut x = vec![1.0f32; n];
            x[n / 2] = -inf;
            let y = softmax(&ctx, &x);
            assert!(y[n / 2] == 0.0 && y[0] > 0.0, "{isa}: a masked element has no share");
            let sum: f64 = y.iter().sum();
            assert!((sum - 1.0).abs() < 1e-5, "{isa}");
            for bad in [inf, f32::NAN] {
                x[n / 2] = bad;
                assert!(softmax(&ctx, &x).iter().all(|y| y.is_nan()), "{isa}: {bad}");
            }
            assert!(
                softmax(&ctx, &vec![-inf; n]).iter().all(|y| y.is_nan()),
                "{isa}: nothing but -inf"
            );
            assert!(
                softmax(&ctx, &vec![-3e38f32; n])
                    .iter()
                    .all(|y| (y - 1.0 / n as f64).abs() < 1e-6),
                "{isa}: huge and equal"
            );

            let logsumexp = |x: &[f32]| {
                let mut out = [7.0f32];
                ctx.logsumexp(MatRef::row_major(x, 1, n).unwrap(), &mut out).unwrap();
                out[0]
            };
            assert_eq!(logsumexp(&vec![-inf; n]), -inf, "{isa}");
            x[n / 2] = inf;
            assert_eq!(logsumexp(&x), inf, "{isa}");
            x[0] = f32::NAN;
            assert!(logsumexp(&x).is_nan(), "{isa}");
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let x = Random(1).fill::<f32>(517 * 301, -9.0, 9.0);
    same_for_any_threads(|ctx| {
        let (mut y, mut z, mut sums) = (vec![0.0; x.len()], vec![0.0; x.len()], vec![0.0; 517]);
        let x = MatRef::row_major(&x, 517, 301).unwrap();
        ctx.softmax(x, MatMut::row_major(&mut y, 517, 301).unwrap()).unwrap();
        ctx.log_softmax(x, MatMut::row_major(&mut z, 517, 301).unwrap())
            .unwrap();
        ctx.logsumexp(x, &mut sums).unwrap();
        (y, z, sums)
    });
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let ctx = &contexts()[0];
    let (x, mut y) = ([0.0f32; 12], [0.0f32; 12]);
    let a = MatRef::row_major(&x, 3, 4).unwrap();
    let wrong = ctx.softmax(a, MatMut::row_major(&mut y, 4, 3).unwrap());
    assert!(matches!(
        wrong,
        Err(ShapeError::Shape {
            operation: "softmax",
            got: (4, 3),
            expected: (3, 4),
            ..
        })
    ));
    let columns = ctx.softmax(a.transposed(), MatMut::row_major(&mut y, 4, 3).unwrap());
    assert!(matches!(columns, Err(ShapeError::ColumnStride { col_stride: 4, .. })));
    assert!(ctx.logsumexp(a, &mut y[..2]).is_err());
}

/// Outputs beyond the size from which stores go past the caches, in rows that fit the stack and in longer ones: the same bits as row by
/// row.
#[test]
fn streamed_outputs_have_the_same_bits() {
    for (rows, cols) in [(2100, 4096), (1700, 5001)] {
        let x = Random(5).fill::<f32>(rows * cols, -8.0, 8.0);
        for ctx in contexts() {
            let mut whole = vec![9.0f32; rows * cols];
            let matrix = |data| MatRef::row_major(data, rows, cols).unwrap();
            ctx.softmax(matrix(&x), MatMut::row_major(&mut whole, rows, cols).unwrap())
                .unwrap();
            let mut logs = vec![9.0f32; rows * cols];
            ctx.log_softmax(matrix(&x), MatMut::row_major(&mut logs, rows, cols).unwrap())
                .unwrap();
            for i in (0..rows).step_by(97) {
                let row = &x[i * cols..][..cols];
                let (mut one, mut log) = (vec![0.0f32; cols], vec![0.0f32; cols]);
                let row = MatRef::row_major(row, 1, cols).unwrap();
                ctx.softmax(row, MatMut::row_major(&mut one, 1, cols).unwrap()).unwrap();
                ctx.log_softmax(row, MatMut::row_major(&mut log, 1, cols).unwrap())
                    .unwrap();
                assert!(whole[i * cols..][..cols] == one, "{} row {i} of {cols}", ctx.isa());
                assert!(logs[i * cols..][..cols] == log, "{} row {i} of {cols}", ctx.isa());
            }
        }
    }
}
