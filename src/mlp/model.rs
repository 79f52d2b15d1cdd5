//! What the model is: widths and activations.

use tilelab_kernels::Activation;

use super::{Loss, number};

/// The activation that the command line calls `text`: a name, and behind a colon the number that some take.
///
/// # Errors
/// One line that lists those that there are.
pub fn activation_by_name(text: &str) -> Result<Activation, String> {
    let (name, value) = match text.split_once(':') {
        None => (text, None),
        Some((name, value)) => match value.parse::<f64>() {
            Ok(value) if value.is_finite() => (name, Some(value)),
            _ => return Err(format!("`{text}`: {name} takes a finite number, such as {name}:0.5")),
        },
    };
    let activation = match name {
        "relu" => Activation::Relu,
        "identity" => Activation::Identity,
        "sigmoid" => Activation::Sigmoid,
        "tanh" => Activation::Tanh,
        "gelu" => Activation::Gelu,
        "gelu-tanh" => Activation::GeluTanh,
        "leaky-relu" => Activation::LeakyRelu {
            slope: value.unwrap_or(0.01),
        },
        "elu" => Activation::Elu {
            alpha: value.unwrap_or(1.0),
        },
        "prelu" => Activation::PRelu {
            alpha: value.unwrap_or(0.25),
        },
        "swish" => Activation::Swish {
            beta: value.unwrap_or(1.0),
        },
        _ => {
            return Err(format!(
                "no activation is called `{name}`; there is relu, identity, sigmoid, tanh, gelu, gelu-tanh, leaky-relu:SLOPE, prelu:ALPHA, elu:ALPHA, swish:BETA"
            ));
        }
    };
    let takes = matches!(name, "leaky-relu" | "prelu" | "elu" | "swish");
    match value {
        Some(_) if !takes => Err(format!("`{text}`: {name} takes no number")),
        _ => Ok(activation),
    }
}

/// The name that the command line takes for it.
pub(crate) fn activation_name(activation: Activation) -> String {
    let with = |name: &str, value: f64| format!("{name}:{}", number(value));
    match activation {
        Activation::Identity => "identity".into(),
        Activation::Relu => "relu".into(),
        Activation::Sigmoid => "sigmoid".into(),
        Activation::Tanh => "tanh".into(),
        Activation::Gelu => "gelu".into(),
        Activation::GeluTanh => "gelu-tanh".into(),
        Activation::LeakyRelu { slope } => with("leaky-relu", slope),
        Activation::PRelu { alpha } => with("prelu", alpha),
        Activation::Elu { alpha } => with("elu", alpha),
        Activation::Swish { beta } => with("swish", beta),
        other => format!("{other:?}"),
    }
}

/// One layer: H = activation(X W + b), with W `[inputs, outputs]` row-major and b one value an output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layer {
    /// Columns of X.
    pub inputs: usize,
    /// Columns of H.
    pub outputs: usize,
    /// Applied to every element.
    pub activation: Activation,
}

/// A stack of layers. The last has no activation: its outputs are logits.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    widths: Vec<usize>,
    activation: Activation,
    loss: Loss,
    dropout: f64,
    batch_norm: bool,
    learned_beta: bool,
}

/// Widths that make no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// Fewer than two widths.
    #[error("{0}: a model needs at least two layer widths, its input and its output, such as 784,256,10")]
    Short(String),
    /// A width of 0.
    #[error("{0}: a layer can't have 0 units; every width must be at least 1")]
    Zero(String),
    /// More parameters than an address space holds.
    #[error("{0}: that is more parameters than this machine can address; choose smaller widths")]
    Large(String),
}

impl Model {
    /// `widths` are the sizes of the input, of every hidden layer, and of the output; `activation` follows each hidden layer.
    ///
    /// # Errors
    /// Fewer than two widths, a width of 0, or more parameters than an address space holds.
    pub fn new(widths: &[usize], activation: Activation) -> Result<Self, ModelError> {
        let shown = || join(widths);
        if widths.len() < 2 {
            return Err(ModelError::Short(shown()));
        }
        if widths.contains(&0) {
            return Err(ModelError::Zero(shown()));
        }
        let count = |pair: &[usize]| pair[0].checked_add(1)?.checked_mul(pair[1]);
        let total = widths
            .windows(2)
            .try_fold(0usize, |sum, pair| sum.checked_add(count(pair)?));
        // The host handles any of it as f64, and no allocation exceeds isize::MAX.
        if total.is_none_or(|total| total > isize::MAX as usize / 8) {
            return Err(ModelError::Large(shown()));
        }
        Ok(Self {
            widths: widths.to_vec(),
            activation,
            loss: Loss::default(),
            dropout: 0.0,
            batch_norm: false,
            learned_beta: false,
        })
    }

