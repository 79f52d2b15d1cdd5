//! (k) Every micro-kernel and every other family against the oracle, small enough for an emulator: `ci/avx512` runs this
//! program on an emulated CPU with AVX-512. On a real one the other tests go deeper.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "gemm/case.rs"]
mod case;
mod support;

use case::{Case, KINDS};
use support::matrices::Layout;
use support::{Random, assert_close, contexts, isas};
use tilelab_kernels::gemm::{Blocking, Shape};
use tilelab_kernels::{
    Activation, Adam, ColumnScales, Context, Dropout, Float, Gradient, Isa, Labels, LayerTerms, MatMut, MatRef,
    Momentum, Threads, reference,
};

/// Lengths round the vectors of every ISA.
const LENGTHS: [usize; 9] = [1, 3, 7, 8, 15, 16, 17, 33, 100];

/// Every kernel of the table in its three forms: both panels packed, rows of A neighbours, steps of A neighbours. Full
/// and ragged widths, depths off and on the unrolled loop's.
fn tiles<T: Float>(isa: Isa) -> usize {
    let packed = Context::with_blocking(isa, Threads::one(), Blocking { mc: 1, kc: 40, nc: 1 }).unwrap();
    let in_place = Context::new(isa, Threads::one()).unwrap();
    let mut random = Random(1);
    let mut kernels = 0;
    for kernel in T::KERNELS.iter().filter(|kernel| kernel.isa == isa) {
        let least = (kernel.nv - 1) * kernel.lanes + 1;
        for (turn, (n, k)) in [(least, 0), (kernel.nr() - 1, 3), (least, 10), (kernel.nr(), 9)]
            .into_iter()
            .enumerate()
        {
            let m = kernel.mr;
            for (form, (ctx, layout)) in [
                (&packed, Layout::RowMajor),
                (&in_place, Layout::ColumnMajor),
                (&in_place, Layout::RowMajor),
            ]
            .into_iter()
            .enumerate()
            {
                let kind = KINDS[(m + turn + 3 * form) % KINDS.len()];
                let beta = [0.0, 1.0, -0.5][(m + turn) % 3];
                let layouts = [layout, Layout::RowMajor, Layout::RowMajor];
                let case = Case::<T>::new(Shape { m, n, k }, layouts, (0.75, beta), kind, || random.unit());
                case.check(ctx, &format!("{} form {form}, width {n}, depth {k}", kernel.id()));
            }
        }
        kernels += 1;
    }
    kernels
}

#[test]
fn every_micro_kernel_in_every_form() {
    for isa in isas() {
        let kernels = tiles::<f32>(isa) + tiles::<f64>(isa);
        println!("isa {isa}: {kernels} micro-kernels ran");
        assert!(kernels >= 24);
    }
}

/// Whole products of several blocks each way, in every layout, on one thread and on two.
fn products<T: Float>(isa: Isa) {
    let layouts = [Layout::RowMajor, Layout::ColumnMajor, Layout::Scattered];
    let mut random = Random(2);
    for turn in 0..9 {
        let threads = Threads::new(1 + turn % 2).unwrap();
        let ctx = Context::with_blocking(isa, threads, Blocking { mc: 1, kc: 5, nc: 1 }).unwrap();
        let shape = Shape {
            m: 17 + turn,
            n: 30 + 5 * turn,
            k: 9 + turn,
        };
        let layouts = [layouts[turn % 3], layouts[turn / 3 % 3], layouts[(turn + turn / 3) % 3]];
        let case = Case::<T>::new(shape, layouts, (1.0, 0.5), KINDS[turn % KINDS.len()], || random.unit());
        case.check(&ctx, &format!("{isa} {} {shape:?} {layouts:?}", T::NAME));
    }
}

