//! Live ranges: how many registers a kernel's PTX needs at once.
//!
//! A register is live from where it is written to the last place that reads it, over all paths. The assembler orders instructions
//! anew and computes some values twice, so this is an estimate of what it takes, in either direction.

use crate::op::{Instruction, Op};
use crate::statement::{Operand, Register, Statement};

/// A set of registers.
type Set = Vec<u64>;

/// The most 32-bit registers that are live at once; predicates have a file of their own.
pub(crate) fn registers(statements: &[Statement], code: &[Instruction], slots: usize) -> u32 {
    let mut widths = vec![0u32; slots];
    let effects: Vec<Effect> = statements
        .iter()
        .map(|statement| Effect::of(statement, &mut widths))
        .collect();
    let mut before: Vec<Set> = vec![vec![0; slots.div_ceil(64)]; code.len()];
    // Loops need a second pass, nested ones as many more.
    loop {
        let mut changed = false;
        for at in (0..effects.len()).rev() {
            let mut live = after(code, &before, at);
            effects[at].backwards(&mut live, code[at].guard.is_some());
            changed |= live != before[at];
            before[at] = live;
        }
        if !changed {
            break;
        }
    }
    let width = |set: &Set| -> u32 {
        let slots = (0..slots).filter(|slot| set[slot / 64] >> (slot % 64) & 1 == 1);
        slots.map(|slot| widths[slot]).sum()
    };
    before.iter().map(width).max().unwrap_or(0)
}

/// What is live behind an instruction: all that is live before one that may follow it.
fn after(code: &[Instruction], before: &[Set], at: usize) -> Set {
    let targets: &[u32] = match &code[at].op {
        Op::Branch { target } => std::slice::from_ref(target),
        Op::BranchIndexed { targets, .. } => targets,
        _ => &[],
    };
    let leaves = matches!(code[at].op, Op::Branch { .. } | Op::BranchIndexed { .. } | Op::Exit);
    let next = (!leaves || code[at].guard.is_some()).then_some(at + 1);
    let mut live = vec![0; before[at].len()];
    for follower in targets.iter().map(|&target| target as usize).chain(next) {
        live.iter_mut()
            .zip(&before[follower])
            .for_each(|(all, one)| *all |= one);
    }
    live
}

/// Registers that a statement writes and reads.
#[derive(Default)]
struct Effect {
    writes: Vec<u32>,
    reads: Vec<u32>,
}

impl Effect {
    fn of(statement: &Statement, widths: &mut [u32]) -> Self {
        let mut effect = Self::default();
        let writes_none = matches!(
            statement.opcode[0].as_str(),
            "st" | "red" | "bra" | "brx" | "cp" | "bar" | "barrier"
        );
        for (index, operand) in statement.operands.iter().enumerate() {
            let into = if index == 0 && !writes_none {
                &mut effect.writes
            } else {
                &mut effect.reads
            };
            collect(operand, into, widths);
        }
        effect
    }

    fn backwards(&self, live: &mut Set, guarded: bool) {
        // Where a guard is false the old value lives on.
        if !guarded {
            self.writes
                .iter()
                .for_each(|&slot| live[slot as usize / 64] &= !(1 << (slot % 64)));
        }
        self.reads
            .iter()
            .for_each(|&slot| live[slot as usize / 64] |= 1 << (slot % 64));
    }
}

fn collect(operand: &Operand, into: &mut Vec<u32>, widths: &mut [u32]) {
    match operand {
        Operand::Register(Register::Slot(slot, bits)) => {
            widths[*slot as usize] = bits.div_ceil(32);
            into.push(*slot);
        }
        Operand::Address(base, _) => collect(base, into, widths),
        Operand::Vector(parts) => parts.iter().for_each(|part| collect(part, into, widths)),
        Operand::Pair(a, b) => [a, b].into_iter().for_each(|part| collect(part, into, widths)),
        _ => {}
    }
}
