//! The training loop: shuffle, step through the batches, evaluate on both sets; the notebook's four figures each epoch.

use std::ops::ControlFlow;
use std::time::Instant;

use rand::seq::SliceRandom;

use super::{Model, Purpose, TrainOptions, number, stream};
use crate::data::Dataset;
use crate::device::{Batch, DeviceError, ProgramId, Session, Set};
use crate::measure::{Epoch, Training};
use crate::program::lower::{Lowering, bias_name, weights_name};
use crate::program::{CORRECT, LOSS_SUM, Program, ProgramError, StepArgs, fuse};

/// Rows of a batch while evaluating, at least; larger than a small training batch, so that products stay efficient.
pub const EVALUATION_ROWS: usize = 512;
/// Bytes of an image come to 0..=1.
const BYTE_SCALE: f64 = 1.0 / 255.0;
const TRAIN: usize = 0;
const TEST: usize = 1;

/// What happens while a run trains.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// Before the first step. All of the record but its epochs.
    Started(&'a Training),
    /// A step has run.
    Batch {
        /// Of this epoch, from 1.
        epoch: usize,
        /// Rows of the epoch so far.
        rows: usize,
    },
    /// An epoch is over, evaluations included.
    Epoch(&'a Epoch),
}

/// Is told what happens; [`ControlFlow::Break`] stops the run behind the batch that is done.
pub type Observer<'o> = dyn FnMut(Event<'_>) -> ControlFlow<()> + 'o;

/// A run that did not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// Options that make no sense, alone or for the data. One line that names the option and the way out.
    #[error("{0}")]
    Options(String),
    /// The device is not there, or does not hold the model.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The model makes no program.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The loss, or a parameter, is no finite number any more.
    #[error("the training diverged in epoch {epoch}: {what} is not finite; try a smaller --lr than {}", number(*.lr))]
    Diverged {
        /// Which epoch.
        epoch: usize,
        /// What it was seen in.
        what: String,
        /// The learning rate.
        lr: f64,
    },
    /// The observer stopped it.
    #[error("interrupted in epoch {epoch}, after {rows} of its rows")]
    Interrupted {
        /// Which epoch.
        epoch: usize,
        /// Rows that were trained on in it.
        rows: usize,
    },
}

/// Trains as `options` say and returns the record of it. `observer` sees it happen.
///
/// # Errors
/// Options that do not fit, a device that is not there, a loss that diverges, or an observer that stops it.
pub fn train(options: &TrainOptions, data: &Dataset, observer: &mut Observer<'_>) -> Result<Training, TrainError> {
    let mut trainer = Trainer::new(options, data)?;
    let mut training = trainer.describe(&data.describe())?;
    let start = |_| TrainError::Interrupted { epoch: 1, rows: 0 };
    into_result(observer(Event::Started(&training))).map_err(start)?;
    for _ in 0..options.epochs {
        let epoch = trainer.epoch(observer)?;
        let rows = data.train.rows;
        let stopped = observer(Event::Epoch(&epoch));
        let number = epoch.epoch;
        training.epochs.push(epoch);
        if number < options.epochs {
            into_result(stopped).map_err(|()| TrainError::Interrupted { epoch: number, rows })?;
        }
    }
    Ok(training)
}

fn into_result(flow: ControlFlow<()>) -> Result<(), ()> {
    if flow.is_break() { Err(()) } else { Ok(()) }
}

/// A run between two epochs: the session with its parameters, and the order of the rows.
pub struct Trainer<'a> {
    options: TrainOptions,
    model: Model,
    sets: [Set<'a>; 2],
    session: Box<dyn Session + 'a>,
    step: (ProgramId, Program),
    evaluate: (ProgramId, Program),
    order: Vec<u32>,
    /// Epochs that are done.
    epochs: usize,
    /// Steps that are done.
    steps: u64,
}

impl<'a> Trainer<'a> {
    /// Checks the options, opens the device, and sets the first weights.
    ///
    /// # Errors
    /// Options that do not fit the data, a device that is not there, or too little memory.
    pub fn new(options: &TrainOptions, data: &'a Dataset) -> Result<Self, TrainError> {
        let columns = data.train.columns;
        let train = Set::new(&data.train.images, &data.train.labels, columns)?;
        let test = Set::new(&data.test.images, &data.test.labels, data.test.columns)?;
        let sets = [train, test];
        let model = options.model(&sets, columns).map_err(TrainError::Options)?;
        let batch = options.batch.min(train.rows());
        let lowering = Lowering {
            model: &model,
            float: options.float,
            rows: batch,
            byte_scale: BYTE_SCALE,
        };
        let rows = EVALUATION_ROWS.max(batch);
        let mut programs = [
            lowering.step(options.optimizer)?,
            Lowering { rows, ..lowering }.evaluate()?,
        ];
        if options.device.wants_fused() {
            programs = [fuse(&programs[0])?, fuse(&programs[1])?];
        }
        let session = options.device.open(&programs, &sets, options.threads)?;
        let [step, evaluate] = programs;
        let mut trainer = Self {
            options: options.clone(),
            model,
            sets,
            session,
            step: (ProgramId(0), step),
            evaluate: (ProgramId(1), evaluate),
            order: (0..train.rows() as u32).collect(),
            epochs: 0,
            steps: 0,
        };
        trainer.set_first_weights()?;
        Ok(trainer)
    }

