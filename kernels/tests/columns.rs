//! Batch normalisation, column moments and dropout.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use support::{Guarded, Random, assert_close, contexts, lengths, same_for_any_threads};
use tilelab_kernels::{ColumnMeans, ColumnScales, Context, Dropout, Float, MatMut, MatRef, reference};

fn moments<T: Float>(ctx: &Context, rows: usize, cols: usize) {
    let mut random = Random((rows + cols) as u64);
    let data = random.fill::<T>(rows * (cols + 2), 99.0, 101.0);
    let other = random.fill::<T>(rows * cols, -1.0, 1.0);
    let x = MatRef::new(&data, rows, cols, cols + 2, 1).unwrap();
    let what = format!("{rows}x{cols} {} {}", T::NAME, ctx.isa());
    let (mut mean, mut variance) = (Guarded::<T>::new(cols, 3), Guarded::<T>::new(cols, 5));
    ctx.column_mean_variance(x, mean.slice(), variance.slice()).unwrap();
    let (want_mean, want_variance) = reference::column_mean_variance(x);
    let steps = 40.0 + rows as f64 / 256.0;
    // The mean's error, about 100 steps eps / 2, enters the variance squared; deviations are rounded near 100.
    let mean_error = 50.0 * steps * T::EPSILON;
    assert_close(&what, &mean.checked(), &want_mean, |_| mean_error);
    assert_close(&what, &variance.checked(), &want_variance, |_| {
        steps * T::EPSILON + mean_error * mean_error
    });
    let b = MatRef::row_major(&other, rows, cols).unwrap();
    let mut dots = Guarded::<T>::new(cols, 1);
    ctx.column_dot(x, b, dots.slice()).unwrap();
    let bound = 51.0 * steps * T::EPSILON * rows as f64;
    assert_close(&what, &dots.checked(), &reference::column_dot(x, b), |_| bound);
}

#[test]
fn moments_agree_with_the_oracle_at_every_shape() {
    for ctx in contexts() {
        for n in lengths().skip(1) {
            moments::<f32>(&ctx, 9, n);
            moments::<f64>(&ctx, n, 7);
        }
        moments::<f32>(&ctx, 1000, 33);
    }
}

fn batch_norm<T: Float>(ctx: &Context, n: usize) {
    const ROWS: usize = 5;
    let mut random = Random(n as u64);
    let x = random.fill::<T>(ROWS * n, -2.0, 2.0);
    let columns: [Vec<T>; 4] = std::array::from_fn(|_| random.fill::<T>(n, 0.5, 2.0));
    let [mean, scale, gamma, beta] = &columns;
    let what = format!("{n} {} {}", T::NAME, ctx.isa());
    let (mut normal, mut y) = (Guarded::<T>::new(ROWS * n, 3), Guarded::<T>::new(ROWS * n, 5));
    let by_column = ColumnScales {
        mean,
        scale,
        gamma,
        beta,
    };
    let matrix = |data| MatRef::row_major(data, ROWS, n).unwrap();
    ctx.batch_norm(
        matrix(&x),
        by_column,
        MatMut::row_major(normal.slice(), ROWS, n).unwrap(),
        MatMut::row_major(y.slice(), ROWS, n).unwrap(),
    )
    .unwrap();
    let at = |values: &[T], i: usize| values[i % n.max(1)].to_f64();
    let want: Vec<f64> = (0..ROWS * n)
        .map(|i| (x[i].to_f64() - at(mean, i)) * at(scale, i))
        .collect();
    let normal = normal.checked();
    assert_close(&what, &normal, &want, |_| 12.0 * T::EPSILON);
    let want: Vec<f64> = (0..ROWS * n).map(|i| at(gamma, i) * want[i] + at(beta, i)).collect();
    assert_close(&what, &y.checked(), &want, |_| 32.0 * T::EPSILON);

    let means = ColumnMeans {
        scale,
        gradient: gamma,
        product: beta,
    };
    let mut dx = Guarded::<T>::new(ROWS * n, 1);
    let into = MatMut::row_major(dx.slice(), ROWS, n).unwrap();
    ctx.batch_norm_backward(matrix(&x), matrix(&normal), means, into)
        .unwrap();
    let backward = |i: usize| at(scale, i) * (x[i].to_f64() - at(gamma, i) - normal[i].to_f64() * at(beta, i));
    let want: Vec<f64> = (0..ROWS * n).map(backward).collect();
    assert_close(&what, &dx.checked(), &want, |_| 64.0 * T::EPSILON);
}

#[test]
fn batch_norm_agrees_with_its_formula_at_every_width() {
    for ctx in contexts() {
        for n in lengths() {
            batch_norm::<f32>(&ctx, n);
            batch_norm::<f64>(&ctx, n);
        }
    }
}

const DROPOUT: Dropout = Dropout {
    probability: 0.3,
    seed: 5,
    step: 17,
    layer: 1,
    first_row: 0,
};

