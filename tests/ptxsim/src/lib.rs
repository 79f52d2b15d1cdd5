//! A PTX interpreter that checks what it executes.
//!
//! It runs the PTX that NVRTC writes: grids, blocks, warps of 32 lanes that part and meet again, shared, local and
//! global memory, shuffles, votes, atomics, barriers, asynchronous copies, `ldmatrix` and `mma.sync`. An instruction it
//! doesn't know is an error that names it. While it runs it watches each access: bounds of the allocation, alignment,
//! memory that nobody wrote, data races in shared and global memory (byte by byte), lanes that miss a barrier or a
//! shuffle. The first broken rule ends the launch as a [`Finding`].
//!
//! The order of blocks, of warps, of lanes in an instruction and of the sides of a branch follows from a seed, as do the
//! errors that the manual allows in approximations. What it can't show: speed, the assembler, weak memory, the exact
//! rounding of tensor cores (three models stand for it). The semantics are those of the PTX ISA manual 8.0.
//!
//! ```
//! use tilelab_ptxsim::{Launch, Machine, Module, Options};
//! let text = "
//!     .version 8.0
//!     .target sm_75
//!     .address_size 64
//!     .visible .entry twice(.param .u64 data) {
//!         .reg .b64 %rd<4>; .reg .b32 %r<2>; .reg .f32 %f<3>;
//!         ld.param.u64 %rd1, [data];
//!         mov.u32 %r1, %tid.x;
//!         mul.wide.u32 %rd2, %r1, 4;
//!         add.s64 %rd3, %rd1, %rd2;
//!         ld.global.f32 %f1, [%rd3];
//!         add.f32 %f2, %f1, %f1;
//!         st.global.f32 [%rd3], %f2;
//!         ret;
//!     }";
//! let module = Module::parse(text)?;
//! let mut machine = Machine::new(Options::default());
//! let data = machine.upload(&[1.0f32, 2.5]);
//! machine.launch(&module, "twice", Launch::new([1, 1, 1], [2, 1, 1]), &[data.into()])?;
//! assert_eq!(machine.download::<f32>(data, 2)?, [2.0, 5.0]);
//! // A third thread has no element.
//! assert!(machine.launch(&module, "twice", Launch::new([1, 1, 1], [3, 1, 1]), &[data.into()]).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod access;
mod approximate;
mod block;
mod body;
mod clocks;
mod collective;
mod copies;
mod decode;
mod finding;
pub mod float;
mod flow;
mod lex;
mod live;
mod machine;
mod memory;
mod mma;
mod module;
mod op;
mod opcode;
mod parse;
mod shadow;
mod shared;
mod statement;
mod stats;
mod ty;
mod warp;

pub use finding::{Finding, Kind};
pub use machine::{Arg, Checks, Launch, Machine, Options, Plain};
pub use mma::MmaModel;
pub use module::{Kernel, Module, Param, ParseError, Variable};
pub use stats::Stats;
