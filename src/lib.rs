//! Tilelab: kernels, an MLP trainer that runs on them, and what measures both.
#![deny(unsafe_code)]

pub mod bench;
pub mod cli;
pub mod compare;
pub mod data;
pub mod device;
pub mod experiment;
pub mod hessian;
pub mod measure;
pub mod mlp;
pub mod parallel;
pub mod probe;
pub mod program;
pub mod report;
pub mod search;
pub mod self_test;