fn dropped(ctx: &Context, dropout: Dropout, rows: usize, cols: usize) -> Vec<f32> {
    let (x, mut y) = (vec![1.0f32; rows * cols], vec![7.0f32; rows * cols]);
    let x = MatRef::row_major(&x, rows, cols).unwrap();
    let into = MatMut::row_major(&mut y, rows, cols).unwrap();
    ctx.dropout(dropout, x, into).unwrap();
    let want = reference::dropout(dropout, x);
    assert_close("dropout", &y, &want, |i| f64::from(f32::EPSILON) * want[i]);
    y
}

/// Shares within five standard deviations, of all, of each column and of each row; neighbours independent.
#[test]
fn dropout_drops_its_share_everywhere() {
    let ctx = &contexts()[0];
    let (rows, cols) = (2000, 300);
    let y = dropped(ctx, DROPOUT, rows, cols);
    let within = |what: &str, zeros: usize, n: usize, p: f64| {
        let (mean, deviation) = (n as f64 * p, (n as f64 * p * (1.0 - p)).sqrt());
        assert!((zeros as f64 - mean).abs() <= 5.0 * deviation, "{what}: {zeros} of {n}");
    };
    let zero = |i: usize, j: usize| y[i * cols + j] == 0.0;
    within("all", y.iter().filter(|y| **y == 0.0).count(), y.len(), 0.3);
    for j in 0..cols {
        within("a column", (0..rows).filter(|&i| zero(i, j)).count(), rows, 0.3);
    }
    for i in 0..rows {
        within("a row", (0..cols).filter(|&j| zero(i, j)).count(), cols, 0.3);
    }
    let pairs = |di: usize, dj: usize| {
        let both = (0..rows - di).flat_map(|i| (0..cols - dj).map(move |j| (i, j)));
        both.filter(|&(i, j)| zero(i, j) && zero(i + di, j + dj)).count()
    };
    within("neighbours in a row", pairs(0, 1), rows * (cols - 1), 0.09);
    within("neighbours in a column", pairs(1, 0), (rows - 1) * cols, 0.09);
}

#[test]
fn dropouts_mask_depends_on_its_key_alone() {
    let whole = dropped(&contexts()[0], DROPOUT, 64, 100);
    for ctx in contexts() {
        assert!(dropped(&ctx, DROPOUT, 64, 100) == whole, "{}", ctx.isa());
        // The second half of the batch on its own.
        let half = dropped(
            &ctx,
            Dropout {
                first_row: 32,
                ..DROPOUT
            },
            32,
            100,
        );
        assert!(half == whole[3200..]);
        for other in [
            Dropout { seed: 6, ..DROPOUT },
            Dropout { step: 18, ..DROPOUT },
            Dropout { layer: 2, ..DROPOUT },
        ] {
            assert!(dropped(&ctx, other, 64, 100) != whole, "{other:?}");
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let (rows, cols) = (3001, 70);
    let x = Random(3).fill::<f32>(rows * cols, -1.0, 1.0);
    same_for_any_threads(|ctx| {
        let matrix = MatRef::row_major(&x, rows, cols).unwrap();
        let (mut mean, mut variance, mut dots) = (vec![0.0; cols], vec![0.0; cols], vec![0.0; cols]);
        ctx.column_mean_variance(matrix, &mut mean, &mut variance).unwrap();
        ctx.column_dot(matrix, matrix, &mut dots).unwrap();
        let mut y = vec![0.0; rows * cols];
        ctx.dropout(DROPOUT, matrix, MatMut::row_major(&mut y, rows, cols).unwrap())
            .unwrap();
        (mean, variance, dots, y)
    });
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let ctx = &contexts()[0];
    let (x, mut y) = ([0.0f32; 12], [0.0f32; 12]);
    let matrix = MatRef::row_major(&x, 3, 4).unwrap();
    assert!(ctx.column_mean_variance(matrix, &mut [0.0; 4], &mut [0.0; 3]).is_err());
    assert!(
        ctx.column_dot(matrix, MatRef::row_major(&x, 4, 3).unwrap(), &mut [0.0; 4])
            .is_err()
    );
    assert!(
        ctx.dropout(DROPOUT, matrix, MatMut::row_major(&mut y, 4, 3).unwrap())
            .is_err()
    );
    let [a, b] = [[0.0f32; 4]; 2];
    let short = [0.0f32; 3];
    let by_column = ColumnScales {
        mean: &a,
        scale: &b,
        gamma: &short,
        beta: &b,
    };
    let mut normal = [0.0f32; 12];
    let (normal, y) = (
        MatMut::row_major(&mut normal, 3, 4).unwrap(),
        MatMut::row_major(&mut y, 3, 4).unwrap(),
    );
    assert!(ctx.batch_norm(matrix, by_column, normal, y).is_err());
}
