//! How weights begin. Biases begin at 0.

use std::fmt;
use std::str::FromStr;

use rand::RngExt;
use rand_distr::StandardNormal;

use super::number;
use super::random::{Purpose, stream};

/// Distribution of the weights before training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Independent, normal, mean 0. Spelled `normal:0.01`.
    Normal {
        /// Standard deviation: finite, not negative.
        sigma: f64,
    },
}

impl Init {
    /// `count` weights of layer `l`: the same for the same seed and layer, whatever the other layers are.
    pub fn weights(self, seed: u64, l: usize, count: usize) -> Vec<f64> {
        let Self::Normal { sigma } = self;
        let random = stream(seed, Purpose::Weights { layer: l });
        random
            .sample_iter(StandardNormal)
            .take(count)
            .map(|x: f64| sigma * x)
            .collect()
    }
}

impl Default for Init {
    fn default() -> Self {
        Self::Normal { sigma: 0.01 }
    }
}

impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Normal { sigma } = self;
        write!(f, "normal:{}", number(*sigma))
    }
}

impl FromStr for Init {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        if name != "normal" {
            return Err(format!(
                "no init is called `{name}`; there is normal:SIGMA, such as normal:0.01"
            ));
        }
        match value.parse::<f64>() {
            Ok(sigma) if sigma.is_finite() && sigma >= 0.0 => Ok(Self::Normal { sigma }),
            _ => Err(format!(
                "`{text}`: sigma must be a number of at least 0, such as normal:0.01"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let init: Init = "normal:0.01".parse().unwrap();
        assert_eq!(init, Init::Normal { sigma: 0.01 });
        assert_eq!(init.to_string(), "normal:0.01");
        for bad in [
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
        let w = Init::Normal { sigma: 0.5 }.weights(7, 1, n);
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
        let weights = |seed, layer| init.weights(seed, layer, 8);
        assert_eq!(weights(1, 1), weights(1, 1));
        assert_ne!(weights(1, 1), weights(2, 1));
        assert_ne!(weights(1, 1), weights(1, 2));
        assert_eq!(weights(1, 1)[..4], init.weights(1, 1, 4));
    }
}
