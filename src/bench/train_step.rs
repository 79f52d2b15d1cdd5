//! Training steps and whole small trainings: cases, contestants, the check of their losses, and the bars.
//!
//! A step starts from a contiguous f32 batch. With and without the loss value are two cases: reading it makes frameworks wait.
//! All contestants begin with the same inputs and parameters, a hash of each place (`numbers`; the script of the frameworks has it too),
//! and their first losses are held against those of the `reference` device.

mod epoch;
mod overhead;
mod promised;
mod rounds;
mod scratch;

use std::cell::RefCell;

pub use self::epoch::{Parts, WholeEpoch};
pub use self::overhead::{Overhead, STEP_OUTSIDE};
pub use self::promised::{SecondCore, bars, cases};
pub use self::scratch::Scratch;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tilelab_kernels::{Activation, Threads};

use super::Trouble;
use super::frameworks::{self, Framework};
use crate::device::{Batch, Device, DeviceError, ProgramId, Session, Set};
use crate::measure::{Contestant, Lineup};
use crate::mlp::{Loss, Model, Optimizer};
use crate::program::lower::{Lowering, bias_name, weights_name};
use crate::program::{Element, LOSS_SUM, Program, ProgramError, StepArgs, flops, fuse};

/// Steps whose losses are compared before timing.
const CHECKED_STEPS: usize = 3;

/// Largest relative difference of those losses: f32 sums in other orders, through a few steps.
const LOSS_BOUND: f64 = 1e-3;

/// What is timed.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Widths, input first.
    pub layers: Vec<usize>,
    /// Rows of a batch.
    pub batch: usize,
    /// Times through `rows` rows, shuffled; 0 for a single step on one batch.
    pub epochs: usize,
    /// Rows there are.
    pub rows: usize,
    /// Whether the loss is read after each step.
    pub value: bool,
}

impl Case {
    /// Such as `784-256-10 batch 256, with the loss`.
    pub fn name(&self) -> String {
        let layers: Vec<String> = self.layers.iter().map(usize::to_string).collect();
        let what = match (self.epochs, self.value) {
            (0, true) => "a step, with the loss".to_owned(),
            (0, false) => "a step, without the loss".to_owned(),
            (epochs, _) => format!("{epochs} epochs of {}", self.rows),
        };
        format!("{} batch {}: {what}", layers.join("-"), self.batch)
    }

    /// One output takes binary cross-entropy and Adam, more take softmax cross-entropy and SGD.
    fn binary(&self) -> bool {
        self.layers.last() == Some(&1)
    }

    fn lr(&self) -> f64 {
        if self.binary() { 0.001 } else { 0.1 }
    }

    fn model(&self) -> Model {
        let loss = if self.binary() {
            Loss::BinaryCrossEntropy
        } else {
            Loss::default()
        };
        match Model::new(&self.layers, Activation::Relu) {
            Ok(model) => model.with_loss(loss),
            Err(error) => unreachable!("the cases' widths make models: {error}"),
        }
    }

    fn program(&self, device: Device) -> Result<Program, ProgramError> {
        let model = self.model();
        let lowering = Lowering {
            model: &model,
            float: Element::F32,
            rows: self.batch,
            byte_scale: 1.0,
        };
        let plain = lowering.step(if self.binary() {
            Optimizer::Adam { decoupled: false }
        } else {
            Optimizer::Sgd
        })?;
        if device.wants_fused() { fuse(&plain) } else { Ok(plain) }
    }

    /// As the frameworks' script takes it.
    fn order(&self) -> serde_json::Value {
        json!({"open": {
            "layers": self.layers, "batch": self.batch, "rows": self.rows, "epochs": self.epochs, "value": self.value,
            "loss": if self.binary() { "bce" } else { "cross-entropy" },
            "optimizer": if self.binary() { "adam" } else { "sgd" }, "lr": self.lr(),
        }})
    }

    /// Floating-point operations of one call: of a step, or of all epochs.
    fn flops(&self) -> Result<f64, ProgramError> {
        let program = self.program(Device::Reference)?;
        let of = |rows: usize| flops::of_program(&program, rows) as f64;
        if self.epochs == 0 {
            return Ok(of(self.batch));
        }
        let (whole, rest) = (self.rows / self.batch, self.rows % self.batch);
        let last = if rest > 0 { of(rest) } else { 0.0 };
        Ok(self.epochs as f64 * (whole as f64 * of(self.batch) + last))
    }
}

