//! `tilelab self-test --device cuda:N`: every kernel that the card can run against the f64 oracle.

mod workspace;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tilelab_kernels::cuda::columns::{self, Into, Statistics, Summed};
use tilelab_kernels::cuda::gemm::{self, Factor, Finish, KERNELS, Matrix};
use tilelab_kernels::cuda::{CudaError, Gpu, elementwise, rows, softmax};
use tilelab_kernels::{Activation, Adam, Dropout, Epilogue, Labels, MatMut, MatRef, Momentum, Saves, reference};

pub use workspace::Workspace;

use super::{Tally, random};
use crate::measure::{Check, SelfTest};

const EPS: f64 = f32::EPSILON as f64;
/// Rows and columns: off every warp, and a row that takes a block.
const SHAPES: [(usize, usize); 3] = [(3, 10), (17, 33), (2, 1030)];
/// m, n, k: inside a tile, off every tile, more than one of them, with few and many steps.
const PRODUCTS: [(usize, usize, usize); 4] = [(1, 1, 1), (13, 31, 5), (65, 130, 67), (130, 68, 40)];

const FUNCTIONS: [Activation; 9] = [
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

/// Runs every check on a card.
///
/// # Errors
/// No card, or one that fails; a kernel that is wrong is a check that failed.
pub fn run(gpu: &Gpu) -> Result<SelfTest, CudaError> {
    let capability = gpu.facts().capability;
    let mut bench = Bench {
        card: Workspace::new(gpu)?,
        rng: ChaCha8Rng::seed_from_u64(7),
    };
    let mut checks = Vec::new();
    for kernel in KERNELS.iter().filter(|kernel| kernel.capability <= capability) {
        check(&mut checks, capability, kernel.id, |tally| {
            products(&mut bench, kernel, tally)
        })?;
    }
    check(&mut checks, capability, "activations", |tally| {
        activations(&mut bench, tally)
    })?;
    check(&mut checks, capability, "softmax", |tally| {
        row_functions(&mut bench, tally)
    })?;
    check(&mut checks, capability, "batch", |tally| batches(&mut bench, tally))?;
    check(&mut checks, capability, "columns", |tally| sums(&mut bench, tally))?;
    check(&mut checks, capability, "updates", |tally| updates(&mut bench, tally))?;
    Ok(SelfTest { checks })
}

fn check(
    checks: &mut Vec<Check>,
    capability: u32,
    name: &str,
    cases: impl FnOnce(&mut Tally) -> Result<(), CudaError>,
) -> Result<(), CudaError> {
    let mut tally = Tally { cases: 0, worst: 0.0 };
    cases(&mut tally)?;
    checks.push(Check {
        kernel: name.to_owned(),
        isa: format!("sm_{capability}"),
        cases: tally.cases,
        error_over_bound: tally.worst,
        passed: tally.worst <= 1.0,
    });
    Ok(())
}

/// A card, and what its cases are made of.
struct Bench {
    card: Workspace,
    rng: ChaCha8Rng,
}

impl Bench {
    fn random(&mut self, len: usize, most: f64) -> Vec<f32> {
        random(&mut self.rng, len, most)
    }
}

/// In all transposes, with an epilogue in turn.
fn products(bench: &mut Bench, kernel: &'static gemm::Kernel, tally: &mut Tally) -> Result<(), CudaError> {
    for (turn, (m, n, k)) in PRODUCTS.into_iter().enumerate() {
        for transposed in [(false, false), (true, false), (false, true), (true, true)] {
            let (a, b) = (bench.random(m * k, 1.0), bench.random(k * n, 1.0));
            let (bias, saved, old) = (bench.random(n, 1.0), bench.random(m * n, 1.0), bench.random(m * n, 1.0));
            let beta = if turn % 2 == 0 { 0.0f32 } else { 0.5 };
            let shape = |rows, cols, transposed| if transposed { (cols, rows) } else { (rows, cols) };
            let (a_shape, b_shape) = (shape(m, k, transposed.0), shape(k, n, transposed.1));
            let factor = |data, (rows, cols), transposed| Factor {
                matrix: Matrix::new(data, rows, cols),
                transposed,
            };
            let a_card = factor(bench.card.floats(&a)?, a_shape, transposed.0);
            let b_card = factor(bench.card.floats(&b)?, b_shape, transposed.1);
            let c = if beta == 0.0 {
                bench.card.room(m * n)?
            } else {
                bench.card.floats(&old)?
            };
            let (alpha_card, beta_card) = (bench.card.floats(&[1.0])?, bench.card.floats(&[beta])?);
            let mut finish = Finish::default();
            let mut epilogue = Epilogue::none();
            if turn % 4 != 0 {
                finish.bias = Some(bench.card.floats(&bias)?);
                epilogue = epilogue.bias(&bias);
            }
            if turn % 4 == 2 {
                finish.activation = Activation::Tanh;
                epilogue = epilogue.activation(Activation::Tanh);
            }
            if turn % 4 == 3 {
                finish.derivative = Some((Activation::Relu, bench.card.floats(&saved)?));
                epilogue = epilogue.times_derivative(Activation::Relu, view(&saved, (m, n), false));
            }
            bench.card.run(gemm::gemm(
                kernel,
                alpha_card,
                a_card,
                b_card,
                beta_card,
                Matrix::new(c, m, n),
                finish,
            ))?;
            let mut expected = old.clone();
            if let Ok(into) = MatMut::row_major(&mut expected, m, n) {
                let (a, b) = (view(&a, a_shape, transposed.0), view(&b, b_shape, transposed.1));
                reference::gemm(1.0, a, b, beta, into, epilogue);
            }
            let expected: Vec<f64> = expected.iter().map(|&x| f64::from(x)).collect();
            // Every operand is at most 1.
            let size = k as f64 + 2.0;
            tally.hold(&bench.card.get(c)?, &expected, |_| {
                size * ((k as f64 + 12.0) * EPS + 2.0 * kernel.rounding)
            });
            bench.card.clear()?;
        }
    }
    Ok(())
}

/// A slice as a matrix; it has the elements.
fn view(data: &[f32], (rows, cols): (usize, usize), transposed: bool) -> MatRef<'_, f32> {
    match MatRef::row_major(data, rows, cols) {
        Ok(matrix) if transposed => matrix.transposed(),
        Ok(matrix) => matrix,
        Err(error) => panic!("a case of this file: {error}"),
    }
}

