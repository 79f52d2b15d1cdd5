//! How parameters begin.

use std::fmt;
use std::str::FromStr;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::number;
use super::random::{Purpose, stream};

/// How parameters begin. `n` is a layer's number of inputs, `q` of its outputs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Weights independent, normal, mean 0. Spelled `normal:0.01`.
    Normal {
        /// Standard deviation: finite, not negative.
        sigma: f64,
    },
    /// Weights uniform in [-limit, limit]. Spelled `uniform:0.1`.
    Uniform {
        /// Finite, not negative.
        limit: f64,
    },
    /// All weights this. Spelled `constant:0.5`, and `zeros`.
    Constant {
        /// Finite.
        value: f64,
    },
    /// Glorot and Bengio, 2010: variance 2 / (n + q). Spelled `xavier-uniform`, `xavier-normal`.
    Xavier {
        /// Normal, else uniform.
        normal: bool,
    },
    /// He et al., 2015: variance 2 / n. Spelled `he-uniform`, `he-normal`.
    He {
        /// Normal, else uniform.
        normal: bool,
    },
    /// What PyTorch's `nn.Linear` does: weights and biases uniform in [-1 / sqrt(n), 1 / sqrt(n)]. Spelled `torch`.
    Torch,
}

impl Init {
    /// The weights \[inputs, outputs\] of layer `l`: the same for the same seed, layer and sizes, whatever the other layers are.
    pub fn weights(self, seed: u64, l: usize, (inputs, outputs): (usize, usize)) -> Vec<f64> {
        let random = stream(seed, Purpose::Weights { layer: l });
        let count = inputs * outputs;
        let (n, sum) = (inputs as f64, (inputs + outputs) as f64);
        match self {
            Self::Constant { value } => vec![value; count],
            Self::Normal { sigma } => normal(random, sigma, count),
            Self::Xavier { normal: true } => normal(random, (2.0 / sum).sqrt(), count),
            Self::He { normal: true } => normal(random, (2.0 / n).sqrt(), count),
            Self::Uniform { limit } => uniform(random, limit, count),
            // A uniform number in [-a, a] has the variance a^2 / 3.
            Self::Xavier { normal: false } => uniform(random, (6.0 / sum).sqrt(), count),
            Self::He { normal: false } => uniform(random, (6.0 / n).sqrt(), count),
            Self::Torch => uniform(random, 1.0 / n.sqrt(), count),
        }
    }

    /// The biases of layer `l`: 0 but for PyTorch's.
    pub fn biases(self, seed: u64, l: usize, (inputs, outputs): (usize, usize)) -> Vec<f64> {
        match self {
            Self::Torch => {
                let random = stream(seed, Purpose::Biases { layer: l });
                uniform(random, 1.0 / (inputs as f64).sqrt(), outputs)
            }
            _ => vec![0.0; outputs],
        }
    }
}

fn normal(random: ChaCha8Rng, sigma: f64, count: usize) -> Vec<f64> {
    let numbers = random.sample_iter(StandardNormal).take(count);
    numbers.map(|x: f64| sigma * x).collect()
}

fn uniform(mut random: ChaCha8Rng, limit: f64, count: usize) -> Vec<f64> {
    (0..count)
        .map(|_| limit * (2.0 * random.random::<f64>() - 1.0))
        .collect()
}

impl Default for Init {
    fn default() -> Self {
        Self::Normal { sigma: 0.01 }
    }
}

impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let law = |normal: bool| if normal { "normal" } else { "uniform" };
        match self {
            Self::Normal { sigma } => write!(f, "normal:{}", number(*sigma)),
            Self::Uniform { limit } => write!(f, "uniform:{}", number(*limit)),
            Self::Constant { value: 0.0 } => f.write_str("zeros"),
            Self::Constant { value } => write!(f, "constant:{}", number(*value)),
            Self::Xavier { normal } => write!(f, "xavier-{}", law(*normal)),
            Self::He { normal } => write!(f, "he-{}", law(*normal)),
            Self::Torch => f.write_str("torch"),
        }
    }
}

