//! A model as plain programs, in the order of the equations.
//!
//! The equations are those of section 5.3 of the notebook on multilayer perceptrons (forward pass, and the answer to its
//! exercise 2, which adds biases), here with the rows of a batch as the rows of X, so that every product is the transpose of
//! the notebook's: its z = W x is our Z = X W with W as [in, out]. For layer l of L, with H(0) = X and O = Z(L):
//!
//! | notebook | here, one operation each | buffers |
//! |---|---|---|
//! | z = W x + b | Z(l) = H(l-1) W(l), Z(l) += b(l) | `z1`.., the last is `o` |
//! | h = phi(z) | H(l) = phi(Z(l)) | `h1`.. |
//! | L = l(o, y) | losses = -log softmax(O)\[y\] | `losses` |
//! | dJ/do = dL/do | dO = (softmax(O) - onehot(y)) / rows | `do` |
//! | dJ/dW2 = dJ/do h^T + lambda W2 | dW(l) = H(l-1)^T dZ(l) | `dW1`.. |
//! | dJ/db2 = dJ/do | db(l) = sum of dZ(l) over rows | `db1`.. |
//! | dJ/dh = W2^T dJ/do | dH(l-1) = dZ(l) W(l)^T | `dh1`.. |
//! | dJ/dz = dJ/dh (.) phi'(z) | dZ(l-1) = dH(l-1) (.) phi'(Z(l-1)) | `dz1`.. |
//! | W <- W - lr dJ/dW | W(l) = (1 - lr lambda) W(l) - lr dW(l) | `W1`.. |
//!
//! With batch norm a hidden layer's activation is given U(l) = gamma N(l) + beta in place of Z(l), with N(l) = (Z(l) - mean) / sqrt(variance + eps)
//! column by column (`n1`.., `u1`..), and the way back goes from `du1` to `dz1`:
//! dZ = gamma r (dU - mean of dU - N (.) mean of dU (.) N), dgamma = sum of dU (.) N, dbeta = sum of dU
//! (Ioffe and Szegedy, 2015, section 3; r is `scale1`). A learned parameter p of the activation, `slope1`, has dp = sum of dH (.) d phi/dp.
//!
//! With dropout a hidden layer hands on R(l), H(l) with elements dropped, and dH comes from dR by the same mask. Other losses than
//! softmax cross-entropy have their targets in `t`.
//!
//! The regularisation's share lambda W of the gradient is taken in the update: W - lr (dW + lambda W) is
//! (1 - lr lambda) W - lr dW. Biases are not regularised.

mod stage;
mod update;
mod writer;

use tilelab_kernels::{Activation, Saves};

pub use self::stage::{handed_gradient_name, handed_name};
pub use self::writer::{LOGITS, bias_name, output_name, weights_name};

use self::writer::Writer;
use super::{
    BatchNorm, BatchNormBackward, BufferId, CORRECT, Element, Epilogue, Field, GRADIENT_SQUARES, LOSS_SUM, Lifetime,
    Op, Operand, Product, Program, ProgramError, Scalar, Shape, TargetLoss,
};
use crate::mlp::{Extra, Loss, Model, Optimizer};

/// What all programs of one model have in common.
#[derive(Debug, Clone, Copy)]
pub struct Lowering<'a> {
    /// The model.
    pub model: &'a Model,
    /// Type of its real numbers.
    pub float: Element,
    /// Most rows of a batch.
    pub rows: usize,
    /// What bytes of a data set are multiplied by.
    pub byte_scale: f64,
}

