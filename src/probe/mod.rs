//! The memory system under the program: what is claimed, what is measured, and why the two differ.

pub mod bandwidth;
pub mod bus;
pub mod chain;
pub mod cores;
mod cpuid;
pub mod dram;
#[cfg(feature = "cuda")]
pub mod gpu;
mod grade;
pub mod knees;
pub mod latency;
pub mod levels;
pub mod memory;
pub mod pin;
pub mod roofline;
pub mod slices;
mod stages;
mod staircase;
pub mod stream;
pub mod topology;

pub use stages::{Event, Options, Stage, run};
