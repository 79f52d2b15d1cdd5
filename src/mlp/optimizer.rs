//! What a step does with a gradient.

use std::fmt;
use std::str::FromStr;

use super::number;

/// Rule of an update. lambda, the regularisation, acts on weights and not on biases.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Optimizer {
    /// W <- (1 - lr lambda) W - lr dW, and b <- b - lr db.
    #[default]
    Sgd,
    /// v <- mu v + dW + lambda W, W <- W - lr v. Spelled `momentum:0.9`, `nesterov:0.9`.
    Momentum {
        /// mu, from 0 to below 1.
        momentum: f64,
        /// W <- W - lr (dW + lambda W + mu v).
        nesterov: bool,
    },
    /// Adam with b1 = 0.9, b2 = 0.999, eps = 1e-8.
    Adam {
        /// lambda takes lr lambda W from W itself (AdamW), and is not added to the gradient.
        decoupled: bool,
    },
    /// The minimum of a damped quadratic model of the batch by conjugate gradients; the learning rate counts for nothing. Spelled
    /// `newton-cg`, and `newton-cg:hessian`.
    NewtonCg {
        /// The model has the Hessian, else Gauss-Newton's matrix.
        hessian: bool,
    },
}

/// b1, b2 and eps of Adam.
pub(crate) const ADAM: (f64, f64, f64) = (0.9, 0.999, 1e-8);

impl fmt::Display for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sgd => f.write_str("sgd"),
            Self::Momentum { momentum, nesterov } => {
                let name = if *nesterov { "nesterov" } else { "momentum" };
                write!(f, "{name}:{}", number(*momentum))
            }
            Self::Adam { decoupled: false } => f.write_str("adam"),
            Self::Adam { decoupled: true } => f.write_str("adamw"),
            Self::NewtonCg { hessian: false } => f.write_str("newton-cg"),
            Self::NewtonCg { hessian: true } => f.write_str("newton-cg:hessian"),
        }
    }
}

impl FromStr for Optimizer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once(':')
            .map_or((text, None), |(name, value)| (name, Some(value)));
        let plain = |optimizer| match value {
            None => Ok(optimizer),
            Some(_) => Err(format!("`{text}`: {name} takes no number")),
        };
        match name {
            "sgd" => plain(Self::Sgd),
            "adam" => plain(Self::Adam { decoupled: false }),
            "adamw" => plain(Self::Adam { decoupled: true }),
            "newton-cg" => match value {
                None | Some("gauss-newton") => Ok(Self::NewtonCg { hessian: false }),
                Some("hessian") => Ok(Self::NewtonCg { hessian: true }),
                Some(_) => Err(format!("`{text}`: newton-cg takes gauss-newton or hessian")),
            },
            "momentum" | "nesterov" => match value.unwrap_or("0.9").parse::<f64>() {
                Ok(momentum) if (0.0..1.0).contains(&momentum) => Ok(Self::Momentum {
                    momentum,
                    nesterov: name == "nesterov",
                }),
                _ => Err(format!("`{text}`: mu must be from 0 to below 1, such as {name}:0.9")),
            },
            _ => Err(format!(
                "no optimizer is called `{name}`; there is sgd, momentum:MU, nesterov:MU, adam, adamw, newton-cg, newton-cg:hessian"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for text in [
            "sgd",
            "momentum:0.9",
            "nesterov:0.5",
            "adam",
            "adamw",
            "newton-cg",
            "newton-cg:hessian",
        ] {
            assert_eq!(text.parse::<Optimizer>().unwrap().to_string(), text);
        }
        assert_eq!("momentum".parse::<Optimizer>().unwrap().to_string(), "momentum:0.9");
        for bad in [
            "",
            "sgdd",
            "sgd:1",
            "momentum:1",
            "momentum:nan",
            "adam:0.9",
            "newton-cg:5",
        ] {
            assert!(bad.parse::<Optimizer>().is_err(), "{bad}");
        }
    }
}