impl Lowering<'_> {
    /// `step`: forward, loss, backward, update; adds the rows' losses to [`LOSS_SUM`].
    ///
    /// # Errors
    /// When a buffer would be larger than an address space.
    pub fn step(&self, optimizer: Optimizer) -> Result<Program, ProgramError> {
        let mut writer = Writer::new(*self);
        writer.forward(true);
        writer.backward(Scalar::ZERO, Lifetime::Run);
        writer.update(optimizer, Lifetime::Run);
        writer.finish("step")
    }

    /// `gradients`: forward, loss, backward; the gradients are kept, and added to when [`super::StepArgs::accumulate`]
    /// is 1. With [`Lowering::update`] it is a step whose batch may be larger than `rows`.
    ///
    /// # Errors
    /// As [`Lowering::step`].
    pub fn gradients(&self) -> Result<Program, ProgramError> {
        self.derivatives(true)
    }

    /// `gradients` of a model as it trains, or with the running statistics as it predicts: what second derivatives are taken of. Dropout is
    /// at work only where it trains.
    ///
    /// # Errors
    /// As [`Lowering::step`].
    pub fn derivatives(&self, training: bool) -> Result<Program, ProgramError> {
        let mut writer = Writer::new(*self);
        writer.forward(training);
        writer.backward(Scalar::field(Field::Accumulate), Lifetime::Kept);
        writer.finish("gradients")
    }

    /// `norm`: adds the squares of all gradients that are there to [`GRADIENT_SQUARES`].
    ///
    /// # Errors
    /// As [`Lowering::step`].
    pub fn norm(&self) -> Result<Program, ProgramError> {
        let mut writer = Writer::new(*self);
        let metric = writer.metric(GRADIENT_SQUARES);
        for x in writer.all_gradients() {
            writer.operations.push(Op::AddSquares { x, metric });
        }
        writer.finish("norm")
    }

    /// `clip`: multiplies all gradients that are there by [`super::StepArgs::gradient_scale`].
    ///
    /// # Errors
    /// As [`Lowering::step`].
    pub fn clip(&self) -> Result<Program, ProgramError> {
        let mut writer = Writer::new(*self);
        let by = Scalar::field(Field::GradientScale);
        for x in writer.all_gradients() {
            writer.operations.push(Op::Scale { by, x });
        }
        writer.finish("clip")
    }

    /// `update`: one step of the optimizer from the gradients that are there.
    ///
    /// # Errors
    /// As [`Lowering::step`].
    pub fn update(&self, optimizer: Optimizer) -> Result<Program, ProgramError> {
        let mut writer = Writer::new(*self);
        writer.update(optimizer, Lifetime::Kept);
        if let Optimizer::NewtonCg { .. } = optimizer {
            // Written by the optimizer itself, and kept with its steps.
            let x = writer.state("newton_", "damping", Shape::fixed(1, 1));
            writer.operations.push(Op::Scale { by: Scalar::ONE, x });
        }
        writer.finish("update")
    }

    /// `evaluate`: forward and loss; adds to [`LOSS_SUM`] and [`CORRECT`].
    ///
    /// # Errors
    /// As [`Lowering::step`].
    pub fn evaluate(&self) -> Result<Program, ProgramError> {
        let mut writer = Writer::new(*self);
        writer.forward(false);
        writer.judge();
        writer.finish("evaluate")
    }

    /// `predict`: forward without labels; the logits are in `o`.
    ///
    /// # Errors
    /// As [`Lowering::step`].
    pub fn predict(&self) -> Result<Program, ProgramError> {
        let mut writer = Writer::new(*self);
        writer.load_rows();
        writer.layers();
        writer.finish("predict")
    }
}