fn activations(bench: &mut Bench, tally: &mut Tally) -> Result<(), CudaError> {
    for f in FUNCTIONS {
        for n in [5, 1030] {
            let (x, dy) = (bench.random(n, 6.0), bench.random(n, 3.0));
            let parameter = match f {
                Activation::LeakyRelu { slope } => slope,
                Activation::PRelu { alpha } | Activation::Elu { alpha } => alpha,
                Activation::Swish { beta } => beta,
                _ => 0.0,
            };
            let (p, xs, ys) = (
                bench.card.floats(&[parameter as f32])?,
                bench.card.floats(&x)?,
                bench.card.room(n)?,
            );
            bench.card.run(elementwise::activate(f, p, xs, ys))?;
            let y = reference::activate(f, &x);
            tally.hold(&bench.card.get(ys)?, &y, |i| 16.0 * EPS * (1.0 + y[i].abs()));
            let saved: Vec<f32> = match f.saves() {
                Saves::Input => x,
                Saves::Output => y.iter().map(|&y| y as f32).collect(),
            };
            let (saved_card, dys, dxs) = (bench.card.floats(&saved)?, bench.card.floats(&dy)?, bench.card.room(n)?);
            bench
                .card
                .run(elementwise::activate_backward(f, p, saved_card, dys, dxs))?;
            let expected = reference::activate_backward(f, &saved, &dy);
            tally.hold(&bench.card.get(dxs)?, &expected, |i| {
                64.0 * EPS * f64::from(dy[i].abs())
            });
            bench.card.clear()?;
        }
    }
    Ok(())
}

