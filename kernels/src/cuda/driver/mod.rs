//! The NVIDIA driver through cudarc: contexts, streams, memory, graphs, as values that free themselves.

mod error;
mod gpu;
mod memory;
mod present;
mod stream;

pub use error::CudaError;
pub use gpu::{Gpu, GpuFacts};
pub use memory::{Buffer, Pinned};
pub use present::driver_version;
pub use stream::{Event, Graph, Stream};
