//! The operations.

mod touched;

use tilelab_kernels::Activation;

use super::tangent::{Second, Stacked};
use super::{BufferId, Scalar};

/// A loss against targets that are numbers. A row's loss is the mean over its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetLoss {
    /// (output - target)^2
    SquaredError,
    /// Binary cross-entropy, the outputs being logits.
    BinaryCrossEntropy,
}

/// What an update with momentum is given beside its arrays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MomentumRule {
    /// mu
    pub momentum: f64,
    /// Looks ahead by mu v.
    pub nesterov: bool,
    /// Learning rate.
    pub lr: Scalar,
    /// lambda: lambda w is added to the gradient.
    pub l2: Scalar,
}

/// What Adam is given beside its arrays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamRule {
    /// b1 and b2
    pub betas: (f64, f64),
    /// eps
    pub epsilon: f64,
    /// Learning rate.
    pub lr: Scalar,
    /// lambda: lambda w is added to the gradient.
    pub l2: Scalar,
    /// Takes lr times this from the weight itself (AdamW).
    pub weight_decay: Scalar,
}

/// The buffers of batch normalisation, one value a column but for `normal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchNorm {
    /// m x n.
    pub x: BufferId,
    /// 1 x n.
    pub gamma: BufferId,
    /// 1 x n.
    pub beta: BufferId,
    /// Running mean and variance (1 x n), and how many batches they have seen (1 x 1).
    pub running: (BufferId, BufferId, BufferId),
    /// 1 x n, written: the mean that was taken off.
    pub mean: BufferId,
    /// 1 x n, written: r = 1 / sqrt(variance + eps).
    pub scale: BufferId,
    /// m x n, written: (x - mean) r.
    pub normal: BufferId,
    /// m x n, written: gamma normal + beta.
    pub out: BufferId,
    /// With the batch's own mean and biased variance, which the running ones move towards; else with the running ones.
    pub training: bool,
}

impl BatchNorm {
    /// Added to a variance.
    pub const EPSILON: f64 = 1e-5;
    /// Share of a batch's statistics in the running ones.
    pub const MOMENTUM: f64 = 0.1;
}

/// The buffers of the way back through [`BatchNorm`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNormBackward {
    /// dy, m x n.
    pub gradient: BufferId,
    /// As the way forward wrote it, m x n.
    pub normal: BufferId,
    /// As the way forward wrote it, 1 x n.
    pub scale: BufferId,
    /// 1 x n.
    pub gamma: BufferId,
    /// The statistics were the batch's own, so that they have derivatives too; else constants.
    pub training: bool,
    /// 0 overwrites `d_gamma` and `d_beta`, 1 adds to them.
    pub accumulate: Scalar,
    /// m x n, written.
    pub out: BufferId,
    /// 1 x n, written.
    pub d_gamma: BufferId,
    /// 1 x n, written.
    pub d_beta: BufferId,
}

