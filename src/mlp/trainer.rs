//! The training loop: shuffle, step through the batches, evaluate on both sets; the notebook's four figures each epoch.

mod layers;
mod newton;
mod rates;
mod saving;
mod steps;
mod summary;

use std::time::Instant;

use rand::seq::SliceRandom;

pub use self::rates::RATE_STEPS;
pub use self::summary::{LayerSummary, Summary};

use self::saving::Saver;
use self::steps::{Loaded, Steps};
use super::checkpoint::Best;
use super::classified::Classifier;
use super::train::go_on;
use super::{Event, Model, Observer, Purpose, TrainError, TrainOptions, stream};
use crate::data::Dataset;
use crate::device::{Batch, Session, Set};
use crate::measure::{Classification, Epoch, Training};
use crate::program::lower::{LOGITS, Lowering, bias_name, weights_name};
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
    /// Forward and back without an update, if somebody wants to know what the layers do.
    looks: Option<Loaded>,
    /// Rows of a batch.
    batch: usize,
    /// Rows to train on and rows to validate on, each in the set's order.
    rows: [Vec<u32>; 2],
    /// The rows to train on in the order of the epoch under way.
    order: Vec<u32>,
    progress: Progress,
    /// Products with the matrix of a quadratic model that steps of this process took.
    products: u64,
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
        let (train, test) = (Set::of_split(&data.train)?, Set::of_split(&data.test)?);
        let sets = [train, test];
        let model = options.model(&sets, columns).map_err(TrainError::Options)?;
        let rows = split(options, train.rows());
        let batch = options.batch.min(rows[0].len());
        let lowering = Lowering {
            model: &model,
            float: options.float,
            rows: batch,
            byte_scale: BYTE_SCALE,
        };
        let evaluated = EVALUATION_ROWS.max(batch);
        let mut programs = steps::programs(options, lowering)?;
        let looks = options.layer_stats.then(|| lowering.gradients()).transpose()?;
        let lowering = Lowering {
            rows: evaluated,
            ..lowering
        };
        programs.push(lowering.evaluate()?);
        programs.extend(looks);
        if options.device.wants_fused() {
            programs = programs.iter().map(fuse).collect::<Result<_, _>>()?;
        }
        let session = options.device.open(&programs, &sets, options.threads)?;
        let mut programs = steps::loaded(programs);
        let looks = if options.layer_stats { programs.pop() } else { None };
        let parts = programs
            .pop()
            .and_then(|evaluate| Some((evaluate, Steps::new(options, &model, programs)?)));
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
            looks,
            batch,
            order: rows[0].clone(),
            rows,
            progress: Progress::default(),
            products: 0,
            saver: None,
        };
        trainer.set_first_weights()?;
        Ok(trainer)
    }

    /// Weights and biases from the init; biases from the options where they say.
    fn set_first_weights(&mut self) -> Result<(), TrainError> {
        let (init, seed) = (self.options.init, self.options.seed);
        for l in 1..=self.model.depth() {
            let layer = self.model.layer(l);
            let sizes = (layer.inputs, layer.outputs);
            self.session.write(&weights_name(l), &init.weights(seed, l, sizes))?;
            let biases = match self.options.bias {
                Some(value) => vec![value; layer.outputs],
                None => init.biases(seed, l, sizes),
            };
            self.session.write(&bias_name(l), &biases)?;
        }
        for (l, extra) in self.model.extras() {
            let count = extra.count(self.model.layer(l).outputs);
            let first = extra.first(self.model.activation());
            self.session.write(&extra.name(l), &vec![first; count])?;
        }
        Ok(())
    }

    /// The record of this run so far, without epochs. `data` says where the data came from.
    ///
    /// # Errors
    /// A device that fails to evaluate.
    pub fn describe(&mut self, data: &str) -> Result<Training, TrainError> {
        let first = self.rows[0][..self.batch].to_vec();
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
            classification: None,
        })
    }

    /// The session that holds the parameters, to read them by [`weights_name`] and [`bias_name`].
    pub fn session(&mut self) -> &mut (dyn Session + 'a) {
        &mut *self.session
    }

    /// Products with the matrix of a quadratic model that Newton-CG has taken in this process.
    pub fn products(&self) -> u64 {
        self.products
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

    /// The best epoch so far, if the patience with the epochs behind it is over.
    pub fn exhausted(&self) -> Option<usize> {
        let best = self.progress.best?.epoch;
        let waited = self.progress.table.len() - best;
        self.options
            .patience
            .filter(|&patience| waited >= patience)
            .map(|_| best)
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
        let layers = self.layer_stats()?;
        let [trained, held_back] = self.rows.clone();
        let (_, train_acc) = self.evaluate(TRAIN, &trained)?;
        let test: Vec<u32> = (0..self.sets[TEST].rows() as u32).collect();
        let (test_loss, test_acc) = self.evaluate(TEST, &test)?;
        self.finite(epoch, "the test loss", &[test_loss])?;
        let (mut validation_loss, mut validation_acc) = (None, None);
        if !held_back.is_empty() {
            let (loss, acc) = self.evaluate(TRAIN, &held_back)?;
            self.finite(epoch, "the validation loss", &[loss])?;
            (validation_loss, validation_acc) = (Some(loss), Some(acc));
        }
        let samples_per_s = self.order.len() as f64 / training_s;
        let epoch = Epoch {
            epoch,
            train_loss,
            test_loss,
            train_acc,
            test_acc,
            validation_loss,
            validation_acc,
            seconds: self.progress.seconds(),
            samples_per_s,
            layers,
        };
        self.finish(&epoch);
        Ok(epoch)
    }

    /// The epoch is over.
    fn finish(&mut self, epoch: &Epoch) {
        let progress = &mut self.progress;
        progress.table.push(epoch.clone());
        (progress.rows, progress.seconds, progress.begun) = (0, 0.0, None);
        let loss = epoch.validation_loss.unwrap_or(epoch.test_loss);
        if progress.best.is_none_or(|best| loss < best.loss) {
            progress.best = Some(Best {
                step: progress.steps,
                epoch: epoch.epoch,
                loss,
            });
        }
    }

    /// The order of an epoch depends on the seed and its number alone, not on the epochs before it. The few batches that are
    /// to be learned by heart keep theirs.
    fn shuffle(&mut self, epoch: usize) {
        self.order.copy_from_slice(&self.rows[0]);
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

    /// What the model says of the test set of `data`, which must be the data that the run was made with.
    ///
    /// # Errors
    /// A device that fails to evaluate.
    pub fn classify(&mut self, data: &Dataset) -> Result<Classification, TrainError> {
        let Loaded { id, ref program } = self.evaluate;
        let (rows, outputs) = (program.rows(), self.model.classes());
        let mut classifier = Classifier::new(self.model.loss(), outputs, data);
        let test: Vec<u32> = (0..data.test.rows as u32).collect();
        for (rows, labels) in test.chunks(rows).zip(data.test.labels.chunks(rows)) {
            let batch = Batch::of_set(program, &self.sets, TEST, rows)?;
            self.session.run(id, &batch, &StepArgs::default());
            classifier.add(&self.session.read(LOGITS)?, labels);
        }
        // What these runs have added up is nobody's.
        self.session.metrics()?;
        Ok(classifier.finish(data))
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
        let layers = (1..=self.model.depth()).flat_map(|l| [weights_name(l), bias_name(l)]);
        let extras = self.model.extras().into_iter().map(|(l, extra)| extra.name(l));
        for name in layers.chain(extras) {
            let values = self.session.read(&name)?;
            self.finite(epoch, &name, &values)?;
        }
        Ok(())
    }
}

/// Rows to train on and rows to validate on. The held-back ones depend on the seed alone.
fn split(options: &TrainOptions, rows: usize) -> [Vec<u32>; 2] {
    let mut all: Vec<u32> = (0..rows as u32).collect();
    let held_back = options.held_back(rows);
    if held_back > 0 {
        all.shuffle(&mut stream(options.seed, Purpose::Validation));
    }
    let mut validation = all.split_off(rows - held_back);
    all.sort_unstable();
    validation.sort_unstable();
    all.truncate(options.rows_of(rows));
    [all, validation]
}
