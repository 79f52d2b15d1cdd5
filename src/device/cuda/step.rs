//! What changes from step to step, as one block of bytes: cells that kernels read through their address, then the rows of the batch.
//!
//!   cells, 16 bytes apart at least | row indices, u32 | labels, u8 | values of the rows, f32 or u8
//!
//! Sections begin on 16 bytes, and lie where the largest batch needs them, so that a graph's addresses hold for every step.

use tilelab_kernels::cuda::elementwise::{adam_rule, momentum_rule};
use tilelab_kernels::{Adam, Dropout, Momentum};

use crate::program::{AdamRule, MomentumRule, Op, Program, Scalar, StepArgs};

/// A value that a kernel reads from the block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell {
    /// One float.
    Scalar(Scalar),
    /// Dropout's key of a layer: two u64.
    Key(u64),
    /// Three floats.
    Momentum(MomentumRule),
    /// Nine floats.
    Adam(AdamRule),
}

impl Cell {
    fn bytes(self) -> usize {
        match self {
            Self::Scalar(_) => 4,
            Self::Key(_) => 16,
            Self::Momentum(_) => 12,
            Self::Adam(_) => 36,
        }
    }

    fn fill(self, args: &StepArgs, to: &mut [u8]) {
        let floats = |to: &mut [u8], values: &[f32]| {
            for (to, x) in to.chunks_exact_mut(4).zip(values) {
                to.copy_from_slice(&x.to_le_bytes());
            }
        };
        match self {
            Self::Scalar(scalar) => floats(to, &[scalar.value(args) as f32]),
            Self::Key(layer) => {
                let dropout = Dropout {
                    probability: 0.0,
                    seed: args.seed,
                    step: args.t,
                    layer,
                    first_row: args.row_offset,
                };
                for (to, word) in to.chunks_exact_mut(8).zip(dropout.key_words()) {
                    to.copy_from_slice(&word.to_le_bytes());
                }
            }
            Self::Momentum(rule) => floats(
                to,
                &momentum_rule(Momentum {
                    lr: rule.lr.value(args),
                    momentum: rule.momentum,
                    l2: rule.l2.value(args),
                    nesterov: rule.nesterov,
                }),
            ),
            Self::Adam(rule) => floats(
                to,
                &adam_rule(Adam {
                    lr: rule.lr.value(args),
                    beta1: rule.betas.0,
                    beta2: rule.betas.1,
                    epsilon: rule.epsilon,
                    l2: rule.l2.value(args),
                    weight_decay: rule.weight_decay.value(args),
                    step: args.t,
                }),
            ),
        }
    }
}

/// Where everything lies in a program's block.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    cells: Vec<(Cell, usize)>,
    /// Byte of the first row index.
    pub(super) indices: usize,
    /// Byte of the first label.
    pub(super) labels: usize,
    /// Byte of the first value.
    pub(super) values: usize,
    bytes: usize,
}

impl Layout {
    pub(super) fn of(program: &Program) -> Self {
        let (mut cells, mut end) = (Vec::<(Cell, usize)>::new(), 0usize);
        let wanted = program.operations().iter().flat_map(cells_of);
        for cell in wanted {
            if !cells.iter().any(|(known, _)| *known == cell) {
                cells.push((cell, end));
                end += cell.bytes().next_multiple_of(16);
            }
        }
        let rows = program.rows();
        let labels = (end + rows * 4).next_multiple_of(16);
        let values = (labels + rows).next_multiple_of(16);
        Self {
            cells,
            indices: end,
            labels,
            values,
            bytes: values + rows * program.columns() * 4,
        }
    }

    /// Bytes of the whole block.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Byte of a cell.
    ///
    /// # Panics
    /// When no operation of the program has it.
    pub(super) fn cell(&self, cell: Cell) -> usize {
        match self.cells.iter().find(|(known, _)| *known == cell) {
            Some(&(_, at)) => at,
            None => panic!("{cell:?} belongs to no operation of the program"),
        }
    }

    /// Writes all cells.
    pub(super) fn fill(&self, args: &StepArgs, block: &mut [u8]) {
        for &(cell, at) in &self.cells {
            cell.fill(args, &mut block[at..at + cell.bytes()]);
        }
    }
}

/// What an operation reads from the block.
fn cells_of(op: &Op) -> Vec<Cell> {
    let parameter = |activation| Cell::Scalar(Scalar::constant(parameter(activation)));
    match *op {
        Op::Product(product) => vec![Cell::Scalar(product.alpha), Cell::Scalar(product.beta)],
        Op::Activate { activation, .. } | Op::ActivateBackward { activation, .. } => vec![parameter(activation)],
        Op::ActivateLearnedBackward { accumulate, .. } | Op::ColumnSum { accumulate, .. } => {
            vec![Cell::Scalar(accumulate)]
        }
        Op::BatchNormBackward(back) => vec![Cell::Scalar(back.accumulate)],
        Op::Dropout { layer, .. } => vec![Cell::Key(layer as u64)],
        Op::TargetLoss { gradient, .. } => gradient.map(|(scale, _)| Cell::Scalar(scale)).into_iter().collect(),
        Op::SoftmaxCrossEntropy { scale, .. } => vec![Cell::Scalar(scale)],
        Op::Sgd { decay, lr, .. } => vec![Cell::Scalar(decay), Cell::Scalar(lr)],
        Op::Momentum { rule, .. } => vec![Cell::Momentum(rule)],
        Op::Adam { rule, .. } => vec![Cell::Adam(rule)],
        Op::Scale { by, .. } => vec![Cell::Scalar(by)],
        _ => Vec::new(),
    }
}

/// An activation's slope, alpha or beta; 0 where it has none.
pub(super) fn parameter(activation: tilelab_kernels::Activation) -> f64 {
    use tilelab_kernels::Activation::{Elu, LeakyRelu, PRelu, Swish};
    match activation {
        LeakyRelu { slope } => slope,
        PRelu { alpha } | Elu { alpha } => alpha,
        Swish { beta } => beta,
        _ => 0.0,
    }
}
