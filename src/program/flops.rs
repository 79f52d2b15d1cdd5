//! Floating-point operations of a program, counted from its shapes.
//!
//! A multiplication and an addition count one each, so a product of m x k with k x n is 2 m n k. A comparison, an exp, a log
//! and a division count one each as well: the figure says how much is computed, not how long it takes. What moves or
//! compares whole numbers counts nothing.

use super::{BufferId, Op, Product, Program, Shape, TargetLoss, tangent};

/// Of one operation, for a batch of `rows` rows.
pub fn of_operation(program: &Program, op: &Op, rows: usize) -> u64 {
    let shape = |id: BufferId| program.buffer(id).shape;
    let elements = |id: BufferId| size(shape(id), rows);
    match *op {
        Op::LoadRows { out, .. } => elements(out),
        Op::LoadLabels { .. } | Op::AddMatches { .. } | Op::Targets { .. } => 0,
        Op::Product(ref product) => of_product(program, product, rows),
        Op::AddBias { x, .. }
        | Op::Scale { x, .. }
        | Op::Activate { x, .. }
        | Op::Dropout { x, .. }
        | Op::Above { x, .. }
        | Op::RowArgmax { x, .. }
        | Op::AddSum { x, .. } => elements(x),
        Op::AddSquares { x, .. } => 2 * elements(x),
        // f', and times the gradient.
        Op::ActivateBackward { out, .. } => 2 * elements(out),
        // Largest, difference, exp, sum; then a log and a difference a row; then quotient, minus the one-hot, scale.
        Op::SoftmaxCrossEntropy { logits, losses, .. } => 7 * elements(logits) + 2 * elements(losses),
        // Difference, square, sum, or: largest, product, exp, two sums, log; then the gradient's sigmoid, difference, scale.
        Op::TargetLoss {
            loss,
            outputs,
            gradient,
            ..
        } => {
            let (value, slope) = match loss {
                TargetLoss::SquaredError => (3, 2),
                TargetLoss::BinaryCrossEntropy => (7, 5),
            };
            (value + gradient.map_or(0, |_| slope)) * elements(outputs)
        }
        Op::ActivateLearned { x, .. } => elements(x),
        // f', times the gradient; df/dp, times the gradient, sum.
        Op::ActivateLearnedBackward { x, .. } => 5 * elements(x),
        // Sum, difference, square, sum where the batch's own statistics are taken; then difference, two factors, sum.
        Op::BatchNorm(norm) => (if norm.training { 8 } else { 4 }) * elements(norm.x),
        // Sum, product, sum; then two differences, two factors.
        Op::BatchNormBackward(back) => 7 * elements(back.gradient),
        Op::Momentum { weights, .. } => 6 * elements(weights),
        Op::Adam { weights, .. } => 15 * elements(weights),
        Op::CrossEntropy { logits, losses, .. } => 4 * elements(logits) + 2 * elements(losses),
        Op::ColumnSum { x, accumulate, sums } => elements(x) + accumulated(accumulate.is_zero(), elements(sums)),
        Op::Sgd { decay, weights, .. } => {
            let decays = decay.as_constant() != Some(1.0);
            (2 + u64::from(decays)) * elements(weights)
        }
        Op::Second(ref op) => tangent::of_second(program, op, rows),
        Op::Stacked(ref op) => tangent::of_stacked(program, op, rows),
    }
}

/// Of all operations, for a batch of `rows` rows.
pub fn of_program(program: &Program, rows: usize) -> u64 {
    program
        .operations()
        .iter()
        .map(|op| of_operation(program, op, rows))
        .sum()
}

/// 2 m n k, and what follows each element of C: alpha, beta, bias, activation, derivative.
fn of_product(program: &Program, product: &Product, rows: usize) -> u64 {
    let a = program.buffer(product.a.buffer).shape;
    let c = size(program.buffer(product.c).shape, rows);
    let inner = if product.a.transposed { a.rows_in(rows) } else { a.cols } as u64;
    let epilogue = &product.epilogue;
    let after = [
        u64::from(product.alpha.as_constant() != Some(1.0)),
        if product.beta.is_zero() { 0 } else { 2 },
        u64::from(epilogue.bias.is_some()),
        u64::from(epilogue.activation != Default::default()),
        if epilogue.derivative.is_some() { 2 } else { 0 },
    ];
    2 * c * inner + c * after.iter().sum::<u64>()
}

fn accumulated(overwrites: bool, elements: u64) -> u64 {
    if overwrites { 0 } else { 2 * elements }
}

fn size(shape: Shape, rows: usize) -> u64 {
    shape.rows_in(rows) as u64 * shape.cols as u64
}

#[cfg(test)]
mod tests {
    use tilelab_kernels::Activation;

    use super::*;
    use crate::mlp::{Model, Optimizer};
    use crate::program::lower::Lowering;
    use crate::program::{Element, fuse};

    /// 7-5-3 with 4 rows, each operation counted by hand.
    #[test]
    fn a_step_is_what_its_operations_are() {
        let model = Model::new(&[7, 5, 3], Activation::Relu).unwrap();
        let lowering = Lowering {
            model: &model,
            float: Element::F32,
            rows: 4,
            byte_scale: 1.0,
        };
        let step = lowering.step(Optimizer::Sgd).unwrap();
        let forward = 28 + (2 * 4 * 7 * 5 + 20) + 20 + (2 * 4 * 5 * 3 + 12);
        let loss = 7 * 12 + 2 * 4 + 4;
        let backward = 2 * 4 * 5 * 3 + 12 + 2 * 4 * 5 * 3 + 2 * 20 + 2 * 4 * 7 * 5 + 20;
        let update = 3 * (35 + 15) + 2 * (5 + 3);
        assert_eq!(of_program(&step, 4), forward + loss + backward + update);
        // The fused update does the same arithmetic but for alpha, which is one factor more or less.
        let fused = of_program(&fuse(&step).unwrap(), 4);
        assert_eq!(fused, of_program(&step, 4));
    }
}
