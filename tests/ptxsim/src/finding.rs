//! What the interpreter reports: one finding ends a launch.

use std::fmt;

/// The rule that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// An access outside every allocation, or after it was freed.
    OutOfBounds,
    /// An address that isn't a multiple of the size of the access.
    Misaligned,
    /// A read of memory that nobody wrote.
    Unwritten,
    /// Two accesses to one byte, one of them a write, that nothing orders.
    Race,
    /// A barrier that some threads of the block don't reach, or not together.
    DivergentBarrier,
    /// A collective instruction names a lane that doesn't take part, or reads from one.
    InactiveLane,
    /// Access to shared memory that an asynchronous copy still writes.
    CopyInFlight,
    /// An operand of a tf32 product that isn't a tf32 number.
    NotTf32,
    /// A write to memory that a kernel can't write.
    ReadOnly,
    /// The kernel stopped itself (`trap`).
    Trap,
    /// The launch took more instructions than allowed.
    Endless,
    /// A launch that no card would accept: grid, block, shared memory, arguments.
    BadLaunch,
}

/// A broken rule, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub kind: Kind,
    /// The kernel.
    pub kernel: String,
    /// The block, if one is to blame.
    pub block: Option<[u32; 3]>,
    /// The thread of the block, counted through.
    pub thread: Option<u32>,
    /// Line of the PTX text.
    pub line: Option<u32>,
    /// What happened, with addresses and sizes.
    pub detail: String,
}

impl Finding {
    /// A finding about a whole launch, or about an access from the host.
    pub(crate) fn of_launch(kind: Kind, kernel: &str, detail: impl Into<String>) -> Self {
        Self {
            kind,
            kernel: kernel.to_owned(),
            block: None,
            thread: None,
            line: None,
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {}", self.kind, self.kernel)?;
        if let Some([x, y, z]) = self.block {
            write!(f, ", block ({x}, {y}, {z})")?;
        }
        if let Some(thread) = self.thread {
            write!(f, ", thread {thread}")?;
        }
        if let Some(line) = self.line {
            write!(f, ", PTX line {line}")?;
        }
        write!(f, ": {}", self.detail)
    }
}

impl std::error::Error for Finding {}

/// A broken rule before its place is known.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub kind: Kind,
    pub lane: Option<u32>,
    pub detail: String,
}

impl Fault {
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            lane: None,
            detail: detail.into(),
        }
    }

    pub fn at(self, lane: usize) -> Self {
        Self {
            lane: Some(lane as u32),
            ..self
        }
    }
}
