//! The tangent of each plain operation.

use super::{Rules, Which};
use crate::hessian::HessianError;
use crate::program::tangent::{Factor, Map, NormBackwardMap, NormMap, Second};
use crate::program::{
    BatchNorm, BatchNormBackward, Buffer, BufferId, Lifetime, Op, Operand, Product, Role, Scalar, Shape, TargetLoss,
};
use tilelab_kernels::{Activation, Saves};

impl Rules<'_> {
    pub(super) fn operation(&mut self, op: &Op) -> Result<(), HessianError> {
        match *op {
            Op::BatchNorm(norm) => return self.norm(norm),
            Op::LoadRows { .. } | Op::LoadLabels { .. } | Op::Targets { .. } | Op::AddSum { .. } => {
                self.linearise.push(op.clone());
            }
            _ => {
                self.linearise.push(op.clone());
                self.tangent_of(op)?;
            }
        }
        Ok(())
    }

    fn tangent_of(&mut self, op: &Op) -> Result<(), HessianError> {
        match *op {
            Op::Product(product) => self.product(product),
            Op::AddBias { bias, x } => {
                if let Some(&bias) = self.r.get(&bias) {
                    self.bias(bias, x);
                }
            }
            Op::Activate { activation, x, out } => self.activate(activation, x, out),
            Op::ActivateBackward {
                activation,
                saved,
                gradient,
                out,
            } => {
                self.activate_backward(activation, saved, gradient, out);
            }
            Op::ActivateLearned { .. } | Op::ActivateLearnedBackward { .. } => self.learned(op),
            Op::SoftmaxCrossEntropy {
                logits,
                scale,
                gradient,
                ..
            } => self.cross_entropy(logits, scale, gradient),
            Op::TargetLoss {
                loss,
                outputs,
                gradient: Some((scale, gradient)),
                ..
            } => {
                self.target_loss(loss, outputs, scale, gradient);
            }
            Op::ColumnSum { x, accumulate, sums } => {
                if let Some(&x) = self.r.get(&x) {
                    let sums = self.r_of(sums);
                    self.map(Map::ColumnSum { x, accumulate, sums });
                }
            }
            Op::BatchNormBackward(back) => self.norm_backward(back),
            _ => return Err(HessianError::Operation(op.name())),
        }
        Ok(())
    }

    /// Whether terms with this buffer are left out: it came back through the plain step, and the matrix is no Hessian.
    fn left_out(&self, id: BufferId) -> bool {
        self.what.which != Which::Hessian && self.buffers[id.0].role == Role::Backward
    }

    /// R{A B} = R{A} B + A R{B}.
    fn product(&mut self, product: Product) {
        let Product { a, b, beta, c, .. } = product;
        let mut beta = beta;
        let of = |operand: Operand, id| Operand { buffer: id, ..operand };
        let terms = [
            (self.r.get(&a.buffer).copied(), b.buffer, true),
            (self.r.get(&b.buffer).copied(), a.buffer, false),
        ];
        for (r, other, first) in terms {
            let Some(r) = r.filter(|_| !self.left_out(other)) else {
                continue;
            };
            let plain = |operand| Factor {
                operand,
                stacked: false,
            };
            let stacked = |operand| Factor { operand, stacked: true };
            let (a, b) = if first {
                (stacked(of(a, r)), plain(b))
            } else {
                (plain(a), stacked(of(b, r)))
            };
            let c = self.r_of(c);
            self.map(Map::Product { a, b, beta, c });
            beta = Scalar::ONE;
        }
    }

    /// R{Z} += R{b}. Where neither weights nor what comes in have a direction, it is all there is.
    fn bias(&mut self, bias: BufferId, x: BufferId) {
        if self.r.contains_key(&x) {
            let x = self.r_of(x);
            return self.map(Map::AddBias { bias, x });
        }
        // 0 times Z, whose factor nobody ever writes, to have something that the bias can be added to.
        let out = self.r_of(x);
        let factor = self.add(Buffer {
            name: "r_zero".into(),
            shape: Shape::fixed(self.what.directions, 1),
            element: self.plain.float(),
            role: Role::Parameter,
            lifetime: Lifetime::Kept,
        });
        self.r.insert(factor, factor);
        self.map(Map::Outer {
            factor,
            y: x,
            add: false,
            out,
        });
        self.map(Map::AddBias { bias, x: out });
    }

    /// R{H} = f (.) R{Z}.
    fn activate(&mut self, activation: Activation, x: BufferId, out: BufferId) {
        let saved = match activation.saves() {
            Saves::Output => out,
            Saves::Input => x,
        };
        let name = format!("slope_{}", self.name(x));
        let slope = self.beside(out, name);
        self.linearise.push(Op::Second(Second::Slope {
            activation,
            saved,
            out: slope,
        }));
        self.slopes.insert(saved, (slope, x));
        if let Some(&r_x) = self.r.get(&x) {
            let out = self.r_of(out);
            self.map(Map::Multiply {
                by: slope,
                x: r_x,
                add: false,
                out,
            });
        }
    }

    /// R{dZ} = f (.) R{dH} + dH phi''(Z) (.) R{Z}.
    fn activate_backward(&mut self, activation: Activation, saved: BufferId, gradient: BufferId, out: BufferId) {
        let Some(&(slope, input)) = self.slopes.get(&saved) else {
            return;
        };
        let mut add = false;
        if let Some(&x) = self.r.get(&gradient) {
            let out = self.r_of(out);
            self.map(Map::Multiply { by: slope, x, add, out });
            add = true;
        }
        let bent = self.what.which == Which::Hessian && !activation.is_piecewise_linear();
        if let Some(&x) = self.r.get(&input).filter(|_| bent) {
            let name = format!("curvature_{}", self.name(input));
            let by = self.beside(gradient, name);
            self.linearise.push(Op::Second(Second::Curvature {
                activation,
                saved,
                gradient,
                out: by,
            }));
            let out = self.r_of(out);
            self.map(Map::Multiply { by, x, add, out });
        }
    }

    fn cross_entropy(&mut self, logits: BufferId, scale: Scalar, gradient: BufferId) {
        let Some(&x) = self.r.get(&logits) else { return };
        let out = self.r_of(gradient);
        match self.what.which {
            Which::Hessian | Which::GaussNewton => {
                let probabilities = self.beside(logits, "probabilities".into());
                self.linearise.push(Op::Second(Second::Softmax {
                    logits,
                    out: probabilities,
                }));
                self.map(Map::Softmax {
                    probabilities,
                    x,
                    scale,
                    out,
                });
            }
            Which::EmpiricalFisher => self.map(Map::RankOne {
                gradient,
                x,
                scale,
                out,
            }),
            Which::MonteCarloFisher => self.sampled(None, (logits, scale), x, out),
        }
    }

    fn target_loss(&mut self, loss: TargetLoss, outputs: BufferId, scale: Scalar, gradient: BufferId) {
        let Some(&x) = self.r.get(&outputs) else { return };
        let out = self.r_of(gradient);
        match self.what.which {
            Which::Hessian | Which::GaussNewton => {
                let by = self.beside(outputs, "loss_curvature".into());
                self.linearise.push(Op::Second(Second::Loss {
                    loss,
                    outputs,
                    scale,
                    out: by,
                }));
                self.map(Map::Multiply { by, x, add: false, out });
            }
            Which::EmpiricalFisher => self.map(Map::RankOne {
                gradient,
                x,
                scale,
                out,
            }),
            Which::MonteCarloFisher => self.sampled(Some(loss), (outputs, scale), x, out),
        }
    }

    fn sampled(&mut self, loss: Option<TargetLoss>, (outputs, scale): (BufferId, Scalar), x: BufferId, out: BufferId) {
        let gradient = self.beside(outputs, "sampled_gradient".into());
        self.linearise.push(Op::Second(Second::Sampled {
            loss,
            outputs,
            scale,
            out: gradient,
        }));
        self.map(Map::RankOne {
            gradient,
            x,
            scale,
            out,
        });
    }

    /// The running statistics of the model stay as they are: a linearisation moves copies.
    fn norm(&mut self, norm: BatchNorm) -> Result<(), HessianError> {
        let mut plain = norm;
        if norm.training {
            let (mean, variance, batches) = norm.running;
            let [mean, variance, batches] = [mean, variance, batches].map(|id| {
                let like = self.buffers[id.0].clone();
                self.add(Buffer {
                    name: format!("scratch_{}", like.name),
                    ..like
                })
            });
            plain.running = (mean, variance, batches);
        }
        self.linearise.push(Op::BatchNorm(plain));
        let [x, r_gamma, r_beta] = [norm.x, norm.gamma, norm.beta].map(|id| self.r.get(&id).copied());
        if x.or(r_gamma).or(r_beta).is_none() {
            return Ok(());
        }
        let name = format!("product_{}", self.name(norm.normal));
        let directions = self.what.directions;
        let like = self.buffers[norm.scale.0].clone();
        let mean_product = self.add(Buffer {
            name,
            shape: like.shape.stacked(directions),
            lifetime: Lifetime::Run,
            ..like
        });
        self.r.insert(mean_product, mean_product);
        let (r_normal, out) = (self.r_of(norm.normal), self.r_of(norm.out));
        self.norms.insert(norm.normal, (r_normal, mean_product));
        let (normal, scale, gamma, training) = (norm.normal, norm.scale, norm.gamma, norm.training);
        self.map(Map::Norm(NormMap {
            x,
            normal,
            scale,
            gamma,
            r_gamma,
            r_beta,
            training,
            r_normal,
            mean_product,
            out,
        }));
        Ok(())
    }

    fn norm_backward(&mut self, back: BatchNormBackward) {
        let Some(&r_gradient) = self.r.get(&back.gradient) else {
            return;
        };
        let hessian = self.what.which == Which::Hessian;
        let forward = self.norms.get(&back.normal).copied();
        let r_gamma = self.r.get(&back.gamma).copied();
        let [out, d_gamma, d_beta] = [back.out, back.d_gamma, back.d_beta].map(|id| self.r_of(id));
        let (normal, scale, gamma) = (back.normal, back.scale, back.gamma);
        self.map(Map::NormBackward(NormBackwardMap {
            gradient: hessian.then_some(back.gradient),
            r_gradient,
            normal,
            // They multiply dU alone.
            forward: forward.filter(|_| hessian),
            scale,
            gamma,
            r_gamma: r_gamma.filter(|_| hessian),
            training: back.training,
            accumulate: back.accumulate,
            out,
            d_gamma,
            d_beta,
        }));
    }
}
