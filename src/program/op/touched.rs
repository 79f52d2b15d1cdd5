//! What an operation is called, and which buffers it reads and writes.

use super::{Access, Op, Product, TargetLoss};
use crate::program::{BufferId, Scalar};

impl Op {
    /// Its name in messages.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::LoadRows { .. } => "load rows",
            Self::LoadLabels { .. } => "load labels",
            Self::Product(_) => "product",
            Self::AddBias { .. } => "add bias",
            Self::Activate { .. } => "activate",
            Self::ActivateBackward { .. } => "activate backward",
            Self::ActivateLearned { .. } => "activate learned",
            Self::ActivateLearnedBackward { .. } => "activate learned backward",
            Self::BatchNorm(_) => "batch norm",
            Self::BatchNormBackward(_) => "batch norm backward",
            Self::Dropout { .. } => "dropout",
            Self::Targets { .. } => "targets",
            Self::TargetLoss { loss, .. } => match loss {
                TargetLoss::SquaredError => "squared error",
                TargetLoss::BinaryCrossEntropy => "binary cross-entropy",
            },
            Self::Momentum { .. } => "momentum",
            Self::Adam { .. } => "adam",
            Self::Above { .. } => "above",
            Self::SoftmaxCrossEntropy { .. } => "softmax cross-entropy",
            Self::CrossEntropy { .. } => "cross-entropy",
            Self::ColumnSum { .. } => "column sum",
            Self::Sgd { .. } => "sgd",
            Self::RowArgmax { .. } => "row argmax",
            Self::AddSum { .. } => "add sum",
            Self::AddSquares { .. } => "add squares",
            Self::Scale { .. } => "scale",
            Self::AddMatches { .. } => "add matches",
            Self::Second(op) => op.name(),
            Self::Stacked(op) => op.name(),
        }
    }

    /// Every buffer that it touches, reads first, and what it does to it.
    pub fn accesses(&self) -> Vec<(BufferId, Access)> {
        use Access::{Read, Update, Write};
        // A factor that is always 0 never reads what it multiplies.
        let overwrites = |factor: Scalar| if factor.is_zero() { Write } else { Update };
        match *self {
            Self::LoadRows { out, .. } | Self::LoadLabels { out } => vec![(out, Write)],
            Self::Product(Product {
                a,
                b,
                beta,
                c,
                epilogue,
                ..
            }) => {
                let mut list = vec![(a.buffer, Read), (b.buffer, Read)];
                list.extend(epilogue.bias.map(|bias| (bias, Read)));
                list.extend(epilogue.derivative.map(|(_, saved)| (saved, Read)));
                list.push((c, overwrites(beta)));
                list
            }
            Self::AddBias { bias, x } => vec![(bias, Read), (x, Update)],
            Self::Activate { x, out, .. }
            | Self::RowArgmax { x, out }
            | Self::Above { x, out, .. }
            | Self::Dropout { x, out, .. } => vec![(x, Read), (out, Write)],
            Self::ActivateLearned { parameter, x, out, .. } => vec![(parameter, Read), (x, Read), (out, Write)],
            Self::ActivateLearnedBackward {
                parameter,
                x,
                gradient,
                accumulate,
                out,
                slope,
                ..
            } => vec![
                (parameter, Read),
                (x, Read),
                (gradient, Read),
                (out, Write),
                (slope, overwrites(accumulate)),
            ],
            Self::BatchNorm(norm) => {
                let running = if norm.training { Update } else { Read };
                let (mean, variance, batches) = norm.running;
                let mut list = vec![(norm.x, Read), (norm.gamma, Read), (norm.beta, Read)];
                list.extend([mean, variance, batches].map(|id| (id, running)));
                list.extend([norm.mean, norm.scale, norm.normal, norm.out].map(|id| (id, Write)));
                list
            }
            Self::BatchNormBackward(back) => {
                let sums = overwrites(back.accumulate);
                let mut list: Vec<_> = [back.gradient, back.normal, back.scale, back.gamma]
                    .map(|id| (id, Read))
                    .into();
                list.extend([(back.out, Write), (back.d_gamma, sums), (back.d_beta, sums)]);
                list
            }
            Self::Targets { labels, out } => vec![(labels, Read), (out, Write)],
            Self::TargetLoss {
                outputs,
                targets,
                losses,
                gradient,
                ..
            } => {
                let mut list = vec![(outputs, Read), (targets, Read), (losses, Write)];
                list.extend(gradient.map(|(_, gradient)| (gradient, Write)));
                list
            }
            Self::Momentum {
                gradient,
                weights,
                velocity,
                ..
            } => vec![(gradient, Read), (weights, Update), (velocity, Update)],
            Self::Adam {
                gradient,
                weights,
                moments: (first, second),
                ..
            } => vec![(gradient, Read), (weights, Update), (first, Update), (second, Update)],
            Self::ActivateBackward {
                saved, gradient, out, ..
            } => vec![(saved, Read), (gradient, Read), (out, Write)],
            Self::SoftmaxCrossEntropy {
                logits,
                labels,
                losses,
                gradient,
                ..
            } => {
                vec![(logits, Read), (labels, Read), (losses, Write), (gradient, Write)]
            }
            Self::CrossEntropy { logits, labels, losses } => vec![(logits, Read), (labels, Read), (losses, Write)],
            Self::ColumnSum { x, accumulate, sums } => vec![(x, Read), (sums, overwrites(accumulate))],
            Self::Sgd { gradient, weights, .. } => vec![(gradient, Read), (weights, Update)],
            Self::AddSum { x, metric } | Self::AddSquares { x, metric } => vec![(x, Read), (metric, Update)],
            Self::Scale { x, .. } => vec![(x, Update)],
            Self::AddMatches {
                indices,
                labels,
                metric,
            } => vec![(indices, Read), (labels, Read), (metric, Update)],
            Self::Second(mut op) => op.touched().into_iter().map(|(id, access)| (*id, access)).collect(),
            Self::Stacked(mut op) => op.touched().into_iter().map(|(id, access)| (*id, access)).collect(),
        }
    }

    /// Replaces every buffer `id` by `map(id)`.
    pub(in crate::program) fn remap(&mut self, map: impl Fn(BufferId) -> BufferId) {
        let each = |ids: &mut [&mut BufferId]| ids.iter_mut().for_each(|id| **id = map(**id));
        match self {
            Self::LoadRows { out, .. } | Self::LoadLabels { out } => each(&mut [out]),
            Self::Product(Product { a, b, c, epilogue, .. }) => {
                each(&mut [&mut a.buffer, &mut b.buffer, c]);
                epilogue.bias.iter_mut().for_each(|bias| each(&mut [bias]));
                epilogue.derivative.iter_mut().for_each(|(_, saved)| each(&mut [saved]));
            }
            Self::AddBias { bias, x } => each(&mut [bias, x]),
            Self::Activate { x, out, .. }
            | Self::RowArgmax { x, out }
            | Self::Above { x, out, .. }
            | Self::Dropout { x, out, .. } => each(&mut [x, out]),
            Self::ActivateLearned { parameter, x, out, .. } => each(&mut [parameter, x, out]),
            Self::ActivateLearnedBackward {
                parameter,
                x,
                gradient,
                out,
                slope,
                ..
            } => each(&mut [parameter, x, gradient, out, slope]),
            Self::BatchNorm(norm) => {
                let (mean, variance, batches) = &mut norm.running;
                each(&mut [&mut norm.x, &mut norm.gamma, &mut norm.beta, mean, variance, batches]);
                each(&mut [&mut norm.mean, &mut norm.scale, &mut norm.normal, &mut norm.out]);
            }
            Self::BatchNormBackward(back) => {
                each(&mut [&mut back.gradient, &mut back.normal, &mut back.scale, &mut back.gamma]);
                each(&mut [&mut back.out, &mut back.d_gamma, &mut back.d_beta]);
            }
            Self::Targets { labels, out } => each(&mut [labels, out]),
            Self::TargetLoss {
                outputs,
                targets,
                losses,
                gradient,
                ..
            } => {
                each(&mut [outputs, targets, losses]);
                gradient.iter_mut().for_each(|(_, gradient)| each(&mut [gradient]));
            }
            Self::Momentum {
                gradient,
                weights,
                velocity,
                ..
            } => each(&mut [gradient, weights, velocity]),
            Self::Adam {
                gradient,
                weights,
                moments,
                ..
            } => each(&mut [gradient, weights, &mut moments.0, &mut moments.1]),
            Self::ActivateBackward {
                saved, gradient, out, ..
            } => each(&mut [saved, gradient, out]),
            Self::SoftmaxCrossEntropy {
                logits,
                labels,
                losses,
                gradient,
                ..
            } => {
                each(&mut [logits, labels, losses, gradient]);
            }
            Self::CrossEntropy { logits, labels, losses } => each(&mut [logits, labels, losses]),
            Self::ColumnSum { x, sums, .. } => each(&mut [x, sums]),
            Self::Sgd { gradient, weights, .. } => each(&mut [gradient, weights]),
            Self::AddSum { x, metric } | Self::AddSquares { x, metric } => each(&mut [x, metric]),
            Self::Scale { x, .. } => each(&mut [x]),
            Self::AddMatches {
                indices,
                labels,
                metric,
            } => each(&mut [indices, labels, metric]),
            Self::Second(op) => op.touched().into_iter().for_each(|(id, _)| *id = map(*id)),
            Self::Stacked(op) => op.touched().into_iter().for_each(|(id, _)| *id = map(*id)),
        }
    }
}
