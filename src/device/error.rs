//! What can be wrong with a device, a batch or a session.

use tilelab_kernels::ContextError;

use super::Device;
use crate::measure::binary_bytes;
use crate::program::Element;

/// A device, batch or session that cannot be. One line that names the thing and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// No device has this name.
    #[error("no device is called `{0}`; there is cpu, baseline, reference, and cuda:N for a CUDA device")]
    Name(String),
    /// A CUDA device was asked for from a build without the feature `cuda`.
    #[error("{0}: this build has no CUDA backend; use --device cpu, or build with the feature `cuda`")]
    NoCuda(Device),
    /// A CUDA device that is not there.
    #[cfg(feature = "cuda")]
    #[error("{device}: {error}; --device cpu works without one")]
    Open {
        /// Asked for.
        device: Device,
        /// Why it can't be had.
        error: tilelab_kernels::cuda::CudaError,
    },
    /// A CUDA device that failed.
    #[cfg(feature = "cuda")]
    #[error(transparent)]
    Cuda(#[from] tilelab_kernels::cuda::CudaError),
    /// Something that a device has no kernels for.
    #[error("program `{program}`: no kernels for {what} on this device; use --device cpu")]
    Unsupported {
        /// The program.
        program: String,
        /// What it needs.
        what: &'static str,
    },
    /// A model makes no program.
    #[error("{0}")]
    Program(String),
    /// The kernels' context could not be made.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// The buffers do not fit into memory.
    #[error("the model's buffers need {}, {} are available; choose smaller --layers or a smaller --batch", binary_bytes(*.needed), binary_bytes(*.available))]
    Memory {
        /// Bytes that they need.
        needed: u64,
        /// Bytes that there are.
        available: u64,
    },
    /// A program of another element type than the session's.
    #[error("program `{program}` computes in {got}, this session in {session}")]
    Float {
        /// The program.
        program: String,
        /// Its type.
        got: Element,
        /// The session's.
        session: Element,
    },
    /// Two programs have buffers of one name that can't be shared.
    #[error("program `{program}`: buffer `{buffer}` is {got}, an earlier program's is {there}")]
    Conflict {
        /// The program.
        program: String,
        /// The buffer.
        buffer: String,
        /// Its shape and type.
        got: String,
        /// The earlier one's.
        there: String,
    },
    /// No buffer has this name, or it is not of real numbers.
    #[error("no program of this session has a buffer `{0}` of that kind")]
    Buffer(String),
    /// Too few or too many values for a buffer.
    #[error("buffer `{buffer}` takes {expected} values, {got} were given")]
    Length {
        /// The buffer.
        buffer: String,
        /// What it takes.
        expected: String,
        /// What was given.
        got: usize,
    },
    /// Values and labels that make no data set.
    #[error("{values} values and {labels} labels are no set of rows of {columns} columns")]
    Set {
        /// Values given.
        values: usize,
        /// Labels given.
        labels: usize,
        /// Columns of a row.
        columns: usize,
    },
    /// A batch without rows, or with more than the program takes.
    #[error("a batch of {got} rows; program `{program}` takes 1 to {limit}")]
    Rows {
        /// The program.
        program: String,
        /// Rows given.
        got: usize,
        /// Rows that it takes.
        limit: usize,
    },
    /// Rows of another width than the program takes.
    #[error("rows of {got} columns; program `{program}` takes {expected}")]
    Columns {
        /// The program.
        program: String,
        /// Columns given.
        got: usize,
        /// Columns that it takes.
        expected: usize,
    },
    /// A row outside its set.
    #[error("row {row} of a set of {rows}")]
    Row {
        /// The row.
        row: usize,
        /// Rows of the set.
        rows: usize,
    },
    /// A label that is no class of the program.
    #[error("label {label}; program `{program}` has the classes 0 to {last}")]
    Label {
        /// The program.
        program: String,
        /// The label.
        label: u8,
        /// The largest class.
        last: usize,
    },
}

#[cfg(feature = "cuda")]
impl From<tilelab_kernels::cuda::CallError> for DeviceError {
    fn from(error: tilelab_kernels::cuda::CallError) -> Self {
        Self::Cuda(error.into())
    }
}