/// One operation. Matrices are row-major; `m` is the number of rows in the batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// out (m x d) <- rows of the batch; bytes are multiplied by `byte_scale`, real numbers are taken as they are.
    LoadRows {
        /// What a byte is multiplied by: 1/255 brings pixels to 0..=1.
        byte_scale: f64,
        /// Written.
        out: BufferId,
    },
    /// out (m x 1, u8) <- labels of the batch.
    LoadLabels {
        /// Written.
        out: BufferId,
    },
    /// C <- epilogue(alpha * A * B + beta * C).
    Product(Product),
    /// x (m x n) <- x + bias, one value a column.
    AddBias {
        /// 1 x n.
        bias: BufferId,
        /// Updated.
        x: BufferId,
    },
    /// out <- f(x), element by element.
    Activate {
        /// f.
        activation: Activation,
        /// Read.
        x: BufferId,
        /// Written.
        out: BufferId,
    },
    /// out <- gradient (.) f'(saved), element by element.
    ActivateBackward {
        /// f.
        activation: Activation,
        /// What f' is computed from: f's output for relu.
        saved: BufferId,
        /// Derivative by f's output.
        gradient: BufferId,
        /// Written: derivative by f's input.
        out: BufferId,
    },
    /// out <- f(x) with f's learned parameter (prelu's alpha, swish's beta) from a buffer.
    ActivateLearned {
        /// f; the number in it counts for nothing.
        activation: Activation,
        /// 1 x 1.
        parameter: BufferId,
        /// Read.
        x: BufferId,
        /// Written.
        out: BufferId,
    },
    /// out <- gradient (.) f'(x), and slope <- the sum of gradient df/dp(x) + accumulate * slope.
    ActivateLearnedBackward {
        /// f.
        activation: Activation,
        /// p, 1 x 1.
        parameter: BufferId,
        /// f's input.
        x: BufferId,
        /// Derivative by f's output.
        gradient: BufferId,
        /// 0 overwrites `slope`.
        accumulate: Scalar,
        /// Written: derivative by f's input.
        out: BufferId,
        /// 1 x 1, written: derivative by p.
        slope: BufferId,
    },
    /// out <- gamma (x - mean) / sqrt(variance + eps) + beta, column by column.
    BatchNorm(BatchNorm),
    /// Derivatives of a batch normalisation by its input, gamma and beta.
    BatchNormBackward(BatchNormBackward),
    /// out <- x, each element 0 with this probability, else divided by 1 - probability. The mask depends on the seed, the step, the layer, the
    /// row in the whole batch and the column alone, so the same operation takes a gradient back.
    Dropout {
        /// Of an element to become 0.
        probability: f64,
        /// Number of the layer.
        layer: usize,
        /// m x n.
        x: BufferId,
        /// m x n, written.
        out: BufferId,
    },
    /// out (m x q) <- the labels as targets: one-hot rows; for q = 1 the label itself.
    Targets {
        /// m x 1, u8.
        labels: BufferId,
        /// Written.
        out: BufferId,
    },
    /// losses_i <- the mean over row i of the loss of outputs against targets, and gradient <- scale times its derivative.
    TargetLoss {
        /// Which.
        loss: TargetLoss,
        /// m x q.
        outputs: BufferId,
        /// m x q.
        targets: BufferId,
        /// m x 1, written.
        losses: BufferId,
        /// 1 / rows of the whole batch makes it the gradient of the mean loss; m x q, written.
        gradient: Option<(Scalar, BufferId)>,
    },
    /// losses_i <- -log softmax(logits_i)\[label_i\], and gradient <- scale * (softmax(logits) - onehot(labels)); with label smoothing e the
    /// target is (1 - e) onehot + e / q.
    SoftmaxCrossEntropy {
        /// e, 0 for none.
        smoothing: f64,
        /// m x q.
        logits: BufferId,
        /// m x 1, u8.
        labels: BufferId,
        /// 1 / rows of the whole batch makes it the gradient of the mean loss.
        scale: Scalar,
        /// m x 1, written.
        losses: BufferId,
        /// m x q, written.
        gradient: BufferId,
    },
    /// losses_i <- -log softmax(logits_i)\[label_i\].
    CrossEntropy {
        /// m x q.
        logits: BufferId,
        /// m x 1, u8.
        labels: BufferId,
        /// m x 1, written.
        losses: BufferId,
    },
    /// sums_j <- sum over rows of x_ij + accumulate * sums_j.
    ColumnSum {
        /// m x n.
        x: BufferId,
        /// 0 overwrites.
        accumulate: Scalar,
        /// 1 x n, written.
        sums: BufferId,
    },
    /// weights <- decay * weights - lr * gradient.
    Sgd {
        /// 1 - lr * l2, or 1.
        decay: Scalar,
        /// Learning rate.
        lr: Scalar,
        /// Read.
        gradient: BufferId,
        /// Updated.
        weights: BufferId,
    },
    /// v <- mu v + g + lambda w, w <- w - lr v, or the look ahead of Nesterov's form.
    Momentum {
        /// mu, lr, lambda.
        rule: MomentumRule,
        /// g
        gradient: BufferId,
        /// w, updated.
        weights: BufferId,
        /// v, updated.
        velocity: BufferId,
    },
    /// Adam or AdamW; the step's number is [`super::StepArgs::t`].
    Adam {
        /// Its numbers.
        rule: AdamRule,
        /// g
        gradient: BufferId,
        /// w, updated.
        weights: BufferId,
        /// First and second moment, updated.
        moments: (BufferId, BufferId),
    },
    /// out_i (m x 1, u32) <- 1 where x_i is above `threshold`, else 0.
    Above {
        /// m x 1.
        x: BufferId,
        /// 0 for a logit, 1/2 for a probability.
        threshold: f64,
        /// Written.
        out: BufferId,
    },
    /// out_i (m x 1, u32) <- column of the largest x_ij; the first of equals.
    RowArgmax {
        /// m x n.
        x: BufferId,
        /// Written.
        out: BufferId,
    },
    /// metric (f64) <- metric + sum of x, in f64 and in order.
    AddSum {
        /// m x 1.
        x: BufferId,
        /// Updated.
        metric: BufferId,
    },
    /// metric (f64) <- metric + sum of x^2, in f64 and in order: the square of a Euclidean norm.
    AddSquares {
        /// Of any shape.
        x: BufferId,
        /// Updated.
        metric: BufferId,
    },
    /// x <- by * x.
    Scale {
        /// Factor.
        by: Scalar,
        /// Updated.
        x: BufferId,
    },
    /// metric (f64) <- metric + rows where index_i = label_i.
    AddMatches {
        /// m x 1, u32.
        indices: BufferId,
        /// m x 1, u8.
        labels: BufferId,
        /// Updated.
        metric: BufferId,
    },
    /// What second derivatives keep of a point.
    Second(Second),
    /// What takes many directions through a linearised step at once.
    Stacked(Stacked),
}

/// C <- epilogue(alpha * A * B + beta * C); beta = 0 never reads C.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Product {
    /// Factor of the product.
    pub alpha: Scalar,
    /// m x k.
    pub a: Operand,
    /// k x n.
    pub b: Operand,
    /// Factor of what C holds.
    pub beta: Scalar,
    /// m x n.
    pub c: BufferId,
    /// What happens to an element before it is stored.
    pub epilogue: Epilogue,
}

/// A matrix as it enters a product: a buffer, or its transpose. Nothing is copied to transpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operand {
    /// The buffer.
    pub buffer: BufferId,
    /// Whether its transpose is meant.
    pub transposed: bool,
}

impl Operand {
    /// The buffer as it lies.
    pub const fn plain(buffer: BufferId) -> Self {
        Self {
            buffer,
            transposed: false,
        }
    }

    /// Its transpose.
    pub const fn transposed(buffer: BufferId) -> Self {
        Self {
            buffer,
            transposed: true,
        }
    }
}

/// In this order, each optional: t += bias, t = activation(t), t *= derivative.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Epilogue {
    /// 1 x n, one value a column.
    pub bias: Option<BufferId>,
    /// [`Activation::Identity`] for none.
    pub activation: Activation,
    /// The activation whose derivative multiplies, and what it is computed from, of C's shape.
    pub derivative: Option<(Activation, BufferId)>,
}

/// What an operation does to a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads it.
    Read,
    /// Overwrites it without reading.
    Write,
    /// Reads and writes it.
    Update,
}
