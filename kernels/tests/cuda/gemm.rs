//! Products: every rung of the ladder at every edge, in all transposes, with every epilogue.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tilelab_kernels::cuda::gemm::{Factor, Finish, KERNELS, Kernel, Matrix, gemm};
use tilelab_kernels::{Activation, Epilogue, MatMut, MatRef, reference};
use tilelab_ptxsim::MmaModel;

use crate::sim::{Sim, hold, random};

/// One product, and what to do to it.
struct Case {
    m: usize,
    n: usize,
    k: usize,
    transposed: (bool, bool),
    /// Elements between rows beyond their columns.
    gap: usize,
    alpha: f32,
    beta: f32,
    bias: bool,
    activation: Activation,
    derivative: Option<Activation>,
    keeps_input: bool,
    whole: bool,
}

impl Case {
    fn new(m: usize, n: usize, k: usize, turn: usize) -> Self {
        Self {
            m,
            n,
            k,
            transposed: (turn & 2 != 0, turn & 1 != 0),
            gap: 0,
            alpha: 1.0,
            beta: 0.0,
            bias: false,
            activation: Activation::Identity,
            derivative: None,
            keeps_input: false,
            whole: true,
        }
    }
}

/// rows x cols with gaps, and the plain form without.
fn matrix(rng: &mut ChaCha8Rng, rows: usize, cols: usize, gap: usize, whole: bool) -> (Vec<f32>, Vec<f32>) {
    let mut plain = Vec::new();
    let mut strided = vec![f32::NAN; (rows - 1) * (cols + gap) + cols];
    for i in 0..rows {
        for j in 0..cols {
            let x = if whole {
                rng.random_range(-4i32..=4) as f32
            } else {
                rng.random_range(-1.0..=1.0)
            };
            plain.push(x);
            strided[i * (cols + gap) + j] = x;
        }
    }
    (strided, plain)
}