fn row_functions(bench: &mut Bench, tally: &mut Tally) -> Result<(), CudaError> {
    for (m, n) in SHAPES {
        let x = bench.random(m * n, 20.0);
        let labels: Vec<u8> = (0..m).map(|i| (i * 7 % n.min(256)) as u8).collect();
        let matrix = view(&x, (m, n), false);
        let terms = 64.0 + n as f64;
        let (xs, y) = (bench.card.floats(&x)?, bench.card.room(m * n)?);
        bench.card.run(softmax::softmax(xs, y, (m, n)))?;
        let expected = reference::softmax(matrix);
        tally.hold(&bench.card.get(y)?, &expected, |i| terms * EPS * expected[i] + 1e-37);
        bench.card.run(softmax::log_softmax(xs, y, (m, n)))?;
        let expected = reference::log_softmax(matrix);
        tally.hold(&bench.card.get(y)?, &expected, |i| {
            terms * EPS * (40.0 + expected[i].abs())
        });
        let scale = 1.0 / m as f32;
        let (ls, scales) = (bench.card.put(&labels, u8::to_le_bytes)?, bench.card.floats(&[scale])?);
        let (losses, gradient) = (bench.card.room(m)?, bench.card.room(m * n)?);
        let into = Some((scales, gradient));
        bench
            .card
            .run(softmax::softmax_cross_entropy(xs, ls, 0.1, losses, into))?;
        let targets = Labels {
            classes: &labels,
            smoothing: 0.1,
        };
        let (expected, slopes) = reference::softmax_cross_entropy(matrix, targets, scale);
        tally.hold(&bench.card.get(losses)?, &expected, |i| {
            terms * EPS * (40.0 + expected[i].abs())
        });
        tally.hold(&bench.card.get(gradient)?, &slopes, |_| terms * EPS * f64::from(scale));
        bench.card.clear()?;
    }
    Ok(())
}

/// Loading rows, bias, dropout.
fn batches(bench: &mut Bench, tally: &mut Tally) -> Result<(), CudaError> {
    for cols in [3, 784] {
        let bytes: Vec<u8> = (0..20 * cols).map(|i| (i * 37 % 256) as u8).collect();
        let which = [19u32, 0, 7, 7, 3];
        let (b, w) = (
            bench.card.put(&bytes, u8::to_le_bytes)?,
            bench.card.put(&which, u32::to_le_bytes)?,
        );
        let out = bench.card.room(5 * cols)?;
        bench
            .card
            .run(rows::gather_bytes(b, Some(w), 1.0 / 255.0, out, (5, cols)))?;
        let x = bench.card.get(out)?;
        let gathered = reference::gather_rows_u8(&bytes, cols, &which, 1.0f32 / 255.0);
        tally.hold(&x, &gathered, |_| EPS);
        let bias = bench.random(cols, 1.0);
        let biases = bench.card.floats(&bias)?;
        bench.card.run(rows::add_bias(biases, out))?;
        let with_bias = bench.card.get(out)?;
        let expected = reference::add_bias(&bias, view(&x, (5, cols), false));
        tally.hold(&with_bias, &expected, |_| 2.0 * EPS);
        let dropout = Dropout {
            probability: 0.4,
            seed: 11,
            step: 1 << 40,
            layer: 2,
            first_row: 5,
        };
        let (key, dropped) = (
            bench.card.put(&dropout.key_words(), u64::to_le_bytes)?,
            bench.card.room(5 * cols)?,
        );
        bench
            .card
            .run(rows::dropout(dropout.probability, key, out, dropped, (5, cols)))?;
        let expected = reference::dropout(dropout, view(&with_bias, (5, cols), false));
        tally.hold(&bench.card.get(dropped)?, &expected, |_| 8.0 * EPS);
        bench.card.clear()?;
    }
    Ok(())
}