/// Products as callers make them, on blocks of their own: those without scratch, narrow ones, a single row.
fn small_products<T: Float>(isa: Isa) {
    let layouts = [Layout::RowMajor, Layout::ColumnMajor];
    let mut random = Random(12);
    let ctx = Context::new(isa, Threads::one()).unwrap();
    let shapes = [
        (16, 64, 20),
        (16, 1, 64),
        (24, 10, 150),
        (17, 5, 130),
        (9, 37, 12),
        (1, 40, 19),
        (9, 37, 1),
        (19, 13, 260),
        (3, 2, 50),
        (8, 1, 8),
    ];
    for (turn, (m, n, k)) in shapes.into_iter().enumerate() {
        for (i, kind) in KINDS.into_iter().enumerate() {
            let layouts = [layouts[i % 2], layouts[i / 2 % 2], layouts[(i + turn) / 4 % 2]];
            let scalars = [(1.0, 0.0), (0.5, 2.0)][(i + turn) % 2];
            let case = Case::<T>::new(Shape { m, n, k }, layouts, scalars, kind, || random.unit());
            case.check(&ctx, &format!("{isa} {} {m}x{n}x{k} {layouts:?} {kind:?}", T::NAME));
        }
    }
}

#[test]
fn small_products_and_narrow_ones() {
    for isa in isas() {
        small_products::<f32>(isa);
        small_products::<f64>(isa);
    }
}

#[test]
fn whole_products_in_every_layout() {
    for isa in isas() {
        products::<f32>(isa);
        products::<f64>(isa);
    }
}

/// One vector in, one out.
fn elementwise<T: Float>(ctx: &Context, n: usize) {
    let mut random = Random(n as u64);
    let (x, dy) = (random.fill::<T>(n, -9.0, 9.0), random.fill::<T>(n, -1.0, 1.0));
    let mut y = vec![T::from_f64(f64::NAN); n];
    let wide = |scale: f64| move |want: f64| scale * T::EPSILON * want.abs();
    let ulp = wide(1.0);
    ctx.exp(&x, &mut y).unwrap();
    let want: Vec<f64> = x.iter().map(|x| x.to_f64().exp()).collect();
    assert_close("exp", &y, &want, |i| ulp(want[i]));
    let positive: Vec<T> = x.iter().map(|x| T::from_f64(x.to_f64().abs() + 0.01)).collect();
    ctx.log(&positive, &mut y).unwrap();
    let want: Vec<f64> = positive.iter().map(|x| x.to_f64().ln()).collect();
    assert_close("log", &y, &want, |i| ulp(want[i]));
    ctx.erf(&x, &mut y).unwrap();
    let want: Vec<f64> = x.iter().map(|x| reference::erf(x.to_f64())).collect();
    assert_close("erf", &y, &want, |_| 4.0 * T::EPSILON);
    for activation in [
        Activation::Identity,
        Activation::Relu,
        Activation::LeakyRelu { slope: 0.01 },
        Activation::PRelu { alpha: 0.25 },
        Activation::Elu { alpha: 1.0 },
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Swish { beta: 1.5 },
        Activation::Gelu,
        Activation::GeluTanh,
    ] {
        ctx.activate(activation, &x, &mut y).unwrap();
        let want = reference::activate(activation, &x);
        assert_close("activation", &y, &want, |i| 64.0 * T::EPSILON * want[i].abs());
        ctx.activate_backward(activation, &x, &dy, &mut y).unwrap();
        let want = reference::activate_backward(activation, &x, &dy);
        assert_close("derivative", &y, &want, |i| 64.0 * T::EPSILON * (1.0 + want[i].abs()));
        let gradient = ctx.activation_parameter_gradient(activation, &x, &dy).unwrap();
        let terms = x.iter().zip(&dy);
        let term = |(x, dy): (&T, &T)| dy.to_f64() * reference::derivative_by_parameter(activation, x.to_f64());
        let want: f64 = terms.map(term).sum();
        assert_close("by its parameter", &[gradient], &[want], |_| {
            64.0 * n as f64 * T::EPSILON
        });
    }
    let (decay, lr) = (T::from_f64(0.999), T::from_f64(0.1));
    let mut weights = x.clone();
    ctx.sgd(decay, lr, &dy, &mut weights).unwrap();
    let want = reference::sgd(decay, lr, &dy, &x);
    assert_close("sgd", &weights, &want, |_| 20.0 * T::EPSILON);
    let rule = Momentum {
        lr: 0.1,
        momentum: 0.9,
        l2: 0.01,
        nesterov: true,
    };
    let (mut weights, mut velocity) = (x.clone(), dy.clone());
    ctx.momentum(rule, &dy, &mut weights, &mut velocity).unwrap();
    let want: Vec<f64> = (0..n)
        .map(|i| reference::momentum(rule, dy[i].to_f64(), x[i].to_f64(), dy[i].to_f64()).0)
        .collect();
    assert_close("momentum", &weights, &want, |_| 40.0 * T::EPSILON);
    let rule = Adam {
        lr: 0.01,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        l2: 0.01,
        weight_decay: 0.02,
        step: 3,
    };
    let (mut weights, mut first, mut second) = (x.clone(), dy.clone(), positive.clone());
    ctx.adam(rule, &dy, &mut weights, &mut first, &mut second).unwrap();
    let state = |i: usize| (dy[i].to_f64(), positive[i].to_f64());
    let want: Vec<f64> = (0..n)
        .map(|i| reference::adam(rule, dy[i].to_f64(), x[i].to_f64(), state(i)).0)
        .collect();
    assert_close("adam", &weights, &want, |_| 40.0 * T::EPSILON);
}

