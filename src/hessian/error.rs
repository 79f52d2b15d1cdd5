//! What can be wrong with a question about second derivatives.

use crate::device::DeviceError;
use crate::measure::binary_bytes;
use crate::program::ProgramError;

/// A question that has no answer here. One line that names the thing and the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HessianError {
    /// No parameter has this name.
    #[error(
        "no parameter is called `{0}`; they are W1, b1, W2, ..., and gamma1, beta1, slope1 where the model has them"
    )]
    Parameter(String),
    /// An operation without a tangent.
    #[error("{0} has no second derivative here; leave it out")]
    Operation(&'static str),
    /// The matrix does not fit.
    #[error(
        "a dense matrix of {parameters} x {parameters} takes {}, {} may be taken; use `tilelab hessian eig`, `density` or `trace`, which need products alone, or a part of the parameters (--of)",
        binary_bytes(*.bytes), binary_bytes(*.limit)
    )]
    Dense {
        /// Rows of the matrix.
        parameters: usize,
        /// What it would take.
        bytes: u64,
        /// What may be taken.
        limit: u64,
    },
    /// Batch norm in training mode over several chunks of rows.
    #[error(
        "batch norm's own statistics couple all {rows} rows, so they can't be gone through {chunk} at a time; use --norm running, or fewer --rows"
    )]
    Coupled {
        /// Rows of the data.
        rows: usize,
        /// Rows at once.
        chunk: usize,
    },
    /// An argument out of its range.
    #[error("{0}")]
    Argument(String),
    /// A product that is no finite number.
    #[error("a product of the matrix is not finite: the model has diverged, or its numbers are too large for {0}")]
    NotFinite(&'static str),
    /// The device is not there, or does not hold it.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The model makes no program.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A file that can't be written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: String,
        /// Why.
        error: String,
    },
}
