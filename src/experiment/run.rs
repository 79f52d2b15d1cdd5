//! What an experiment runs in: options, data, the device, sub-runs that are remembered, and the wish to stop.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::rc::Rc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tilelab_kernels::{Context, ContextError, Isa, ShapeError, Threads};

use super::state::State;
use crate::data::{DataError, Dataset, Places, Split, Values, fashion_mnist};
use crate::device::{Device, DeviceError};
use crate::hessian::HessianError;
use crate::measure::{Epoch, Training};
use crate::mlp::{Event, ModelError, TrainError, TrainOptions, Trainer};
use crate::program::ProgramError;

/// Rows to train on and to test on with `--quick`: as many as the program embeds.
pub const QUICK_ROWS: (usize, usize) = (10_000, 2_000);

/// What the user asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// The notebook's own size; else shrunk.
    pub full: bool,
    /// Fixes everything random.
    pub seed: u64,
    /// Who trains.
    pub device: Device,
    /// Threads of a device and of kernels.
    pub threads: Threads,
    /// Folder of Fashion-MNIST, if one was named.
    pub data: Option<PathBuf>,
}

/// An experiment that did not end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The user stopped it; what was done is kept.
    #[error("interrupted")]
    Interrupted,
    /// Bad input or a missing device: one line with the way out.
    #[error("{0}")]
    Usage(String),
    /// Anything else, in one line.
    #[error("{0}")]
    Failed(String),
}

impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Interrupted { .. } => Self::Interrupted,
            TrainError::Device(error) => Self::Usage(error.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<HessianError> for Failure {
    fn from(error: HessianError) -> Self {
        match error {
            HessianError::Device(error) => error.into(),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        Self::Usage(error.to_string())
    }
}

macro_rules! failed {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::Failed(error.to_string())
            }
        })*
    };
}

failed!(
    ShapeError,
    ContextError,
    ProgramError,
    ModelError,
    std::io::Error,
    anyhow::Error
);

/// A training run that is over, or diverged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trained {
    /// Its record; the epochs that were finished.
    pub training: Training,
    /// The epoch whose loss or parameters were not finite.
    pub diverged: Option<usize>,
}

impl Trained {
    /// The last epoch; none if the first diverged.
    pub fn last(&self) -> Option<&Epoch> {
        self.training.epochs.last()
    }

    /// Train loss of the last epoch; NaN after divergence.
    pub fn train_loss(&self) -> f64 {
        self.end(|epoch| epoch.train_loss)
    }

    /// Test loss after the last epoch; NaN after divergence.
    pub fn test_loss(&self) -> f64 {
        self.end(|epoch| epoch.test_loss)
    }

    /// Test accuracy after the last epoch; NaN after divergence.
    pub fn test_acc(&self) -> f64 {
        self.end(|epoch| epoch.test_acc)
    }

    /// Seconds of all epochs.
    pub fn seconds(&self) -> f64 {
        self.training.epochs.iter().map(|epoch| epoch.seconds).sum()
    }

    fn end(&self, figure: impl Fn(&Epoch) -> f64) -> f64 {
        match (self.diverged, self.last()) {
            (None, Some(epoch)) => figure(epoch),
            _ => f64::NAN,
        }
    }
}

/// Told of a finished sub-run, by name.
pub type Told<'a> = dyn FnMut(&str) + 'a;

/// What an experiment runs in.
pub struct Run<'a> {
    options: &'a Options,
    state: &'a mut State,
    stop: &'a dyn Fn() -> bool,
    told: &'a mut Told<'a>,
    fashion: Option<Rc<Dataset>>,
}

impl<'a> Run<'a> {
    /// `stop` is asked between and within sub-runs.
    pub fn new(options: &'a Options, state: &'a mut State, stop: &'a dyn Fn() -> bool, told: &'a mut Told<'a>) -> Self {
        Self {
            options,
            state,
            stop,
            told,
            fashion: None,
        }
    }

