//! Softmax with cross-entropy: losses and gradient against the oracle, and bad labels.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use support::{Guarded, Random, assert_close, contexts, lengths, same_for_any_threads};
use tilelab_kernels::{Context, Float, Gradient, Labels, MatMut, MatRef, ShapeError, reference};

fn against_the_oracle<T: Float>(ctx: &Context, rows: usize, cols: usize, smoothing: f64) {
    let (reach, mut random) = (10.0, Random((rows * 1000 + cols) as u64));
    let logits = random.fill::<T>(rows * cols, -reach, reach);
    let logits = MatRef::row_major(&logits, rows, cols).unwrap();
    let labels: Vec<u8> = (0..rows).map(|_| random.below(cols.min(256)) as u8).collect();
    let labels = Labels {
        classes: &labels,
        smoothing: T::from_f64(smoothing),
    };
    let scale = T::from_f64(1.0 / rows as f64);
    let (mut losses, mut gradient) = (Guarded::<T>::new(rows, 3), Guarded::<T>::new(rows * cols, 7));
    let (want_losses, want_gradient) = reference::softmax_cross_entropy(logits, labels, scale);
    let into = MatMut::row_major(gradient.slice(), rows, cols).unwrap();
    ctx.softmax_cross_entropy(logits, labels, scale, losses.slice(), into)
        .unwrap();

    let what = format!("{rows}x{cols} {} {}", T::NAME, ctx.isa());
    let error = (8.0 + 2.0 * reach + cols as f64 / 4.0) * T::EPSILON;
    let losses = losses.checked();
    assert_close(&what, &losses, &want_losses, |i| {
        error + 8.0 * T::EPSILON * want_losses[i]
    });
    // softmax has a relative error, the subtraction of 1 at the label an absolute one.
    let scale = scale.to_f64();
    assert_close(&what, &gradient.checked(), &want_gradient, |i| {
        error * want_gradient[i].abs() + 2.0 * error * scale
    });

    let mut alone = Guarded::<T>::new(rows, 1);
    ctx.cross_entropy_loss(logits, labels, alone.slice()).unwrap();
    assert!(
        alone.checked() == losses,
        "{what}: the losses alone must have the same bits"
    );
}

#[test]
fn every_length_agrees_with_the_oracle() {
    for ctx in contexts() {
        for n in lengths().skip(1) {
            let smoothing = [0.0, 0.1][n % 2];
            against_the_oracle::<f32>(&ctx, 2, n, smoothing);
            against_the_oracle::<f64>(&ctx, n, 10, smoothing);
            against_the_oracle::<f32>(&ctx, n, 10, smoothing);
            against_the_oracle::<f64>(&ctx, 1, n, smoothing);
        }
        against_the_oracle::<f32>(&ctx, 19, 1025, 0.0);
        against_the_oracle::<f32>(&ctx, 19, 1025, 0.2);
    }
}

/// A loss against targets, or its oracle: which one, `binary` says.
fn against_targets<T: Float>(ctx: &Context, rows: usize, cols: usize, binary: bool) {
    let mut random = Random((rows * 1000 + cols) as u64);
    let outputs = random.fill::<T>(rows * cols, -12.0, 12.0);
    let targets = random.fill::<T>(rows * cols, 0.0, 1.0);
    let matrix = |data| MatRef::row_major(data, rows, cols).unwrap();
    let (x, t) = (matrix(&outputs), matrix(&targets));
    let scale = T::from_f64(0.25);
    let (mut losses, mut gradient) = (Guarded::<T>::new(rows, 3), Guarded::<T>::new(rows * cols, 7));
    let into = MatMut::row_major(gradient.slice(), rows, cols).unwrap();
    let (want, (want_losses, want_gradient)) = if binary {
        ctx.binary_cross_entropy(x, t, losses.slice(), Some(Gradient { scale, into }))
            .unwrap();
        ("binary", reference::binary_cross_entropy(x, t, scale))
    } else {
        ctx.squared_error(x, t, losses.slice(), Some(Gradient { scale, into }))
            .unwrap();
        ("squared", reference::squared_error(x, t, scale))
    };
    let what = format!("{want} {rows}x{cols} {} {}", T::NAME, ctx.isa());
    // Elements up to 169 in size, each with a few roundings, and sums of up to 200 of them.
    let losses = losses.checked();
    let eps = T::EPSILON * (4.0 + cols as f64 / 8.0);
    assert_close(&what, &losses, &want_losses, |i| eps * (12.0 + want_losses[i]));
    assert_close(&what, &gradient.checked(), &want_gradient, |i| {
        4.0 * T::EPSILON * (want_gradient[i].abs() + 0.25 / cols as f64)
    });
    let mut alone = Guarded::<T>::new(rows, 1);
    if binary {
        ctx.binary_cross_entropy(x, t, alone.slice(), None).unwrap();
    } else {
        ctx.squared_error(x, t, alone.slice(), None).unwrap();
    }
    assert!(
        alone.checked() == losses,
        "{what}: the losses alone must have the same bits"
    );
}

