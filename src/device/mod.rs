//! (being written)

pub mod gemm_crate;
