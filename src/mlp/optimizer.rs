//! What a step does with a gradient.

use std::fmt;
use std::str::FromStr;

use super::by_name;

/// Rule of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Optimizer {
    /// W <- (1 - lr * l2) W - lr dW, and b <- b - lr db.
    #[default]
    Sgd,
}

const OPTIMIZERS: &[(&str, Optimizer)] = &[("sgd", Optimizer::Sgd)];

impl fmt::Display for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sgd => "sgd",
        })
    }
}

impl FromStr for Optimizer {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        by_name("optimizer", name, OPTIMIZERS)
    }
}