/// Matrices of five rows.
fn rows<T: Float>(ctx: &Context, n: usize) {
    const ROWS: usize = 5;
    let mut random = Random(n as u64);
    let data = random.fill::<T>(ROWS * (n + 1), -8.0, 8.0);
    let x = MatRef::new(&data, ROWS, n, n + 1, 1).unwrap();
    let mut y = vec![T::from_f64(f64::NAN); ROWS * n];
    let sum = (16.0 + n as f64) * T::EPSILON;
    ctx.softmax(x, MatMut::row_major(&mut y, ROWS, n).unwrap()).unwrap();
    let want = reference::softmax(x);
    assert_close("softmax", &y, &want, |i| 2.0 * sum * want[i]);
    ctx.log_softmax(x, MatMut::row_major(&mut y, ROWS, n).unwrap()).unwrap();
    assert_close("log-softmax", &y, &reference::log_softmax(x), |_| 20.0 * sum);
    let mut one_a_row = vec![T::from_f64(f64::NAN); ROWS];
    ctx.logsumexp(x, &mut one_a_row).unwrap();
    assert_close("logsumexp", &one_a_row, &reference::logsumexp(x), |_| 20.0 * sum);

    let labels: Vec<u8> = (0..ROWS).map(|i| (7 * i % n) as u8).collect();
    let scale = T::from_f64(0.2);
    let out = MatMut::row_major(&mut y, ROWS, n).unwrap();
    ctx.softmax_cross_entropy(x, Labels::hard(&labels), scale, &mut one_a_row, out)
        .unwrap();
    let (losses, gradient) = reference::softmax_cross_entropy(x, Labels::hard(&labels), scale);
    assert_close("losses", &one_a_row, &losses, |_| 20.0 * sum);
    assert_close("their gradient", &y, &gradient, |_| sum);
    ctx.cross_entropy_loss(x, Labels::hard(&labels), &mut one_a_row)
        .unwrap();
    let losses = reference::cross_entropy_loss(x, Labels::hard(&labels));
    assert_close("losses alone", &one_a_row, &losses, |_| 20.0 * sum);

    let mut largest = vec![u32::MAX; ROWS];
    ctx.row_argmax(x, &mut largest).unwrap();
    assert_eq!(largest, reference::row_argmax(x));
    let mut sums = vec![T::from_f64(f64::NAN); n];
    ctx.column_sum(x, &mut sums).unwrap();
    assert_close("column sums", &sums, &reference::column_sum(x), |_| {
        8.0 * 25.0 * T::EPSILON
    });

    let (mut mean, mut variance) = (sums.clone(), sums.clone());
    ctx.column_mean_variance(x, &mut mean, &mut variance).unwrap();
    let (want_mean, want_variance) = reference::column_mean_variance(x);
    assert_close("column means", &mean, &want_mean, |_| 40.0 * T::EPSILON);
    assert_close("column variances", &variance, &want_variance, |_| 800.0 * T::EPSILON);
    ctx.column_dot(x, x, &mut sums).unwrap();
    assert_close("column dots", &sums, &reference::column_dot(x, x), |_| {
        4000.0 * T::EPSILON
    });
    targets_and_columns(ctx, x, &mean);

    let bias = random.fill::<T>(n, -1.0, 1.0);
    let mut z: Vec<T> = data[..ROWS * n].to_vec();
    let want = reference::add_bias(&bias, MatRef::row_major(&z, ROWS, n).unwrap());
    ctx.add_bias(&bias, MatMut::row_major(&mut z, ROWS, n).unwrap())
        .unwrap();
    assert_close("bias", &z, &want, |i| T::EPSILON * want[i].abs());
    let bytes: Vec<u8> = (0..9 * n).map(|_| random.bits() as u8).collect();
    let out = MatMut::row_major(&mut y, ROWS, n).unwrap();
    let picked = [8, 0, 3, 3, 7];
    ctx.gather_rows_u8(&bytes, n, &picked, scale, out).unwrap();
    let want = reference::gather_rows_u8(&bytes, n, &picked, scale);
    assert_close("gathered bytes", &y, &want, |i| T::EPSILON * want[i]);
}

