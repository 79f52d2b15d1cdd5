//! What a program must satisfy before it is one.

use std::collections::HashSet;

use super::tangent::{check_second, check_stacked};
use super::{
    Access, Buffer, BufferId, Element, Extent, Lifetime, Op, Operand, Parts, Product, ProgramError, Role, Shape,
};

/// Labels are bytes: without an operation that uses them as classes, any is valid.
const ANY_LABEL: usize = 256;

/// Checks all of it; the columns of its input rows and the number of its classes.
pub(super) fn check(parts: &Parts) -> Result<(usize, usize), ProgramError> {
    if !matches!(parts.float, Element::F32 | Element::F64) {
        return Err(ProgramError::Float {
            program: parts.name.clone(),
            got: parts.float,
        });
    }
    buffers(parts)?;
    let mut written: HashSet<BufferId> = HashSet::new();
    let (mut columns, mut classes) = (0, ANY_LABEL);
    for (place, op) in parts.operations.iter().enumerate() {
        let here = Here { parts, op, place };
        here.shapes()?;
        here.order(&mut written)?;
        match *op {
            Op::LoadRows { out, .. } => columns = here.buffer(out).shape.cols,
            Op::SoftmaxCrossEntropy { logits, .. } | Op::CrossEntropy { logits, .. } => {
                classes = classes.min(here.buffer(logits).shape.cols);
            }
            // A single column takes the label as a number.
            Op::Targets { out, .. } if here.buffer(out).shape.cols > 1 => {
                classes = classes.min(here.buffer(out).shape.cols);
            }
            _ => {}
        }
    }
    Ok((columns, classes))
}

fn buffers(parts: &Parts) -> Result<(), ProgramError> {
    let mut names = HashSet::new();
    for buffer in &parts.buffers {
        let program = parts.name.clone();
        if !names.insert(&buffer.name) {
            return Err(ProgramError::Name {
                program,
                buffer: buffer.name.clone(),
            });
        }
        // The host handles any of it as f64, and no allocation exceeds isize::MAX.
        let elements = buffer.shape.elements(parts.rows);
        if !elements.is_some_and(|elements| (1..=isize::MAX as usize / 8).contains(&elements)) {
            return Err(ProgramError::Size {
                program,
                buffer: buffer.name.clone(),
                shape: buffer.shape.to_string(),
            });
        }
    }
    Ok(())
}

/// One operation at its place.
struct Here<'a> {
    parts: &'a Parts,
    op: &'a Op,
    place: usize,
}

