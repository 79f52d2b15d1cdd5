//! `tilelab footprint`: what a model takes in memory, in three ways that are reconciled buffer by buffer: the notebook's
//! formulas, the program's buffers, and the bytes that running it has allocated.

mod screen;

use tilelab_kernels::{Activation, Threads};

use super::values::{Layers, count, layers};
use super::{Usage, print};
use crate::device::{Batch, Device, DeviceError, ProgramId, available_bytes};
use crate::measure::allocated_bytes;
use crate::mlp::{Model, Optimizer, activation_by_name};
use crate::program::footprint::{Footprint, Sum, formula, listed};
use crate::program::lower::Lowering;
use crate::program::{Element, Program, StepArgs, flops, fuse};

/// What the user typed.
#[derive(clap::Args)]
pub struct Args {
    /// Widths of the layers, input first
    #[arg(long, value_name = "N,N,..", default_value = "100,50,10", value_parser = layers)]
    layers: Layers,
    /// Rows of a batch
    #[arg(long, default_value = "1", value_parser = count, allow_hyphen_values = true)]
    batch: usize,
    /// What follows each hidden layer, as `tilelab train` takes it
    #[arg(long, default_value = "relu", value_parser = activation_by_name)]
    activation: Activation,
    /// Rule of an update: sgd
    #[arg(long, default_value = "sgd")]
    optimizer: Optimizer,
    /// Who allocates: cpu, baseline, reference, or cuda:N
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// Print one JSON object a line: buffers, changes from sum to sum, then a summary
    #[arg(long)]
    json: bool,
}

/// One of the two programs, in all its sums.
struct Account {
    /// `prediction` or `training`.
    name: &'static str,
    plain: Footprint,
    /// What the device runs: fused, or the plain one again.
    run: Footprint,
    flops: u64,
    /// From the notebook's formula to what is allocated, each with what it adds to the one before.
    sums: Vec<Sum>,
    /// Why it was not run.
    not_run: Option<DeviceError>,
    /// What is allocated behind the sums' back.
    unnamed: i128,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let usage = |error: &dyn std::fmt::Display| Usage(error.to_string());
    let model = Model::new(&args.layers.0, args.activation).map_err(|error| Usage(format!("--layers {error}")))?;
    let lowering = Lowering {
        model: &model,
        float: Element::F32,
        rows: args.batch,
        byte_scale: 1.0,
    };
    let predict = lowering.predict().map_err(|error| usage(&error))?;
    if let Optimizer::NewtonCg { .. } = args.optimizer {
        return Err(Usage(
            "--optimizer newton-cg takes many programs for a step; choose sgd, momentum, nesterov, adam or adamw"
                .to_owned(),
        )
        .into());
    }
    let step = lowering.step(args.optimizer).map_err(|error| usage(&error))?;
    let accounts = [
        account(args, &model, predict, false)?,
        account(args, &model, step, true)?,
    ];
    let text = if args.json {
        screen::json(args, &model, &accounts)
    } else {
        screen::text(args, &model, &accounts)
    };
    print(&text)
}

fn account(args: &Args, model: &Model, plain: Program, training: bool) -> anyhow::Result<Account> {
    let rows = args.batch;
    let fused = fuse(&plain).map_err(|error| Usage(error.to_string()))?;
    let fuses = args.device.wants_fused();
    let run = if fuses { &fused } else { &plain };
    let (before, after) = (Footprint::of(&plain, rows), Footprint::of(run, rows));
    let mut sums = vec![formula(model, rows, training), listed(model, rows, training)];
    sums.push(before.sum("the plain program's buffers"));
    if fuses {
        sums.push(after.sum("the fused program's buffers, which cpu runs"));
    }
    let (mut not_run, mut unnamed) = (None, 0);
    match allocate(args.device, run, rows) {
        Ok(allocated) => {
            unnamed = allocated.unnamed;
            sums.push(allocated.sum);
        }
        Err(error @ DeviceError::Memory { .. }) => not_run = Some(error),
        Err(error) => return Err(Usage(error.to_string()).into()),
    }
    Ok(Account {
        name: if training { "training" } else { "prediction" },
        flops: flops::of_program(&plain, rows),
        plain: before,
        run: after,
        sums,
        not_run,
        unnamed,
    })
}

/// What running a program has allocated.
struct Allocated {
    sum: Sum,
    /// What the allocator counted less what has a name.
    unnamed: i128,
}

/// Opens the device, adds the program and runs it once, on one thread; counts what each of the three leaves allocated.
fn allocate(device: Device, program: &Program, rows: usize) -> Result<Allocated, DeviceError> {
    let counted = || i128::from(allocated_bytes().unwrap_or(0));
    // What the system's figures allocate the first time is no part of a session.
    available_bytes();
    let begun = counted();
    let mut session = device.open(&[], &[], Threads::one())?;
    let opened = counted() - begun;
    session.add(program)?;
    let added = counted() - begun - opened;
    let held = session.held();
    let named: u64 = held.iter().map(|held| held.bytes).sum();
    let (values, labels) = (vec![0.0; rows * program.columns()], vec![0; rows]);
    let batch = Batch::of_slices(program, &values, &labels)?;
    let before_run = counted();
    session.run(ProgramId(0), &batch, &StepArgs::default());
    let by_running = counted() - before_run;
    let title = format!("allocated on {device} by the counting allocator");
    let items = held.into_iter().map(|held| (held.name, held.bytes));
    let devices_own = [
        ("the session and its kernels' context", opened),
        ("panels that products are packed into", by_running),
    ];
    let own = devices_own.map(|(name, bytes)| (name.to_owned(), u64::try_from(bytes).unwrap_or(0)));
    Ok(Allocated {
        sum: Sum::new(&title, items.chain(own)),
        unnamed: added - i128::from(named),
    })
}
