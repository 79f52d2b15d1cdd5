//! What a program takes in memory: its buffers added up by role, and what is left if dead buffers give their place away.
//!
//! A buffer whose contents last for one run ([`Lifetime::Run`]) is alive from the operation that first writes it to the last
//! that touches it. Two that are never alive together may lie in one place. [`Footprint::peak_bytes`] is the most that is
//! alive at once, below which no placement gets; [`Footprint::reused_bytes`] is what the placement here needs: buffers by
//! falling size, each at the lowest offset that is free while it lives (the "greedy by size" of Y. Pisarchyk and J. Lee,
//! "Efficient memory management for deep neural net inference", arXiv:2001.03288, 2020). An operation's inputs and outputs
//! are alive together, so nothing is computed in place that the program does not compute in place.

mod ledger;
mod notebook;

pub use ledger::{Change, Sum};
pub use notebook::{formula, listed};

use super::{BufferId, Element, Lifetime, Program, Role};

/// One buffer of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Name in the program.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Rows and columns, for the batch that was asked for.
    pub size: (usize, usize),
    /// Type of its elements.
    pub element: Element,
    /// Bytes.
    pub bytes: u64,
    /// First and last operation that it is alive in; `None` if it outlives the run.
    pub alive: Option<(usize, usize)>,
    /// Where it lies if dead buffers give their place away: bytes from the beginning.
    pub offset: u64,
}

/// A program's buffers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footprint {
    /// Name of the program.
    pub program: String,
    /// Its buffers, in its order.
    pub lines: Vec<Line>,
    /// Bytes if dead buffers give their place away.
    pub reused_bytes: u64,
    /// The most bytes that are alive at once.
    pub peak_bytes: u64,
}

impl Footprint {
    /// Of `program` with batches of `rows` rows.
    pub fn of(program: &Program, rows: usize) -> Self {
        let mut lines: Vec<Line> = (0..program.buffers().len())
            .map(|id| line(program, BufferId(id), rows))
            .collect();
        let reused_bytes = place(&mut lines);
        let operations = 0..program.operations().len();
        let peak_bytes = operations.map(|at| alive_at(&lines, at)).max().unwrap_or(0);
        Self {
            program: program.name().to_owned(),
            lines,
            reused_bytes,
            peak_bytes,
        }
    }

    /// Bytes of all buffers, each in a place of its own.
    pub fn bytes(&self) -> u64 {
        self.lines.iter().map(|line| line.bytes).sum()
    }

    /// Bytes of the buffers of one role.
    pub fn bytes_of(&self, role: Role) -> u64 {
        let lines = self.lines.iter().filter(|line| line.role == role);
        lines.map(|line| line.bytes).sum()
    }

    /// The buffers as a sum, to set beside another.
    pub fn sum(&self, title: &str) -> Sum {
        let items = self.lines.iter().map(|line| (line.name.clone(), line.bytes));
        Sum::new(title, items)
    }
}

fn line(program: &Program, id: BufferId, rows: usize) -> Line {
    let buffer = program.buffer(id);
    let touches = |op: &super::Op| op.accesses().iter().any(|&(touched, _)| touched == id);
    let operations = program.operations();
    let alive = match buffer.lifetime {
        Lifetime::Kept => None,
        // Program::new has seen that the first to touch it writes it. One that nobody touches never lives.
        Lifetime::Run => operations
            .iter()
            .position(touches)
            .zip(operations.iter().rposition(touches)),
    };
    Line {
        name: buffer.name.clone(),
        role: buffer.role,
        size: (buffer.shape.rows_in(rows), buffer.shape.cols),
        element: buffer.element,
        // Program::new has seen that it fits a usize for its largest batch.
        bytes: buffer.bytes(rows).unwrap_or(usize::MAX) as u64,
        alive,
        offset: 0,
    }
}

fn alive_at(lines: &[Line], at: usize) -> u64 {
    let there = |line: &&Line| line.alive.is_none_or(|(first, last)| (first..=last).contains(&at));
    lines.iter().filter(there).map(|line| line.bytes).sum()
}

/// Gives each buffer an offset; the bytes that all of them take.
fn place(lines: &mut [Line]) -> u64 {
    let mut order: Vec<usize> = (0..lines.len()).collect();
    // Those that outlive the run first: they give nothing away. A stable sort, so that equals keep the program's order.
    order.sort_by_key(|&i| (lines[i].alive.is_some(), std::cmp::Reverse(lines[i].bytes)));
    let mut end = 0;
    for (done, &i) in order.iter().enumerate() {
        let mut taken: Vec<(u64, u64)> = order[..done]
            .iter()
            .map(|&j| &lines[j])
            .filter(|other| together(other.alive, lines[i].alive))
            .map(|other| (other.offset, other.offset + other.bytes))
            .collect();
        taken.sort_unstable();
        let mut offset = 0;
        for (from, to) in taken {
            if from >= offset + lines[i].bytes {
                break;
            }
            offset = offset.max(to);
        }
        lines[i].offset = offset;
        end = end.max(offset + lines[i].bytes);
    }
    end
}

/// Whether two buffers are alive at the same time.
fn together(a: Option<(usize, usize)>, b: Option<(usize, usize)>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.0 <= b.1 && b.0 <= a.1,
        _ => true,
    }
}

#[cfg(test)]
mod tests;
