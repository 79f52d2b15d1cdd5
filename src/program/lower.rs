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
//! The regularisation's share lambda W of the gradient is taken in the update: W - lr (dW + lambda W) is
//! (1 - lr lambda) W - lr dW. Biases are not regularised.

mod writer;

use tilelab_kernels::Activation;

pub use self::writer::{bias_name, weights_name};

use self::writer::Writer;
use super::{
    BufferId, CORRECT, Element, Epilogue, Field, GRADIENT_SQUARES, LOSS_SUM, Lifetime, Op, Operand, Product, Program,
    ProgramError, Scalar,
};
use crate::mlp::{Model, Optimizer};

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
        writer.forward();
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
        let mut writer = Writer::new(*self);
        writer.forward();
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
        writer.finish("update")
    }

    /// `evaluate`: forward and loss; adds to [`LOSS_SUM`] and [`CORRECT`].
    ///
    /// # Errors
    /// As [`Lowering::step`].
    pub fn evaluate(&self) -> Result<Program, ProgramError> {
        let mut writer = Writer::new(*self);
        writer.forward();
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
    /// dW(l) and db(l) of every layer, as they are kept between programs.
    fn all_gradients(&mut self) -> Vec<BufferId> {
        let layers = 1..=self.with.model.depth();
        layers
            .flat_map(|l| <[_; 2]>::from(self.gradients(l, Lifetime::Kept)))
            .collect()
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
    fn forward(&mut self) {
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
        for l in 1..=self.with.model.depth() {
            let (input, weights, bias, z) = (self.output(l - 1), self.weights(l), self.bias(l), self.units("z", l));
            // z = W x + b
            self.product(Operand::plain(input), Operand::plain(weights), Scalar::ZERO, z);
            self.operations.push(Op::AddBias { bias, x: z });
            // h = phi(z)
            let (activation, out) = (self.activation(l), self.output(l));
            if out != z {
                self.operations.push(Op::Activate { activation, x: z, out });
            }
        }
    }

    /// From the logits to the gradient of every parameter.
    fn backward(&mut self, accumulate: Scalar, lifetime: Lifetime) {
        let depth = self.with.model.depth();
        let (logits, labels, losses) = (self.units("z", depth), self.labels(), self.losses());
        let (gradient, metric) = (self.units("dz", depth), self.metric(LOSS_SUM));
        // L = l(o, y), and dJ/do = dL/do
        let scale = Scalar::field(Field::InverseRows);
        self.operations.push(Op::SoftmaxCrossEntropy {
            logits,
            labels,
            scale,
            losses,
            gradient,
        });
        self.operations.push(Op::AddSum { x: losses, metric });
        for l in (1..=depth).rev() {
            let (input, dz) = (self.output(l - 1), self.units("dz", l));
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
                self.backward_through(l, dz);
            }
        }
    }

    /// From dZ(l) to dZ(l-1).
    fn backward_through(&mut self, l: usize, dz: BufferId) {
        let (weights, activation, out) = (self.weights(l), self.activation(l - 1), self.units("dz", l - 1));
        let (plain, transposed) = (Operand::plain(dz), Operand::transposed(weights));
        if activation == Activation::Identity {
            return self.product(plain, transposed, Scalar::ZERO, out);
        }
        // dJ/dh = W^T dJ/do
        let gradient = self.units("dh", l - 1);
        self.product(plain, transposed, Scalar::ZERO, gradient);
        // dJ/dz = dJ/dh (.) phi'(z); relu' is computed from h, which is 0 where z <= 0
        let saved = self.output(l - 1);
        self.operations.push(Op::ActivateBackward {
            activation,
            saved,
            gradient,
            out,
        });
    }

    /// W <- (1 - lr lambda) W - lr dW, b <- b - lr db.
    fn update(&mut self, optimizer: Optimizer, lifetime: Lifetime) {
        let Optimizer::Sgd = optimizer;
        let lr = Scalar::field(Field::Lr);
        for l in 1..=self.with.model.depth() {
            let (weights, bias, (dw, db)) = (self.weights(l), self.bias(l), self.gradients(l, lifetime));
            let decay = Scalar::field(Field::Decay);
            self.operations.push(Op::Sgd {
                decay,
                lr,
                gradient: dw,
                weights,
            });
            self.operations.push(Op::Sgd {
                decay: Scalar::ONE,
                lr,
                gradient: db,
                weights: bias,
            });
        }
    }

    /// L = l(o, y) and whether the largest of o is y's.
    fn judge(&mut self) {
        let logits = self.units("z", self.with.model.depth());
        let (labels, losses) = (self.labels(), self.losses());
        self.operations.push(Op::CrossEntropy { logits, labels, losses });
        let metric = self.metric(LOSS_SUM);
        self.operations.push(Op::AddSum { x: losses, metric });
        let indices = self.predicted();
        self.operations.push(Op::RowArgmax {
            x: logits,
            out: indices,
        });
        let metric = self.metric(CORRECT);
        self.operations.push(Op::AddMatches {
            indices,
            labels,
            metric,
        });
    }
}
