//! What the operations of second derivatives are called, and which buffers they touch.

use super::{Map, NormBackwardMap, NormMap, Second, Stacked};
use crate::program::{Access, BufferId, Scalar};

use Access::{Read, Update, Write};

fn added(add: bool) -> Access {
    if add { Update } else { Write }
}

fn accumulated(factor: Scalar) -> Access {
    added(!factor.is_zero())
}

impl Second {
    pub(in crate::program) const fn name(&self) -> &'static str {
        match self {
            Self::Slope { .. } => "slope",
            Self::Curvature { .. } => "curvature",
            Self::LearnedSlope { .. } => "learned slope",
            Self::LearnedCurvature { .. } => "learned curvature",
            Self::Softmax { .. } => "softmax",
            Self::Loss { .. } => "loss curvature",
            Self::Sampled { .. } => "sampled gradient",
        }
    }

    /// Every buffer, to be read or replaced: reads first.
    pub(in crate::program) fn touched(&mut self) -> Vec<(&mut BufferId, Access)> {
        match self {
            Self::Slope { saved: x, out, .. }
            | Self::Softmax { logits: x, out }
            | Self::Loss { outputs: x, out, .. }
            | Self::Sampled { outputs: x, out, .. } => vec![(x, Read), (out, Write)],
            Self::Curvature {
                saved, gradient, out, ..
            } => vec![(saved, Read), (gradient, Read), (out, Write)],
            Self::LearnedSlope {
                parameter,
                x,
                slope,
                by_parameter,
                ..
            } => {
                vec![(parameter, Read), (x, Read), (slope, Write), (by_parameter, Write)]
            }
            Self::LearnedCurvature {
                parameter,
                x,
                gradient,
                curvature,
                mixed,
                second,
                ..
            } => {
                let mut list = vec![(parameter, Read), (x, Read), (gradient, Read)];
                list.extend([curvature, mixed, second].map(|id| (id, Write)));
                list
            }
        }
    }
}

impl Stacked {
    pub(in crate::program) const fn name(&self) -> &'static str {
        match self.map {
            Map::Product { .. } => "stacked product",
            Map::AddBias { .. } => "stacked add bias",
            Map::Multiply { .. } => "stacked multiply",
            Map::Outer { .. } => "stacked outer",
            Map::Dot { .. } => "stacked dot",
            Map::ColumnSum { .. } => "stacked column sum",
            Map::Softmax { .. } => "softmax curvature",
            Map::RankOne { .. } => "rank one",
            Map::AddScaled { .. } => "add scaled",
            Map::Norm(_) => "batch norm tangent",
            Map::NormBackward(_) => "batch norm backward tangent",
        }
    }

    /// Every buffer, to be read or replaced: reads first.
    pub(in crate::program) fn touched(&mut self) -> Vec<(&mut BufferId, Access)> {
        match &mut self.map {
            Map::Product { a, b, beta, c } => {
                let reads = [&mut a.operand.buffer, &mut b.operand.buffer].map(|id| (id, Read));
                reads.into_iter().chain([(c, accumulated(*beta))]).collect()
            }
            Map::AddBias { bias, x } => vec![(bias, Read), (x, Update)],
            Map::Multiply { by: y, x, add, out }
            | Map::Outer {
                factor: y,
                y: x,
                add,
                out,
            } => {
                vec![(y, Read), (x, Read), (out, added(*add))]
            }
            Map::Dot { y, x, accumulate, out } => vec![(y, Read), (x, Read), (out, accumulated(*accumulate))],
            Map::ColumnSum { x, accumulate, sums } => vec![(x, Read), (sums, accumulated(*accumulate))],
            Map::Softmax {
                probabilities: y,
                x,
                out,
                ..
            }
            | Map::RankOne {
                gradient: y, x, out, ..
            } => {
                vec![(y, Read), (x, Read), (out, Write)]
            }
            Map::AddScaled { x, y, .. } => vec![(x, Read), (y, Update)],
            Map::Norm(norm) => {
                let NormMap {
                    x,
                    normal,
                    scale,
                    gamma,
                    r_gamma,
                    r_beta,
                    r_normal,
                    mean_product,
                    out,
                    ..
                } = norm;
                let reads = [
                    x.as_mut(),
                    Some(normal),
                    Some(scale),
                    Some(gamma),
                    r_gamma.as_mut(),
                    r_beta.as_mut(),
                ];
                let reads = reads.into_iter().flatten().map(|id| (id, Read));
                reads
                    .chain([r_normal, mean_product, out].map(|id| (id, Write)))
                    .collect()
            }
            Map::NormBackward(back) => {
                let NormBackwardMap {
                    gradient,
                    r_gradient,
                    normal,
                    forward,
                    scale,
                    gamma,
                    r_gamma,
                    ..
                } = back;
                let mut list: Vec<_> = [r_gradient, normal, scale, gamma].map(|id| (id, Read)).into();
                list.extend(gradient.iter_mut().chain(r_gamma).map(|id| (id, Read)));
                if let Some((r_normal, mean_product)) = forward {
                    list.extend([(r_normal, Read), (mean_product, Read)]);
                }
                let sums = accumulated(back.accumulate);
                list.extend([
                    (&mut back.out, Write),
                    (&mut back.d_gamma, sums),
                    (&mut back.d_beta, sums),
                ]);
                list
            }
        }
    }
}