    /// What the user asked for.
    pub fn options(&self) -> &'a Options {
        self.options
    }

    /// Whether sizes are to be shrunk.
    pub fn quick(&self) -> bool {
        !self.options.full
    }

    /// `quick` or `full`, as was asked for.
    pub fn pick<T>(&self, quick: T, full: T) -> T {
        if self.options.full { full } else { quick }
    }

    /// Seeds of repeated runs: the user's and those behind it.
    pub fn seeds(&self, count: usize) -> Vec<u64> {
        (0..count as u64)
            .map(|more| self.options.seed.wrapping_add(more))
            .collect()
    }

    /// Kernels on the ISA that is selected.
    ///
    /// # Errors
    /// An ISA that the CPU lacks.
    pub fn context(&self) -> Result<Context, Failure> {
        let isa = Isa::selected().map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(Context::new(isa, self.options.threads)?)
    }

    /// The notebook's training run on the user's device and threads.
    pub fn base(&self) -> TrainOptions {
        TrainOptions {
            seed: self.options.seed,
            device: self.options.device,
            threads: self.options.threads,
            ..TrainOptions::default()
        }
    }

    /// Whether the user wants to stop.
    pub fn stopped(&self) -> bool {
        (self.stop)()
    }

    /// Fashion-MNIST, whole with `--full` and [`QUICK_ROWS`] of it otherwise.
    ///
    /// # Errors
    /// Data that are damaged or, with `--full`, a part only.
    pub fn fashion(&mut self) -> Result<Rc<Dataset>, Failure> {
        if let Some(data) = &self.fashion {
            return Ok(Rc::clone(data));
        }
        let data = fashion_mnist::load(&Places::of_this_machine(self.options.data.as_deref()))?;
        if self.options.full && data.train.rows < fashion_mnist::TRAIN_ROWS {
            return Err(Failure::Usage(format!(
                "--full needs the whole Fashion-MNIST, and this is a part of it ({}): install the package dataset-fashion-mnist, name a folder with --data, or use --quick",
                data.describe()
            )));
        }
        let data = if self.options.full {
            data
        } else {
            head(data, QUICK_ROWS)
        };
        let data = Rc::new(data);
        self.fashion = Some(Rc::clone(&data));
        Ok(data)
    }

    /// What `work` gives, computed once: a run that goes on takes it from its state.
    ///
    /// # Errors
    /// What `work` fails with, a stop, or a state that can't be written.
    pub fn once<T: Serialize + DeserializeOwned>(
        &mut self,
        key: &str,
        work: impl FnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if let Some(done) = self.state.get(key) {
            return Ok(done);
        }
        if self.stopped() {
            return Err(Failure::Interrupted);
        }
        (self.told)(key);
        let done = work(self)?;
        self.state
            .put(key, &done)
            .map_err(|error| Failure::Failed(format!("can't keep what was done: {error}")))?;
        Ok(done)
    }

    /// Trains, once: see [`Run::once`]. One that diverges ends there, and says so.
    ///
    /// # Errors
    /// Options that do not fit the data, a missing device, or a stop.
    pub fn train(&mut self, key: &str, options: &TrainOptions, data: &Dataset) -> Result<Trained, Failure> {
        let (trained, ()) = self.train_and(key, options, data, |_| Ok(()))?;
        Ok(trained)
    }

    /// The same, and what `read` sees in the trained model.
    ///
    /// # Errors
    /// As [`Run::train`], and what `read` fails with.
    pub fn train_and<T: Serialize + DeserializeOwned>(
        &mut self,
        key: &str,
        options: &TrainOptions,
        data: &Dataset,
        read: impl FnOnce(&mut Trainer<'_>) -> Result<T, Failure>,
    ) -> Result<(Trained, T), Failure> {
        self.once(key, |run| {
            let mut trainer = Trainer::new(options, data)?;
            let mut training = trainer.describe(&data.describe())?;
            let mut diverged = None;
            let stop = run.stop;
            for number in 1..=options.epochs {
                let epoch = trainer.epoch(&mut |event| match event {
                    Event::Batch { .. } if stop() => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                });
                match epoch {
                    Ok(epoch) => training.epochs.push(epoch),
                    Err(TrainError::Diverged { .. }) => {
                        diverged = Some(number);
                        break;
                    }
                    Err(other) => return Err(other.into()),
                }
            }
            let seen = read(&mut trainer)?;
            Ok((Trained { training, diverged }, seen))
        })
    }
}

/// The first rows of both splits.
fn head(data: Dataset, (train, test): (usize, usize)) -> Dataset {
    Dataset {
        train: first(data.train, train),
        test: first(data.test, test),
        ..data
    }
}

/// The first rows of a split; all, if there are fewer.
fn first(split: Split, rows: usize) -> Split {
    let rows = rows.min(split.rows);
    let count = rows * split.columns;
    let values = match split.values {
        Values::Bytes(mut bytes) => {
            bytes.truncate(count);
            Values::Bytes(bytes)
        }
        Values::Reals(mut reals) => {
            reals.truncate(count);
            Values::Reals(reals)
        }
    };
    let mut labels = split.labels;
    labels.truncate(rows);
    Split {
        values,
        rows,
        labels,
        ..split
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::testing::Bed;

    #[test]
    fn a_stopped_run_goes_on_where_it_was() {
        let bed = Bed::new();
        let mut calls = Vec::new();
        let stopped = bed.run(|run| {
            for key in ["a", "b", "c"] {
                run.once(key, |_| {
                    calls.push(key);
                    if key == "b" { Err(Failure::Interrupted) } else { Ok(1.5) }
                })?;
            }
            Ok(())
        });
        assert!(matches!(stopped, Err(Failure::Interrupted)));
        let sum = bed.run(|run| {
            let mut sum = 0.0;
            for key in ["a", "b", "c"] {
                sum += run.once(key, |_| {
                    calls.push(key);
                    Ok(1.5)
                })?;
            }
            Ok(sum)
        });
        assert_eq!(sum.unwrap(), 4.5);
        assert_eq!(calls, ["a", "b", "b", "c"]);
    }

    #[test]
    fn training_is_kept_and_divergence_is_no_failure() {
        let bed = Bed::new();
        let data = crate::data::synthetic::sums();
        let options = |run: &Run<'_>, lr| TrainOptions {
            layers: vec![20, 8, 2],
            epochs: 1,
            lr,
            ..run.base()
        };
        let (one, other) = bed
            .run(|run| {
                let one = run.train("fit", &options(run, 0.1), &data)?;
                Ok((one, run.train("burst", &options(run, 1e30), &data)?))
            })
            .unwrap();
        assert!(one.train_loss().is_finite() && one.diverged.is_none() && one.test_acc() > 0.0);
        assert!(other.diverged == Some(1) && other.train_loss().is_nan());
        // Taken from the state: the same bits, though the options would now be refused.
        let again = bed.run(|run| run.train("fit", &options(run, -1.0), &data)).unwrap();
        assert_eq!(again.training, one.training);
    }
}
