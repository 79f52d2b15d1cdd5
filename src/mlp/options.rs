//! What a training run is asked to do.

use tilelab_kernels::{Activation, Threads};

use super::checkpoint::Saving;
use super::model::{activation_name, join};
use super::{Init, Loss, Model, Optimizer, Schedule, number};
use crate::device::{Device, Set};
use crate::measure::command_line;
use crate::program::Element;

/// A training run. [`TrainOptions::default`] is the notebook's.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOptions {
    /// Widths, input first.
    pub layers: Vec<usize>,
    /// Behind each hidden layer.
    pub activation: Activation,
    /// swish's beta is learned, one a layer.
    pub learned_beta: bool,
    /// Batch normalisation between each hidden layer's sums and its activation.
    pub batch_norm: bool,
    /// Distribution of the weights before training.
    pub init: Init,
    /// What all biases begin with; without it what `init` says, which is 0 but for PyTorch's.
    pub bias: Option<f64>,
    /// Rule of an update.
    pub optimizer: Optimizer,
    /// What is minimised.
    pub loss: Loss,
    /// Probability of dropout behind each hidden layer: from 0 to below 1.
    pub dropout: f64,
    /// Learning rate: finite, above 0.
    pub lr: f64,
    /// lambda of the regularisation lambda/2 |W|^2: finite, at least 0.
    pub l2: f64,
    /// Rows of a batch; the last one of an epoch may have fewer.
    pub batch: usize,
    /// Times that the training set is gone through.
    pub epochs: usize,
    /// Fixes everything random.
    pub seed: u64,
    /// How the learning rate goes.
    pub schedule: Schedule,
    /// Steps over which the learning rate rises to its full size.
    pub warmup: u64,
    /// Micro-batches that a batch is gone through in; their gradients are added up.
    pub accumulate: usize,
    /// Largest Euclidean norm of all gradients together: finite, above 0.
    pub clip: Option<f64>,
    /// Train on this many batches alone, the first, in their order: to see whether a model can learn at all.
    pub overfit_batches: Option<usize>,
    /// Share of the training rows that is held back to validate on: from 0 to below 1.
    pub validation: f64,
    /// Epochs without a smaller validation loss after which the run stops; needs `validation`.
    pub patience: Option<usize>,
    /// After each epoch, look at every layer: gradient norm, dead units, sparsity.
    pub layer_stats: bool,
    /// Who runs it.
    pub device: Device,
    /// Threads of the device.
    pub threads: Threads,
    /// Type of the model's numbers.
    pub float: Element,
    /// Where and when checkpoints are saved.
    pub saving: Option<Saving>,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            layers: vec![784, 256, 10],
            activation: Activation::Relu,
            learned_beta: false,
            batch_norm: false,
            init: Init::default(),
            bias: None,
            optimizer: Optimizer::Sgd,
            loss: Loss::default(),
            dropout: 0.0,
            lr: 0.1,
            l2: 0.0,
            batch: 256,
            epochs: 10,
            seed: 1,
            schedule: Schedule::Constant,
            warmup: 0,
            accumulate: 1,
            clip: None,
            overfit_batches: None,
            validation: 0.0,
            patience: None,
            layer_stats: false,
            device: Device::Cpu,
            threads: Threads::all(),
            float: Element::F32,
            saving: None,
        }
    }
}