impl FromStr for Init {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((name, value)) = text.split_once(':') else {
            return match text {
                "zeros" => Ok(Self::Constant { value: 0.0 }),
                "xavier-uniform" => Ok(Self::Xavier { normal: false }),
                "xavier-normal" => Ok(Self::Xavier { normal: true }),
                "he-uniform" => Ok(Self::He { normal: false }),
                "he-normal" => Ok(Self::He { normal: true }),
                "torch" => Ok(Self::Torch),
                "normal" | "uniform" | "constant" => {
                    Err(format!("`{text}` needs a number behind it, such as {text}:0.01"))
                }
                _ => Err(unknown(text)),
            };
        };
        let value = value.parse::<f64>().ok().filter(|value| value.is_finite());
        match (name, value) {
            ("normal", Some(sigma)) if sigma >= 0.0 => Ok(Self::Normal { sigma }),
            ("uniform", Some(limit)) if limit >= 0.0 => Ok(Self::Uniform { limit }),
            ("constant", Some(value)) => Ok(Self::Constant { value }),
            ("normal", _) => Err(format!(
                "`{text}`: sigma must be a number of at least 0, such as normal:0.01"
            )),
            ("uniform", _) => Err(format!(
                "`{text}`: the limit must be a number of at least 0, such as uniform:0.1"
            )),
            ("constant", _) => Err(format!("`{text}`: it must be a finite number, such as constant:0.5")),
            _ => Err(unknown(name)),
        }
    }
}

fn unknown(name: &str) -> String {
    format!(
        "no init is called `{name}`; there is normal:SIGMA, such as normal:0.01, uniform:LIMIT, constant:C, zeros, xavier-uniform, xavier-normal, he-uniform, he-normal, torch"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let init: Init = "normal:0.01".parse().unwrap();
        assert_eq!(init, Init::Normal { sigma: 0.01 });
        assert_eq!(init.to_string(), "normal:0.01");
        for text in [
            "uniform:0.1",
            "zeros",
            "constant:-0.5",
            "xavier-uniform",
            "xavier-normal",
            "he-uniform",
            "he-normal",
            "torch",
        ] {
            assert_eq!(text.parse::<Init>().unwrap().to_string(), text);
        }
        for bad in [
            "uniform:-1",
            "constant:nan",
            "zeros:1",
            "xavier",
            "he-normal:2",
            "normal",
            "normal:",
            "normal:-1",
            "normal:nan",
            "normal:inf",
            "norml:0.1",
            "",
        ] {
            assert!(bad.parse::<Init>().is_err(), "{bad}");
        }
    }

    #[test]
    fn moments_are_those_of_the_distribution() {
        let n = 200_000;
        let w = Init::Normal { sigma: 0.5 }.weights(7, 1, (n, 1));
        let mean = w.iter().sum::<f64>() / n as f64;
        let variance = w.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
        // Five standard errors: sigma / sqrt(n) of the mean, sigma^2 sqrt(2 / n) of the variance.
        assert!(mean.abs() < 5.0 * 0.5 / (n as f64).sqrt(), "{mean}");
        assert!(
            (variance - 0.25).abs() < 5.0 * 0.25 * (2.0 / n as f64).sqrt(),
            "{variance}"
        );
    }

    #[test]
    fn seed_and_layer_decide() {
        let init = Init::default();
        let weights = |seed, layer| init.weights(seed, layer, (8, 1));
        assert_eq!(weights(1, 1), weights(1, 1));
        assert_ne!(weights(1, 1), weights(2, 1));
        assert_ne!(weights(1, 1), weights(1, 2));
        assert_eq!(weights(1, 1)[..4], init.weights(1, 1, (4, 1)));
    }

    /// Variances by their formulas, within five standard errors, and limits that are kept.
    #[test]
    fn scaled_inits_have_their_variance() {
        let (inputs, outputs) = (300, 700);
        let n = (inputs * outputs) as f64;
        for (text, variance, limit) in [
            ("uniform:0.3", 0.03, 0.3),
            ("xavier-uniform", 2e-3, 6e-3f64.sqrt()),
            ("xavier-normal", 2e-3, f64::INFINITY),
            ("he-uniform", 2.0 / 300.0, (6.0 / 300.0f64).sqrt()),
            ("he-normal", 2.0 / 300.0, f64::INFINITY),
            ("torch", 1.0 / 900.0, 1.0 / 300f64.sqrt()),
            ("constant:0.5", 0.25, 0.5),
        ] {
            let init: Init = text.parse().unwrap();
            let w = init.weights(7, 1, (inputs, outputs));
            let square = w.iter().map(|x| x * x).sum::<f64>() / n;
            assert!(
                (square / variance - 1.0).abs() < 5.0 * (2.0 / n).sqrt() + 1e-12,
                "{text}: {square}"
            );
            assert!(w.iter().all(|x| x.abs() <= limit), "{text}");
        }
        let biases = Init::Torch.biases(7, 1, (inputs, outputs));
        assert!(biases.iter().all(|b| b.abs() <= 1.0 / 300f64.sqrt()) && biases.iter().any(|b| *b != 0.0));
        assert_eq!(Init::default().biases(7, 1, (3, 2)), [0.0, 0.0]);
    }
}
