//! Bars that are whole computations on the embedded part of Fashion-MNIST, once each: the largest eigenvalue, and Newton-CG beside SGD.

use std::ops::ControlFlow;
use std::time::Instant;

use tilelab_kernels::{Activation, Threads};

use crate::bench::bars::Bar;
use crate::data::{Dataset, Places, fashion_mnist};
use crate::device::Set;
use crate::hessian::lanczos::{Wanted, eigenpairs};
use crate::hessian::{Data, Directions, Point, Products, Setup};
use crate::mlp::{Init, Model, Optimizer, TrainOptions, Trainer};

/// Rows that the eigenvalue is taken over.
const ROWS: usize = 2048;

/// Most seconds for the eigenvalue.
const MOST_S: f64 = 1.5;

/// Its residual, as a share of it.
const TOLERANCE: f64 = 1e-3;

/// Rows of a batch of Newton-CG.
const NEWTON_BATCH: usize = 2500;

/// Names that `--only` may choose by.
pub const NAMES: [&str; 2] = [
    "784-256-10, 2048 rows of Fashion-MNIST: largest eigenvalue",
    "784-256-10, 10,000 rows of Fashion-MNIST: newton-cg beside sgd",
];

/// A bar, and what is to be told of it.
pub type Told = (Bar, String);

fn data() -> Result<Dataset, String> {
    fashion_mnist::load(&Places::default()).map_err(|error| error.to_string())
}

/// The largest eigenvalue of the Hessian at PyTorch's first weights, from opening the session to its measured residual.
///
/// # Errors
/// What went wrong, in one line.
pub fn eigenvalue(threads: Threads) -> Result<Told, String> {
    let told = |error: crate::hessian::HessianError| error.to_string();
    let data = data()?;
    let model = Model::new(&[784, 256, 10], Activation::Relu).map_err(|error| error.to_string())?;
    let point = Point::first(&model, Init::Torch, 1);
    let all = Directions::of(&model, "all").map_err(told)?;
    let setup = Setup {
        together: 1,
        threads,
        ..Setup::new(&model, &all)
    };
    let rows = Data::first(Set::of_split(&data.train).map_err(|error| error.to_string())?, ROWS);
    let begun = Instant::now();
    let mut products = Products::new(&setup, &point, rows).map_err(told)?;
    let wanted = Wanted {
        largest: 1,
        smallest: 0,
        tolerance: TOLERANCE,
        most_steps: 200,
        seed: 1,
    };
    let ends = eigenpairs(&mut products, wanted).map_err(told)?;
    let seconds = begun.elapsed().as_secs_f64();
    let pair = &ends.largest[0];
    let said = format!(
        "largest eigenvalue {:.6} +- {:.1e}, {} products, {seconds:.3} s, {} threads",
        pair.value,
        pair.residual,
        products.count(),
        threads.get()
    );
    // A residual that is too large has no time.
    let small = ends.converged && pair.residual <= 1.1 * TOLERANCE * pair.value;
    let figure = if small {
        Ok(seconds)
    } else {
        Err(format!("the residual is {:.1e}", pair.residual))
    };
    Ok((Bar::at_most(format!("{}, s", NAMES[0]), figure, MOST_S), said))
}

/// How a run went.
struct Run {
    losses: Vec<f64>,
    seconds: f64,
    products: u64,
}

fn run(options: &TrainOptions, data: &Dataset, enough: f64) -> Result<Run, String> {
    let told = |error: crate::mlp::TrainError| error.to_string();
    let mut trainer = Trainer::new(options, data).map_err(told)?;
    let (mut losses, mut seconds) = (Vec::new(), 0.0);
    for _ in 0..options.epochs {
        let epoch = trainer.epoch(&mut |_| ControlFlow::Continue(())).map_err(told)?;
        losses.push(epoch.test_loss);
        seconds += epoch.seconds;
        if epoch.test_loss <= enough {
            break;
        }
    }
    Ok(Run {
        losses,
        seconds,
        products: trainer.products(),
    })
}

/// Epochs that Newton-CG takes to the test loss that ten epochs of SGD end with.
///
/// # Errors
/// What went wrong, in one line.
pub fn newton(threads: Threads) -> Result<Told, String> {
    let data = data()?;
    let sgd = TrainOptions {
        threads,
        init: Init::Torch,
        ..TrainOptions::default()
    };
    let newton = TrainOptions {
        optimizer: Optimizer::NewtonCg { hessian: false },
        batch: NEWTON_BATCH,
        ..sgd.clone()
    };
    let first = run(&sgd, &data, f64::NEG_INFINITY)?;
    let target = first.losses.last().copied().unwrap_or(f64::NAN);
    let second = run(&newton, &data, target)?;
    let reached = second.losses.last().copied().unwrap_or(f64::NAN);
    let said = format!(
        "sgd: test loss {target:.4} after {} epochs, {:.2} s; newton-cg: {reached:.4} after {} epochs, {:.2} s, {} products",
        first.losses.len(),
        first.seconds,
        second.losses.len(),
        second.seconds,
        second.products
    );
    let figure = if reached <= target {
        Ok(second.losses.len() as f64)
    } else {
        Err("sgd's loss was not reached".to_owned())
    };
    Ok((
        Bar::at_most(format!("{}, epochs to sgd's loss of 10", NAMES[1]), figure, 10.0),
        said,
    ))
}
