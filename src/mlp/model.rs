//! What the model is: widths and activations.

use tilelab_kernels::Activation;

use super::by_name;

/// Activations by the name that the command line takes.
const ACTIVATIONS: &[(&str, Activation)] = &[("relu", Activation::Relu), ("identity", Activation::Identity)];

/// The activation that the command line calls `name`.
///
/// # Errors
/// One line that lists those that there are.
pub fn activation_by_name(name: &str) -> Result<Activation, String> {
    by_name("activation", name, ACTIVATIONS)
}

/// The name that the command line takes for it.
pub(crate) fn activation_name(activation: Activation) -> &'static str {
    ACTIVATIONS
        .iter()
        .find(|(_, known)| *known == activation)
        .map_or("?", |(name, _)| name)
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
        })
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

    /// Trained numbers: the sum of (inputs + 1) * outputs over the layers.
    pub fn parameters(&self) -> usize {
        self.widths.windows(2).map(|pair| (pair[0] + 1) * pair[1]).sum()
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
