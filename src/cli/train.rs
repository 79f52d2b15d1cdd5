//! `tilelab train`: flags to options, outcomes to exit codes. What it prints lies in [`screen`].

mod csv;
mod events;
mod files;
mod screen;

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use tilelab_kernels::{Activation, Threads};

use self::csv::Csv;
use self::events::Events;
use self::files::RunFolder;
pub(super) use self::screen::Screen;
use super::values::{Layers, above_zero, count, layers, seed, threads, zero_or_above};
use super::{Interrupted, Usage, print};
use crate::data::{DataError, Dataset, Places, fashion_mnist, npy, synthetic, table};
use crate::device::Device;
use crate::measure::{Body, Progress, RateOutcome, Record, command_line};
use crate::mlp::checkpoint::{CheckpointError, RUN_CHECKPOINTS, Saving};
use crate::mlp::{
    Event, Init, Loss, Optimizer, RATE_STEPS, Schedule, TrainError, TrainOptions, Trainer, activation_by_name,
    recorded, recorded_rates,
};
use crate::program::Element;

/// Where records go.
const RAW: &str = "reports/raw";

/// What the user typed.
#[derive(clap::Args)]
pub struct Args {
    /// Widths of the layers, input first
    #[arg(long, value_name = "N,N,..", default_value = "784,256,10", value_parser = layers)]
    layers: Layers,
    /// Times to go through the training set
    #[arg(long, default_value = "10", value_parser = count, allow_hyphen_values = true)]
    epochs: usize,
    /// Rows of a batch
    #[arg(long, default_value = "256", value_parser = count, allow_hyphen_values = true)]
    batch: usize,
    /// Learning rate
    #[arg(long, default_value = "0.1", value_parser = above_zero, allow_hyphen_values = true)]
    lr: f64,
    /// Weight of the L2 regularisation, on weights and not on biases
    #[arg(long, default_value = "0", value_parser = zero_or_above, allow_hyphen_values = true)]
    l2: f64,
    /// Distribution of the first weights: normal:SIGMA, uniform:LIMIT, constant:C, zeros, xavier-uniform, xavier-normal, he-uniform, he-normal, torch
    #[arg(long, default_value = "normal:0.01", allow_hyphen_values = true)]
    init: Init,
    /// What all biases begin with; without it 0, or what --init torch says
    #[arg(long, value_name = "B", allow_hyphen_values = true)]
    bias: Option<f64>,
    /// What follows each hidden layer: relu, identity, sigmoid, tanh, gelu, gelu-tanh, leaky-relu:SLOPE, prelu:ALPHA (learned from ALPHA on), elu:ALPHA, swish:BETA
    #[arg(long, default_value = "relu", value_parser = activation_by_name)]
    activation: Activation,
    /// swish's beta is learned, one a layer, from what --activation says on
    #[arg(long)]
    learn_beta: bool,
    /// Batch normalisation between each hidden layer's sums and its activation
    #[arg(long)]
    batch_norm: bool,
    /// Rule of an update: sgd, momentum:MU, nesterov:MU, adam, adamw (--l2 is its decoupled weight decay), newton-cg (takes no --lr; newton-cg:hessian with the Hessian in the place of Gauss-Newton's matrix)
    #[arg(long, default_value = "sgd")]
    optimizer: Optimizer,
    /// What is minimised: cross-entropy, cross-entropy:SMOOTHING, mse, bce
    #[arg(long, default_value = "cross-entropy")]
    loss: Loss,
    /// Probability of dropout behind each hidden layer's activation
    #[arg(long, value_name = "P", default_value = "0", value_parser = zero_or_above, allow_hyphen_values = true)]
    dropout: f64,
    /// Type of the model's numbers: f32 or f64
    #[arg(long, default_value = "f32", value_parser = dtype)]
    dtype: Element,
    /// How the learning rate goes: constant, step:EPOCHS:FACTOR, cosine, cosine:FLOOR
    #[arg(long, default_value = "constant", allow_hyphen_values = true)]
    schedule: Schedule,
    /// Steps over which the learning rate rises to its full size
    #[arg(long, value_name = "STEPS", default_value = "0", value_parser = seed, allow_hyphen_values = true)]
    warmup: u64,
    /// Micro-batches that a batch is gone through in; their gradients are added up
    #[arg(long, value_name = "N", default_value = "1", value_parser = count, allow_hyphen_values = true)]
    accumulate: usize,
    /// Largest Euclidean norm of all gradients together
    #[arg(long, value_name = "NORM", value_parser = above_zero, allow_hyphen_values = true)]
    clip: Option<f64>,
    /// Train on the first N batches alone, in their order: to see whether the model can learn at all
    #[arg(long, value_name = "N", value_parser = count, allow_hyphen_values = true)]
    overfit_batches: Option<usize>,
    /// Share of the training rows that is held back, to choose the best epoch by
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = zero_or_above, allow_hyphen_values = true)]
    validation: f64,
    /// Stop when the validation loss has had no new smallest value for N epochs
    #[arg(long, value_name = "N", value_parser = count, allow_hyphen_values = true)]
    patience: Option<usize>,
    /// After each epoch, show every layer's gradient norm, share of dead units and sparsity on the first batch
    #[arg(long)]
    layer_stats: bool,
    /// Fixes everything random
    #[arg(long, default_value = "1", value_parser = seed, allow_hyphen_values = true)]
    seed: u64,
    /// Who computes: cpu, baseline, reference, or cuda:N
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// Threads that work on one operation; without it as many as there are CPUs
    #[arg(long, value_parser = threads, allow_hyphen_values = true)]
    threads: Option<Threads>,
    /// Folder with Fashion-MNIST as IDX files (`tilelab data info` says what is used without it); a .csv or .npy of numbers,
    /// a row a sample and the label last; an .npz with x_train, y_train, x_test and y_test, or x and y; or `sums`: the
    /// notebook's 10,000 rows of 20 uniform numbers, labelled by whether their sum is above 10
    #[arg(long, value_name = "DIR|FILE|sums")]
    data: Option<PathBuf>,
    /// Folder for checkpoints: one after each epoch, and one when a signal ends the run
    #[arg(long, value_name = "DIR", group = "saves")]
    checkpoint: Option<PathBuf>,
    /// Folder for all of the run: the command that repeats it, its config, metrics as CSV and JSON lines, checkpoints, the record
    #[arg(long, value_name = "DIR", group = "saves")]
    run_dir: Option<PathBuf>,
    /// Save after every N steps too
    #[arg(long, value_name = "N", requires = "saves", value_parser = count, allow_hyphen_values = true)]
    save_every: Option<usize>,
    /// Checkpoints that stay, beside that of the smallest validation loss (test loss without --validation)
    #[arg(long, value_name = "N", default_value = "3", value_parser = count, allow_hyphen_values = true)]
    keep_last: usize,
    /// Go on from the last checkpoint, as if the run had never stopped
    #[arg(long, requires = "saves")]
    resume: bool,
    /// Check the options and the data, say what would run, and end without a step
    #[arg(long)]
    dry_run: bool,
    /// In place of training: raise the learning rate from step to step, watch the loss, and suggest a rate; touches no checkpoint
    #[arg(long, conflicts_with_all = ["checkpoint", "run_dir", "resume", "dry_run", "csv", "tensorboard"])]
    find_lr: bool,
    /// Write the table to this file too
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write the figures of each epoch into this folder as TensorBoard's event file
    #[arg(long, value_name = "DIR")]
    tensorboard: Option<PathBuf>,
    /// Print one JSON object a line: each epoch, then a summary
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Where checkpoints go, if anywhere.
    fn checkpoints(&self) -> Option<PathBuf> {
        let of_run = self.run_dir.as_ref().map(|folder| folder.join(RUN_CHECKPOINTS));
        self.checkpoint.clone().or(of_run)
    }

    fn options(&self) -> TrainOptions {
        TrainOptions {
            layers: self.layers.0.clone(),
            activation: self.activation,
            learned_beta: self.learn_beta,
            batch_norm: self.batch_norm,
            init: self.init,
            bias: self.bias,
            optimizer: self.optimizer,
            loss: self.loss,
            dropout: self.dropout,
            float: self.dtype,
            lr: self.lr,
            l2: self.l2,
            batch: self.batch,
            epochs: self.epochs,
            seed: self.seed,
            device: self.device,
            threads: self.threads.unwrap_or_else(Threads::all),
            schedule: self.schedule,
            warmup: self.warmup,
            accumulate: self.accumulate,
            clip: self.clip,
            overfit_batches: self.overfit_batches,
            validation: self.validation,
            patience: self.patience,
            layer_stats: self.layer_stats,
            saving: self.checkpoints().map(|folder| Saving {
                folder,
                every: self.save_every.map(|steps| steps as u64),
                keep_last: self.keep_last,
                resume: self.resume,
            }),
        }
    }
}

