//! Buffers: what a program's operations read and write.

use std::fmt;

/// Index of a buffer in its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub usize);

/// Type of a buffer's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Element {
    /// 32-bit real numbers.
    F32,
    /// 64-bit real numbers.
    F64,
    /// Bytes: labels.
    U8,
    /// 32-bit indices.
    U32,
}

impl Element {
    /// Size of one.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 | Self::U32 => 4,
            Self::F64 => 8,
            Self::U8 => 1,
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::U8 => "u8",
            Self::U32 => "u32",
        })
    }
}

/// How many rows a buffer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extent {
    /// As many as the batch that is running, at most the program's `rows`.
    Batch,
    /// Always this many.
    Fixed(usize),
    /// This many times the rows of the batch: a block for each of many directions.
    Batches(usize),
}

/// Rows and columns, row-major without gaps. A vector has one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Rows.
    pub rows: Extent,
    /// Columns.
    pub cols: usize,
}

impl Shape {
    /// `rows` x `cols`, always.
    pub const fn fixed(rows: usize, cols: usize) -> Self {
        Self {
            rows: Extent::Fixed(rows),
            cols,
        }
    }

    /// One row of `cols` for each row of the batch.
    pub const fn batch(cols: usize) -> Self {
        Self {
            rows: Extent::Batch,
            cols,
        }
    }

    /// Rows when the batch has `batch`.
    pub const fn rows_in(self, batch: usize) -> usize {
        match self.rows {
            Extent::Batch => batch,
            Extent::Fixed(rows) => rows,
            // What does not fit is found by `elements`.
            Extent::Batches(blocks) => blocks.saturating_mul(batch),
        }
    }

    /// `blocks` of it one above the other.
    #[must_use]
    pub const fn stacked(self, blocks: usize) -> Self {
        let rows = match self.rows {
            Extent::Batch => Extent::Batches(blocks),
            Extent::Fixed(rows) => Extent::Fixed(rows.saturating_mul(blocks)),
            Extent::Batches(rows) => Extent::Batches(rows.saturating_mul(blocks)),
        };
        Self { rows, ..self }
    }

    /// One of `blocks` that lie one above the other; `None` if it is not made of so many.
    pub fn block(self, blocks: usize) -> Option<Self> {
        let rows = match self.rows {
            Extent::Batches(there) if there == blocks => Extent::Batch,
            Extent::Fixed(rows) if rows.is_multiple_of(blocks) => Extent::Fixed(rows / blocks),
            _ => return None,
        };
        Some(Self { rows, ..self })
    }

    /// Elements when the batch has `batch` rows; `None` beyond what fits a usize.
    pub const fn elements(self, batch: usize) -> Option<usize> {
        self.rows_in(batch).checked_mul(self.cols)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rows {
            Extent::Batch => write!(f, "batch x {}", self.cols),
            Extent::Batches(blocks) => write!(f, "{blocks} batch x {}", self.cols),
            Extent::Fixed(rows) => write!(f, "{rows} x {}", self.cols),
        }
    }
}

/// What a buffer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Trained.
    Parameter,
    /// Derivative of the objective by a parameter.
    Gradient,
    /// Computed on the way forward.
    Activation,
    /// Derivative of the objective by an activation, computed on the way back.
    Backward,
    /// Rows of the batch.
    Input,
    /// Labels of the batch.
    Label,
    /// What training learns of the data without a gradient: batch norm's running statistics.
    Statistic,
    /// What an optimizer keeps from step to step.
    OptimizerState,
    /// A sum over runs, read and reset by [`crate::device::Session::metrics`].
    Metric,
}

/// How long a buffer's contents matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lifetime {
    /// Within one run of the program: written before it is read, free for reuse afterwards.
    Run,
    /// From run to run and across the programs of a session.
    Kept,
}

/// One buffer. Programs of one session share those of equal name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffer {
    /// Unique in its program: `W1`, `dz1`.
    pub name: String,
    /// Rows and columns.
    pub shape: Shape,
    /// Type of its elements.
    pub element: Element,
    /// What it is for.
    pub role: Role,
    /// How long its contents matter.
    pub lifetime: Lifetime,
}

impl Buffer {
    /// Bytes when the batch has `rows` rows; `None` beyond what fits a usize.
    pub fn bytes(&self, rows: usize) -> Option<usize> {
        self.shape.elements(rows)?.checked_mul(self.element.bytes())
    }
}