/// Losses against targets, batch normalisation and dropout, on a matrix and a positive or negative number a column.
fn targets_and_columns<T: Float>(ctx: &Context, x: MatRef<'_, T>, column: &[T]) {
    let (rows, n) = (x.rows(), x.cols());
    let mut random = Random(n as u64);
    let target = random.fill::<T>(rows * n, 0.0, 1.0);
    let target = MatRef::row_major(&target, rows, n).unwrap();
    let (mut losses, mut y, mut z) = (vec![T::ZERO; rows], vec![T::ZERO; rows * n], vec![T::ZERO; rows * n]);
    let scale = T::from_f64(0.5);
    let into = MatMut::row_major(&mut y, rows, n).unwrap();
    ctx.binary_cross_entropy(x, target, &mut losses, Some(Gradient { scale, into }))
        .unwrap();
    let (want, gradient) = reference::binary_cross_entropy(x, target, scale);
    assert_close("binary", &losses, &want, |_| (64.0 + n as f64) * T::EPSILON);
    assert_close("its gradient", &y, &gradient, |_| 4.0 * T::EPSILON);
    let into = MatMut::row_major(&mut y, rows, n).unwrap();
    ctx.squared_error(x, target, &mut losses, Some(Gradient { scale, into }))
        .unwrap();
    let (want, gradient) = reference::squared_error(x, target, scale);
    assert_close("squared", &losses, &want, |_| (400.0 + 10.0 * n as f64) * T::EPSILON);
    assert_close("its gradient", &y, &gradient, |_| 40.0 * T::EPSILON);

    let by_column = ColumnScales {
        mean: column,
        scale: column,
        gamma: column,
        beta: column,
    };
    let (normal, out) = (
        MatMut::row_major(&mut z, rows, n).unwrap(),
        MatMut::row_major(&mut y, rows, n).unwrap(),
    );
    ctx.batch_norm(x, by_column, normal, out).unwrap();
    let each = |i: usize| {
        let c = column[i % n].to_f64();
        (c, (x.get(i / n, i % n).unwrap().to_f64() - c) * c)
    };
    let want: Vec<f64> = (0..rows * n).map(|i| each(i).0 * each(i).1 + each(i).0).collect();
    assert_close("batch norm", &y, &want, |_| 4000.0 * T::EPSILON);
    let dropout = Dropout {
        probability: 0.4,
        seed: 1,
        step: 2,
        layer: 3,
        first_row: 4,
    };
    ctx.dropout(dropout, x, MatMut::row_major(&mut y, rows, n).unwrap())
        .unwrap();
    let want = reference::dropout(dropout, x);
    assert_close("dropout", &y, &want, |i| T::EPSILON * want[i].abs());
}