fn check(kernel: &'static Kernel, case: &Case, seed: u64, model: MmaModel) {
    let what = format!(
        "{} {}x{}x{} {:?} gap {} beta {} {:?} {:?}",
        kernel.id, case.m, case.n, case.k, case.transposed, case.gap, case.beta, case.activation, case.derivative
    );
    let (m, n, k, gap) = (case.m, case.n, case.k, case.gap);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut sim = Sim::with_model(seed, model);
    let shape = |rows, cols, transposed| if transposed { (cols, rows) } else { (rows, cols) };
    let (a_shape, b_shape) = (shape(m, k, case.transposed.0), shape(k, n, case.transposed.1));
    let (a, a_plain) = matrix(&mut rng, a_shape.0, a_shape.1, gap, case.whole);
    let (b, b_plain) = matrix(&mut rng, b_shape.0, b_shape.1, gap, case.whole);
    let (mut c, c_plain) = matrix(&mut rng, m, n, gap, case.whole);
    if case.beta == 0.0 {
        c.fill(f32::NAN);
    }
    let (bias, saved) = (random(seed, n, 2.0), matrix(&mut rng, m, n, gap, false));
    let factor = |sim: &mut Sim, data: &[f32], (rows, cols): (usize, usize), transposed| Factor {
        matrix: Matrix {
            data: sim.put(data),
            rows,
            cols,
            stride: cols + gap,
        },
        transposed,
    };
    let (a, b) = (
        factor(&mut sim, &a, a_shape, case.transposed.0),
        factor(&mut sim, &b, b_shape, case.transposed.1),
    );
    let c_card = sim.put(&c);
    let (alpha, beta) = (sim.put(&[case.alpha]), sim.put(&[case.beta]));
    let input = case.keeps_input.then(|| sim.put(&c));
    let finish = Finish {
        bias: case.bias.then(|| sim.put(&bias)),
        input,
        activation: case.activation,
        derivative: case.derivative.map(|activation| (activation, sim.put(&saved.0))),
    };
    let into = Matrix {
        data: c_card,
        rows: m,
        cols: n,
        stride: n + gap,
    };
    sim.run(&gemm(kernel, alpha, a, b, beta, into, finish).unwrap());

    let view = |data, (rows, cols): (usize, usize), transposed| {
        let view = MatRef::<f64>::row_major(data, rows, cols).unwrap();
        if transposed { view.transposed() } else { view }
    };
    let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
    let (a64, b64, bias64, saved64) = (wide(&a_plain), wide(&b_plain), wide(&bias), wide(&saved.1));
    let (mut expected, mut before) = (wide(&c_plain), vec![0.0; m * n]);
    let mut epilogue = Epilogue::none().activation(case.activation);
    if case.bias {
        epilogue = epilogue.bias(&bias64);
    }
    if let Some(activation) = case.derivative {
        epilogue = epilogue.times_derivative(activation, view(&saved64, (m, n), false));
    }
    let epilogue = epilogue.store_input(MatMut::row_major(&mut before, m, n).unwrap());
    reference::gemm(
        f64::from(case.alpha),
        view(&a64, a_shape, case.transposed.0),
        view(&b64, b_shape, case.transposed.1),
        f64::from(case.beta),
        MatMut::row_major(&mut expected, m, n).unwrap(),
        epilogue,
    );
    let eps = f64::from(f32::EPSILON);
    let most = if case.whole { 4.0 } else { 1.0 };
    // |alpha| |A| |B| + |beta| |C| + |bias|, then a factor for derivatives of at most 1.2, and functions that are good to 8 ulp.
    let size = f64::from(case.alpha.abs()) * k as f64 * most * most + f64::from(case.beta.abs()) * most + 2.0;
    let exact = case.whole
        && !case.bias
        && kernel.rounding == 0.0
        && case.activation == Activation::Identity
        && case.derivative.is_none();
    let bound = if exact {
        0.0
    } else {
        1.2 * size * ((k as f64 + 12.0) * eps + 2.0 * kernel.rounding)
    };
    let got = sim.get(c_card);
    let rows = |x: &[f32]| -> Vec<f32> { (0..m).flat_map(|i| x[i * (n + gap)..][..n].to_vec()).collect() };
    hold(&what, &rows(&got), &expected, |_| bound);
    if let Some(input) = input {
        hold(&what, &rows(&sim.get(input)), &before, |_| bound);
    }
    // What lies between rows is as it was: NaN, never written.
    for i in 0..m.saturating_sub(1) {
        for j in 0..gap {
            assert!(
                got[i * (n + gap) + n + j].is_nan(),
                "{what}: row {i} was written beyond its end"
            );
        }
    }
}

/// m, n, k: three permutations of 1 to 65, so that every size meets every operand.
fn shapes() -> impl Iterator<Item = (usize, usize, usize)> {
    (0..65).map(|i| (1 + i * 7 % 65, 1 + i * 19 % 65, 1 + i * 31 % 65))
}

fn at_every_size(id: &str) {
    let kernel = KERNELS.iter().find(|kernel| kernel.id == id).unwrap();
    for (turn, (m, n, k)) in shapes().enumerate() {
        let whole = kernel.rounding == 0.0 || turn % 2 == 0;
        let case = Case {
            whole,
            ..Case::new(m, n, k, turn)
        };
        let model = MmaModel::ALL[turn % 3];
        check(kernel, &case, turn as u64, model);
    }
}

macro_rules! at_every_size {
    ($($test:ident: $id:literal),* $(,)?) => {$(
        #[test]
        fn $test() {
            at_every_size($id);
        }
    )*};
}
at_every_size! {
    naive_at_every_size: "sgemm_naive",
    tiles_at_every_size: "sgemm_tiles",
    registers_at_every_size: "sgemm_registers",
    vectors_at_every_size: "sgemm_vectors",
    double_at_every_size: "sgemm_double",
    warps_at_every_size: "sgemm_warps",
    async_at_every_size: "sgemm_async",
    warps_async_at_every_size: "sgemm_warps_async",
    tf32_at_every_size: "gemm_tf32",
    bf16_at_every_size: "gemm_bf16",
    tf32x3_at_every_size: "gemm_tf32x3",
}

