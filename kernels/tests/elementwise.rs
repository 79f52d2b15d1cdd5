//! Activations, biases, gathered bytes and updates: against the oracle at every length and offset.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use support::{Guarded, Random, assert_close, contexts, lengths, same_for_any_threads};
use tilelab_kernels::{Activation, Context, Float, MatMut, MatRef, ShapeError, reference};

fn relu<T: Float>(ctx: &Context, n: usize) {
    let mut random = Random(n as u64);
    let mut x = random.fill::<T>(n, -1.0, 1.0);
    x.iter_mut().step_by(5).for_each(|x| *x = T::ZERO);
    let dy = random.fill::<T>(n, -1.0, 1.0);
    let (mut y, mut dx) = (Guarded::<T>::new(n, n % 7), Guarded::<T>::new(n, 3));
    ctx.activate(Activation::Relu, &x, y.slice()).unwrap();
    let y = y.checked();
    assert_close("relu", &y, &reference::activate(Activation::Relu, &x), |_| 0.0);
    ctx.activate_backward(Activation::Relu, &y, &dy, dx.slice()).unwrap();
    assert_close(
        "relu'",
        &dx.checked(),
        &reference::activate_backward(Activation::Relu, &y, &dy),
        |_| 0.0,
    );
}

fn bias_and_update<T: Float>(ctx: &Context, n: usize) {
    let mut random = Random(n as u64);
    let (bias, x) = (random.fill::<T>(n, -1.0, 1.0), random.fill::<T>(3 * n, -1.0, 1.0));
    let mut z = Guarded::of(&x, 5);
    ctx.add_bias(&bias, MatMut::row_major(z.slice(), 3, n).unwrap())
        .unwrap();
    let want = reference::add_bias(&bias, MatRef::row_major(&x, 3, n).unwrap());
    assert_close("add_bias", &z.checked(), &want, |i| 0.5 * T::EPSILON * want[i].abs());

    let (decay, lr) = (T::from_f64(0.999), T::from_f64(0.1));
    let mut w = Guarded::of(&bias, 3);
    ctx.sgd(decay, lr, &x[..n], w.slice()).unwrap();
    // Two products and their sum, each at most 1 in size before the last.
    assert_close("sgd", &w.checked(), &reference::sgd(decay, lr, &x[..n], &bias), |_| {
        2.0 * T::EPSILON
    });
}

fn gather<T: Float>(ctx: &Context, cols: usize) {
    let mut random = Random(cols as u64);
    let source: Vec<u8> = (0..9 * cols).map(|_| random.bits() as u8).collect();
    let rows = [8, 0, 3, 3, 7];
    let scale = T::from_f64(1.0 / 255.0);
    let mut out = Guarded::<T>::new(5 * cols, 1);
    ctx.gather_rows_u8(
        &source,
        cols,
        &rows,
        scale,
        MatMut::row_major(out.slice(), 5, cols).unwrap(),
    )
    .unwrap();
    let want = reference::gather_rows_u8(&source, cols, &rows, scale);
    assert_close("gather", &out.checked(), &want, |i| 0.5 * T::EPSILON * want[i]);
    // Of many rows, so that some are asked for ahead.
    let source: Vec<f32> = (0..9 * cols).map(|_| random.bits() as f32).collect();
    let rows: Vec<u32> = (0..20).map(|i| i * 7 % 9).collect();
    let mut out = Guarded::<T>::new(rows.len() * cols, 1);
    let into = MatMut::row_major(out.slice(), rows.len(), cols).unwrap();
    ctx.gather_rows_f32(&source, &rows, into).unwrap();
    let want = rows.iter().flat_map(|&row| &source[row as usize * cols..][..cols]);
    let want: Vec<f64> = want.map(|&x| f64::from(x)).collect();
    assert_close("gather", &out.checked(), &want, |_| 0.0);
    if cols > 0 {
        let mut out = Guarded::<T>::new(rows.len() * cols, 1);
        let into = MatMut::row_major(out.slice(), rows.len(), cols).unwrap();
        assert!(ctx.gather_rows_f32(&source[cols..], &rows, into).is_err(), "row 8 of 8");
    }
}

#[test]
fn every_length_agrees_with_the_oracle() {
    for ctx in contexts() {
        for n in lengths() {
            relu::<f32>(&ctx, n);
            relu::<f64>(&ctx, n);
            bias_and_update::<f32>(&ctx, n);
            bias_and_update::<f64>(&ctx, n);
            gather::<f32>(&ctx, n);
            gather::<f64>(&ctx, n);
        }
    }
}

#[test]
fn an_elements_result_does_not_depend_on_its_place() {
    for ctx in contexts() {
        let x = Random(9).fill::<f32>(133, -20.0, 20.0);
        let mut whole = vec![0.0; x.len()];
        ctx.exp(&x, &mut whole).unwrap();
        for start in 0..40 {
            let mut part = vec![0.0; x.len() - start];
            ctx.exp(&x[start..], &mut part).unwrap();
            assert!(part == whole[start..], "{} from {start}", ctx.isa());
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let mut random = Random(4);
    let n = 300_001;
    let (x, g) = (random.fill::<f32>(n, -9.0, 9.0), random.fill::<f32>(n, -1.0, 1.0));
    let bytes: Vec<u8> = (0..n).map(|_| random.bits() as u8).collect();
    same_for_any_threads(|ctx| {
        let (mut y, mut dx, mut w, mut z) = (vec![0.0; n], vec![0.0; n], x.clone(), x.clone());
        ctx.exp(&x, &mut y).unwrap();
        ctx.activate_backward(Activation::Relu, &x, &g, &mut dx).unwrap();
        ctx.sgd(0.5, 0.1, &g, &mut w).unwrap();
        ctx.add_bias(&g[..300], MatMut::row_major(&mut z, 1000, 300).unwrap())
            .unwrap();
        let mut images = vec![0.0f32; 400 * 300];
        let rows: Vec<u32> = (0..400).collect();
        ctx.gather_rows_u8(
            &bytes[..300_000],
            300,
            &rows,
            0.5,
            MatMut::row_major(&mut images, 400, 300).unwrap(),
        )
        .unwrap();
        (y, dx, w, z, images)
    });
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let ctx = &contexts()[0];
    let (x, mut y, mut out) = ([0.0f32; 12], [0.0f32; 11], [7.0f32; 12]);
    assert!(ctx.activate(Activation::Relu, &x, &mut y).is_err());
    assert!(ctx.activate_backward(Activation::Relu, &x, &x, &mut y).is_err());
    assert!(ctx.sgd(1.0, 0.1, &x, &mut y).is_err());
    assert!(ctx.exp(&x, &mut y).is_err() && ctx.log(&x, &mut y).is_err());
    assert!(ctx.add_bias(&x, MatMut::row_major(&mut y, 1, 11).unwrap()).is_err());
    let bytes = [1u8; 40];
    let mut gather =
        |cols, rows: &[u32]| ctx.gather_rows_u8(&bytes, cols, rows, 1.0, MatMut::row_major(&mut out, 3, 4).unwrap());
    assert!(gather(4, &[0, 9, 3]).is_ok());
    assert!(matches!(
        gather(4, &[0, 10, 3]),
        Err(ShapeError::Index {
            index: 10,
            place: 1,
            limit: 10,
            ..
        })
    ));
    assert!(gather(5, &[0, 1, 3]).is_err() && gather(4, &[0, 1]).is_err());
}