/// The type of a model's numbers.
fn dtype(name: &str) -> Result<Element, String> {
    match name {
        "f32" => Ok(Element::F32),
        "f64" => Ok(Element::F64),
        _ => Err(format!("`{name}`: there is f32 and f64")),
    }
}

/// What did not end well, as the error that decides the exit code.
pub(super) fn failure(error: TrainError) -> anyhow::Error {
    let line = error.to_string();
    match error {
        TrainError::Interrupted { saved: Some(_), .. } => {
            Interrupted(format!("{line}; go on with: {}", resuming())).into()
        }
        TrainError::Checkpoint(CheckpointError::Save { .. }) => anyhow::Error::msg(line),
        TrainError::Checkpoint(_) => Usage(line).into(),
        TrainError::Options(_) | TrainError::Device(_) | TrainError::Program(_) => Usage(line).into(),
        TrainError::Interrupted { .. } => Interrupted(line).into(),
        _ => anyhow::Error::msg(line),
    }
}

/// The command that goes on from the checkpoint that was saved.
fn resuming() -> String {
    let mut args: Vec<_> = std::env::args_os().skip(1).collect();
    if !args.iter().any(|arg| arg == "--resume") {
        args.push("--resume".into());
    }
    command_line(args)
}

/// Raised by SIGINT or SIGTERM: the batch is finished. A second one ends the process at once.
pub(super) fn stop_flag() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag down and does not exit, then raises it.
        flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// What `--data` names.
