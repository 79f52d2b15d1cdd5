//! Control flow: where lanes that part at a branch meet again.
//!
//! That is the branch's immediate post-dominator: the first instruction that every path from the branch to the end of
//! the kernel passes. Found with the iteration of Cooper, Harvey and Kennedy ("A simple, fast dominance algorithm",
//! 2001) on the reversed graph of basic blocks.

use crate::op::{Instruction, Op};

/// No instruction: the end of the kernel.
pub(crate) const END: u32 = u32::MAX;

/// For each branch the instruction where its sides meet.
pub(crate) struct Flow {
    /// By instruction; meaningful for branches alone.
    pub meets: Vec<u32>,
}

pub(crate) fn analyse(code: &[Instruction]) -> Flow {
    let blocks = Blocks::of(code);
    let post = blocks.post_dominators();
    let mut meets = vec![END; code.len()];
    for (block, &last) in blocks.last.iter().enumerate() {
        if let Some(&meeting) = post.get(block).filter(|&&meeting| meeting < blocks.first.len()) {
            meets[last] = blocks.first[meeting] as u32;
        }
    }
    Flow { meets }
}

/// Basic blocks: first and last instruction, successors. The number of blocks stands for the end.
struct Blocks {
    first: Vec<usize>,
    last: Vec<usize>,
    successors: Vec<Vec<usize>>,
}

impl Blocks {
    fn of(code: &[Instruction]) -> Self {
        let mut leads = vec![false; code.len() + 1];
        leads[0] = true;
        for (at, instruction) in code.iter().enumerate() {
            let targets: &[u32] = match &instruction.op {
                Op::Branch { target } => std::slice::from_ref(target),
                Op::BranchIndexed { targets, .. } => targets,
                Op::Exit => &[],
                _ => continue,
            };
            targets.iter().for_each(|&target| leads[target as usize] = true);
            leads[at + 1] = true;
        }
        let first: Vec<usize> = (0..code.len()).filter(|&at| leads[at]).collect();
        let last: Vec<usize> = first.iter().skip(1).map(|&at| at - 1).chain([code.len() - 1]).collect();
        let end = first.len();
        let block_of = |at: usize| first.partition_point(|&start| start <= at) - 1;
        let successors = last
            .iter()
            .map(|&at| {
                let next = if at + 1 < code.len() { block_of(at + 1) } else { end };
                let guarded = code[at].guard.is_some();
                let mut to = match &code[at].op {
                    Op::Branch { target } => vec![block_of(*target as usize)],
                    Op::BranchIndexed { targets, .. } => targets.iter().map(|&t| block_of(t as usize)).collect(),
                    Op::Exit => vec![end],
                    _ => vec![next],
                };
                if guarded && !to.contains(&next) {
                    to.push(next);
                }
                to
            })
            .collect();
        Self {
            first,
            last,
            successors,
        }
    }

    /// By block its immediate post-dominator; the end for those that nothing else follows on every path, and for loops
    /// that never end.
    fn post_dominators(&self) -> Vec<usize> {
        let end = self.first.len();
        let mut predecessors = vec![Vec::new(); end + 1];
        for (block, to) in self.successors.iter().enumerate() {
            to.iter().for_each(|&next| predecessors[next].push(block));
        }
        // Depth first from the end over reversed edges; `order` numbers a node when it is left.
        let mut order = vec![usize::MAX; end + 1];
        let mut seen = vec![false; end + 1];
        let mut sequence = Vec::new();
        let mut stack = vec![(end, 0)];
        seen[end] = true;
        while let Some((node, child)) = stack.pop() {
            if let Some(&next) = predecessors[node].get(child) {
                stack.push((node, child + 1));
                if !std::mem::replace(&mut seen[next], true) {
                    stack.push((next, 0));
                }
            } else {
                order[node] = sequence.len();
                sequence.push(node);
            }
        }
        let mut immediate = vec![usize::MAX; end + 1];
        immediate[end] = end;
        let mut changed = true;
        while changed {
            changed = false;
            for &block in sequence.iter().rev().filter(|&&block| block != end) {
                let mut meeting = usize::MAX;
                for &next in self.successors[block]
                    .iter()
                    .filter(|&&next| immediate[next] != usize::MAX)
                {
                    meeting = if meeting == usize::MAX {
                        next
                    } else {
                        intersect(&immediate, &order, meeting, next)
                    };
                }
                changed |= std::mem::replace(&mut immediate[block], meeting) != meeting;
            }
        }
        immediate.truncate(end);
        immediate
    }
}

fn intersect(immediate: &[usize], order: &[usize], mut x: usize, mut y: usize) -> usize {
    while x != y {
        while order[x] < order[y] {
            x = immediate[x];
        }
        while order[y] < order[x] {
            y = immediate[y];
        }
    }
    x
}
