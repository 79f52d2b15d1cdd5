//! The decoded form of an instruction: operands are slots, arithmetic is a function over 32 lanes.

use crate::approximate::Approximation;

/// One register for all lanes of a warp. Narrower values lie in the low bits, the rest is zero.
pub(crate) type Lanes = [u64; 32];

/// Index of a register (or of a constant, which has a slot of its own) in a warp's file.
pub(crate) type Slot = u32;

/// Index of a predicate; a predicate is one bit for each lane.
pub(crate) type Predicate = u32;

/// A predicate, or its opposite.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Condition {
    pub predicate: Predicate,
    pub negated: bool,
}

pub(crate) type Unary = Box<dyn Fn(&Lanes) -> Lanes + Send + Sync>;
pub(crate) type Binary = Box<dyn Fn(&Lanes, &Lanes) -> Lanes + Send + Sync>;
pub(crate) type Ternary = Box<dyn Fn(&Lanes, &Lanes, &Lanes) -> Lanes + Send + Sync>;
pub(crate) type Compare = Box<dyn Fn(&Lanes, &Lanes) -> u32 + Send + Sync>;

/// What a slot holds from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fixed {
    /// A constant.
    Value(u64),
    /// The address of a variable of the module.
    Variable(usize),
    /// `%tid` and the like, the part 0, 1, 2.
    Thread(u8),
    /// `%ntid`.
    Threads(u8),
    /// `%ctaid`.
    Block(u8),
    /// `%nctaid`.
    Blocks(u8),
    /// `%laneid`.
    Lane,
    /// `%warpid`.
    Warp,
    /// `%nwarpid`.
    Warps,
    /// `%smid`.
    Processor,
    /// `%lanemask_eq`, `le`, `lt`, `ge`, `gt`: 0 to 4.
    Mask(u8),
    /// `%dynamic_smem_size`.
    DynamicShared,
}

/// Where an address points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    Generic,
    Global,
    Shared,
    Local,
    Param,
    Constant,
}

/// An address: a slot and a constant to add.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address {
    pub space: Space,
    pub base: Slot,
    pub offset: i64,
}

/// How strong a memory access is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strength {
    Weak,
    /// `.volatile`, `.relaxed`, `.acquire`, `.release`: not a data race with its like.
    Strong,
    /// `ld.global.nc`: nothing may write there while the kernel runs.
    ReadOnly,
}

/// A load or store of 1 to 4 values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    pub address: Address,
    pub slots: [Option<Slot>; 4],
    pub count: u8,
    /// Bytes of one value.
    pub bytes: u8,
    /// Loads extend the sign to so many bits.
    pub extend_to: Option<u32>,
    pub strength: Strength,
}

/// What an atomic does; the functions take the old value and the operand.
pub(crate) struct Atomic {
    pub address: Address,
    /// Where the old value goes; none for `red`.
    pub old: Option<Slot>,
    pub bytes: u8,
    pub apply: fn(u64, u64, u64) -> u64,
    pub b: Slot,
    /// The second operand of `cas`.
    pub c: Slot,
}

/// How `setp` joins its comparison with another predicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    And,
    Or,
    Xor,
}

/// `shfl.sync`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shuffle {
    pub mode: ShuffleMode,
    pub d: Slot,
    pub valid: Option<Predicate>,
    pub a: Slot,
    pub lane: Slot,
    pub clamp: Slot,
    pub members: Slot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShuffleMode {
    Up,
    Down,
    Butterfly,
    Index,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VoteMode {
    All,
    Any,
    Uniform,
    Ballot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BarrierMode {
    Sync,
    Arrive,
    Popc,
    And,
    Or,
}

/// `bar` and `barrier`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Barrier {
    pub mode: BarrierMode,
    pub id: Slot,
    pub threads: Option<Slot>,
    /// The condition that a reduction takes.
    pub given: Option<Condition>,
    /// Where it goes: a register (popc) or a predicate.
    pub count: Option<Slot>,
    pub result: Option<Predicate>,
}

/// `mma.sync`: fragments are registers, four for C and D.
#[derive(Clone, Debug)]
pub(crate) struct Mma {
    pub kind: MmaKind,
    pub d: [Slot; 4],
    pub a: Vec<Slot>,
    pub b: Vec<Slot>,
    pub c: [Slot; 4],
}

/// Element type and k of an mma with m = 16, n = 8 and fp32 accumulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MmaKind {
    Tf32K4,
    Tf32K8,
    Bf16K8,
    Bf16K16,
    F16K8,
    F16K16,
}

/// A copy from global to shared memory that ends when it is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AsyncCopy {
    pub to: Address,
    pub from: Address,
    pub bytes: u8,
    /// Bytes that are read; the rest is zero.
    pub read: Option<Slot>,
    /// All is zero where this holds.
    pub ignore: Option<Condition>,
}