    /// Weights from the init; biases stay at 0.
    fn set_first_weights(&mut self) -> Result<(), TrainError> {
        for l in 1..=self.model.depth() {
            let layer = self.model.layer(l);
            let weights = self
                .options
                .init
                .weights(self.options.seed, l, layer.inputs * layer.outputs);
            self.session.write(&weights_name(l), &weights)?;
        }
        Ok(())
    }

    /// The record of this run so far, without epochs. `data` says where the data came from.
    ///
    /// # Errors
    /// A device that fails to evaluate.
    pub fn describe(&mut self, data: &str) -> Result<Training, TrainError> {
        let first: Vec<u32> = (0..self.step.1.rows() as u32).collect();
        let (loss, _) = self.evaluate(TRAIN, &first)?;
        Ok(Training {
            layers: self.options.layers.clone(),
            settings: self.options.settings(),
            device: self.session.device().to_string(),
            kernel: self.session.kernel(),
            threads: self.session.threads(),
            seed: self.options.seed,
            data: data.to_owned(),
            train_rows: self.sets[TRAIN].rows(),
            test_rows: self.sets[TEST].rows(),
            parameters: self.model.parameters(),
            first_loss: loss,
            epochs: Vec::new(),
        })
    }

    /// The session that holds the parameters, to read them by [`weights_name`] and [`bias_name`].
    pub fn session(&mut self) -> &mut (dyn Session + 'a) {
        &mut *self.session
    }

    /// One epoch: shuffle, a step for each batch, both evaluations.
    ///
    /// # Errors
    /// A loss or parameter that is not finite, an observer that stops it, or a device that fails.
    pub fn epoch(&mut self, observer: &mut Observer<'_>) -> Result<Epoch, TrainError> {
        let epoch = self.epochs + 1;
        let begun = Instant::now();
        self.shuffle(epoch);
        let train_loss = self.steps(epoch, observer)?;
        let training_s = begun.elapsed().as_secs_f64();
        self.epochs = epoch;
        self.finite(epoch, "the train loss", &[train_loss])?;
        self.finite_parameters(epoch)?;
        let all: Vec<u32> = (0..self.sets[TRAIN].rows().max(self.sets[TEST].rows()) as u32).collect();
        let (_, train_acc) = self.evaluate(TRAIN, &all[..self.sets[TRAIN].rows()])?;
        let (test_loss, test_acc) = self.evaluate(TEST, &all[..self.sets[TEST].rows()])?;
        self.finite(epoch, "the test loss", &[test_loss])?;
        let seconds = begun.elapsed().as_secs_f64();
        let samples_per_s = self.order.len() as f64 / training_s;
        Ok(Epoch {
            epoch,
            train_loss,
            test_loss,
            train_acc,
            test_acc,
            seconds,
            samples_per_s,
        })
    }

    /// The order of an epoch depends on the seed and its number alone, not on the epochs before it.
    fn shuffle(&mut self, epoch: usize) {
        self.order.iter_mut().zip(0..).for_each(|(row, i)| *row = i);
        self.order
            .shuffle(&mut stream(self.options.seed, Purpose::Order { epoch }));
    }

    /// A step for each batch; the mean of the rows' losses as each batch met them.
    fn steps(&mut self, epoch: usize, observer: &mut Observer<'_>) -> Result<f64, TrainError> {
        let (id, ref program) = self.step;
        let mut done = 0;
        self.session.metrics()?;
        for rows in self.order.chunks(program.rows()) {
            let batch = Batch::of_set(program, &self.sets, TRAIN, rows)?;
            self.steps += 1;
            let args = StepArgs {
                lr: self.options.lr,
                decay: 1.0 - self.options.lr * self.options.l2,
                inverse_rows: 1.0 / rows.len() as f64,
                t: self.steps,
                seed: self.options.seed,
                ..StepArgs::default()
            };
            self.session.run(id, &batch, &args);
            done += rows.len();
            let flow = observer(Event::Batch { epoch, rows: done });
            into_result(flow).map_err(|()| TrainError::Interrupted { epoch, rows: done })?;
        }
        Ok(self.session.metrics()?.get(LOSS_SUM) / done as f64)
    }

    /// Mean loss and share of right answers over `rows` of a set.
    fn evaluate(&mut self, set: usize, rows: &[u32]) -> Result<(f64, f64), TrainError> {
        let (id, ref program) = self.evaluate;
        self.session.metrics()?;
        for rows in rows.chunks(program.rows()) {
            let batch = Batch::of_set(program, &self.sets, set, rows)?;
            self.session.run(id, &batch, &StepArgs::default());
        }
        let metrics = self.session.metrics()?;
        let count = rows.len() as f64;
        Ok((metrics.get(LOSS_SUM) / count, metrics.get(CORRECT) / count))
    }

    fn finite(&self, epoch: usize, what: &str, values: &[f64]) -> Result<(), TrainError> {
        if values.iter().all(|x| x.is_finite()) {
            return Ok(());
        }
        Err(TrainError::Diverged {
            epoch,
            what: what.to_owned(),
            lr: self.options.lr,
        })
    }

    /// A relu takes NaN to 0, so a dead model may still report a finite loss: look at the parameters themselves.
    fn finite_parameters(&mut self, epoch: usize) -> Result<(), TrainError> {
        for l in 1..=self.model.depth() {
            for name in [weights_name(l), bias_name(l)] {
                let values = self.session.read(&name)?;
                self.finite(epoch, &name, &values)?;
            }
        }
        Ok(())
    }
}