#[test]
fn strides_alpha_and_beta_are_honoured() {
    for (turn, kernel) in KERNELS.iter().enumerate() {
        for gap in [0, 1, 4] {
            let case = Case {
                gap,
                alpha: 0.5,
                beta: -2.0,
                ..Case::new(36, 68, 20, turn)
            };
            check(kernel, &case, 3, MmaModel::Exact);
            // Not read where beta is 0: NaN there would come through.
            let case = Case {
                gap,
                alpha: -1.0,
                ..Case::new(35, 67, 21, turn + 1)
            };
            check(kernel, &case, 4, MmaModel::Exact);
        }
    }
}

#[test]
fn epilogues_come_in_their_order() {
    let functions = [
        Activation::Identity,
        Activation::Relu,
        Activation::LeakyRelu { slope: 0.1 },
        Activation::PRelu { alpha: 0.25 },
        Activation::Elu { alpha: 1.0 },
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Swish { beta: 1.5 },
        Activation::Gelu,
        Activation::GeluTanh,
    ];
    for (turn, kernel) in KERNELS.iter().enumerate() {
        for (i, f) in functions.into_iter().enumerate() {
            // All functions on two kernels, a few on each of the others.
            if !matches!(kernel.id, "sgemm_naive" | "sgemm_double") && i % 4 != turn % 4 && i > 1 {
                continue;
            }
            let (m, n) = if i % 2 == 0 { (12, 20) } else { (13, 9) };
            let case = Case {
                bias: true,
                activation: f,
                keeps_input: i % 3 == 0,
                whole: false,
                ..Case::new(m, n, 5, turn)
            };
            check(kernel, &case, i as u64, MmaModel::Exact);
            let case = Case {
                bias: i % 2 == 0,
                activation: if i % 5 == 4 {
                    Activation::Tanh
                } else {
                    Activation::Identity
                },
                derivative: Some(f),
                whole: false,
                ..Case::new(m, n, 5, turn)
            };
            check(kernel, &case, i as u64, MmaModel::Exact);
        }
    }
}

#[test]
fn products_without_k_are_beta_times_c() {
    for kernel in &KERNELS {
        let mut sim = Sim::new(1);
        let (alpha, beta) = (sim.put(&[1.0f32]), sim.put(&[0.0f32]));
        let (a, b) = (sim.put::<f32>(&[]), sim.put::<f32>(&[]));
        let c = sim.room::<f32>(6);
        let factor = |data, rows, cols| Factor {
            matrix: Matrix::new(data, rows, cols),
            transposed: false,
        };
        let call = gemm(
            kernel,
            alpha,
            factor(a, 2, 0),
            factor(b, 0, 3),
            beta,
            Matrix::new(c, 2, 3),
            Finish::default(),
        );
        sim.run(&call.unwrap());
        assert_eq!(sim.get(c), [0.0; 6], "{}", kernel.id);
    }
}

#[test]
fn more_than_one_tile_each_way_and_many_steps() {
    for (turn, kernel) in KERNELS.iter().enumerate() {
        let (rows, cols) = kernel.tile;
        // However a tensor core adds.
        let models = if kernel.id.starts_with("gemm_") {
            &MmaModel::ALL[..]
        } else {
            &MmaModel::ALL[..1]
        };
        let case = Case {
            gap: turn % 2,
            whole: kernel.rounding == 0.0,
            ..Case::new(rows as usize + 3, cols as usize + 5, 100, turn)
        };
        models.iter().for_each(|&model| check(kernel, &case, 9, model));
    }
}
