//! A training step as data: a list of operations over named buffers, in the order of the equations.
//!
//! [`lower`] turns a model into plain programs, [`fuse`] rewrites a program so that fewer operations touch memory, and a
//! [`crate::device::Session`] runs either. Shapes, element types and the order of reads and writes are checked once, in
//! [`Program::new`]: running a program cannot fail.
//!
//! It is a list for the operations of [`Op`], no tensor library: nothing is inferred when it runs. The one size that may
//! change from run to run is the number of rows in a batch ([`Extent::Batch`]), from 1 to the program's `rows`.

mod buffer;
mod check;
pub mod flops;
pub mod footprint;
mod fuse;
pub mod graph;
pub mod lower;
mod op;
mod scalar;
pub mod tangent;

pub use buffer::{Buffer, BufferId, Element, Extent, Lifetime, Role, Shape};
pub(crate) use fuse::drop_unused;
pub use fuse::fuse;
pub use op::{
    Access, AdamRule, BatchNorm, BatchNormBackward, Epilogue, MomentumRule, Op, Operand, Product, TargetLoss,
};
pub use scalar::{Field, Scalar, StepArgs};

/// Name of the metric that sums the rows' losses.
pub const LOSS_SUM: &str = "loss_sum";
/// Name of the metric that counts the rows whose largest logit is the label's.
pub const CORRECT: &str = "correct";

/// Name of the metric that sums the squares of all gradients.
pub const GRADIENT_SQUARES: &str = "gradient_squares";

/// Operations over buffers. Immutable, and checked: see [`Program::new`].
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    name: String,
    float: Element,
    rows: usize,
    columns: usize,
    classes: usize,
    buffers: Vec<Buffer>,
    operations: Vec<Op>,
}

/// What a program is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Parts {
    /// Its name, such as `step`.
    pub name: String,
    /// Type of its real numbers: [`Element::F32`] or [`Element::F64`].
    pub float: Element,
    /// Most rows that a batch may have.
    pub rows: usize,
    /// Buffers; a [`BufferId`] is an index into them.
    pub buffers: Vec<Buffer>,
    /// Operations, first to last.
    pub operations: Vec<Op>,
}

/// A program that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// An operand has the wrong shape.
    #[error("{program}: {operation}: `{buffer}` is {got}, it must be {expected}")]
    Shape {
        /// Program.
        program: String,
        /// Operation and its place, such as `product (3)`.
        operation: String,
        /// Buffer.
        buffer: String,
        /// Its shape.
        got: String,
        /// The shape that it must have.
        expected: String,
    },
    /// A buffer is read before anything wrote it, though its contents do not outlive a run.
    #[error("{program}: {operation} reads `{buffer}`, which nothing has written")]
    Unwritten {
        /// Program.
        program: String,
        /// Operation.
        operation: String,
        /// Buffer.
        buffer: String,
    },
    /// An output of an operation is another of its operands as well.
    #[error("{program}: {operation} writes `{buffer}`, which is another of its operands")]
    Alias {
        /// Program.
        program: String,
        /// Operation.
        operation: String,
        /// Buffer.
        buffer: String,
    },
    /// Two buffers have one name.
    #[error("{program}: two buffers are named `{buffer}`")]
    Name {
        /// Program.
        program: String,
        /// Buffer.
        buffer: String,
    },
    /// A buffer has no elements, or more than an address space holds.
    #[error("{program}: `{buffer}` is {shape}: every size must be at least 1, and all of it must fit an address space")]
    Size {
        /// Program.
        program: String,
        /// Buffer.
        buffer: String,
        /// Its shape.
        shape: String,
    },
    /// Real numbers must be f32 or f64.
    #[error("{program}: real numbers can't be {got}; f32 and f64 can be")]
    Float {
        /// Program.
        program: String,
        /// What was asked for.
        got: Element,
    },
}

impl Program {
    /// A program from its parts.
    ///
    /// # Errors
    /// When shapes or element types do not fit an operation, when two buffers share a name, when an output is another
    /// operand too (devices take outputs out of their slots while an operation runs), or when a buffer whose contents
    /// last no longer than a run is read before it is written.
    ///
    /// # Panics
    /// When an operation names a buffer that `parts.buffers` does not have.
    pub fn new(parts: Parts) -> Result<Self, ProgramError> {
        let (columns, classes) = check::check(&parts)?;
        let Parts {
            name,
            float,
            rows,
            buffers,
            operations,
        } = parts;
        Ok(Self {
            name,
            float,
            rows,
            columns,
            classes,
            buffers,
            operations,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Type of its real numbers.
    pub fn float(&self) -> Element {
        self.float
    }

    /// Most rows that a batch may have.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers in one row of a batch; 0 if no operation loads rows.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Labels must be below this; 256 if no operation uses them as classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Its buffers.
    pub fn buffers(&self) -> &[Buffer] {
        &self.buffers
    }

    /// Its operations in order.
    pub fn operations(&self) -> &[Op] {
        &self.operations
    }

    /// One buffer.
    pub fn buffer(&self, id: BufferId) -> &Buffer {
        &self.buffers[id.0]
    }

    /// The parts again, to make another program from them.
    pub fn into_parts(self) -> Parts {
        let Self {
            name,
            float,
            rows,
            buffers,
            operations,
            ..
        } = self;
        Parts {
            name,
            float,
            rows,
            buffers,
            operations,
        }
    }
}
