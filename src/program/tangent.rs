//! The operations of second derivatives: what a linearisation keeps ([`Second`]), and the linear maps that take many directions at once
//! through the linearised step ([`Stacked`]).
//!
//! A stacked buffer holds K blocks one above the other, one a direction: K m x n for what has a row a sample (`Extent::Batches`), K in x
//! out for the direction of weights. Operation for operation they are the R-operator of B. A. Pearlmutter, "Fast exact multiplication by
//! the Hessian", Neural Computation 6(1), 1994; `hessian::tangent` derives each from the plain operation.

mod accesses;
mod check;
mod flops;

pub(super) use check::{check_second, check_stacked};
pub(super) use flops::{of_second, of_stacked};

use tilelab_kernels::Activation;

use super::{BufferId, Operand, Scalar, TargetLoss};

/// What is computed once at a point, for all directions: first and second derivatives, element by element.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Second {
    /// out (m x n) <- f'(saved).
    Slope {
        /// f.
        activation: Activation,
        /// f's input or output, as [`Activation::saves`] says.
        saved: BufferId,
        /// Written.
        out: BufferId,
    },
    /// out (m x n) <- gradient (.) f''(saved).
    Curvature {
        /// f.
        activation: Activation,
        /// As above.
        saved: BufferId,
        /// Derivative of the objective by f's output.
        gradient: BufferId,
        /// Written.
        out: BufferId,
    },
    /// slope <- f'(x) and by_parameter <- df/dp(x), p being f's learned parameter.
    LearnedSlope {
        /// f; the number in it counts for nothing.
        activation: Activation,
        /// p, 1 x 1.
        parameter: BufferId,
        /// f's input, m x n.
        x: BufferId,
        /// m x n, written.
        slope: BufferId,
        /// m x n, written.
        by_parameter: BufferId,
    },
    /// curvature <- g (.) f''(x), mixed <- g (.) d^2 f / dx dp, second <- the sum of g d^2 f / dp^2.
    LearnedCurvature {
        /// f.
        activation: Activation,
        /// p, 1 x 1.
        parameter: BufferId,
        /// f's input, m x n.
        x: BufferId,
        /// g: derivative of the objective by f's output.
        gradient: BufferId,
        /// m x n, written.
        curvature: BufferId,
        /// m x n, written.
        mixed: BufferId,
        /// 1 x 1, written.
        second: BufferId,
    },
    /// out (m x q) <- softmax of each row.
    Softmax {
        /// m x q.
        logits: BufferId,
        /// Written.
        out: BufferId,
    },
    /// out (m x q) <- scale times the second derivative of the loss by each output.
    Loss {
        /// Which.
        loss: TargetLoss,
        /// m x q.
        outputs: BufferId,
        /// 1 / rows of the whole batch.
        scale: Scalar,
        /// Written.
        out: BufferId,
    },
    /// out (m x q) <- scale times the gradient by the outputs of the loss of a target that is drawn from the model's own distribution. The
    /// draw depends on the seed, the step and the row in the whole batch alone.
    Sampled {
        /// `None` for softmax cross-entropy.
        loss: Option<TargetLoss>,
        /// m x q.
        outputs: BufferId,
        /// 1 / rows of the whole batch.
        scale: Scalar,
        /// Written.
        out: BufferId,
    },
}

/// A factor of a stacked product: a block of it for every direction, or the same matrix for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Factor {
    /// The matrix, or its blocks' transposes.
    pub operand: Operand,
    /// Whether there is a block for every direction.
    pub stacked: bool,
}

/// K blocks at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stacked {
    /// K.
    pub directions: usize,
    /// What is done to each.
    pub map: Map,
}

