//! One step of an optimizer, parameter by parameter.

use super::writer::{Writer, bias_name, weights_name};
use super::{BufferId, Field, Lifetime, Op, Scalar, Shape};
use crate::mlp::{ADAM, Optimizer};
use crate::program::{AdamRule, MomentumRule};

impl Writer<'_> {
    /// What the optimizer does with every weight and bias, and their gradients: see [`Optimizer`].
    pub(super) fn update(&mut self, optimizer: Optimizer, lifetime: Lifetime) {
        for l in self.layers.clone() {
            let (dw, db) = self.gradients(l, lifetime);
            let layer = self.with.model.layer(l);
            let (weights, bias) = (self.weights(l), self.bias(l));
            let shape = Shape::fixed(layer.inputs, layer.outputs);
            self.update_one(optimizer, (dw, weights), (weights_name(l), shape), true);
            let shape = Shape::fixed(1, layer.outputs);
            self.update_one(optimizer, (db, bias), (bias_name(l), shape), false);
            for extra in self.with.model.extras_of(l).filter(|extra| extra.trained()) {
                let pair = (self.extra_gradient(l, extra, lifetime), self.extra(l, extra));
                let named = (extra.name(l), self.extra_shape(l, extra));
                self.update_one(optimizer, pair, named, false);
            }
        }
    }

    /// One parameter; `regular` if the regularisation acts on it.
    fn update_one(
        &mut self,
        optimizer: Optimizer,
        (gradient, weights): (BufferId, BufferId),
        (name, shape): (String, Shape),
        regular: bool,
    ) {
        let lr = Scalar::field(Field::Lr);
        let lambda = |acts: bool| {
            if regular && acts {
                Scalar::field(Field::L2)
            } else {
                Scalar::ZERO
            }
        };
        let op = match optimizer {
            // W <- (1 - lr lambda) W - lr dW
            Optimizer::Sgd => Op::Sgd {
                decay: if regular {
                    Scalar::field(Field::Decay)
                } else {
                    Scalar::ONE
                },
                lr,
                gradient,
                weights,
            },
            Optimizer::Momentum { momentum, nesterov } => Op::Momentum {
                rule: MomentumRule {
                    momentum,
                    nesterov,
                    lr,
                    l2: lambda(true),
                },
                gradient,
                weights,
                velocity: self.state("v", &name, shape),
            },
            Optimizer::Adam { decoupled } => {
                let (beta1, beta2, epsilon) = ADAM;
                Op::Adam {
                    rule: AdamRule {
                        betas: (beta1, beta2),
                        epsilon,
                        lr,
                        l2: lambda(!decoupled),
                        weight_decay: lambda(decoupled),
                    },
                    gradient,
                    weights,
                    moments: (self.state("m", &name, shape), self.state("v", &name, shape)),
                }
            }
            // W <- W + d, the step being kept to begin the next with: lr is minus how much of it is taken.
            Optimizer::NewtonCg { .. } => Op::Sgd {
                decay: Scalar::ONE,
                lr,
                gradient: self.state("n", &name, shape),
                weights,
            },
        };
        self.operations.push(op);
    }
}
