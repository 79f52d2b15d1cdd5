//! Activations with a learned parameter p: H = phi(Z, p), dZ = dH (.) phi_z and dp = the sum of dH (.) phi_p.
//!
//! R{H} = phi_z (.) R{Z} + phi_p R{p}
//! R{dZ} = phi_z (.) R{dH} + dH phi_zz (.) R{Z} + dH phi_zp R{p}
//! R{dp} = sum of phi_p (.) R{dH} + sum of dH phi_zp (.) R{Z} + (sum of dH phi_pp) R{p}

use super::{Rules, Which};
use crate::program::tangent::{Factor, Map, Second};
use crate::program::{Buffer, BufferId, Lifetime, Op, Operand, Role, Scalar, Shape};

impl Rules<'_> {
    pub(super) fn learned(&mut self, op: &Op) {
        match *op {
            Op::ActivateLearned {
                activation,
                parameter,
                x,
                out,
            } => {
                let [slope, by_parameter] = ["slope", "by_parameter"].map(|what| {
                    let name = format!("{what}_{}", self.name(x));
                    self.beside(out, name)
                });
                let second = Second::LearnedSlope {
                    activation,
                    parameter,
                    x,
                    slope,
                    by_parameter,
                };
                self.linearise.push(Op::Second(second));
                self.learned.insert(x, (slope, by_parameter));
                let r = self.r_of_learned(x, parameter);
                self.sum_of(r, (slope, by_parameter), out, false);
            }
            Op::ActivateLearnedBackward {
                activation,
                parameter,
                x,
                gradient,
                accumulate,
                out,
                slope,
            } => {
                let Some(&(phi_z, phi_p)) = self.learned.get(&x) else {
                    return;
                };
                let Some(&r_gradient) = self.r.get(&gradient) else {
                    return;
                };
                let (out, to) = (out, slope);
                let r_out = self.r_of(out);
                self.map(Map::Multiply {
                    by: phi_z,
                    x: r_gradient,
                    add: false,
                    out: r_out,
                });
                let sum = self.r_of(to);
                self.map(Map::Dot {
                    y: phi_p,
                    x: r_gradient,
                    accumulate,
                    out: sum,
                });
                if self.what.which != Which::Hessian {
                    return;
                }
                let [curvature, mixed] = ["curvature", "mixed"].map(|what| {
                    let name = format!("{what}_{}", self.name(x));
                    self.beside(gradient, name)
                });
                let name = format!("second_{}", self.name(parameter));
                let second = self.add(Buffer {
                    name,
                    shape: Shape::fixed(1, 1),
                    element: self.plain.float(),
                    role: Role::Backward,
                    lifetime: Lifetime::Run,
                });
                self.linearise.push(Op::Second(Second::LearnedCurvature {
                    activation,
                    parameter,
                    x,
                    gradient,
                    curvature,
                    mixed,
                    second,
                }));
                let r = self.r_of_learned(x, parameter);
                self.sum_of(r, (curvature, mixed), out, true);
                if let Some(x) = r.0 {
                    self.map(Map::Dot {
                        y: mixed,
                        x,
                        accumulate: Scalar::ONE,
                        out: sum,
                    });
                }
                if let Some(p) = r.1 {
                    let factor = |id, stacked| Factor {
                        operand: Operand::plain(id),
                        stacked,
                    };
                    self.map(Map::Product {
                        a: factor(p, true),
                        b: factor(second, false),
                        beta: Scalar::ONE,
                        c: sum,
                    });
                }
            }
            _ => {}
        }
    }

    fn r_of_learned(&self, x: BufferId, parameter: BufferId) -> (Option<BufferId>, Option<BufferId>) {
        (self.r.get(&x).copied(), self.r.get(&parameter).copied())
    }

    /// R{out} = a (.) R{Z} + b R{p}, added to what is there or not.
    fn sum_of(
        &mut self,
        (x, p): (Option<BufferId>, Option<BufferId>),
        (a, b): (BufferId, BufferId),
        out: BufferId,
        add: bool,
    ) {
        let mut add = add;
        if let Some(x) = x {
            let out = self.r_of(out);
            self.map(Map::Multiply { by: a, x, add, out });
            add = true;
        }
        if let Some(factor) = p {
            let out = self.r_of(out);
            self.map(Map::Outer { factor, y: b, add, out });
        }
    }
}
