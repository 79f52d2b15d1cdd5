//! The CUDA kernels give right numbers: executed in a PTX interpreter, which watches bounds, alignment, races, unwritten memory and
//! barriers, against the f64 oracles. Every array is an allocation of its own, so that a byte beside it is a finding.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod columns;
mod counts;
mod elementwise;
mod gemm;
mod rows;
mod seeded;
mod sim;
