//! The memory system under the program: what is claimed, what is measured, and why the two differ.

pub mod bus;
pub mod chain;
mod cpuid;
pub mod knees;
pub mod memory;
pub mod pin;
mod staircase;
pub mod topology;
