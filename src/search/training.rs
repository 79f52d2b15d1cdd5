//! The search over training runs: what the parameters mean, what a trial is, and what becomes of the best.
//!
//! The rows of the training set are split once, by the study's seed. Trials learn from one part and are judged by the other, so
//! that the test set is not there at all while something is chosen. The best configuration is then trained on all rows.

use std::ops::ControlFlow;

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::given::Given;
use super::run::{Flow, Run};
use super::space::{Configuration, Domain, Parameter, Space, Value, When};
use super::study::Outcome;
use crate::data::{Dataset, Split};
use crate::measure::Epoch;
use crate::mlp::{Event, Optimizer, Purpose, TrainError, TrainOptions, activation_by_name, stream, train};

/// What a trial is judged by, on the rows that are held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Share that is right.
    Accuracy,
    /// Mean loss.
    Loss,
}

impl Measure {
    /// Its figure.
    fn of(self, epoch: &Epoch) -> f64 {
        match self {
            Self::Accuracy => epoch.test_acc,
            Self::Loss => epoch.test_loss,
        }
    }
}

/// The hyperparameters of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct Hyperparameters {
    /// Learning rate.
    pub lr: Given,
    /// Times through the training rows.
    pub epochs: Given,
    /// Number of hidden layers.
    pub hidden_layers: Given,
    /// Units of each hidden layer.
    pub units: Given,
    /// Rows of a batch.
    pub batch: Given,
    /// By name.
    pub activation: Given,
    /// By name.
    pub init: Given,
    /// By name; `momentum` and `nesterov` without a number take `momentum`'s.
    pub optimizer: Given,
    /// mu of the optimizers that have one.
    pub momentum: Given,
    /// Probability.
    pub dropout: Given,
    /// Weight decay.
    pub l2: Given,
    /// By name.
    pub schedule: Given,
}

/// Optimizers that need `momentum`.
fn with_momentum() -> [Value; 2] {
    ["momentum", "nesterov"].map(|name| Value::Text(name.to_owned()))
}

/// Name of a layer's units, layers counted from 0 as in the notebook's search.
fn units_of(layer: i64) -> String {
    format!("units_l{layer}")
}