#[test]
fn losses_against_targets_agree_with_the_oracle() {
    for ctx in contexts() {
        for n in lengths().skip(1) {
            for binary in [true, false] {
                against_targets::<f32>(&ctx, n, 1, binary);
                against_targets::<f64>(&ctx, n, 1, binary);
                against_targets::<f32>(&ctx, 3, n, binary);
                against_targets::<f64>(&ctx, 2, n, binary);
            }
        }
    }
}

#[test]
fn binary_cross_entropy_overflows_nowhere() {
    for ctx in contexts() {
        let logits = [200.0f32, -200.0, 0.0, 1e30, -1e30, 1e-30];
        let targets = [1.0f32, 0.0, 0.5, 0.0, 1.0, 1.0];
        let (mut losses, mut gradient) = ([0.0f32; 6], [0.0f32; 6]);
        let column = |data| MatRef::row_major(data, 6, 1).unwrap();
        let into = MatMut::row_major(&mut gradient, 6, 1).unwrap();
        ctx.binary_cross_entropy(
            column(&logits),
            column(&targets),
            &mut losses,
            Some(Gradient { scale: 1.0, into }),
        )
        .unwrap();
        let log2 = std::f32::consts::LN_2;
        assert_eq!(losses, [0.0, 0.0, log2, 1e30, 1e30, log2], "{}", ctx.isa());
        assert_eq!(gradient, [0.0, 0.0, 0.0, 1.0, -1.0, -0.5], "{}", ctx.isa());
    }
}

#[test]
fn the_gradient_is_the_losses_derivative() {
    for ctx in contexts() {
        let (x, labels) = (Random(5).fill::<f64>(4 * 7, -2.0, 2.0), [0u8, 6, 3, 3]);
        let loss = |x: &[f64]| {
            let mut losses = [0.0; 4];
            ctx.cross_entropy_loss(MatRef::row_major(x, 4, 7).unwrap(), Labels::hard(&labels), &mut losses)
                .unwrap();
            losses.iter().sum::<f64>() / 4.0
        };
        let (mut losses, mut gradient) = ([0.0; 4], [0.0; 28]);
        let into = MatMut::row_major(&mut gradient, 4, 7).unwrap();
        ctx.softmax_cross_entropy(
            MatRef::row_major(&x, 4, 7).unwrap(),
            Labels::hard(&labels),
            0.25,
            &mut losses,
            into,
        )
        .unwrap();
        for j in 0..x.len() {
            let (mut up, mut down) = (x.clone(), x.clone());
            (up[j], down[j]) = (x[j] + 1e-5, x[j] - 1e-5);
            let slope = (loss(&up) - loss(&down)) / 2e-5;
            assert!(
                (slope - gradient[j]).abs() <= 1e-9,
                "{} [{j}]: {slope} and {}",
                ctx.isa(),
                gradient[j]
            );
        }
    }
}

#[test]
fn a_row_with_nan_stays_its_own_affair() {
    for ctx in contexts() {
        let mut x = Random(6).fill::<f32>(40 * 10, -2.0, 2.0);
        x[133] = f32::NAN;
        let (mut losses, mut gradient) = ([0.0f32; 40], [0.0f32; 400]);
        let into = MatMut::row_major(&mut gradient, 40, 10).unwrap();
        ctx.softmax_cross_entropy(
            MatRef::row_major(&x, 40, 10).unwrap(),
            Labels::hard(&[1; 40]),
            1.0,
            &mut losses,
            into,
        )
        .unwrap();
        for i in 0..40 {
            assert_eq!(losses[i].is_nan(), i == 13, "{} row {i}", ctx.isa());
            assert!(
                gradient[i * 10..][..10].iter().all(|g| g.is_nan() == (i == 13)),
                "{} row {i}",
                ctx.isa()
            );
        }
    }
}

#[test]
fn a_label_outside_is_refused_before_anything_is_written() {
    for ctx in contexts() {
        let (x, mut losses, mut gradient) = ([1.0f32; 30], [7.0f32; 3], [7.0f32; 30]);
        let x = MatRef::row_major(&x, 3, 10).unwrap();
        let into = MatMut::row_major(&mut gradient, 3, 10).unwrap();
        let error = ctx
            .softmax_cross_entropy(x, Labels::hard(&[9, 10, 0]), 1.0, &mut losses, into)
            .unwrap_err();
        let expected = ShapeError::Index {
            operation: "softmax_cross_entropy",
            index: 10,
            place: 1,
            limit: 10,
        };
        assert_eq!(error, expected);
        assert!(losses == [7.0; 3] && gradient == [7.0; 30]);
        assert!(ctx.cross_entropy_loss(x, Labels::hard(&[0, 0]), &mut losses).is_err());
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let mut random = Random(2);
    let x = random.fill::<f32>(9001 * 10, -9.0, 9.0);
    let labels: Vec<u8> = (0..9001).map(|_| random.below(10) as u8).collect();
    same_for_any_threads(|ctx| {
        let (mut losses, mut gradient) = (vec![0.0; 9001], vec![0.0; x.len()]);
        let into = MatMut::row_major(&mut gradient, 9001, 10).unwrap();
        let x = MatRef::row_major(&x, 9001, 10).unwrap();
        ctx.softmax_cross_entropy(x, Labels::hard(&labels), 1.0 / 9001.0, &mut losses, into)
            .unwrap();
        (losses, gradient)
    });
}
