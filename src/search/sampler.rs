//! Who suggests the next configuration, and from what: the trials that it may see.
//!
//! Samplers minimise. Direction is dealt with once, where a trial becomes a [`Seen`]; a trial that was pruned, that diverged
//! or whose value is NaN has no loss, and never counts as good.

use std::fmt;
use std::str::FromStr;

use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::grid::Grid;
use super::random::stream;
use super::space::{Configuration, Domain, Space, Value};
use super::tpe;

/// Trials that are drawn at random before TPE begins, as in Optuna.
pub const STARTUP: usize = 10;

/// A trial as samplers see it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Its parameters.
    pub configuration: &'a Configuration,
    /// What is to be small; `None` for a trial that must not count as good.
    pub loss: Option<f64>,
}

/// Who suggests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Sampler {
    /// Independent draws from each domain.
    Random,
    /// Every cell once, in an order that the seed shuffles.
    Grid,
    /// Tree-structured Parzen estimator, behind [`STARTUP`] random trials.
    #[default]
    Tpe,
}

/// A suggestion that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Number of the trial.
    pub trial: usize,
    /// How many trials before it the sampler has suggested.
    pub suggested: usize,
    /// What is fixed already.
    pub fixed: &'a Configuration,
    /// What may be seen.
    pub seen: &'a [Seen<'a>],
}

impl Sampler {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Random, Self::Grid, Self::Tpe];

    /// The next configuration; `None` where a grid is used up.
    pub fn suggest(self, space: &Space, grid: Option<&Grid>, seed: u64, asked: Asked<'_>) -> Option<Configuration> {
        let Asked { trial, fixed, seen, .. } = asked;
        let drawn = |number: usize, domain: &Domain| draw(domain, &mut stream(seed, trial, number));
        match self {
            Self::Grid if fixed.is_empty() => grid?.cell(space, asked.suggested),
            Self::Tpe if seen.len() >= STARTUP && seen.iter().any(|seen| seen.loss.is_some()) => {
                let estimates = tpe::Estimates::of(seen);
                Some(space.configure(fixed, |number, parameter| {
                    let suggested = estimates.suggest(parameter, &mut stream(seed, trial, number));
                    suggested.unwrap_or_else(|| drawn(number, &parameter.domain))
                }))
            }
            Self::Random | Self::Tpe | Self::Grid => {
                Some(space.configure(fixed, |number, parameter| drawn(number, &parameter.domain)))
            }
        }
    }
}

/// Uniform on the axis.
fn draw(domain: &Domain, random: &mut impl RngExt) -> Value {
    let (low, high) = domain.axis();
    let share: f64 = random.random();
    domain.at(low + share * (high - low))
}

impl fmt::Display for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Random => "random",
            Self::Grid => "grid",
            Self::Tpe => "tpe",
        })
    }
}

impl FromStr for Sampler {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|sampler| sampler.to_string() == text);
        named.ok_or_else(|| format!("no sampler is called `{text}`; there is random, grid, tpe"))
    }
}