impl Hyperparameters {
    /// The hyperparameters as flags call them.
    fn each(&self) -> [(&'static str, &Given); 12] {
        [
            ("lr", &self.lr),
            ("epochs", &self.epochs),
            ("hidden-layers", &self.hidden_layers),
            ("units", &self.units),
            ("batch", &self.batch),
            ("activation", &self.activation),
            ("init", &self.init),
            ("optimizer", &self.optimizer),
            ("momentum", &self.momentum),
            ("dropout", &self.dropout),
            ("l2", &self.l2),
            ("schedule", &self.schedule),
        ]
    }

    /// What is searched.
    ///
    /// # Errors
    /// Values that make no sense, in one line that names the flag.
    pub fn space(&self) -> Result<Space, String> {
        self.check_named()?;
        let (fewest, most) = self.hidden_layers.bounds().unwrap_or((0, 0));
        if fewest < 0 || most > 32 {
            return Err("--hidden-layers: there may be 0 to 32".to_owned());
        }
        let mut parameters = Vec::new();
        let mut add = |name: String, given: &Given, when: Option<When>| {
            if let Given::Searched(domain) = given {
                let domain = domain.clone();
                parameters.push(Parameter { name, domain, when });
            }
        };
        for (name, given) in self.each() {
            match name {
                "units" => {
                    for layer in 0..most {
                        let when = (layer >= fewest).then(|| When::AtLeast("hidden_layers".to_owned(), layer + 1));
                        add(units_of(layer), given, when);
                    }
                }
                "momentum" => {
                    let of_them = |value: &Value| with_momentum().contains(value);
                    let named = self.optimizer.named();
                    if named.iter().any(of_them) {
                        let all = named.iter().all(of_them);
                        let when = (!all).then(|| When::OneOf("optimizer".to_owned(), with_momentum().into()));
                        add(name.to_owned(), given, when);
                    }
                }
                _ => add(name.replace('-', "_"), given, None),
            }
        }
        if parameters.is_empty() {
            return Err(
                "every hyperparameter is fixed: give one a list or a range, such as --lr 0.001..0.2:log".to_owned(),
            );
        }
        Space::new(parameters).map_err(|line| format!("--{}", line.replacen("_l0", "", 1).replacen('_', "-", 1)))
    }

    /// Names that `tilelab train` does not know, and numbers that it does not take.
    fn check_named(&self) -> Result<(), String> {
        for (name, given) in self.each() {
            for value in given.named() {
                let text = value.to_string();
                let known = match name {
                    "activation" => activation_by_name(&text).map(|_| ()),
                    "init" => text.parse::<crate::mlp::Init>().map(|_| ()),
                    "optimizer" => text.parse::<Optimizer>().map(|_| ()),
                    "schedule" => text.parse::<crate::mlp::Schedule>().map(|_| ()),
                    _ => Ok(()),
                };
                known.map_err(|why| format!("--{name} {why}"))?;
            }
            let (low, high) = match given {
                Given::Searched(Domain::Float { low, high, .. }) => (*low, *high),
                Given::Searched(Domain::Int { low, high, .. }) => (*low as f64, *high as f64),
                other => {
                    let numbers = || other.named().iter().filter_map(Value::number);
                    (
                        numbers().fold(f64::INFINITY, f64::min),
                        numbers().fold(f64::NEG_INFINITY, f64::max),
                    )
                }
            };
            let fits = match name {
                "lr" => low > 0.0,
                "epochs" | "units" | "batch" => low >= 1.0,
                "momentum" | "dropout" => low >= 0.0 && high < 1.0,
                _ => low >= 0.0 || low == f64::INFINITY,
            };
            if !fits {
                return Err(match name {
                    "lr" => "--lr: every value must be above 0, such as 0.001..0.2:log".to_owned(),
                    "momentum" | "dropout" => format!("--{name}: every value must be from 0 to below 1"),
                    "l2" => "--l2: every value must be at least 0; a logarithm starts above it".to_owned(),
                    _ => format!("--{name}: every value must be at least 1"),
                });
            }
        }
        Ok(())
    }

    /// The hyperparameters that are fixed, for the study's plan: it must not go on with others.
    pub fn fixed(&self) -> Vec<(String, String)> {
        let fixed = self.each().into_iter().filter_map(|(name, given)| match given {
            Given::Fixed(value) => Some((format!("--{name}"), value.to_string())),
            Given::Searched(_) => None,
        });
        fixed.collect()
    }

    /// The run of a configuration; `base` says all else. Widths of input and output are the data's.
    ///
    /// # Errors
    /// A name that means nothing, in one line.
    pub fn options(&self, base: &TrainOptions, data: &Dataset, tried: &Configuration) -> Result<TrainOptions, String> {
        let value = |name: &str, given: &Given| match (tried.get(name), given) {
            (Some(value), _) | (None, Given::Fixed(value)) => Ok(value.clone()),
            _ => Err(format!("the configuration has no {name}")),
        };
        let float = |name: &str, given: &Given| {
            let number = value(name, given)?.number();
            number.ok_or_else(|| format!("{name} is no number"))
        };
        let whole = |name: &str, given: &Given| float(name, given).map(|x| x as usize);
        let text = |name: &str, given: &Given| value(name, given).map(|value| value.to_string());
        let hidden = whole("hidden_layers", &self.hidden_layers)? as i64;
        let mut layers = vec![data.columns()];
        for layer in 0..hidden {
            layers.push(whole(&units_of(layer), &self.units)?);
        }
        layers.push(data.classes);
        let named = value("optimizer", &self.optimizer)?;
        let optimizer = if with_momentum().contains(&named) {
            let mu = float("momentum", &self.momentum)?;
            format!("{named}:{mu}").parse()?
        } else {
            named.to_string().parse()?
        };
        Ok(TrainOptions {
            layers,
            optimizer,
            lr: float("lr", &self.lr)?,
            epochs: whole("epochs", &self.epochs)?,
            batch: whole("batch", &self.batch)?,
            activation: activation_by_name(&text("activation", &self.activation)?)?,
            init: text("init", &self.init)?.parse()?,
            dropout: float("dropout", &self.dropout)?,
            l2: float("l2", &self.l2)?,
            schedule: text("schedule", &self.schedule)?.parse()?,
            ..base.clone()
        })
    }
}

/// The data of trials: a part of the training rows to learn from, the rest in the place of the test set.
///
/// # Errors
/// A share that leaves nothing on one side, in one line.
pub fn held_back(data: &Dataset, share: f64, seed: u64) -> Result<Dataset, String> {
    let rows = data.train.rows;
    let count = (share * rows as f64).round() as usize;
    if !(0.0..1.0).contains(&share) || count == 0 || count >= rows {
        return Err(format!(
            "--validation {share}: of {rows} rows it leaves none on one side; choose a share such as 0.1667"
        ));
    }
    let mut order: Vec<usize> = (0..rows).collect();
    order.shuffle(&mut stream(seed, Purpose::Validation));
    let mut validation = order.split_off(rows - count);
    order.sort_unstable();
    validation.sort_unstable();
    let part = |rows: &[usize]| Split {
        values: data.train.values.take(rows, data.train.columns),
        rows: rows.len(),
        columns: data.train.columns,
        labels: rows.iter().map(|&row| data.train.labels[row]).collect(),
    };
    Ok(Dataset {
        name: data.name.clone(),
        source: data.source.clone(),
        shape: data.shape,
        classes: data.classes,
        train: part(&order),
        test: part(&validation),
    })
}

/// Runs one trial on the data of [`held_back`].
pub fn trial(run: &Run<'_>, options: &TrainOptions, data: &Dataset, measure: Measure) -> Outcome {
    let (mut pruned, mut value) = (false, f64::NAN);
    let done = train(options, data, &mut |event| match event {
        Event::Batch { .. } if run.is_stopped() => ControlFlow::Break(()),
        Event::Epoch(epoch) => {
            value = measure.of(epoch);
            match run.report(epoch.epoch, value) {
                // Behind the last epoch there is nothing left to save.
                Flow::Prune if epoch.epoch < options.epochs => {
                    pruned = true;
                    ControlFlow::Break(())
                }
                Flow::Stop => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
        _ => ControlFlow::Continue(()),
    });
    match done {
        Ok(_) => Outcome::Complete(value),
        Err(TrainError::Interrupted { .. }) if pruned => Outcome::Pruned,
        Err(TrainError::Interrupted { .. }) => Outcome::Stopped,
        Err(error @ TrainError::Diverged { .. }) => {
            if let TrainError::Diverged { epoch, .. } = error {
                run.report(epoch, f64::NAN);
            }
            Outcome::Diverged(error.to_string())
        }
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

/// What the best configuration, trained on all rows, does with the test set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    /// Number of the trial.
    pub trial: usize,
    /// Seed of the training run.
    pub seed: u64,
    /// Share of the test set that is right behind the last epoch.
    pub accuracy: f64,
    /// Mean loss there.
    pub loss: f64,
}

/// Trains a configuration on all rows under this seed, and tests it behind the last epoch.
///
/// # Errors
/// As [`train`]; [`TrainError::Interrupted`] when `stop` says so.
pub fn test(
    options: &TrainOptions,
    data: &Dataset,
    (trial, seed): (usize, u64),
    stop: &dyn Fn() -> bool,
) -> Result<Tested, TrainError> {
    let options = TrainOptions {
        seed,
        ..options.clone()
    };
    let training = train(&options, data, &mut |_| {
        if stop() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    let last = training.epochs.last();
    Ok(Tested {
        trial,
        seed,
        accuracy: last.map_or(f64::NAN, |epoch| epoch.test_acc),
        loss: last.map_or(f64::NAN, |epoch| epoch.test_loss),
    })
}
