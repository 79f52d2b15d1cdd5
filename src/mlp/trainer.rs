//! The training loop: shuffle, step through the batches, evaluate on both sets; the notebook's four figures each epoch.

mod saving;
mod steps;
mod summary;

use std::time::Instant;

use rand::seq::SliceRandom;

pub use self::summary::{LayerSummary, Summary};

use self::saving::Saver;
use self::steps::{Loaded, Steps};
use super::checkpoint::Best;
use super::train::go_on;
use super::{Event, Model, Observer, Purpose, TrainError, TrainOptions, stream};
use crate::data::Dataset;
use crate::device::{Batch, Session, Set};
use crate::measure::{Epoch, Training};
use crate::program::lower::{Lowering, bias_name, weights_name};
use crate::program::{CORRECT, LOSS_SUM, StepArgs, fuse};

/// Rows of a batch while evaluating, at least; larger than a small training batch, so that products stay efficient.
pub const EVALUATION_ROWS: usize = 512;
/// Bytes of an image come to 0..=1.
pub(super) const BYTE_SCALE: f64 = 1.0 / 255.0;
const TRAIN: usize = 0;
const TEST: usize = 1;

/// A run between two steps: the session with its parameters, and how far it is.
pub struct Trainer<'a> {
    options: TrainOptions,
    model: Model,
    /// Name of the data.
    data: &'a str,
    sets: [Set<'a>; 2],
    session: Box<dyn Session + 'a>,
    steps: Steps,
    evaluate: Loaded,
    /// Rows of a batch.
    batch: usize,
    /// The rows in the order of the epoch under way.
    order: Vec<u32>,
    progress: Progress,
    saver: Option<Saver>,
}

/// How far a run is.
#[derive(Debug, Clone, Default)]
struct Progress {
    /// Steps that are done.
    steps: u64,
    /// Rows of the epoch under way that are done.
    rows: usize,
    /// Seconds that the epoch under way took before this process went on with it.
    seconds: f64,
    /// When this process began with it.
    begun: Option<Instant>,
    first_loss: f64,
    /// Epochs that are done.
    table: Vec<Epoch>,
    best: Option<Best>,
}

impl Progress {
    fn seconds(&self) -> f64 {
        self.seconds + self.begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64())
    }
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
        let mut programs = steps::programs(options, lowering)?;
        programs.push(Lowering { rows, ..lowering }.evaluate()?);
        if options.device.wants_fused() {
            programs = programs.iter().map(fuse).collect::<Result<_, _>>()?;
        }
        let session = options.device.open(&programs, &sets, options.threads)?;
        let mut programs = steps::loaded(programs);
        let parts = programs
            .pop()
            .and_then(|evaluate| Some((evaluate, Steps::new(options, programs)?)));
        let Some((evaluate, steps)) = parts else {
            unreachable!("a step has at least one program, and evaluation follows it")
        };
        let mut trainer = Self {
            options: options.clone(),
            model,
            data: &data.name,
            sets,
            session,
            steps,
            evaluate,
            batch,
            order: (0..options.rows_of(train.rows()) as u32).collect(),
            progress: Progress::default(),
            saver: None,
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
        let first: Vec<u32> = (0..self.batch as u32).collect();
        let (loss, _) = self.evaluate(TRAIN, &first)?;
        self.progress.first_loss = loss;
        Ok(Training {
            layers: self.options.layers.clone(),
            settings: self.options.settings(),
            device: self.session.device().to_string(),
            kernel: self.session.kernel(),
            threads: self.session.threads(),
            seed: self.options.seed,
            data: data.to_owned(),
            train_rows: self.order.len(),
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

    /// Epochs that are done.
    pub fn table(&self) -> &[Epoch] {
        &self.progress.table
    }

    /// Rows to train on.
    pub fn rows(&self) -> usize {
        self.order.len()
    }

    /// Mean loss of the untrained model on the first batch, once [`Trainer::describe`] has taken it.
    pub fn first_loss(&self) -> f64 {
        self.progress.first_loss
    }

    /// One epoch, or what is left of it: shuffle, a step for each batch, both evaluations.
    ///
    /// # Errors
    /// A loss or parameter that is not finite, an observer that stops it, a checkpoint that can't be saved, or a device that
    /// fails.
    pub fn epoch(&mut self, observer: &mut Observer<'_>) -> Result<Epoch, TrainError> {
        let epoch = self.progress.table.len() + 1;
        self.progress.begun = Some(Instant::now());
        if self.progress.rows == 0 {
            self.shuffle(epoch);
            self.session.metrics()?;
        }
        self.steps(epoch, observer)?;
        let training_s = self.progress.seconds();
        let train_loss = self.session.metrics()?.get(LOSS_SUM) / self.order.len() as f64;
        self.finite(epoch, "the train loss", &[train_loss])?;
        self.finite_parameters(epoch)?;
        let all: Vec<u32> = (0..self.sets[TRAIN].rows().max(self.sets[TEST].rows()) as u32).collect();
        let (_, train_acc) = self.evaluate(TRAIN, &all[..self.order.len()])?;
        let (test_loss, test_acc) = self.evaluate(TEST, &all[..self.sets[TEST].rows()])?;
        self.finite(epoch, "the test loss", &[test_loss])?;
        let samples_per_s = self.order.len() as f64 / training_s;
        let epoch = Epoch {
            epoch,
            train_loss,
            test_loss,
            train_acc,
            test_acc,
            seconds: self.progress.seconds(),
            samples_per_s,
        };
        self.finish(&epoch);
        Ok(epoch)
    }

    /// The epoch is over.
    fn finish(&mut self, epoch: &Epoch) {
        let progress = &mut self.progress;
        progress.table.push(epoch.clone());
        (progress.rows, progress.seconds, progress.begun) = (0, 0.0, None);
        if progress.best.is_none_or(|best| epoch.test_loss < best.test_loss) {
            progress.best = Some(Best {
                step: progress.steps,
                epoch: epoch.epoch,
                test_loss: epoch.test_loss,
            });
        }
    }

    /// The few batches that are to be learned by heart keep their order; otherwise the order of an epoch depends on the seed and its number alone, not on the epochs before it.
    fn shuffle(&mut self, epoch: usize) {
        self.order.iter_mut().zip(0..).for_each(|(row, i)| *row = i);
        if self.options.overfit_batches.is_none() {
            self.order
                .shuffle(&mut stream(self.options.seed, Purpose::Order { epoch }));
        }
    }

    /// A step for each batch that is left; adds up the rows' losses as each batch met them.
    fn steps(&mut self, epoch: usize, observer: &mut Observer<'_>) -> Result<(), TrainError> {
        while self.progress.rows < self.order.len() {
            let from = self.progress.rows;
            let to = self.order.len().min(from + self.batch);
            self.step(from, to)?;
            self.progress.steps += 1;
            self.progress.rows = to;
            self.save_if_due()?;
            go_on(observer(Event::Batch { epoch, rows: to }), epoch, to)?;
        }
        Ok(())
    }

    /// Mean loss and share of right answers over `rows` of a set.
    fn evaluate(&mut self, set: usize, rows: &[u32]) -> Result<(f64, f64), TrainError> {
        let Loaded { id, ref program } = self.evaluate;
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
