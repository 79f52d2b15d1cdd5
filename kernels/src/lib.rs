//! Numerical kernels written by hand: matrix products, activations, softmax, reductions, updates.
//!
//! # Notation
//! `m n k`: C is m x n, A is m x k, B is k x n. `MR NR`: the register tile, `mr nr` its used part. `mc kc nc`: cache blocks.
//! Matrices are row-major unless strides say otherwise; weights are `[in, out]`; a batch is one row a sample.
//!
//! # Kernels
//! | family | where |
//! |---|---|
//! | products, with epilogues | [`Context::gemm`], [`Context::plan_gemm`] |
//! | activations and derivatives | [`Context::activate`], [`Context::activate_backward`] |
//! | softmax and losses | [`Context::softmax`], [`Context::log_softmax`], [`Context::softmax_cross_entropy`] |
//! | reductions | [`Context::column_sum`], [`Context::row_argmax`] |
//! | updates | [`Context::sgd`] |
//!
//! Every one has a plain f64 oracle in [`mod@reference`].

mod activation;
mod context;
mod elementary;
mod elementwise;
mod error;
mod float;
mod gather;
pub mod gemm;
mod isa;
mod loss;
mod matrix;
mod peak;
mod pool;
mod reduce;
pub mod reference;
mod scratch;
pub mod simd;
mod softmax;
mod update;
mod vector_loops;

pub use activation::{Activation, Saves};
pub use context::{Context, Threads};
pub use error::{ContextError, ShapeError};
pub use float::Float;
pub use gemm::{Epilogue, gemm};
pub use isa::Isa;
pub use matrix::{MatMut, MatRef};
