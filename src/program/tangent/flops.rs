//! Floating-point operations of second derivatives, by the rule of [`crate::program::flops`].

use super::{Map, Second, Stacked};
use crate::program::{BufferId, Program};

fn elements(program: &Program, id: BufferId, rows: usize) -> u64 {
    let shape = program.buffer(id).shape;
    shape.rows_in(rows) as u64 * shape.cols as u64
}

/// Of what a linearisation keeps.
pub(in crate::program) fn of_second(program: &Program, op: &Second, rows: usize) -> u64 {
    let of = |id| elements(program, id, rows);
    match *op {
        Second::Slope { out, .. } => of(out),
        // f'', and times the gradient.
        Second::Curvature { out, .. } => 2 * of(out),
        Second::LearnedSlope { x, .. } => 2 * of(x),
        Second::LearnedCurvature { x, .. } => 7 * of(x),
        // Largest, difference, exp, sum, quotient.
        Second::Softmax { out, .. } | Second::Sampled { out, .. } => 5 * of(out),
        Second::Loss { out, .. } => 4 * of(out),
    }
}

/// Of all directions.
pub(in crate::program) fn of_stacked(program: &Program, op: &Stacked, rows: usize) -> u64 {
    let of = |id| elements(program, id, rows);
    match op.map {
        Map::Product { a, beta, c, .. } => {
            let shape = program.buffer(a.operand.buffer).shape;
            let inner = if !a.operand.transposed {
                shape.cols
            } else if a.stacked {
                shape.rows_in(rows) / op.directions
            } else {
                shape.rows_in(rows)
            };
            of(c) * (2 * inner as u64 + if beta.is_zero() { 0 } else { 2 })
        }
        Map::AddBias { x, .. } | Map::ColumnSum { x, .. } => of(x),
        Map::Multiply { add, out, .. } | Map::Outer { add, out, .. } => (1 + u64::from(add)) * of(out),
        Map::Dot { x, .. } => 2 * of(x),
        // Product, sum; then difference, product, scale.
        Map::Softmax { x, .. } => 5 * of(x),
        Map::RankOne { x, .. } => 3 * of(x),
        Map::AddScaled { y, .. } => 2 * of(y),
        Map::Norm(norm) => 9 * of(norm.out),
        Map::NormBackward(back) => 16 * of(back.out),
    }
}
