//! What can be wrong with a call. Below validation nothing returns `Result`.

use crate::Isa;

/// Operands that do not fit together. The message prints the operation and every shape involved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// A slice is too short for the rows, columns and strides claimed for it.
    #[error(
        "a {rows}x{cols} matrix with strides ({row_stride}, {col_stride}) needs {needed} elements, the slice has {len}"
    )]
    TooShort {
        /// Rows claimed.
        rows: usize,
        /// Columns claimed.
        cols: usize,
        /// Elements from one row to the next.
        row_stride: usize,
        /// Elements from one column to the next.
        col_stride: usize,
        /// Elements that the claim needs.
        needed: usize,
        /// Elements that are there.
        len: usize,
    },
    /// Two elements of a matrix that is written would share one address.
    #[error("a {rows}x{cols} matrix with strides ({row_stride}, {col_stride}) overlaps itself and can't be written")]
    Overlap {
        /// Rows.
        rows: usize,
        /// Columns.
        cols: usize,
        /// Elements from one row to the next.
        row_stride: usize,
        /// Elements from one column to the next.
        col_stride: usize,
    },
    /// A view that runs backwards.
    #[error("a {rows}x{cols} view with strides ({row_stride}, {col_stride}) runs backwards; copy it first")]
    Reversed {
        /// Rows.
        rows: usize,
        /// Columns.
        cols: usize,
        /// Elements from one row to the next.
        row_stride: isize,
        /// Elements from one column to the next.
        col_stride: isize,
    },
    /// Inner or outer sizes of a product differ.
    #[error("gemm: A is {a_rows}x{a_cols}, B is {b_rows}x{b_cols}, C is {c_rows}x{c_cols}: C must be A's rows by B's columns, and A's columns must equal B's rows", a_rows = a.0, a_cols = a.1, b_rows = b.0, b_cols = b.1, c_rows = c.0, c_cols = c.1)]
    Product {
        /// Rows and columns of A.
        a: (usize, usize),
        /// Rows and columns of B.
        b: (usize, usize),
        /// Rows and columns of C.
        c: (usize, usize),
    },
    /// An operand other than A, B and C has the wrong size.
    #[error("{operation}: {operand} has {got} elements, {expected} are needed")]
    Length {
        /// The operation.
        operation: &'static str,
        /// The operand.
        operand: &'static str,
        /// Elements that are there.
        got: usize,
        /// Elements that are needed.
        expected: usize,
    },
    /// Two matrices of one operation have different shapes.
    #[error("{operation}: {operand} is {got_rows}x{got_cols}, it must be {rows}x{cols}", got_rows = got.0, got_cols = got.1, rows = expected.0, cols = expected.1)]
    Shape {
        /// The operation.
        operation: &'static str,
        /// The operand.
        operand: &'static str,
        /// Its rows and columns.
        got: (usize, usize),
        /// Those it must have.
        expected: (usize, usize),
    },
    /// A kernel that works along rows was given a matrix whose rows are not contiguous.
    #[error(
        "{operation}: {operand} has columns {col_stride} elements apart, its rows must be contiguous (column stride 1)"
    )]
    ColumnStride {
        /// The operation.
        operation: &'static str,
        /// The operand.
        operand: &'static str,
        /// Elements from one column to the next.
        col_stride: usize,
    },
    /// A product is larger than the plan that should run it.
    #[error("gemm: the plan is for up to {m}x{n}x{k} (m x n x k), the operands are {got_m}x{got_n}x{got_k}", m = planned.0, n = planned.1, k = planned.2, got_m = got.0, got_n = got.1, got_k = got.2)]
    Plan {
        /// m, n, k of the plan.
        planned: (usize, usize, usize),
        /// m, n, k of the operands.
        got: (usize, usize, usize),
    },
    /// A packed B in A's place.
    #[error("gemm: a packed B can only be the B of a product")]
    PackedA,
    /// A B packed for another ISA's kernels.
    #[error("gemm: B was packed for {packed}, this context runs {context}; pack it with this context")]
    PackedFor {
        /// What it was packed for.
        packed: Isa,
        /// What the context runs.
        context: Isa,
    },
    /// A class index or row index lies outside its range.
    #[error("{operation}: index {index} at place {place} is outside 0..{limit}")]
    Index {
        /// The operation.
        operation: &'static str,
        /// The index.
        index: usize,
        /// Where it stands.
        place: usize,
        /// One more than the largest that is allowed.
        limit: usize,
    },
}

/// A [`crate::Context`] that can't be made here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContextError {
    /// The CPU, or the system, lacks an instruction set that was asked for.
    #[error("this CPU can't run ISA {isa}: it has {available}; unset TILELAB_ISA to take the fastest")]
    MissingIsa {
        /// What was asked for.
        isa: Isa,
        /// What there is, separated by commas.
        available: String,
    },
    /// `TILELAB_ISA` names nothing that exists.
    #[error("TILELAB_ISA={0}: no such ISA; it is one of avx512, avx2, portable")]
    UnknownIsa(String),
    /// No thread at all, or more than can be.
    #[error("{0} threads: it must be 1 to {max}", max = crate::Threads::MAX)]
    Threads(usize),
    /// The system refused to start a worker.
    #[error("can't start a worker thread: {0}; try fewer with --threads")]
    Spawn(String),
}