impl Here<'_> {
    fn buffer(&self, id: BufferId) -> &Buffer {
        &self.parts.buffers[id.0]
    }

    fn operation(&self) -> String {
        format!("{} ({})", self.op.name(), self.place)
    }

    fn expect(&self, id: BufferId, shape: Shape, element: Element) -> Result<(), ProgramError> {
        let buffer = self.buffer(id);
        if buffer.shape == shape && buffer.element == element {
            return Ok(());
        }
        Err(self.wrong(id, format!("{shape} {element}")))
    }

    fn wrong(&self, id: BufferId, expected: String) -> ProgramError {
        let buffer = self.buffer(id);
        ProgramError::Shape {
            program: self.parts.name.clone(),
            operation: self.operation(),
            buffer: buffer.name.clone(),
            got: format!("{} {}", buffer.shape, buffer.element),
            expected,
        }
    }

    /// Every operand has the shape and element that the operation's line in [`Op`] says.
    fn shapes(&self) -> Result<(), ProgramError> {
        let float = self.parts.float;
        let shape = |id| self.buffer(id).shape;
        let real = |id, shape| self.expect(id, shape, float);
        let labels = |id| self.expect(id, Shape::batch(1), Element::U8);
        let metric = |id| match self.buffer(id).role {
            Role::Metric => self.expect(id, Shape::fixed(1, 1), Element::F64),
            _ => Err(self.wrong(id, "a metric".to_owned())),
        };
        match *self.op {
            Op::LoadRows { out, .. } => real(out, Shape::batch(shape(out).cols)),
            Op::LoadLabels { out } => labels(out),
            Op::Product(ref product) => self.product(product),
            Op::AddBias { bias, x } => {
                real(x, shape(x))?;
                real(bias, Shape::fixed(1, shape(x).cols))
            }
            Op::Activate { x, out, .. } => {
                real(x, shape(x))?;
                real(out, shape(x))
            }
            Op::ActivateBackward {
                saved, gradient, out, ..
            } => {
                real(saved, shape(saved))?;
                real(gradient, shape(saved))?;
                real(out, shape(saved))
            }
            Op::SoftmaxCrossEntropy {
                logits,
                labels: y,
                losses,
                gradient,
                ..
            } => {
                real(logits, Shape::batch(shape(logits).cols))?;
                labels(y)?;
                real(losses, Shape::batch(1))?;
                real(gradient, shape(logits))
            }
            Op::CrossEntropy {
                logits,
                labels: y,
                losses,
            } => {
                real(logits, Shape::batch(shape(logits).cols))?;
                labels(y)?;
                real(losses, Shape::batch(1))
            }
            Op::ActivateLearned { parameter, x, out, .. } => {
                real(parameter, Shape::fixed(1, 1))?;
                real(x, shape(x))?;
                real(out, shape(x))
            }
            Op::ActivateLearnedBackward {
                parameter,
                x,
                gradient,
                out,
                slope,
                ..
            } => {
                real(parameter, Shape::fixed(1, 1))?;
                real(x, shape(x))?;
                real(gradient, shape(x))?;
                real(out, shape(x))?;
                real(slope, Shape::fixed(1, 1))
            }
            Op::BatchNorm(norm) => {
                let (mean, variance, batches) = norm.running;
                real(norm.x, Shape::batch(shape(norm.x).cols))?;
                real(norm.normal, shape(norm.x))?;
                real(norm.out, shape(norm.x))?;
                real(batches, Shape::fixed(1, 1))?;
                let by_column = [norm.gamma, norm.beta, mean, variance, norm.mean, norm.scale];
                by_column
                    .into_iter()
                    .try_for_each(|id| real(id, Shape::fixed(1, shape(norm.x).cols)))
            }
            Op::BatchNormBackward(back) => {
                real(back.gradient, Shape::batch(shape(back.gradient).cols))?;
                real(back.normal, shape(back.gradient))?;
                real(back.out, shape(back.gradient))?;
                let by_column = [back.scale, back.gamma, back.d_gamma, back.d_beta];
                by_column
                    .into_iter()
                    .try_for_each(|id| real(id, Shape::fixed(1, shape(back.gradient).cols)))
            }
            Op::Dropout { x, out, .. } => {
                real(x, Shape::batch(shape(x).cols))?;
                real(out, shape(x))
            }
            Op::Targets { labels: y, out } => {
                labels(y)?;
                real(out, Shape::batch(shape(out).cols))
            }
            Op::TargetLoss {
                outputs,
                targets,
                losses,
                gradient,
                ..
            } => {
                real(outputs, Shape::batch(shape(outputs).cols))?;
                real(targets, shape(outputs))?;
                real(losses, Shape::batch(1))?;
                gradient.map_or(Ok(()), |(_, gradient)| real(gradient, shape(outputs)))
            }
            Op::Momentum {
                gradient,
                weights,
                velocity,
                ..
            } => {
                real(weights, shape(weights))?;
                real(gradient, shape(weights))?;
                real(velocity, shape(weights))
            }
            Op::Adam {
                gradient,
                weights,
                moments: (first, second),
                ..
            } => {
                real(weights, shape(weights))?;
                real(gradient, shape(weights))?;
                real(first, shape(weights))?;
                real(second, shape(weights))
            }
            Op::Above { x, out, .. } => {
                real(x, Shape::batch(1))?;
                self.expect(out, Shape::batch(1), Element::U32)
            }
            Op::ColumnSum { x, sums, .. } => {
                real(x, shape(x))?;
                real(sums, Shape::fixed(1, shape(x).cols))
            }
            Op::Sgd { gradient, weights, .. } => {
                real(weights, shape(weights))?;
                real(gradient, shape(weights))
            }
            Op::RowArgmax { x, out } => {
                real(x, Shape::batch(shape(x).cols))?;
                self.expect(out, Shape::batch(1), Element::U32)
            }
            Op::Scale { x, .. } => real(x, shape(x)),
            Op::AddSquares { x, metric: sum } => {
                real(x, shape(x))?;
                metric(sum)
            }
            Op::AddSum { x, metric: sum } => {
                real(x, Shape::batch(1))?;
                metric(sum)
            }
            Op::AddMatches {
                indices,
                labels: y,
                metric: count,
            } => {
                self.expect(indices, Shape::batch(1), Element::U32)?;
                labels(y)?;
                metric(count)
            }
            Op::Second(ref op) => check_second(op, shape, real),
            Op::Stacked(ref op) => check_stacked(op, shape, real, |id, expected| self.wrong(id, expected)),
        }
    }

    fn product(&self, product: &Product) -> Result<(), ProgramError> {
        let float = self.parts.float;
        // Sizes of an operand as the product sees it: one of the two may be the batch's.
        let sizes = |operand: Operand| {
            let shape = self.buffer(operand.buffer).shape;
            let sizes = (shape.rows, Extent::Fixed(shape.cols));
            if operand.transposed { (sizes.1, sizes.0) } else { sizes }
        };
        let (a, b) = (sizes(product.a), sizes(product.b));
        for operand in [product.a, product.b] {
            self.expect(operand.buffer, self.buffer(operand.buffer).shape, float)?;
        }
        if a.1 != b.0 {
            let side = if product.b.transposed { "columns" } else { "rows" };
            return Err(self.wrong(
                product.b.buffer,
                format!("of as many {side} as the first factor's inner size"),
            ));
        }
        let Extent::Fixed(cols) = b.1 else {
            return Err(self.wrong(
                product.b.buffer,
                "of a fixed outer size: columns never change with the batch".into(),
            ));
        };
        let c = Shape { rows: a.0, cols };
        self.expect(product.c, c, float)?;
        if let Some(bias) = product.epilogue.bias {
            self.expect(bias, Shape::fixed(1, cols), float)?;
        }
        product
            .epilogue
            .derivative
            .map_or(Ok(()), |(_, saved)| self.expect(saved, c, float))
    }

    /// No output is another operand too, and nothing is read that is not there.
    fn order(&self, written: &mut HashSet<BufferId>) -> Result<(), ProgramError> {
        let accesses = self.op.accesses();
        let program = || self.parts.name.clone();
        for (index, &(id, access)) in accesses.iter().enumerate() {
            let buffer = self.buffer(id);
            let others = accesses.iter().enumerate().filter(|&(other, _)| other != index);
            if access != Access::Read && others.into_iter().any(|(_, &(other, _))| other == id) {
                return Err(ProgramError::Alias {
                    program: program(),
                    operation: self.operation(),
                    buffer: buffer.name.clone(),
                });
            }
            let there = buffer.lifetime == Lifetime::Kept || written.contains(&id);
            if access != Access::Write && !there {
                return Err(ProgramError::Unwritten {
                    program: program(),
                    operation: self.operation(),
                    buffer: buffer.name.clone(),
                });
            }
        }
        written.extend(
            accesses
                .iter()
                .filter(|(_, access)| *access != Access::Read)
                .map(|(id, _)| *id),
        );
        Ok(())
    }
}
