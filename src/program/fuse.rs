//! The second pass: the same results from fewer trips through memory.
//!
//! | before | after |
//! |---|---|
//! | Z = A B; Z += b | Z = A B + b in the product's epilogue |
//! | Z = A B (+ b); H = f(Z) | H = f(A B (+ b)), where nobody else reads Z |
//! | dH = A B; dZ = dH (.) f'(h) | dZ = (A B) (.) f'(h), where nobody else reads dH |
//! | dW = A^T B; W = decay W - lr dW | W = -lr A^T B + decay W, where nobody else reads dW |
//!
//! "Nobody else" means no other operation of the program, and no other program: a buffer that is [`Lifetime::Kept`]
//! stays.

use std::collections::HashMap;

use tilelab_kernels::Activation;

use super::{Access, BufferId, Lifetime, Op, Parts, Product, Program, ProgramError};

/// Rewrites a program until nothing of the table above applies, and drops the buffers that this leaves unused.
///
/// # Errors
/// None that [`Program::new`] did not find before: it checks the result again.
pub fn fuse(program: &Program) -> Result<Program, ProgramError> {
    let mut parts = program.clone().into_parts();
    while let Some(operations) = once(&parts) {
        parts.operations = operations;
    }
    drop_unused(&mut parts);
    Program::new(parts)
}

/// The operations after the first rewrite that applies.
fn once(parts: &Parts) -> Option<Vec<Op>> {
    let ops = &parts.operations;
    (0..ops.len()).find_map(|i| {
        let Op::Product(product) = ops[i] else { return None };
        let j = (i + 1..ops.len()).find(|&j| access(&ops[j], product.c).is_some())?;
        let (fused, place) = combine(parts, product, i, j)?;
        let mut after = ops.clone();
        after[place] = Op::Product(fused);
        after.remove(if place == i { j } else { i });
        Some(after)
    })
}

/// The product at `i` and the operation at `j`, the first after it that touches its C, as one product; and which of the
/// two places it takes.
fn combine(parts: &Parts, product: Product, i: usize, j: usize) -> Option<(Product, usize)> {
    let ops = &parts.operations;
    let between = &ops[i + 1..j];
    let operands = [product.a.buffer, product.b.buffer];
    // May be written at `i` already.
    let untouched = |id| !operands.contains(&id) && between.iter().all(|op| access(op, id).is_none());
    let unwritten = |id| {
        between
            .iter()
            .all(|op| matches!(access(op, id), None | Some(Access::Read)))
    };
    // C lives only from `i` to `j`.
    let private = parts.buffers[product.c.0].lifetime == Lifetime::Run
        && product.beta.is_zero()
        && ops
            .iter()
            .enumerate()
            .all(|(place, op)| place == i || place == j || access(op, product.c).is_none());
    let mut fused = product;
    let epilogue = &mut fused.epilogue;
    let plain = epilogue.activation == Activation::Identity && epilogue.derivative.is_none();
    match ops[j] {
        Op::AddBias { bias, x } if x == product.c && plain && epilogue.bias.is_none() && unwritten(bias) => {
            epilogue.bias = Some(bias);
            Some((fused, i))
        }
        Op::Activate { activation, x, out } if x == product.c && plain && private && untouched(out) => {
            epilogue.activation = activation;
            fused.c = out;
            Some((fused, i))
        }
        Op::ActivateBackward {
            activation,
            saved,
            gradient,
            out,
        } if gradient == product.c && saved != product.c && plain && private && untouched(out) && unwritten(saved) => {
            epilogue.derivative = Some((activation, saved));
            fused.c = out;
            Some((fused, i))
        }
        // The update takes its own place, behind whoever still reads the weights as they were.
        Op::Sgd {
            decay,
            lr,
            gradient,
            weights,
        } if gradient == product.c && private => {
            let bare = plain && epilogue.bias.is_none();
            if !bare || operands.contains(&weights) || !operands.into_iter().all(unwritten) {
                return None;
            }
            fused.alpha = lr.times(-product.alpha.as_constant()?);
            fused.beta = decay;
            fused.c = weights;
            Some((fused, j))
        }
        _ => None,
    }
}

fn access(op: &Op, id: BufferId) -> Option<Access> {
    op.accesses()
        .into_iter()
        .find(|&(touched, _)| touched == id)
        .map(|(_, access)| access)
}

/// Leaves out the buffers that no operation touches.
pub(crate) fn drop_unused(parts: &mut Parts) {
    let used = |id| parts.operations.iter().any(|op| access(op, id).is_some());
    let kept: Vec<usize> = (0..parts.buffers.len()).filter(|&id| used(BufferId(id))).collect();
    let places: HashMap<usize, usize> = kept.iter().enumerate().map(|(new, &old)| (old, new)).collect();
    parts.buffers = kept.iter().map(|&old| parts.buffers[old].clone()).collect();
    parts
        .operations
        .iter_mut()
        .for_each(|op| op.remap(|id| BufferId(places[&id.0])));
}
