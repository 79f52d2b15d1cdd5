//! An instruction as it is written, names resolved: what the parser hands to the decoder.

use crate::op::Condition;

/// A register of the file that its type asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Register {
    /// A predicate.
    Predicate(u32),
    /// A slot, and the bits of its type.
    Slot(u32, u32),
}

/// An operand.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    Register(Register),
    /// `!%p1`.
    Not(u32),
    Integer(u64),
    Single(u32),
    Double(f64),
    /// A variable, a parameter or `%tid.x`: (name, constant added).
    Name(String, i64),
    /// `[base + offset]`.
    Address(Box<Operand>, i64),
    /// `{a, b}`.
    Vector(Vec<Operand>),
    /// `a|b`.
    Pair(Box<Operand>, Box<Operand>),
    /// `_`.
    Sink,
}

/// One instruction.
#[derive(Debug)]
pub(crate) struct Statement {
    pub guard: Option<Condition>,
    /// The opcode, split at its dots.
    pub opcode: Vec<String>,
    pub operands: Vec<Operand>,
    pub line: u32,
}

impl Statement {
    /// The opcode as it was written.
    pub fn written(&self) -> String {
        self.opcode.join(".")
    }
}

/// What a kernel's body declares and does, before it is decoded.
#[derive(Default)]
pub(crate) struct Body {
    pub statements: Vec<Statement>,
    /// Label -> index of the statement that follows it. A label of an inner scope has a number behind its name.
    pub labels: std::collections::HashMap<String, u32>,
    /// `.branchtargets`: name -> labels.
    pub targets: std::collections::HashMap<String, Vec<String>>,
    pub slots: u32,
    pub predicates: u32,
    /// Variables in shared and local memory: name, bytes, alignment.
    pub shared: Vec<Declared>,
    pub local: Vec<Declared>,
}

/// A variable.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    pub name: String,
    pub bytes: usize,
    pub align: usize,
    pub initial: Vec<u8>,
}