/// A layer's block of a Hessian, a transpose, and second derivatives, at one length.
fn second_derivatives<T: Float>(ctx: &Context, n: usize, inputs: usize) {
    let (mut random, samples, q) = (Random(7), 5, 2);
    let mut numbers = |count: usize| -> Vec<T> { (0..count).map(|_| T::from_f64(random.unit())).collect() };
    let (x, factors, diagonal) = (
        numbers(samples * inputs),
        numbers(samples * (q + 1) * n),
        numbers(samples * n),
    );
    let terms = LayerTerms {
        x: MatRef::row_major(&x, samples, inputs).unwrap(),
        factors: &factors,
        positive: q,
        negative: true,
        weights: None,
        diagonal: Some(&diagonal),
        units: n,
    };
    let size = inputs * n;
    let mut block = vec![T::from_f64(f64::NAN); size * size];
    ctx.layer_hessian(terms, false, MatMut::row_major(&mut block, size, size).unwrap())
        .unwrap();
    let want = reference::layer_hessian(terms);
    assert_close("a layer's block", &block, &want, |_| 200.0 * T::EPSILON);

    let from = MatRef::row_major(&factors, samples * (q + 1), n).unwrap();
    let mut turned = vec![T::ZERO; factors.len()];
    ctx.transpose(from, MatMut::row_major(&mut turned, n, samples * (q + 1)).unwrap())
        .unwrap();
    let want: Vec<f64> = (0..factors.len())
        .map(|i| factors[i % 15 * n + i / 15].to_f64())
        .collect();
    assert_close("a transpose", &turned, &want, |_| 0.0);

    let (saved, gradient, mut out) = (numbers(n), numbers(n), vec![T::ZERO; n]);
    for f in [
        Activation::Tanh,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Swish { beta: 1.5 },
    ] {
        ctx.activation_curvature(f, &saved, &gradient, &mut out).unwrap();
        let bend = |i: usize| gradient[i].to_f64() * reference::second_derivative(f, saved[i].to_f64());
        let want: Vec<f64> = (0..n).map(bend).collect();
        assert_close("a curvature", &out, &want, |_| 16.0 * T::EPSILON);
    }
}

#[test]
fn every_other_family() {
    for ctx in contexts() {
        for n in LENGTHS {
            elementwise::<f32>(&ctx, n);
            elementwise::<f64>(&ctx, n);
            rows::<f32>(&ctx, n);
            rows::<f64>(&ctx, n);
            second_derivatives::<f32>(&ctx, n.min(17), 4);
            second_derivatives::<f64>(&ctx, n.min(17), 4);
        }
        // So wide that a layer's block goes by tiles.
        second_derivatives::<f32>(&ctx, 230, 1);
        second_derivatives::<f64>(&ctx, 230, 1);
        println!("isa {}: every other family ran", ctx.isa());
    }
}

/// Says what ran: a log without this line proves nothing.
#[test]
fn the_cpu_and_the_isa_are_named() {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = cpu.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let flags: Vec<_> = flags
        .split(' ')
        .filter(|flag| flag.starts_with("avx") || *flag == "fma")
        .collect();
    println!("cpu: {}", flags.join(" "));
    println!("isa selected: {}", Isa::selected().unwrap());
}
