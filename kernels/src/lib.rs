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
//! | elementary functions | [`Context::exp`], [`Context::log`], [`Context::erf`] |
//! | activations and derivatives | [`Context::activate`], [`Context::activate_backward`], [`Context::activation_parameter_gradient`] |
//! | second derivatives | [`Context::activation_slope`], [`Context::activation_curvature`], [`Context::multiply_stacked`], [`Context::layer_hessian`], [`Context::transpose`] |
//! | softmax | [`Context::softmax`], [`Context::log_softmax`], [`Context::logsumexp`] |
//! | losses with gradients | [`Context::softmax_cross_entropy`], [`Context::binary_cross_entropy`], [`Context::squared_error`] |
//! | reductions | [`Context::column_sum`], [`Context::column_dot`], [`Context::column_mean_variance`], [`Context::row_argmax`] |
//! | batch normalisation, dropout | [`Context::batch_norm`], [`Context::batch_norm_backward`], [`Context::dropout`] |
//! | updates | [`Context::sgd`], [`Context::momentum`], [`Context::adam`] |
//! | the same on a GPU | `cuda` (feature `cuda`) |
//!
//! Every one has a plain f64 oracle in [`mod@reference`].

mod activation;
mod columns;
mod context;
#[cfg(feature = "cuda")]
pub mod cuda;
mod curvature;
mod dropout;
mod elementary;
mod elementwise;
mod error;
mod float;
mod gather;
pub mod gemm;
mod hessian;
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
pub use columns::{ColumnMeans, ColumnScales};
pub use context::{Context, Threads};
pub use dropout::Dropout;
pub use error::{ContextError, ShapeError};
pub use float::Float;
pub use gemm::{Epilogue, gemm};
pub use hessian::LayerTerms;
pub use isa::Isa;
pub use loss::{Gradient, Labels};
pub use matrix::{MatMut, MatRef};
pub use update::{Adam, Corrections, Momentum};
