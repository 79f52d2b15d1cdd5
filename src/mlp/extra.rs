//! What a hidden layer has beside weights and biases: batch norm's numbers, and the activation's learned parameter.

use tilelab_kernels::Activation;

use super::Model;

/// One kind of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    /// Batch norm's factor, one a unit; 1 to begin with.
    Gamma,
    /// Batch norm's summand, one a unit; 0 to begin with.
    Beta,
    /// Running mean, one a unit; 0 to begin with.
    RunningMean,
    /// Running variance, one a unit; 1 to begin with.
    RunningVariance,
    /// Batches that the running statistics have seen.
    Batches,
    /// prelu's alpha or swish's beta, one for the layer.
    Slope,
}

/// The five of batch norm, in PyTorch's order.
const NORM: [Extra; 5] = [
    Extra::Gamma,
    Extra::Beta,
    Extra::RunningMean,
    Extra::RunningVariance,
    Extra::Batches,
];

impl Extra {
    /// Name of layer l's in the program.
    pub fn name(self, l: usize) -> String {
        let letters = match self {
            Self::Gamma => "gamma",
            Self::Beta => "beta",
            Self::RunningMean => "running_mean",
            Self::RunningVariance => "running_var",
            Self::Batches => "batches",
            Self::Slope => "slope",
        };
        format!("{letters}{l}")
    }

    /// Whether gradients change it.
    pub fn trained(self) -> bool {
        matches!(self, Self::Gamma | Self::Beta | Self::Slope)
    }

    /// Numbers of it in a layer of so many units.
    pub fn count(self, units: usize) -> usize {
        match self {
            Self::Batches | Self::Slope => 1,
            _ => units,
        }
    }

    /// What each of its numbers is before training.
    pub fn first(self, activation: Activation) -> f64 {
        match (self, activation) {
            (Self::Gamma | Self::RunningVariance, _) => 1.0,
            (Self::Slope, Activation::PRelu { alpha }) => alpha,
            (Self::Slope, Activation::Swish { beta }) => beta,
            _ => 0.0,
        }
    }

    /// Its name in PyTorch's state dict, `place` being its layer's Linear in the Sequential. (PyTorch has no swish with a learned beta;
    /// its place is that of the activation.)
    pub(super) fn torch_name(self, place: usize, model: &Model) -> String {
        let activation = place + 1 + usize::from(model.batch_norm());
        match self {
            Self::Gamma => format!("{}.weight", place + 1),
            Self::Beta => format!("{}.bias", place + 1),
            Self::RunningMean => format!("{}.running_mean", place + 1),
            Self::RunningVariance => format!("{}.running_var", place + 1),
            Self::Batches => format!("{}.num_batches_tracked", place + 1),
            Self::Slope if matches!(model.activation(), Activation::Swish { .. }) => format!("{activation}.beta"),
            Self::Slope => format!("{activation}.weight"),
        }
    }
}

impl Model {
    /// What layer l has beside weights and biases.
    pub fn extras_of(&self, l: usize) -> impl Iterator<Item = Extra> + use<> {
        let hidden = l < self.depth();
        let norm = if hidden && self.batch_norm() { &NORM[..] } else { &[] };
        let slope = (hidden && self.learns()).then_some(Extra::Slope);
        norm.iter().copied().chain(slope)
    }

    /// What all layers have beside weights and biases, first layer first.
    pub fn extras(&self) -> Vec<(usize, Extra)> {
        let of = |l| self.extras_of(l).map(move |extra| (l, extra));
        (1..=self.depth()).flat_map(of).collect()
    }

    /// Place of layer l's Linear in an `nn.Sequential`: each hidden block is Linear, \[BatchNorm1d\], activation, \[Dropout\].
    pub(super) fn place(&self, l: usize) -> usize {
        (2 + usize::from(self.batch_norm()) + usize::from(self.dropout() > 0.0)) * (l - 1)
    }
}
