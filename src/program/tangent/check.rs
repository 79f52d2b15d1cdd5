//! Shapes of the operations of second derivatives.

use super::{Factor, Map, NormBackwardMap, NormMap, Second, Stacked};
use crate::program::{BufferId, Extent, Shape};

/// `expect(buffer, shape)` says whether it has that shape and real numbers.
pub(in crate::program) fn check_second<E>(
    op: &Second,
    shape: impl Fn(BufferId) -> Shape,
    expect: impl Fn(BufferId, Shape) -> Result<(), E>,
) -> Result<(), E> {
    let alike = |first: BufferId, others: &[BufferId]| {
        expect(first, shape(first))?;
        others.iter().try_for_each(|&id| expect(id, shape(first)))
    };
    let one = Shape::fixed(1, 1);
    match *op {
        Second::Slope { saved: x, out, .. }
        | Second::Softmax { logits: x, out }
        | Second::Loss { outputs: x, out, .. }
        | Second::Sampled { outputs: x, out, .. } => alike(x, &[out]),
        Second::Curvature {
            saved, gradient, out, ..
        } => alike(saved, &[gradient, out]),
        Second::LearnedSlope {
            parameter,
            x,
            slope,
            by_parameter,
            ..
        } => {
            expect(parameter, one)?;
            alike(x, &[slope, by_parameter])
        }
        Second::LearnedCurvature {
            parameter,
            x,
            gradient,
            curvature,
            mixed,
            second,
            ..
        } => {
            expect(parameter, one)?;
            expect(second, one)?;
            alike(x, &[gradient, curvature, mixed])
        }
    }
}

/// As [`check_second`]; `wrong(buffer, expected)` is the error of a shape that is not one shape alone.
pub(in crate::program) fn check_stacked<E>(
    op: &Stacked,
    shape: impl Fn(BufferId) -> Shape,
    expect: impl Fn(BufferId, Shape) -> Result<(), E>,
    wrong: impl Fn(BufferId, String) -> E,
) -> Result<(), E> {
    let directions = op.directions;
    let by_direction = |id, cols| expect(id, Shape::fixed(directions, cols));
    let stacked = |id, block: Shape| expect(id, block.stacked(directions));
    match op.map {
        Map::Product { a, b, c, .. } => {
            let sizes = |factor: Factor| {
                let id = factor.operand.buffer;
                expect(id, shape(id))?;
                let block = if factor.stacked {
                    shape(id).block(directions)
                } else {
                    Some(shape(id))
                };
                let block = block.ok_or_else(|| wrong(id, format!("of {directions} blocks")))?;
                let sizes = (block.rows, Extent::Fixed(block.cols));
                Ok(if factor.operand.transposed {
                    (sizes.1, sizes.0)
                } else {
                    sizes
                })
            };
            let (left, right) = (sizes(a)?, sizes(b)?);
            if left.1 != right.0 {
                return Err(wrong(b.operand.buffer, "of the first factor's inner size".into()));
            }
            let Extent::Fixed(cols) = right.1 else {
                return Err(wrong(b.operand.buffer, "of a fixed outer size".into()));
            };
            stacked(c, Shape { rows: left.0, cols })
        }
        Map::AddBias { bias, x } => {
            expect(x, shape(x))?;
            by_direction(bias, shape(x).cols)
        }
        Map::Multiply { by, x, out, .. } => {
            expect(by, shape(by))?;
            stacked(x, shape(by))?;
            stacked(out, shape(by))
        }
        Map::Outer { factor, y, out, .. } => {
            by_direction(factor, 1)?;
            expect(y, shape(y))?;
            stacked(out, shape(y))
        }
        Map::Dot { y, x, out, .. } => {
            expect(y, shape(y))?;
            stacked(x, shape(y))?;
            by_direction(out, 1)
        }
        Map::ColumnSum { x, sums, .. } => {
            expect(x, Shape::batch(shape(x).cols).stacked(directions))?;
            by_direction(sums, shape(x).cols)
        }
        Map::Softmax {
            probabilities: y,
            x,
            out,
            ..
        }
        | Map::RankOne {
            gradient: y, x, out, ..
        } => {
            expect(y, Shape::batch(shape(y).cols))?;
            stacked(x, shape(y))?;
            stacked(out, shape(y))
        }
        Map::AddScaled { x, y, .. } => {
            expect(y, shape(y))?;
            expect(x, shape(y))
        }
        Map::Norm(norm) => {
            let NormMap {
                x,
                normal,
                r_gamma,
                r_beta,
                r_normal,
                out,
                ..
            } = norm;
            let block = Shape::batch(shape(normal).cols);
            expect(normal, block)?;
            x.into_iter()
                .chain([r_normal, out])
                .try_for_each(|id| stacked(id, block))?;
            [norm.scale, norm.gamma]
                .into_iter()
                .try_for_each(|id| expect(id, Shape::fixed(1, block.cols)))?;
            let rows = r_gamma.into_iter().chain(r_beta).chain([norm.mean_product]);
            rows.into_iter().try_for_each(|id| by_direction(id, block.cols))
        }
        Map::NormBackward(back) => {
            let NormBackwardMap {
                gradient,
                r_gradient,
                normal,
                forward,
                out,
                ..
            } = back;
            let block = Shape::batch(shape(normal).cols);
            expect(normal, block)?;
            gradient.map_or(Ok(()), |id| expect(id, block))?;
            let (r_normal, product) = forward.unzip();
            let blocks = r_normal.into_iter().chain([r_gradient, out]);
            blocks.into_iter().try_for_each(|id| stacked(id, block))?;
            [back.scale, back.gamma]
                .into_iter()
                .try_for_each(|id| expect(id, Shape::fixed(1, block.cols)))?;
            let rows = back
                .r_gamma
                .into_iter()
                .chain(product)
                .chain([back.d_gamma, back.d_beta]);
            rows.into_iter().try_for_each(|id| by_direction(id, block.cols))
        }
    }
}