/// From [-0.5, 0.5): a hash of each place.
pub(super) fn numbers(count: usize, seed: u32) -> impl Iterator<Item = f64> {
    (0..count as u32).map(move |i| {
        let mut h = i.wrapping_add(seed.wrapping_mul(0x9E37_79B9)).wrapping_mul(0x85EB_CA6B);
        h ^= h >> 15;
        h = h.wrapping_mul(0xC2B2_AE35);
        h ^= h >> 13;
        f64::from(h) / 2f64.powi(32) - 0.5
    })
}

/// The rows of a case.
pub struct Data {
    values: Vec<f32>,
    labels: Vec<u8>,
}

impl Data {
    /// Of this case.
    pub fn of(case: &Case) -> Self {
        let columns = case.layers[0];
        let classes = case.layers[case.layers.len() - 1].max(2);
        Self {
            values: numbers(case.rows * columns, 1).map(|x| (x + 0.5) as f32).collect(),
            labels: (0..case.rows).map(|i| (i * 7 % 11 % classes) as u8).collect(),
        }
    }
}

/// A case on one of our devices.
pub struct Ours<'a> {
    case: &'a Case,
    data: &'a Data,
    sets: [Set<'a>; 1],
    program: Program,
    session: Box<dyn Session + 'a>,
    args: StepArgs,
    order: Vec<u32>,
    random: ChaCha8Rng,
}

impl<'a> Ours<'a> {
    /// With the first parameters.
    ///
    /// # Errors
    /// A device that is not there, or too little memory.
    pub fn new(case: &'a Case, data: &'a Data, device: Device, threads: Threads) -> Result<Self, DeviceError> {
        let program = case
            .program(device)
            .map_err(|error| DeviceError::Program(error.to_string()))?;
        let sets = [Set::of_reals(&data.values, &data.labels, case.layers[0])?];
        let mut session = device.open(std::slice::from_ref(&program), &sets, threads)?;
        for (l, pair) in (1..).zip(case.layers.windows(2)) {
            let (n, q) = (pair[0], pair[1]);
            let scale = (4.0 / n as f64).sqrt();
            let weights: Vec<f64> = numbers(n * q, 10 + l as u32)
                .map(|x| f64::from((scale * x) as f32))
                .collect();
            session.write(&weights_name(l), &weights)?;
            session.write(&bias_name(l), &vec![0.0; q])?;
        }
        let lr = case.lr();
        Ok(Self {
            case,
            data,
            sets,
            program,
            session,
            args: StepArgs {
                lr,
                t: 0,
                ..StepArgs::default()
            },
            order: (0..case.rows as u32).collect(),
            random: ChaCha8Rng::seed_from_u64(1),
        })
    }

    /// The mean losses of the first steps on the first batch.
    ///
    /// # Errors
    /// A device that fails.
    pub fn losses(&mut self) -> Result<Vec<f64>, DeviceError> {
        (0..CHECKED_STEPS)
            .map(|_| {
                self.step()?;
                Ok(self.session.metrics()?.get(LOSS_SUM) / self.case.batch as f64)
            })
            .collect()
    }

    fn step(&mut self) -> Result<(), DeviceError> {
        let (values, labels) = (&self.data.values, &self.data.labels);
        let rows = self.case.batch;
        let values = &values[..rows * self.case.layers[0]];
        let batch = Batch::of_slices(&self.program, values, &labels[..rows])?;
        (self.args.t, self.args.inverse_rows) = (self.args.t + 1, 1.0 / rows as f64);
        self.session.run(ProgramId(0), &batch, &self.args);
        Ok(())
    }

    /// A step on rows that are gathered.
    fn gathered(&mut self) -> Result<(), DeviceError> {
        let rows = &self.order[..self.case.batch];
        let batch = Batch::of_set(&self.program, &self.sets, 0, rows)?;
        (self.args.t, self.args.inverse_rows) = (self.args.t + 1, 1.0 / rows.len() as f64);
        self.session.run(ProgramId(0), &batch, &self.args);
        Ok(())
    }

    fn read(&mut self, name: &str) -> Result<Vec<f64>, DeviceError> {
        self.session.read(name)
    }

    fn call(&mut self) -> Result<(), DeviceError> {
        if self.case.epochs == 0 {
            self.step()?;
            if self.case.value {
                std::hint::black_box(self.session.metrics()?.get(LOSS_SUM));
            }
        }
        for _ in 0..self.case.epochs {
            self.order.shuffle(&mut self.random);
            for rows in self.order.chunks(self.case.batch) {
                let batch = Batch::of_set(&self.program, &self.sets, 0, rows)?;
                (self.args.t, self.args.inverse_rows) = (self.args.t + 1, 1.0 / rows.len() as f64);
                self.session.run(ProgramId(0), &batch, &self.args);
            }
        }
        Ok(())
    }
}

