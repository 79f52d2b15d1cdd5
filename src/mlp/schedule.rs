//! How the learning rate goes over a run, as a factor of `--lr`.

use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

use super::number;

/// The course of the learning rate behind the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Schedule {
    /// Always 1. Spelled `constant`.
    #[default]
    Constant,
    /// `factor` times as much every `epochs` epochs. Spelled `step:30:0.1`.
    Step {
        /// At least 1.
        epochs: usize,
        /// Above 0, at most 1.
        factor: f64,
    },
    /// From 1 down to `floor` over the whole run, floor + (1 - floor) (1 + cos(pi p)) / 2 at the share p of it (I. Loshchilov,
    /// F. Hutter, "SGDR", arXiv:1608.03983, without restarts). Spelled `cosine` or `cosine:0.01`.
    Cosine {
        /// From 0 to below 1.
        floor: f64,
    },
}

/// What a run is in steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Steps of the warm-up: the n-th has n / warmup of the rate.
    pub warmup: u64,
    /// Steps of an epoch.
    pub epoch: u64,
    /// Steps of all epochs.
    pub run: u64,
}

impl Schedule {
    /// The factor of step `step`, counted from 1.
    pub fn factor(self, step: u64, span: Span) -> f64 {
        if step <= span.warmup {
            return step as f64 / span.warmup as f64;
        }
        match self {
            Self::Constant => 1.0,
            Self::Step { epochs, factor } => {
                let falls = (step - 1) / span.epoch.max(1) / epochs as u64;
                factor.powi(i32::try_from(falls).unwrap_or(i32::MAX))
            }
            Self::Cosine { floor } => {
                let (done, all) = (step - 1 - span.warmup, span.run.saturating_sub(span.warmup).max(1));
                floor + (1.0 - floor) * (1.0 + (PI * done as f64 / all as f64).cos()) / 2.0
            }
        }
    }

    /// Whether a rate depends on when the run ends.
    pub fn sees_the_end(self) -> bool {
        matches!(self, Self::Cosine { .. })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Constant => f.write_str("constant"),
            Self::Step { epochs, factor } => write!(f, "step:{epochs}:{}", number(factor)),
            Self::Cosine { floor: 0.0 } => f.write_str("cosine"),
            Self::Cosine { floor } => write!(f, "cosine:{}", number(floor)),
        }
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        match parts[..] {
            ["constant"] => Ok(Self::Constant),
            ["cosine"] => Ok(Self::Cosine { floor: 0.0 }),
            ["cosine", floor] => match floor.parse() {
                Ok(floor) if (0.0..1.0).contains(&floor) => Ok(Self::Cosine { floor }),
                _ => Err(format!(
                    "`{text}`: the floor must be a number from 0 to below 1, such as cosine:0.01"
                )),
            },
            ["step", epochs, factor] => match (epochs.parse(), factor.parse()) {
                (Ok(epochs), Ok(factor)) if epochs > 0 && factor > 0.0 && factor <= 1.0 => {
                    Ok(Self::Step { epochs, factor })
                }
                _ => Err(format!(
                    "`{text}`: it must be whole epochs and a factor of at most 1, such as step:30:0.1"
                )),
            },
            _ => Err(format!(
                "no schedule is called `{text}`; there is constant, step:EPOCHS:FACTOR, cosine, and cosine:FLOOR"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Span = Span {
        warmup: 4,
        epoch: 10,
        run: 54,
    };

    fn factors(text: &str, steps: &[u64]) -> Vec<f64> {
        let schedule: Schedule = text.parse().unwrap();
        steps.iter().map(|&step| schedule.factor(step, SPAN)).collect()
    }

    #[test]
    fn factors_are_those_by_hand() {
        assert_eq!(factors("constant", &[1, 2, 4, 5, 54]), [0.25, 0.5, 1.0, 1.0, 1.0]);
        // Two epochs of ten steps, then a tenth.
        assert_eq!(factors("step:2:0.5", &[3, 20, 21, 40, 41]), [0.75, 1.0, 0.5, 0.5, 0.25]);
        let cosine = factors("cosine:0.2", &[4, 5, 30, 55]);
        let expected = [1.0, 1.0, 0.2 + 0.8 / 2.0, 0.2];
        assert!(
            cosine
                .iter()
                .zip(expected)
                .all(|(got, want)| (got - want).abs() <= 1e-15),
            "{cosine:?}"
        );
    }

    #[test]
    fn text_and_back() {
        for text in ["constant", "step:30:0.1", "cosine", "cosine:0.01"] {
            assert_eq!(text.parse::<Schedule>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "linear",
            "step",
            "step:0:0.1",
            "step:3:0",
            "step:3:1.5",
            "step:3:nan",
            "cosine:1",
            "cosine:-1",
        ] {
            let line = bad.parse::<Schedule>().unwrap_err();
            assert!(!line.contains('\n') && (bad.is_empty() || line.contains(bad)), "{line}");
        }
    }
}