    /// The same with another loss than softmax cross-entropy.
    #[must_use]
    pub fn with_loss(self, loss: Loss) -> Self {
        Self { loss, ..self }
    }

    /// The same with dropout behind each hidden layer's activation: the probability, from 0 to below 1, of an element to become 0
    /// while training.
    #[must_use]
    pub fn with_dropout(self, dropout: f64) -> Self {
        Self { dropout, ..self }
    }

    /// The same with batch normalisation between each hidden layer's sums and its activation.
    #[must_use]
    pub fn with_batch_norm(self, batch_norm: bool) -> Self {
        Self { batch_norm, ..self }
    }

    /// The same with swish's beta learned, one a layer. (prelu's alpha always is.)
    #[must_use]
    pub fn with_learned_beta(self, learned_beta: bool) -> Self {
        Self { learned_beta, ..self }
    }

    /// Whether there is batch normalisation.
    pub fn batch_norm(&self) -> bool {
        self.batch_norm
    }

    /// Whether each hidden layer's activation has a learned parameter.
    pub fn learns(&self) -> bool {
        match self.activation {
            Activation::PRelu { .. } => true,
            Activation::Swish { .. } => self.learned_beta,
            _ => false,
        }
    }

    /// What is minimised.
    pub fn loss(&self) -> Loss {
        self.loss
    }

    /// Probability of dropout behind each hidden layer; 0 for none.
    pub fn dropout(&self) -> f64 {
        self.dropout
    }

    /// Labels must be below this.
    pub fn labels(&self) -> usize {
        self.loss.classes(self.classes())
    }

    /// Layers that have parameters.
    pub fn depth(&self) -> usize {
        self.widths.len() - 1
    }

    /// Layer `l`, counted from 1 to [`Model::depth`].
    pub fn layer(&self, l: usize) -> Layer {
        let activation = if l == self.depth() {
            Activation::Identity
        } else {
            self.activation
        };
        Layer {
            inputs: self.widths[l - 1],
            outputs: self.widths[l],
            activation,
        }
    }

    /// Behind each hidden layer.
    pub fn activation(&self) -> Activation {
        self.activation
    }

    /// Widths, input first.
    pub fn widths(&self) -> &[usize] {
        &self.widths
    }

    /// Width of the input.
    pub fn inputs(&self) -> usize {
        self.widths[0]
    }

    /// Width of the output: one logit a class.
    pub fn classes(&self) -> usize {
        self.widths[self.depth()]
    }

    /// Trained numbers of layer l: (inputs + 1) * outputs, two a unit for batch norm, and the activation's if it learns one.
    pub fn parameters_of(&self, l: usize) -> usize {
        let Layer { inputs, outputs, .. } = self.layer(l);
        let extras = self.extras_of(l).filter(|extra| extra.trained());
        (inputs + 1) * outputs + extras.map(|extra| extra.count(outputs)).sum::<usize>()
    }

    /// Trained numbers of all layers.
    pub fn parameters(&self) -> usize {
        (1..=self.depth()).map(|l| self.parameters_of(l)).sum()
    }
}

/// `784,256,10`.
pub(super) fn join(widths: &[usize]) -> String {
    widths.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_make_layers() {
        let model = Model::new(&[784, 256, 10], Activation::Relu).unwrap();
        assert_eq!(model.parameters(), 784 * 256 + 256 + 256 * 10 + 10);
        assert_eq!(
            model.layer(1),
            Layer {
                inputs: 784,
                outputs: 256,
                activation: Activation::Relu
            }
        );
        assert_eq!(
            model.layer(2),
            Layer {
                inputs: 256,
                outputs: 10,
                activation: Activation::Identity
            }
        );
    }

    #[test]
    fn widths_that_make_none_say_why() {
        let error = |widths: &[usize]| Model::new(widths, Activation::Relu).unwrap_err().to_string();
        assert!(error(&[784]).starts_with("784: a model needs at least two"));
        assert!(error(&[784, 0, 10]).starts_with("784,0,10: a layer can't have 0 units"));
        assert!(error(&[usize::MAX, 3, 10]).contains("more parameters"));
    }
}