impl Writer<'_> {
    /// The gradient of every parameter, as they are kept between programs.
    fn all_gradients(&mut self) -> Vec<BufferId> {
        let mut all = Vec::new();
        for l in 1..=self.with.model.depth() {
            all.extend(<[_; 2]>::from(self.gradients(l, Lifetime::Kept)));
            for extra in self.with.model.extras_of(l).filter(|extra| extra.trained()) {
                all.push(self.extra_gradient(l, extra, Lifetime::Kept));
            }
        }
        all
    }

    fn activation(&self, l: usize) -> Activation {
        self.with.model.layer(l).activation
    }

    fn product(&mut self, a: Operand, b: Operand, beta: Scalar, c: BufferId) {
        let epilogue = Epilogue::default();
        self.operations.push(Op::Product(Product {
            alpha: Scalar::ONE,
            a,
            b,
            beta,
            c,
            epilogue,
        }));
    }

    /// X, y <- the batch; then the layers.
    fn forward(&mut self, training: bool) {
        self.training = training;
        self.load_rows();
        let out = self.labels();
        self.operations.push(Op::LoadLabels { out });
        self.layers();
    }

    /// X <- the batch.
    fn load_rows(&mut self) {
        let (byte_scale, out) = (self.with.byte_scale, self.x());
        self.operations.push(Op::LoadRows { byte_scale, out });
    }

    /// For each layer Z(l) = H(l-1) W(l) + b(l) and H(l) = phi(Z(l)).
    fn layers(&mut self) {
        for l in self.layers.clone() {
            let (input, weights, bias, z) = (self.handed(l - 1), self.weights(l), self.bias(l), self.units("z", l));
            // z = W x + b
            self.product(Operand::plain(input), Operand::plain(weights), Scalar::ZERO, z);
            self.operations.push(Op::AddBias { bias, x: z });
            if self.normed(l) {
                self.batch_norm(l);
            }
            // h = phi(z)
            let (activation, x, out) = (self.activation(l), self.given(l), self.output(l));
            if self.learns(l) {
                let parameter = self.extra(l, Extra::Slope);
                self.operations.push(Op::ActivateLearned {
                    activation,
                    parameter,
                    x,
                    out,
                });
            } else if out != x {
                self.operations.push(Op::Activate { activation, x, out });
            }
            if self.drops(l) {
                let dropped = self.handed(l);
                self.drop_out(l, out, dropped);
            }
        }
    }

    /// U(l) = gamma(l) N(l) + beta(l), N(l) being Z(l) less its mean over its standard deviation, column by column.
    fn batch_norm(&mut self, l: usize) {
        let norm = BatchNorm {
            x: self.units("z", l),
            gamma: self.extra(l, Extra::Gamma),
            beta: self.extra(l, Extra::Beta),
            running: (
                self.extra(l, Extra::RunningMean),
                self.extra(l, Extra::RunningVariance),
                self.extra(l, Extra::Batches),
            ),
            mean: self.by_unit("mean", l),
            scale: self.by_unit("scale", l),
            normal: self.units("n", l),
            out: self.units("u", l),
            training: self.training,
        };
        self.operations.push(Op::BatchNorm(norm));
    }

    /// From the loss to the gradient of every parameter.
    fn backward(&mut self, accumulate: Scalar, lifetime: Lifetime) {
        self.loss_backward();
        self.layers_backward(accumulate, lifetime);
    }

    /// From the logits to dO.
    fn loss_backward(&mut self) {
        let depth = self.with.model.depth();
        let (logits, losses) = (self.units("z", depth), self.losses());
        let (gradient, metric) = (self.units("dz", depth), self.metric(LOSS_SUM));
        // L = l(o, y), and dJ/do = dL/do
        let scale = Scalar::field(Field::InverseRows);
        match self.with.model.loss() {
            Loss::CrossEntropy { smoothing } => {
                let labels = self.labels();
                self.operations.push(Op::SoftmaxCrossEntropy {
                    smoothing,
                    logits,
                    labels,
                    scale,
                    losses,
                    gradient,
                });
            }
            Loss::SquaredError => self.target_loss(TargetLoss::SquaredError, Some((scale, gradient))),
            Loss::BinaryCrossEntropy => self.target_loss(TargetLoss::BinaryCrossEntropy, Some((scale, gradient))),
        }
        self.operations.push(Op::AddSum { x: losses, metric });
    }

    /// From dZ of the last of the layers to their gradients, and to dH of the layer ahead of them if there is one.
    fn layers_backward(&mut self, accumulate: Scalar, lifetime: Lifetime) {
        let layers = self.layers.clone();
        for l in layers.clone().rev() {
            let (input, dz) = (self.handed(l - 1), self.units("dz", l));
            let (dw, db) = self.gradients(l, lifetime);
            // dJ/dW = dJ/dz h^T; lambda W is left to the update
            self.product(Operand::transposed(input), Operand::plain(dz), accumulate, dw);
            // dJ/db = dJ/dz
            self.operations.push(Op::ColumnSum {
                x: dz,
                accumulate,
                sums: db,
            });
            if l > 1 {
                // dJ/dh = W^T dJ/do
                let (weights, gradient) = (self.weights(l), self.handed_gradient(l - 1));
                self.product(Operand::plain(dz), Operand::transposed(weights), Scalar::ZERO, gradient);
            }
            if l > *layers.start() {
                self.activation_backward(l - 1, accumulate, lifetime);
            }
        }
    }

    /// out <- x behind layer l's dropout; the way back is the same.
    fn drop_out(&mut self, layer: usize, x: BufferId, out: BufferId) {
        let probability = self.with.model.dropout();
        self.operations.push(Op::Dropout {
            probability,
            layer,
            x,
            out,
        });
    }

    /// t <- the labels as numbers, losses <- l(o, t), and its gradient if that is asked for.
    fn target_loss(&mut self, loss: TargetLoss, gradient: Option<(Scalar, BufferId)>) {
        let (labels, targets) = (self.labels(), self.targets());
        let (outputs, losses) = (self.units("z", self.with.model.depth()), self.losses());
        self.operations.push(Op::Targets { labels, out: targets });
        self.operations.push(Op::TargetLoss {
            loss,
            outputs,
            targets,
            losses,
            gradient,
        });
    }

    /// From what layer l + 1 hands back to dZ(l).
    fn activation_backward(&mut self, l: usize, accumulate: Scalar, lifetime: Lifetime) {
        let (activation, handed) = (self.activation(l), self.handed_gradient(l));
        let (gradient, out) = (self.output_gradient(l), self.given_gradient(l));
        if self.drops(l) {
            self.drop_out(l, handed, gradient);
        }
        // dJ/dz = dJ/dh (.) phi'(z); where phi' can be had from h, as relu's, it is
        if self.learns(l) {
            let (parameter, x) = (self.extra(l, Extra::Slope), self.given(l));
            let slope = self.extra_gradient(l, Extra::Slope, lifetime);
            self.operations.push(Op::ActivateLearnedBackward {
                activation,
                parameter,
                x,
                gradient,
                accumulate,
                out,
                slope,
            });
        } else if activation != Activation::Identity {
            let saved = match activation.saves() {
                Saves::Output => self.output(l),
                Saves::Input => self.given(l),
            };
            self.operations.push(Op::ActivateBackward {
                activation,
                saved,
                gradient,
                out,
            });
        }
        if self.normed(l) {
            let back = BatchNormBackward {
                gradient: out,
                normal: self.units("n", l),
                scale: self.by_unit("scale", l),
                gamma: self.extra(l, Extra::Gamma),
                training: self.training,
                accumulate,
                out: self.units("dz", l),
                d_gamma: self.extra_gradient(l, Extra::Gamma, lifetime),
                d_beta: self.extra_gradient(l, Extra::Beta, lifetime),
            };
            self.operations.push(Op::BatchNormBackward(back));
        }
    }

    /// L = l(o, y) and whether the largest of o is y's.
    fn judge(&mut self) {
        let logits = self.units("z", self.with.model.depth());
        let (labels, losses) = (self.labels(), self.losses());
        match self.with.model.loss() {
            // Without smoothing, so that losses compare.
            Loss::CrossEntropy { .. } => self.operations.push(Op::CrossEntropy { logits, labels, losses }),
            Loss::SquaredError => self.target_loss(TargetLoss::SquaredError, None),
            Loss::BinaryCrossEntropy => self.target_loss(TargetLoss::BinaryCrossEntropy, None),
        }
        let metric = self.metric(LOSS_SUM);
        self.operations.push(Op::AddSum { x: losses, metric });
        let (indices, x) = (self.predicted(), logits);
        self.operations
            .push(match (self.with.model.classes(), self.with.model.loss()) {
                (1, Loss::BinaryCrossEntropy) => Op::Above {
                    x,
                    threshold: 0.0,
                    out: indices,
                },
                (1, Loss::SquaredError) => Op::Above {
                    x,
                    threshold: 0.5,
                    out: indices,
                },
                _ => Op::RowArgmax { x, out: indices },
            });
        let metric = self.metric(CORRECT);
        self.operations.push(Op::AddMatches {
            indices,
            labels,
            metric,
        });
    }
}
