//! One trial: what was tried, how it went, and how it ended.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::sampler::Seen;
use super::space::Configuration;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The smallest value.
    Minimize,
    /// The largest.
    Maximize,
}

impl Direction {
    /// Something that is to be small. Not finite if the value is not.
    pub fn loss(self, value: f64) -> f64 {
        match self {
            Self::Minimize => value,
            Self::Maximize => -value,
        }
    }

    /// Whether `a` is better than `b`. Every number is better than NaN, and NaN than none.
    pub fn better(self, a: f64, b: f64) -> bool {
        self.loss(a) < self.loss(b) || (b.is_nan() && !a.is_nan())
    }
}

/// Where a trial is. The numbers are Optuna's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Under way, or left by a process that was killed.
    Running = 0,
    /// Ended with a value.
    Complete = 1,
    /// Stopped early for its curve.
    Pruned = 2,
    /// Ended without a value.
    Failed = 3,
    /// Its configuration is given, and it has not begun.
    Waiting = 4,
}

impl State {
    /// By Optuna's number.
    pub fn of(number: i64) -> Option<Self> {
        let all = [Self::Running, Self::Complete, Self::Pruned, Self::Failed, Self::Waiting];
        all.into_iter().find(|state| *state as i64 == number)
    }

    /// Whether nothing can change any more.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Complete | Self::Pruned | Self::Failed)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Pruned => "pruned",
            Self::Failed => "failed",
            Self::Waiting => "waiting",
        })
    }
}

/// Attribute of a trial that ended without a finite value: counted as bad, and not tried again.
pub const DIVERGED: &str = "diverged";
/// Attribute of a trial that ended for another reason: the reason.
pub const FAILURE: &str = "failure";
/// Attribute: when its last attempt began, seconds since 1970.
pub const STARTED: &str = "started";
/// System attribute, as Optuna's: a configuration that is given.
pub const FIXED: &str = "fixed_params";
/// System attribute, as Optuna's: the trial that this one repeats.
pub const RETRIED: &str = "failed_trial";

/// A trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// From 0.
    pub number: usize,
    /// Where it is.
    pub state: State,
    /// What it tries.
    pub configuration: Configuration,
    /// What came out.
    pub value: Option<f64>,
    /// What was seen on the way, by epoch; NaN where it was none.
    pub curve: BTreeMap<usize, f64>,
    /// When it ended, seconds since 1970.
    pub ended_s: Option<f64>,
    /// When it began.
    pub started_s: Option<f64>,
    /// Attributes of ours.
    pub user: BTreeMap<String, Json>,
    /// Attributes that Optuna knows.
    pub system: BTreeMap<String, Json>,
}

impl Trial {
    /// One of which only the number and the state are known.
    pub fn new(number: usize, state: State) -> Self {
        Self {
            number,
            state,
            configuration: Configuration::new(),
            value: None,
            curve: BTreeMap::new(),
            ended_s: None,
            started_s: None,
            user: BTreeMap::new(),
            system: BTreeMap::new(),
        }
    }

    /// What was given before it began.
    pub fn fixed(&self) -> Configuration {
        let given = self.system.get(FIXED).cloned().unwrap_or_default();
        serde_json::from_value(given).unwrap_or_default()
    }

    /// The trial that this one repeats.
    pub fn retry_of(&self) -> Option<usize> {
        self.system.get(RETRIED)?.as_u64().map(|number| number as usize)
    }

    /// Whether it ended for a reason that another attempt may not meet.
    pub fn may_be_retried(&self) -> bool {
        self.state == State::Failed && !self.user.contains_key(DIVERGED)
    }

    /// The value, if it ended with a finite one.
    pub fn result(&self) -> Option<f64> {
        self.value
            .filter(|value| self.state == State::Complete && value.is_finite())
    }

    /// As samplers see it. One that failed says nothing of its configuration.
    pub fn seen(&self, direction: Direction) -> Option<Seen<'_>> {
        (self.state.is_finished() && !self.may_be_retried()).then(|| Seen {
            configuration: &self.configuration,
            loss: self.result().map(|value| direction.loss(value)),
        })
    }
}

/// The best of these; the first of equals.
pub fn best(trials: &[Trial], direction: Direction) -> Option<&Trial> {
    let mut best: Option<(&Trial, f64)> = None;
    for trial in trials {
        if let Some(value) = trial.result()
            && best.is_none_or(|(_, best)| direction.better(value, best))
        {
            best = Some((trial, value));
        }
    }
    best.map(|(trial, _)| trial)
}