/// What an instruction does.
#[allow(missing_docs, reason = "the names are those of PTX")]
pub(crate) enum Op {
    Move {
        d: Slot,
        a: Slot,
    },
    Unary {
        f: Unary,
        d: Slot,
        a: Slot,
    },
    Binary {
        f: Binary,
        d: Slot,
        a: Slot,
        b: Slot,
    },
    Ternary {
        f: Ternary,
        d: Slot,
        a: Slot,
        b: Slot,
        c: Slot,
    },
    Fma {
        d: Slot,
        a: Slot,
        b: Slot,
        c: Slot,
    },
    /// `bfi`.
    Insert {
        d: Slot,
        a: Slot,
        b: Slot,
        at: Slot,
        length: Slot,
        bits: u32,
    },
    Approximate {
        f: Approximation,
        ftz: bool,
        d: Slot,
        a: Slot,
    },
    /// x / y with up to two ulps of error; `full`: over the whole range.
    DivideNearly {
        full: bool,
        ftz: bool,
        d: Slot,
        a: Slot,
        b: Slot,
    },
    Set {
        f: Compare,
        p: Predicate,
        q: Option<Predicate>,
        a: Slot,
        b: Slot,
        join: Option<(Join, Condition)>,
    },
    Select {
        d: Slot,
        a: Slot,
        b: Slot,
        p: Condition,
    },
    /// d = (a join b), predicates.
    Logic {
        join: Join,
        d: Predicate,
        a: Condition,
        b: Condition,
    },
    /// d = a predicate, a register, or a constant that isn't 0.
    MovePredicate {
        d: Predicate,
        a: Condition,
    },
    ConstantPredicate {
        d: Predicate,
        value: bool,
    },
    Pack {
        d: Slot,
        parts: Vec<Slot>,
        bits: u32,
    },
    Unpack {
        parts: Vec<Option<Slot>>,
        bits: u32,
        a: Slot,
    },
    Load(Transfer),
    Store(Transfer),
    Atomic(Atomic),
    AsyncCopy(AsyncCopy),
    AsyncCommit,
    /// Waits until at most so many committed groups of the thread are under way; for all copies, committed or not.
    AsyncWait(Option<u64>),
    LoadMatrix {
        address: Address,
        d: Vec<Slot>,
        transposed: bool,
    },
    Mma(Mma),
    Shuffle(Shuffle),
    Vote {
        mode: VoteMode,
        result: Option<Predicate>,
        ballot: Option<Slot>,
        given: Condition,
        members: Slot,
    },
    /// Lanes with an equal value (`any`), or all lanes if all are equal (`all`).
    Match {
        all: bool,
        d: Slot,
        p: Option<Predicate>,
        a: Slot,
        bits: u32,
        members: Slot,
    },
    /// `redux.sync`.
    Reduce {
        f: fn(u64, u64) -> u64,
        d: Slot,
        a: Slot,
        members: Slot,
    },
    ActiveMask {
        d: Slot,
    },
    Elect {
        d: Option<Slot>,
        p: Predicate,
        members: Slot,
    },
    Barrier(Barrier),
    WarpBarrier {
        members: Slot,
    },
    Fence,
    Clock {
        d: Slot,
        bits: u32,
    },
    Branch {
        target: u32,
    },
    /// One target for each value of the slot.
    BranchIndexed {
        index: Slot,
        targets: Vec<u32>,
    },
    Exit,
    Trap,
    Nothing,
}

/// An instruction with its guard and its place in the text.
pub(crate) struct Instruction {
    pub guard: Option<Condition>,
    pub op: Op,
    pub line: u32,
}

pub(crate) fn unary(f: impl Fn(u64) -> u64 + Send + Sync + 'static) -> Unary {
    Box::new(move |a| std::array::from_fn(|lane| f(a[lane])))
}

pub(crate) fn binary(f: impl Fn(u64, u64) -> u64 + Send + Sync + 'static) -> Binary {
    Box::new(move |a, b| std::array::from_fn(|lane| f(a[lane], b[lane])))
}

pub(crate) fn ternary(f: impl Fn(u64, u64, u64) -> u64 + Send + Sync + 'static) -> Ternary {
    Box::new(move |a, b, c| std::array::from_fn(|lane| f(a[lane], b[lane], c[lane])))
}

pub(crate) fn compare(f: impl Fn(u64, u64) -> bool + Send + Sync + 'static) -> Compare {
    Box::new(move |a, b| (0..32).fold(0, |mask, lane| mask | (f(a[lane], b[lane]) as u32) << lane))
}