pub(super) fn load(data: Option<&Path>) -> Result<Dataset, DataError> {
    match data {
        Some(path) if path == Path::new("sums") => Ok(synthetic::sums()),
        Some(path) if path.extension().is_some_and(|extension| extension == "csv") => table::load(path),
        Some(path) if npy::is(path) => npy::load(path),
        folder => fashion_mnist::load(&Places::of_this_machine(folder)),
    }
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let options = args.options();
    let data = load(args.data.as_deref()).map_err(Usage::from)?;
    let mut screen = Screen::new(args.json, options.rows_of(data.train.rows), options.epochs);
    if args.dry_run {
        let mut trainer = Trainer::new(&options, &data).map_err(failure)?;
        let training = trainer.describe(&data.describe()).map_err(failure)?;
        return print(&screen.dry(&trainer.summary(), &training));
    }
    if args.find_lr {
        return find_rate(args, &options, &data);
    }
    open_files(args, &mut screen)?;
    let Some(mut record) = watched(&options, &data, false, &mut screen)? else {
        return Ok(());
    };
    record.command = command_line(std::env::args_os().skip(1));
    let path = crate::report::save(Path::new(RAW), &record).with_context(|| format!("can't write into {RAW}"))?;
    match screen.finish(&record, &path) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// The files that the run writes: whether they can be written is known before it begins.
fn open_files(args: &Args, screen: &mut Screen) -> Result<(), Usage> {
    let refused = |option: &str, path: &Path, error: io::Error, what: &str| {
        Usage(format!("{option} {}: {error}; name another {what}", path.display()))
    };
    let files = &mut screen.files;
    if let Some(path) = &args.csv {
        files
            .csv
            .push(Csv::open(path).map_err(|error| refused("--csv", path, error, "file"))?);
    }
    if let Some(folder) = &args.tensorboard {
        let opened = Events::open(folder);
        files.events = Some(opened.map_err(|error| refused("--tensorboard", folder, error, "folder"))?);
    }
    if let Some(path) = &args.run_dir {
        if args.resume && !path.is_dir() {
            let error = io::Error::new(io::ErrorKind::NotFound, "no such folder to go on from");
            return Err(refused("--run-dir", path, error, "folder"));
        }
        let typed = std::env::args_os().skip(1).filter(|arg| arg != "--resume");
        let opened = RunFolder::open(path, command_line(typed));
        let (folder, csv) = opened.map_err(|error| refused("--run-dir", path, error, "folder"))?;
        files.csv.push(csv);
        files.folder = Some(folder);
    }
    Ok(())
}

/// `--find-lr`: a run of its own that ends with a suggestion or a reason.
fn find_rate(args: &Args, options: &TrainOptions, data: &Dataset) -> anyhow::Result<()> {
    let stop = stop_flag().context("can't watch for signals")?;
    let mut progress = Progress::new(RATE_STEPS as u64, "steps");
    let mut done = 0;
    let found = recorded_rates(options, data, &mut |event| {
        if matches!(event, Event::Batch { .. }) {
            done += 1;
            progress.set(done);
        }
        if stop.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    drop(progress);
    let mut record = found.map_err(failure)?;
    record.command = command_line(std::env::args_os().skip(1));
    let path = crate::report::save(Path::new(RAW), &record).with_context(|| format!("can't write into {RAW}"))?;
    let Body::Rates(search) = &record.body else {
        unreachable!("a search for a rate has just made this record");
    };
    if args.json {
        let steps = search.points.iter().map(serde_json::to_string);
        let mut lines = steps.collect::<Result<Vec<_>, _>>()?;
        lines.push(serde_json::json!({"event": "done", "outcome": search.outcome, "record": path}).to_string());
        return print(&(lines.join("\n") + "\n"));
    }
    let told = match search.outcome {
        RateOutcome::Suggested { lr } => format!("half of the loss's fall is done at --lr {lr:.2e}"),
        RateOutcome::NotFinite => {
            "no suggestion: the loss was not finite almost from the first step on; look at --init and the data"
                .to_owned()
        }
        RateOutcome::NeverFell => {
            "no suggestion: the loss fell at none of the rates; look at --init, --activation and the depth".to_owned()
        }
    };
    print(&format!(
        "{} steps from {:.0e} on\n{told}\nrecord in {}\n",
        search.points.len(),
        search.points.first().map_or(0.0, |point| point.lr),
        path.display()
    ))
}

/// Trains in view of the user: what happens goes to the screen, a signal ends the run behind its batch. None if nobody
/// reads the screen any more: `tilelab train | head` is no failure.
pub(super) fn watched(
    options: &TrainOptions,
    data: &Dataset,
    quick: bool,
    screen: &mut Screen,
) -> anyhow::Result<Option<Record>> {
    let stop = stop_flag().context("can't watch for signals")?;
    let trained = recorded(options, data, quick, &mut |event| {
        let shown = screen.show(event);
        let go_on = shown && !stop.load(Ordering::Relaxed);
        if go_on {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    match screen.error.take() {
        Some(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(None),
        Some(error) => Err(error).context("can't write the table"),
        None => trained.map(Some).map_err(failure),
    }
}
