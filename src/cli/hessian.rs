//! `tilelab hessian`: second derivatives of a model's objective over rows of data.

mod answers;
mod cost;
mod question;

use std::path::PathBuf;

use tilelab_kernels::{Activation, Threads};

use super::values::{Layers, above_zero, bytes, count, layers, seed, threads, zero_or_above};
use crate::device::Device;
use crate::hessian::Which;
use crate::hessian::trace::Method;
use crate::mlp::{Init, Loss, activation_by_name};
use crate::program::Element;

/// What the user typed.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// All of the matrix: in closed form where there is one, else by products with unit vectors
    Dense {
        #[command(flatten)]
        common: Common,
        /// The diagonal alone, exactly: as many products as parameters, and no room for the matrix
        #[arg(long)]
        diagonal: bool,
    },
    /// Eigenpairs at both ends by the Lanczos method, each with its residual: an eigenvalue lies that near
    Eig {
        #[command(flatten)]
        common: Common,
        /// Eigenpairs from the upper end
        #[arg(long, default_value = "3", value_parser = any_count, allow_hyphen_values = true)]
        largest: usize,
        /// Eigenpairs from the lower end
        #[arg(long, default_value = "0", value_parser = any_count, allow_hyphen_values = true)]
        smallest: usize,
        /// Residuals are at most this share of the eigenvalue of largest magnitude
        #[arg(long, default_value = "0.001", value_parser = above_zero, allow_hyphen_values = true)]
        tolerance: f64,
        /// Lanczos steps at most
        #[arg(long, default_value = "200", value_parser = count, allow_hyphen_values = true)]
        steps: usize,
    },
    /// The density of the eigenvalues by stochastic Lanczos quadrature
    Density {
        #[command(flatten)]
        common: Common,
        /// Random vectors
        #[arg(long, default_value = "4", value_parser = count, allow_hyphen_values = true)]
        probes: usize,
        /// Lanczos steps for each
        #[arg(long, default_value = "40", value_parser = count, allow_hyphen_values = true)]
        steps: usize,
        /// Standard deviation of the curve around each node, as a share of the spectrum's width
        #[arg(long, default_value = "0.01", value_parser = above_zero, allow_hyphen_values = true)]
        width: f64,
    },
    /// How seconds and bytes grow with parameters and samples: a gradient, and a Hessian by a double loop, by products, in closed form
    Cost {
        /// Fewer and smaller sizes
        #[arg(long)]
        quick: bool,
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// The trace by random products, with its standard error
    Trace {
        #[command(flatten)]
        common: Common,
        /// hutchinson, hutch++ or xtrace
        #[arg(long, default_value = "xtrace")]
        method: Method,
        /// Products at most
        #[arg(long, default_value = "60", value_parser = count, allow_hyphen_values = true)]
        products: usize,
        /// An estimate of the diagonal too, into --out: its elements' standard errors are in the second row
        #[arg(long, requires = "out")]
        diagonal: bool,
    },
}

/// What every question has.
#[derive(clap::Args)]
struct Common {
    /// Widths of the layers, input first
    #[arg(long, value_name = "N,N,..", default_value = "784,256,10", value_parser = layers)]
    layers: Layers,
    /// What follows each hidden layer, as `tilelab train` takes it
    #[arg(long, default_value = "relu", value_parser = activation_by_name)]
    activation: Activation,
    /// swish's beta is learned
    #[arg(long)]
    learn_beta: bool,
    /// Batch normalisation, with the statistics that --norm says
    #[arg(long)]
    batch_norm: bool,
    /// Batch norm's statistics: running (each row for itself) or batch (of all rows, which couples them)
    #[arg(long, default_value = "running", value_parser = ["running", "batch"])]
    norm: String,
    /// What is minimised: cross-entropy, cross-entropy:SMOOTHING, mse, bce
    #[arg(long, default_value = "cross-entropy")]
    loss: Loss,
    /// Distribution of the weights, where no --model is given
    #[arg(long, default_value = "torch", allow_hyphen_values = true)]
    init: Init,
    /// A saved model in the place of --layers, --activation and --init: a folder of `tilelab train --checkpoint`, or a model.safetensors
    #[arg(long, value_name = "DIR|FILE")]
    model: Option<PathBuf>,
    /// Weight of the L2 regularisation: adds it to the diagonal for weights
    #[arg(long, default_value = "0", value_parser = zero_or_above, allow_hyphen_values = true)]
    l2: f64,
    /// The data, as `tilelab train` takes it; its training rows are used
    #[arg(long, value_name = "DIR|FILE|sums")]
    data: Option<PathBuf>,
    /// Random rows in the place of data: --layers says how many numbers each has
    #[arg(long, conflicts_with = "data")]
    random: bool,
    /// The first rows of the data; without it 2048, or all there are if those are fewer
    #[arg(long, value_parser = count, allow_hyphen_values = true)]
    rows: Option<usize>,
    /// By which parameters: all, or names with commas between: W1, b2, layer1
    #[arg(long, value_name = "NAMES", default_value = "all")]
    of: String,
    /// Which matrix: hessian, gauss-newton (the true Fisher, also called fisher), empirical-fisher, monte-carlo-fisher
    #[arg(long, default_value = "hessian")]
    matrix: Which,
    /// Labels that a Monte Carlo Fisher draws for each row
    #[arg(long, default_value = "1", value_parser = count, allow_hyphen_values = true)]
    samples: usize,
    /// Type of the numbers: f32 or f64
    #[arg(long, default_value = "f32", value_parser = dtype)]
    dtype: Element,
    /// Memory that a dense matrix, and what many directions at once take, may have; without it half of what is free
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    max_mem: Option<u64>,
    /// Rows at once
    #[arg(long, default_value = "4096", value_parser = count, allow_hyphen_values = true)]
    chunk: usize,
    /// Fixes everything random
    #[arg(long, default_value = "1", value_parser = seed, allow_hyphen_values = true)]
    seed: u64,
    /// Who computes: cpu, baseline, reference, or cuda:N
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// Threads that work on one operation; without it as many as there are CPUs
    #[arg(long, value_parser = threads, allow_hyphen_values = true)]
    threads: Option<Threads>,
    /// Write the answer to this .npy: the matrix, the diagonal, the eigenvectors (a row each), or the density's curve
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

fn dtype(name: &str) -> Result<Element, String> {
    match name {
        "f32" => Ok(Element::F32),
        "f64" => Ok(Element::F64),
        _ => Err(format!("`{name}`: there is f32 and f64")),
    }
}

fn any_count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "it must be a whole number".to_owned())
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.what {
        What::Cost { quick, json } => cost::run(*quick, *json),
        What::Dense {
            common,
            diagonal: false,
        } => answers::dense(common),
        What::Dense { common, diagonal: true } => answers::diagonal(common),
        What::Eig {
            common,
            largest,
            smallest,
            tolerance,
            steps,
        } => {
            let wanted = crate::hessian::lanczos::Wanted {
                largest: *largest,
                smallest: *smallest,
                tolerance: *tolerance,
                most_steps: *steps,
                seed: common.seed,
            };
            answers::eig(common, wanted)
        }
        What::Density {
            common,
            probes,
            steps,
            width,
        } => answers::density(common, (*probes, *steps), *width),
        What::Trace {
            common,
            method,
            products,
            diagonal,
        } => answers::trace(common, *method, *products, *diagonal),
    }
}
