//! The memory system under the program: what is claimed, what is measured, and why the two differ.

pub mod bus;
pub mod bandwidth;
pub mod chain;
pub mod cores;
mod cpuid;
pub mod dram;
pub mod knees;
pub mod latency;
pub mod memory;
pub mod pin;
pub mod slices;
mod staircase;
pub mod stream;
pub mod topology;