impl TrainOptions {
    /// The model, if all of it makes sense for these rows.
    ///
    /// # Errors
    /// One line that names the option and the way out.
    pub(super) fn model(&self, sets: &[Set<'_>], columns: usize) -> Result<Model, String> {
        if !(self.lr.is_finite() && self.lr > 0.0) {
            return Err(format!(
                "--lr {}: the learning rate must be a finite number above 0, such as 0.1",
                self.lr
            ));
        }
        if !(self.l2.is_finite() && self.l2 >= 0.0) {
            return Err(format!(
                "--l2 {}: it must be a finite number of at least 0, such as 0.001",
                self.l2
            ));
        }
        if let Some(bias) = self.bias.filter(|bias| !bias.is_finite()) {
            return Err(format!("--bias {bias}: it must be a finite number, such as 0.01"));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(format!(
                "--dropout {}: it must be a probability from 0 to below 1, such as 0.2",
                self.dropout
            ));
        }
        if self.batch == 0 {
            return Err("--batch 0: a batch needs at least 1 row, such as 256".to_owned());
        }
        if self.accumulate == 0 || self.accumulate > self.batch {
            return Err(format!(
                "--accumulate {}: a batch of {} rows can be gone through in 1 to {1} parts",
                self.accumulate, self.batch
            ));
        }
        if let Some(clip) = self.clip.filter(|clip| !(clip.is_finite() && *clip > 0.0)) {
            return Err(format!("--clip {clip}: it must be a finite number above 0, such as 1"));
        }
        if !(0.0..1.0).contains(&self.validation) {
            return Err(format!(
                "--validation {}: it must be a share from 0 to below 1, such as 0.1",
                self.validation
            ));
        }
        if self.patience.is_some() && self.validation == 0.0 {
            return Err(
                "--patience: there is nothing to wait for without --validation, such as --validation 0.1".into(),
            );
        }
        let rows = sets.first().map_or(0, Set::rows);
        if self.validation > 0.0 && (self.held_back(rows) == 0 || self.held_back(rows) == rows) {
            return Err(format!(
                "--validation {}: of {rows} rows it leaves none on one side; choose another share",
                self.validation
            ));
        }
        if self.overfit_batches == Some(0) {
            return Err("--overfit-batches 0: at least 1 batch is needed".to_owned());
        }
        if self.epochs == 0 {
            return Err("--epochs 0: at least 1 epoch is needed, such as 10".to_owned());
        }
        if self.learned_beta && !matches!(self.activation, Activation::Swish { .. }) {
            return Err(format!(
                "--learn-beta: {} has no beta; it goes with --activation swish",
                activation_name(self.activation)
            ));
        }
        let model = Model::new(&self.layers, self.activation)
            .map_err(|error| format!("--layers {error}"))?
            .with_loss(self.loss)
            .with_dropout(self.dropout)
            .with_batch_norm(self.batch_norm)
            .with_learned_beta(self.learned_beta);
        if model.inputs() != columns {
            return Err(format!(
                "--layers {}: the first layer has {} units, a row of the data has {columns} numbers; begin with {columns}",
                join(&self.layers),
                model.inputs(),
            ));
        }
        let labels = sets
            .iter()
            .map(|set| usize::from(set.largest_label()) + 1)
            .max()
            .unwrap_or(0);
        if model.labels() < labels {
            return Err(format!(
                "--layers {}: the last layer has {} units, the labels go from 0 to {}; end with at least {labels}",
                join(&self.layers),
                model.classes(),
                labels - 1,
            ));
        }
        Ok(model)
    }

    /// The hyperparameters as the command line spells them, in its order.
    pub fn settings(&self) -> Vec<(String, String)> {
        let settings = [
            ("layers", join(&self.layers)),
            ("epochs", self.epochs.to_string()),
            ("batch", self.batch.to_string()),
            ("lr", number(self.lr)),
            ("l2", number(self.l2)),
            ("init", self.init.to_string()),
            ("activation", activation_name(self.activation)),
            ("optimizer", self.optimizer.to_string()),
        ];
        // Those that a run can do without are named where it does not.
        let more = [
            (self.loss != Loss::default()).then(|| ("loss", self.loss.to_string())),
            self.bias.map(|bias| ("bias", number(bias))),
            self.learned_beta.then(|| ("learn-beta", String::new())),
            self.batch_norm.then(|| ("batch-norm", String::new())),
            (self.dropout > 0.0).then(|| ("dropout", number(self.dropout))),
            (self.float == Element::F64).then(|| ("dtype", "f64".to_owned())),
            (self.schedule != Schedule::Constant).then(|| ("schedule", self.schedule.to_string())),
            (self.warmup > 0).then(|| ("warmup", self.warmup.to_string())),
            (self.accumulate > 1).then(|| ("accumulate", self.accumulate.to_string())),
            self.clip.map(|clip| ("clip", number(clip))),
            self.overfit_batches.map(|count| ("overfit-batches", count.to_string())),
            (self.validation > 0.0).then(|| ("validation", number(self.validation))),
            self.patience.map(|epochs| ("patience", epochs.to_string())),
        ];
        let all = settings.into_iter().chain(more.into_iter().flatten());
        all.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Rows that are held back of `rows`, rounded.
    pub(super) fn held_back(&self, rows: usize) -> usize {
        (self.validation * rows as f64).round() as usize
    }

    /// Rows to train on of a set of `rows`.
    pub fn rows_of(&self, rows: usize) -> usize {
        let rows = rows - self.held_back(rows).min(rows);
        let few = self.overfit_batches.map(|count| count.saturating_mul(self.batch));
        few.map_or(rows, |few| few.min(rows))
    }

    /// The command that repeats the run on the same data.
    pub fn command(&self) -> String {
        let mut command = "tilelab train".to_owned();
        if self.layer_stats {
            command += " --layer-stats";
        }
        for (name, value) in self.settings() {
            command += &format!(" --{name}");
            if !value.is_empty() {
                command += &format!(" {value}");
            }
        }
        command += &format!(
            " --seed {} --device {} --threads {}",
            self.seed,
            self.device,
            self.threads.get()
        );
        if let Some(saving) = &self.saving {
            let folder = saving.folder.to_string_lossy().into_owned();
            command += &command_line(["--checkpoint".to_owned(), folder])["tilelab".len()..];
            if let Some(every) = saving.every {
                command += &format!(" --save-every {every}");
            }
            command += &format!(" --keep-last {}", saving.keep_last);
        }
        command
    }
}