/// Who takes part beside `cpu` and `baseline`.
#[derive(Clone, Copy)]
pub struct Players<'a> {
    /// Each in its own process.
    pub frameworks: &'a [RefCell<Framework>],
    /// Plain `ndarray`, in f32 and in f64.
    pub scratch: bool,
    /// Threads of each contestant but `baseline` and `ndarray`, which have one.
    pub threads: Threads,
}

/// The lineup of a case: `cpu` first, `baseline`, plain `ndarray`, then the frameworks, each with its first losses checked.
///
/// # Errors
/// A contestant that can't run the case, in one line.
pub fn lineup<'a>(
    case: &'a Case,
    data: &'a Data,
    players: Players<'a>,
    trouble: &'a Trouble,
) -> Result<Lineup<'a>, String> {
    let Players {
        frameworks,
        scratch,
        threads,
    } = players;
    let told = |error: DeviceError| error.to_string();
    let wanted = Ours::new(case, data, Device::Reference, Threads::one())
        .and_then(|mut reference| reference.losses())
        .map_err(told)?;
    let mut contestants = Vec::new();
    for device in [Device::Cpu, Device::Baseline] {
        let open = || Ours::new(case, data, device, threads).map_err(told);
        let error = error_over_bound(&open()?.losses().map_err(told)?, &wanted);
        let mut ours = open()?;
        contestants.push(Contestant::new(device.to_string(), error, move |calls| {
            for _ in 0..calls {
                if let Err(error) = ours.call() {
                    *trouble.borrow_mut() = Some(error.to_string());
                }
            }
        }));
    }
    if scratch {
        contestants.push(plain("ndarray f32", &wanted, || Scratch::new(case, data, |x| x as f32)));
        contestants.push(plain("ndarray f64", &wanted, || Scratch::new(case, data, |x| x)));
    }
    for framework in frameworks {
        let (id, error) = {
            let mut framework = framework.borrow_mut();
            let id = framework.ask(&case.order())?["opened"].as_u64();
            let id = id.ok_or_else(|| format!("{}: the case was not opened", framework.name()))?;
            let losses = framework.ask(&json!({"losses": id, "steps": CHECKED_STEPS}))?;
            let losses: Vec<f64> = serde_json::from_value(losses["losses"].clone())
                .map_err(|error| format!("{}: {error}", framework.name()))?;
            (id, error_over_bound(&losses, &wanted))
        };
        contestants.push(frameworks::contestant(framework, id, error, trouble));
    }
    let work = case.flops().map_err(|error| error.to_string())?;
    Ok(Lineup {
        name: case.name(),
        x: case.batch as f64,
        work,
        contestants,
    })
}

/// Plain `ndarray` as a contestant.
fn plain<'a, F>(name: &str, wanted: &[f64], new: impl Fn() -> Scratch<F>) -> Contestant<'a>
where
    F: ndarray::NdFloat + Into<f64>,
{
    let mut fresh = new();
    let losses: Vec<f64> = (0..CHECKED_STEPS).map(|_| fresh.step()).collect();
    let mut running = new();
    Contestant::new(name, error_over_bound(&losses, wanted), move |calls| {
        for _ in 0..calls {
            std::hint::black_box(running.step());
        }
    })
}

/// Largest relative difference over its bound; above it for NaN and for losses that are missing.
fn error_over_bound(got: &[f64], wanted: &[f64]) -> f64 {
    if got.len() != wanted.len() {
        return f64::INFINITY;
    }
    let errors = got
        .iter()
        .zip(wanted)
        .map(|(got, wanted)| (got - wanted).abs() / (LOSS_BOUND * wanted.abs()));
    // NaN, once met, stays.
    errors.fold(
        0.0f64,
        |most, error| if most.is_nan() || error <= most { most } else { error },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The device's first losses are the reference's; a wrong or missing one, or NaN, is beyond the bound.
    #[test]
    fn losses_are_checked() {
        for case in cases(1).into_iter().filter(|case| case.layers[0] == 20) {
            let data = Data::of(&case);
            let losses = |device| {
                Ours::new(&case, &data, device, Threads::one())
                    .unwrap()
                    .losses()
                    .unwrap()
            };
            let wanted = losses(Device::Reference);
            assert!(error_over_bound(&losses(Device::Cpu), &wanted) <= 1.0);
            assert!(wanted[2] < wanted[0], "{wanted:?}: it learns");
            let beyond = |losses: &[f64]| {
                let error = error_over_bound(losses, &wanted);
                error > 1.0 || error.is_nan()
            };
            for wrong in [1.01, f64::NAN] {
                let mut changed = wanted.clone();
                changed[1] *= wrong;
                assert!(beyond(&changed));
            }
            assert!(beyond(&wanted[..2]));
        }
    }
}
