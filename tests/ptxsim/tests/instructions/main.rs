//! Each instruction against the PTX ISA manual 8.0: its semantics, its corners, in the order of the manual's chapters.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod compare;
mod convert;
mod evaluate;
mod floating;
mod integer;
mod meeting;
mod memory;
mod mma;
mod registers;
mod shadows;
