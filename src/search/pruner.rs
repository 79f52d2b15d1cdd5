//! When a trial is stopped early: its curve beside those of the trials that it may see.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::trial::{Direction, State, Trial};

/// Complete trials that the median needs, as in Optuna.
const STARTUP: usize = 5;

/// A rule that stops trials.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pruner {
    /// None is stopped. Spelled `none`.
    None,
    /// One whose best value so far is worse than the median of the complete trials at the same epoch (Optuna's `MedianPruner`),
    /// from the epoch behind `warmup` on. Spelled `median`, `median:3`.
    Median {
        /// Epochs without a judgement.
        warmup: usize,
    },
    /// At the epochs `first`, `first * factor`, `first * factor^2`, ... only the best of each `factor` trials goes on: asynchronous successive
    /// halving (L. Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020). Spelled `halving`,
    /// `halving:FIRST:FACTOR`.
    Halving {
        /// Epochs before the first judgement, at least 1.
        first: usize,
        /// At least 2.
        factor: usize,
    },
}

impl Default for Pruner {
    fn default() -> Self {
        Self::Median { warmup: 2 }
    }
}

impl Pruner {
    /// Whether the trial with these values at the epochs 1, 2, .. ends here. `seen` are trials that have finished.
    pub fn stops(self, curve: &[f64], direction: Direction, seen: &[Trial]) -> bool {
        let Some(&last) = curve.last() else { return false };
        let epoch = curve.len();
        match self {
            Self::None => false,
            Self::Median { warmup } => {
                let complete = || seen.iter().filter(|trial| trial.state == State::Complete);
                if epoch <= warmup || complete().count() < STARTUP {
                    return false;
                }
                let others = complete().filter_map(|trial| trial.curve.get(&epoch)).copied();
                let Some(median) = median(others.filter(|x| !x.is_nan()).collect()) else {
                    return false;
                };
                let best = curve
                    .iter()
                    .fold(f64::NAN, |best, &x| if direction.better(x, best) { x } else { best });
                best.is_nan() || direction.better(median, best)
            }
            Self::Halving { first, factor } => {
                if !is_rung(epoch, first, factor) {
                    return false;
                }
                let others = seen.iter().filter_map(|trial| trial.curve.get(&epoch)).copied();
                let ahead = others.clone().filter(|&x| direction.better(x, last)).count();
                let stay = ((others.count() + 1) / factor).max(1);
                last.is_nan() || ahead >= stay
            }
        }
    }
}

fn is_rung(epoch: usize, first: usize, factor: usize) -> bool {
    let mut rung = first;
    while rung < epoch {
        rung = rung.saturating_mul(factor);
    }
    rung == epoch
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle).copied()?;
    Some(if values.len() % 2 == 1 {
        upper
    } else {
        (values[middle - 1] + upper) / 2.0
    })
}

impl fmt::Display for Pruner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Median { warmup } => write!(f, "median:{warmup}"),
            Self::Halving { first, factor } => write!(f, "halving:{first}:{factor}"),
        }
    }
}

impl FromStr for Pruner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("no pruner is called `{text}`; there is none, median, median:WARMUP, halving, halving:FIRST:FACTOR")
        };
        let parts: Vec<&str> = text.split(':').collect();
        let number = |text: &str| text.parse::<usize>().map_err(|_| wrong());
        match parts[..] {
            ["none"] => Ok(Self::None),
            ["median"] => Ok(Self::default()),
            ["median", warmup] => Ok(Self::Median {
                warmup: number(warmup)?,
            }),
            ["halving"] => Ok(Self::Halving { first: 1, factor: 3 }),
            ["halving", first, factor] => match (number(first)?, number(factor)?) {
                (first, factor) if first >= 1 && factor >= 2 => Ok(Self::Halving { first, factor }),
                _ => Err(format!(
                    "`{text}`: FIRST must be at least 1 and FACTOR at least 2, such as halving:1:3"
                )),
            },
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(state: State, curve: &[f64]) -> Trial {
        let mut trial = Trial::new(0, state);
        trial.curve = curve.iter().enumerate().map(|(i, &x)| (i + 1, x)).collect();
        trial
    }

    fn negated(trials: &[Trial]) -> Vec<Trial> {
        let mut trials = trials.to_vec();
        trials
            .iter_mut()
            .flat_map(|trial| trial.curve.values_mut())
            .for_each(|x| *x = -*x);
        trials
    }

    /// Both directions at once.
    fn stops(pruner: Pruner, curve: &[f64], seen: &[Trial]) -> bool {
        let up = pruner.stops(curve, Direction::Maximize, seen);
        let curve: Vec<f64> = curve.iter().map(|x| -x).collect();
        assert_eq!(pruner.stops(&curve, Direction::Minimize, &negated(seen)), up);
        up
    }

    #[test]
    fn the_median_is_that_of_complete_trials_at_the_same_epoch() {
        let pruner = Pruner::Median { warmup: 1 };
        let mut seen: Vec<Trial> = [0.1, 0.2, 0.3, 0.4]
            .map(|x| trial(State::Complete, &[x, 2.0 * x]))
            .into();
        seen.push(trial(State::Pruned, &[0.0, 0.0]));
        assert!(!stops(pruner, &[0.0, 0.0], &seen), "four are too few");
        seen.push(trial(State::Complete, &[0.5, 1.0]));
        assert!(!stops(pruner, &[0.0], &seen), "the warm-up");
        assert!(stops(pruner, &[0.0, 0.59], &seen) && !stops(pruner, &[0.0, 0.6], &seen));
        assert!(!stops(pruner, &[0.7, 0.1], &seen), "the best so far counts");
        assert!(stops(pruner, &[f64::NAN, f64::NAN], &seen));
        assert!(!stops(pruner, &[0.0, 0.0, 0.0], &seen), "nobody was seen at epoch 3");
    }

    #[test]
    fn halving_keeps_the_best_of_each_factor_at_rungs() {
        let pruner = Pruner::Halving { first: 1, factor: 3 };
        let seen: Vec<Trial> = [0.1, 0.2, 0.3, 0.4, 0.5].map(|x| trial(State::Pruned, &[x; 3])).into();
        assert!(!stops(pruner, &[0.45], &seen), "second of six");
        assert!(stops(pruner, &[0.35], &seen), "third of six");
        assert!(!stops(pruner, &[0.35, 0.0], &seen), "2 is no rung");
        assert!(stops(pruner, &[0.9, 0.9, 0.0], &seen), "3 is one");
        assert!(stops(pruner, &[f64::NAN], &[]) && !stops(pruner, &[0.0], &[]));
    }

    #[test]
    fn text_and_back() {
        for text in ["none", "median:0", "halving:2:4"] {
            assert_eq!(text.parse::<Pruner>().unwrap().to_string(), text);
        }
        for bad in ["", "hyperband", "median:x", "halving:0:3", "halving:1:1", "halving:1"] {
            assert!(bad.parse::<Pruner>().is_err(), "{bad}");
        }
    }
}
