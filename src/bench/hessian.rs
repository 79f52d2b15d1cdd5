//! Second derivatives: cases, contestants, the check of every answer against products in f64 before it is timed, and the bars.
//!
//! Of a dense matrix the contestants are the closed form, products with unit vectors, the notebook's double loop (one product for every
//! element, which is read from it), and the frameworks. Of a product they are the linearisation with one product, the product alone, and
//! a gradient, so that their ratios are those of one round.

mod contestants;
pub mod cost;
mod verdicts;
pub mod whole;

use serde_json::json;
use tilelab_kernels::Activation;

pub use contestants::{Problem, lineup};
pub use verdicts::bars;

use crate::mlp::{Loss, Model};

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum What {
    /// All of the matrix into a reused buffer, by these parameters (as `--of` names them), in at most so many milliseconds or this
    /// share of the best framework's time.
    Dense {
        /// Parameters.
        of: &'static str,
        /// Most milliseconds.
        most_ms: Option<f64>,
        /// Most of the best framework's time.
        most_of_best: Option<f64>,
    },
    /// One product with a linearisation, one with the linearisation kept, and a gradient.
    Product {
        /// Most gradients that the first may cost, and the second.
        most: (f64, f64),
    },
    /// Products with many vectors at once, at least so many percent of the FMA peak.
    Many {
        /// Vectors.
        together: usize,
        /// Percent of the peak.
        least: f64,
    },
    /// A gradient, in at most so many microseconds.
    Gradient {
        /// Most microseconds.
        most_us: f64,
    },
}

/// A case.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Widths, input first.
    pub layers: Vec<usize>,
    /// Samples.
    pub rows: usize,
    /// relu or tanh.
    pub activation: Activation,
    /// Squared error or cross-entropy.
    pub loss: Loss,
    /// What is timed.
    pub what: What,
}

/// The cases of the bars.
pub fn cases() -> Vec<Case> {
    let case = |layers: &[usize], activation, loss, what| Case {
        layers: layers.to_vec(),
        rows: 100,
        activation,
        loss,
        what,
    };
    let dense = |of, most_ms| What::Dense {
        of,
        most_ms: Some(most_ms),
        most_of_best: None,
    };
    let (relu, tanh, squares, cross) = (Activation::Relu, Activation::Tanh, Loss::SquaredError, Loss::default());
    let large = |what| Case {
        rows: 256,
        ..case(&[784, 256, 10], relu, cross, what)
    };
    vec![
        case(&[10, 10, 5], relu, squares, dense("W1", 0.03)),
        case(&[10, 10, 5], relu, squares, dense("all", 0.06)),
        case(&[10, 20, 5], relu, squares, dense("all", 0.2)),
        case(&[10, 40, 5], relu, squares, dense("all", 0.8)),
        case(&[10, 80, 5], relu, squares, dense("all", 3.5)),
        case(&[10, 80, 5], tanh, squares, dense("all", 4.2)),
        case(&[10, 40, 5], relu, cross, dense("all", 2.0)),
        case(
            &[10, 40, 40, 5],
            relu,
            squares,
            What::Dense {
                of: "all",
                most_ms: None,
                most_of_best: Some(1.0 / 3.0),
            },
        ),
        case(&[10, 10, 5], relu, squares, What::Gradient { most_us: 5.0 }),
        case(&[10, 80, 5], relu, squares, What::Gradient { most_us: 15.0 }),
        large(What::Product { most: (1.8, 1.15) }),
        large(What::Many {
            together: 64,
            least: 80.0,
        }),
    ]
}

impl Case {
    /// Such as `10-40-5 relu mse, 100 rows: dense by all`.
    pub fn name(&self) -> String {
        let layers: Vec<String> = self.layers.iter().map(usize::to_string).collect();
        let what = match self.what {
            What::Dense { of, .. } => format!("dense by {of}"),
            What::Product { .. } => "a product".to_owned(),
            What::Many { together, .. } => format!("{together} products at once"),
            What::Gradient { .. } => "gradient".to_owned(),
        };
        let activation = crate::mlp::activation_name(self.activation);
        format!(
            "{} {activation} {}, {} rows: {what}",
            layers.join("-"),
            self.loss,
            self.rows
        )
    }

    fn model(&self) -> Model {
        match Model::new(&self.layers, self.activation) {
            Ok(model) => model.with_loss(self.loss),
            Err(error) => unreachable!("the cases' widths make models: {error}"),
        }
    }

    fn of(&self) -> &'static str {
        match self.what {
            What::Dense { of, .. } => of,
            _ => "all",
        }
    }

    /// As the frameworks' script takes it; `None` where they have no part.
    fn order(&self) -> Option<serde_json::Value> {
        let what = match self.what {
            What::Dense { .. } => "hessian",
            What::Gradient { .. } => "gradient",
            What::Product { .. } | What::Many { .. } => return None,
        };
        Some(json!({"derivative": {
            "what": what, "layers": self.layers, "rows": self.rows, "loss": if self.loss == Loss::SquaredError { "mse" } else { "cross-entropy" },
            "activation": crate::mlp::activation_name(self.activation), "of": self.of(),
        }}))
    }
}
