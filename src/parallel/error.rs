//! What can be wrong with a run over several workers.

use crate::device::DeviceError;
use crate::hessian::HessianError;
use crate::program::ProgramError;

/// A run that cannot be, or did not end. One line that names the thing and the way out.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ParallelError {
    /// Batch norm's statistics would be those of each part of the batch.
    #[error("batch norm takes its statistics over the whole batch, which no worker has; train it without --batch-norm")]
    BatchNorm,
    /// Nothing to do.
    #[error("a run needs at least 1 row and 1 step")]
    Nothing,
    /// More parts than there is to be shared.
    #[error("{count} {what} can't be shared by {parts}: give every part at least one")]
    Parts {
        /// What there is too little of.
        what: &'static str,
        /// How much there is.
        count: usize,
        /// Parts that were asked for.
        parts: usize,
    },
    /// Another worker ended before its time.
    #[error("a worker's neighbour is gone")]
    Gone,
    /// A worker panicked.
    #[error("a worker panicked; run it again with RUST_BACKTRACE=1 and report what it prints")]
    Panicked,
    /// A message of another length than was awaited.
    #[error("a worker was sent {got} bytes in place of {expected}")]
    Length {
        /// Bytes that came.
        got: usize,
        /// Bytes that were awaited.
        expected: usize,
    },
    /// A program that cannot be.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A device that is not there, or fails.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A parameter that the model does not have.
    #[error("{0}")]
    Parameter(String),
}

impl From<HessianError> for ParallelError {
    fn from(error: HessianError) -> Self {
        match error {
            HessianError::Device(error) => Self::Device(error),
            other => Self::Parameter(other.to_string()),
        }
    }
}
