//! What is minimised.

use std::fmt;
use std::str::FromStr;

use super::number;

/// A loss. It is the mean over the rows of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// -sum_j target_j log softmax(o)_j, target being the label's one-hot row or (1 - e) of it plus e / q.
    CrossEntropy {
        /// Label smoothing e, from 0 to below 1.
        smoothing: f64,
    },
    /// The mean over the outputs of (o - target)^2; the target is the label's one-hot row, for one output the label itself.
    SquaredError,
    /// The mean over the outputs of binary cross-entropy with logits; targets as above.
    BinaryCrossEntropy,
}

impl Default for Loss {
    fn default() -> Self {
        Self::CrossEntropy { smoothing: 0.0 }
    }
}

impl Loss {
    /// How many labels `outputs` units tell apart.
    pub fn classes(self, outputs: usize) -> usize {
        match (self, outputs) {
            (Self::BinaryCrossEntropy, 1) => 2,
            // Any number is a target.
            (Self::SquaredError, 1) => 256,
            _ => outputs,
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CrossEntropy { smoothing: 0.0 } => f.write_str("cross-entropy"),
            Self::CrossEntropy { smoothing } => write!(f, "cross-entropy:{}", number(*smoothing)),
            Self::SquaredError => f.write_str("mse"),
            Self::BinaryCrossEntropy => f.write_str("bce"),
        }
    }
}

impl FromStr for Loss {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None => match text {
                "cross-entropy" => Ok(Self::default()),
                "mse" => Ok(Self::SquaredError),
                "bce" => Ok(Self::BinaryCrossEntropy),
                _ => Err(format!(
                    "no loss is called `{text}`; there is cross-entropy, cross-entropy:SMOOTHING, mse, bce"
                )),
            },
            Some(("cross-entropy", smoothing)) => match smoothing.parse::<f64>() {
                Ok(smoothing) if (0.0..1.0).contains(&smoothing) => Ok(Self::CrossEntropy { smoothing }),
                _ => Err(format!(
                    "`{text}`: label smoothing must be from 0 to below 1, such as cross-entropy:0.1"
                )),
            },
            Some((name, _)) => Err(format!("`{text}`: {name} takes no number")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for text in ["cross-entropy", "cross-entropy:0.1", "mse", "bce"] {
            assert_eq!(text.parse::<Loss>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "mae",
            "mse:1",
            "cross-entropy:1",
            "cross-entropy:nan",
            "cross-entropy:-0.1",
        ] {
            assert!(bad.parse::<Loss>().is_err(), "{bad}");
        }
    }
}