/// What is done to block k of stacked buffers. Linear in them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Map {
    /// C_k <- A_k B_k + beta C_k.
    Product {
        /// m x k.
        a: Factor,
        /// k x n.
        b: Factor,
        /// Factor of what C holds; 0 never reads it.
        beta: Scalar,
        /// m x n, stacked.
        c: BufferId,
    },
    /// x_k <- x_k + bias_k.
    AddBias {
        /// K x n.
        bias: BufferId,
        /// Stacked m x n, updated.
        x: BufferId,
    },
    /// out_k <- by (.) x_k, or out_k + that.
    Multiply {
        /// m x n.
        by: BufferId,
        /// Stacked m x n.
        x: BufferId,
        /// Adds.
        add: bool,
        /// Stacked m x n, written.
        out: BufferId,
    },
    /// out_k <- factor_k y, or out_k + that.
    Outer {
        /// K x 1.
        factor: BufferId,
        /// m x n.
        y: BufferId,
        /// Adds.
        add: bool,
        /// Stacked m x n, written.
        out: BufferId,
    },
    /// out_k <- the sum of y (.) x_k + accumulate * out_k.
    Dot {
        /// m x n.
        y: BufferId,
        /// Stacked m x n.
        x: BufferId,
        /// 0 overwrites.
        accumulate: Scalar,
        /// K x 1, written.
        out: BufferId,
    },
    /// sums_k <- sum over the rows of x_k + accumulate * sums_k.
    ColumnSum {
        /// Stacked m x n.
        x: BufferId,
        /// 0 overwrites.
        accumulate: Scalar,
        /// K x n, written.
        sums: BufferId,
    },
    /// out_k <- scale (diag(p) - p p^T) x_k, row by row: the Hessian of softmax cross-entropy, whatever the labels and their smoothing.
    Softmax {
        /// p, m x q.
        probabilities: BufferId,
        /// Stacked m x q.
        x: BufferId,
        /// 1 / rows of the whole batch.
        scale: Scalar,
        /// Stacked m x q, written.
        out: BufferId,
    },
    /// out_k <- g (g . x_k) / scale, row by row: a row's own gradient is g / scale.
    RankOne {
        /// g, m x q.
        gradient: BufferId,
        /// Stacked m x q.
        x: BufferId,
        /// 1 / rows of the whole batch.
        scale: Scalar,
        /// Stacked m x q, written.
        out: BufferId,
    },
    /// y <- y + by * x, all blocks alike.
    AddScaled {
        /// Factor.
        by: Scalar,
        /// Of y's shape.
        x: BufferId,
        /// Updated.
        y: BufferId,
    },
    /// Through batch normalisation.
    Norm(NormMap),
    /// Through its way back.
    NormBackward(NormBackwardMap),
}

/// The tangent of [`super::BatchNorm`]: with N = (X - mean) r and r = 1 / sqrt(variance + eps),
/// R{N} = r (R{X} - mean R{X} - N c) and c = mean of N (.) R{X} where the batch's own statistics are taken, r R{X} where the running ones
/// are; R{out} = gamma R{N} + R{gamma} N + R{beta}.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NormMap {
    /// R{X}, stacked m x n; `None` is 0.
    pub x: Option<BufferId>,
    /// N, m x n.
    pub normal: BufferId,
    /// r, 1 x n.
    pub scale: BufferId,
    /// 1 x n.
    pub gamma: BufferId,
    /// R{gamma}, K x n; `None` is 0.
    pub r_gamma: Option<BufferId>,
    /// R{beta}, K x n; `None` is 0.
    pub r_beta: Option<BufferId>,
    /// Whether the batch's own statistics are taken.
    pub training: bool,
    /// R{N}, stacked m x n, written.
    pub r_normal: BufferId,
    /// c, K x n, written.
    pub mean_product: BufferId,
    /// Stacked m x n, written.
    pub out: BufferId,
}

/// The tangent of [`super::BatchNormBackward`]. With G = dU - mean dU - N a, a = mean of dU (.) N (G = dU with the running statistics), so
/// that dX = gamma r G: R{dgamma} = sum of R{dU} (.) N + dU (.) R{N}, R{dbeta} = sum of R{dU}, R{G} = R{dU} - its mean - R{N} a - N R{a},
/// R{r} = -r^2 c, and R{dX} = gamma r R{G} + (R{gamma} r + gamma R{r}) G.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormBackwardMap {
    /// dU, m x n; `None` is 0, as a Gauss-Newton product takes it.
    pub gradient: Option<BufferId>,
    /// R{dU}, stacked m x n.
    pub r_gradient: BufferId,
    /// N, m x n.
    pub normal: BufferId,
    /// R{N}, stacked m x n, and c, K x n, as the way forward wrote them; `None` is 0.
    pub forward: Option<(BufferId, BufferId)>,
    /// r, 1 x n.
    pub scale: BufferId,
    /// 1 x n.
    pub gamma: BufferId,
    /// R{gamma}, K x n; `None` is 0.
    pub r_gamma: Option<BufferId>,
    /// Whether the batch's own statistics are taken.
    pub training: bool,
    /// 0 overwrites `d_gamma` and `d_beta`.
    pub accumulate: Scalar,
    /// R{dX}, stacked m x n, written.
    pub out: BufferId,
    /// K x n, written.
    pub d_gamma: BufferId,
    /// K x n, written.
    pub d_beta: BufferId,
}