/// Sums over rows, and batch normalisation made of them.
fn sums(bench: &mut Bench, tally: &mut Tally) -> Result<(), CudaError> {
    for (m, n) in [(5, 10), (300, 33), (1000, 3)] {
        let (x, gamma, beta) = (bench.random(m * n, 1.0), bench.random(n, 1.0), bench.random(n, 1.0));
        let (xs, partials) = (bench.card.floats(&x)?, bench.card.room(columns::room(m, n))?);
        let (mean, scale) = (bench.card.room(n)?, bench.card.room(n)?);
        let share = 1.0 / m as f32;
        for (summed, into) in [(Summed::Values(xs), mean), (Summed::Squares(xs, mean), scale)] {
            for call in columns::sum(summed, (m, n), share, partials, Into::fresh(into))? {
                bench.card.stream().launch(&call)?;
            }
        }
        let (mean64, variance64) = reference::column_mean_variance(view(&x, (m, n), false));
        let bound = 4.0 * (m as f64 + 4.0) * EPS;
        tally.hold(&bench.card.get(mean)?, &mean64, |_| bound);
        tally.hold(&bench.card.get(scale)?, &variance64, |_| bound);
        let statistics = Statistics {
            mean,
            scale,
            running_mean: bench.card.floats(&vec![0.0; n])?,
            running_variance: bench.card.floats(&vec![1.0; n])?,
            batches: bench.card.floats(&[0.0])?,
        };
        bench
            .card
            .run(columns::batch_norm_statistics(m, true, (0.1, 1e-5), statistics))?;
        let (gammas, betas) = (bench.card.floats(&gamma)?, bench.card.floats(&beta)?);
        let (normal, out) = (bench.card.room(m * n)?, bench.card.room(m * n)?);
        bench
            .card
            .run(columns::batch_norm(m, xs, [mean, scale, gammas, betas], normal, out))?;
        let expected: Vec<f64> = (0..m * n)
            .map(|e| {
                let j = e % n;
                let normal = (f64::from(x[e]) - mean64[j]) / (variance64[j] + 1e-5).sqrt();
                f64::from(gamma[j]) * normal + f64::from(beta[j])
            })
            .collect();
        tally.hold(&bench.card.get(out)?, &expected, |e| {
            8.0 * bound / variance64[e % n].min(1.0).powf(1.5)
        });
        bench.card.clear()?;
    }
    Ok(())
}

fn updates(bench: &mut Bench, tally: &mut Tally) -> Result<(), CudaError> {
    for n in [5, 1030] {
        let (g, w, v) = (bench.random(n, 1.0), bench.random(n, 1.0), bench.random(n, 1.0));
        let second: Vec<f32> = v.iter().map(|x| x * x + 0.1).collect();
        let wide = |i: usize| (f64::from(g[i]), f64::from(w[i]), f64::from(v[i]), f64::from(second[i]));
        let gradient = bench.card.floats(&g)?;
        let (decay, lr, weights) = (
            bench.card.floats(&[0.99])?,
            bench.card.floats(&[0.1])?,
            bench.card.floats(&w)?,
        );
        bench.card.run(elementwise::sgd(decay, lr, gradient, weights))?;
        tally.hold(
            &bench.card.get(weights)?,
            &reference::sgd(0.99f32, 0.1f32, &g, &w),
            |_| 3.0 * EPS,
        );

        let rule = Momentum {
            lr: 0.1,
            momentum: 0.9,
            l2: 0.01,
            nesterov: true,
        };
        let rules = bench.card.floats(&elementwise::momentum_rule(rule))?;
        let (weights, velocity) = (bench.card.floats(&w)?, bench.card.floats(&v)?);
        bench
            .card
            .run(elementwise::momentum(rules, true, gradient, weights, velocity))?;
        let expected: Vec<f64> = (0..n)
            .map(wide)
            .map(|(g, w, v, _)| reference::momentum(rule, g, w, v).0)
            .collect();
        tally.hold(&bench.card.get(weights)?, &expected, |_| 8.0 * EPS);

        let rule = Adam {
            lr: 0.01,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            l2: 0.01,
            weight_decay: 0.1,
            step: 3,
        };
        let rules = bench.card.floats(&elementwise::adam_rule(rule))?;
        let (weights, a, b) = (
            bench.card.floats(&w)?,
            bench.card.floats(&v)?,
            bench.card.floats(&second)?,
        );
        bench.card.run(elementwise::adam(rules, gradient, weights, (a, b)))?;
        let expected: Vec<f64> = (0..n)
            .map(wide)
            .map(|(g, w, v, s)| reference::adam(rule, g, w, (v, s)).0)
            .collect();
        tally.hold(&bench.card.get(weights)?, &expected, |_| 16.0 * EPS);
        bench.card.clear()?;
    }
    Ok(())
}
