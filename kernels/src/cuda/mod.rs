//! CUDA: the kernels of `kernels/cuda/`, typed and checked. A user needs the NVIDIA driver, no toolkit.
//!
//! Every function here makes a [`Call`] - a launch as data - after it has checked shapes and lengths; [`Stream::launch`] runs it.
//! What changes from step to step (learning rates, alpha and beta, dropout's key) is read from device memory, so that a
//! captured graph can be replayed.
//!
//! | file | kernels |
//! |---|---|
//! | [`gemm`] | products: the ladder, cp.async, tensor cores |
//! | [`elementwise`] | activations and derivatives, scale, SGD, momentum, Adam |
//! | [`rows`] | loading a batch, bias, dropout, targets, largest column, sums |
//! | [`softmax`] | softmax, its logarithm, cross-entropy with its gradient |
//! | [`columns`] | column sums, batch normalisation |
//! | [`probe`] | chains of loads, streams |

mod activation;
mod call;
pub mod columns;
mod driver;
pub mod elementwise;
pub mod gemm;
mod geometry;
pub mod probe;
pub mod ptx;
pub mod rows;
pub mod softmax;

pub use call::{Arg, Call, CallError, Slice};
pub use driver::{Buffer, CudaError, Event, Gpu, GpuFacts, Graph, Pinned, Stream, driver_version};
