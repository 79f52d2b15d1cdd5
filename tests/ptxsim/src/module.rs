//! A parsed module: its kernels, their parameters, its variables.

use crate::flow::Flow;
use crate::op::{Fixed, Instruction};
use crate::parse;

/// Text that is not the PTX this interpreter knows: the line and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("PTX line {line}: {message}")]
pub struct ParseError {
    /// Line of the text, from 1.
    pub line: u32,
    /// What is wrong, naming the instruction or word.
    pub message: String,
}

impl ParseError {
    pub(crate) fn new(line: u32, message: impl Into<String>) -> Self {
        Self {
            line,
            message: message.into(),
        }
    }
}

/// A module: what one PTX text holds.
pub struct Module {
    /// Its kernels, in the order of the text.
    pub kernels: Vec<Kernel>,
    /// `.target`, for instance `sm_75`.
    pub target: String,
    /// `.version`: major, minor.
    pub version: (u32, u32),
    /// Variables in global and constant memory.
    pub variables: Vec<Variable>,
    /// One number for each parsed module, so that a machine knows whose variables it holds.
    pub(crate) id: u64,
}

/// A kernel, decoded.
pub struct Kernel {
    /// Its name.
    pub name: String,
    /// Its parameters, in order.
    pub params: Vec<Param>,
    /// Bytes of shared memory that it declares itself; the launch may add dynamic ones.
    pub shared_bytes: usize,
    /// Bytes of local memory per thread.
    pub local_bytes: usize,
    /// `.maxntid` or `.reqntid`: the most threads of a block, 0 where nothing is said.
    pub max_threads: u32,
    /// The most 32-bit registers that are live at once: an estimate of what the assembler will take.
    pub live_registers: u32,
    /// Barriers of some warps, fences or atomics order it: the race shadow must keep all readers.
    pub(crate) keeps_all: bool,
    pub(crate) shared: Vec<Placed>,
    pub(crate) dynamic_shared_at: usize,
    pub(crate) code: Vec<Instruction>,
    pub(crate) flow: Flow,
    pub(crate) slots: usize,
    pub(crate) predicates: usize,
    pub(crate) fixed: Vec<(u32, Fixed)>,
}

/// A parameter of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: usize,
    /// Where it lies in the parameter buffer.
    pub offset: usize,
}

/// A variable of the module in global or constant memory.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: usize,
    /// What it holds at first; memory of the module is zero where the text says nothing.
    pub initial: Vec<u8>,
    /// In `.const`: a kernel can't write it.
    pub constant: bool,
}

/// A range of shared memory that a variable has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    pub at: usize,
    pub bytes: usize,
}

impl Module {
    /// Reads PTX. Whatever is not understood is an error that names it: nothing is skipped.
    pub fn parse(text: &str) -> Result<Module, ParseError> {
        parse::module(text)
    }

    /// The kernel named `name`.
    pub fn kernel(&self, name: &str) -> Option<&Kernel> {
        self.kernels.iter().find(|kernel| kernel.name == name)
    }
}
