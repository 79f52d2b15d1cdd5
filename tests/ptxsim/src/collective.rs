//! Instructions in which lanes of a warp, or warps of a block, meet.

use crate::block::{BARRIERS, Block, waits};
use crate::finding::{Fault, Kind};
use crate::module::Kernel;
use crate::op::{Barrier, BarrierMode, Lanes, Op, Shuffle, ShuffleMode, Slot, VoteMode};
use crate::ty::low;
use crate::warp::{State, Warp};

impl Warp {
    pub(crate) fn collective(&mut self, block: &mut Block<'_>, op: &Op, lanes: u32, line: u32) -> Result<(), Fault> {
        match op {
            Op::Shuffle(shuffle) => self.shuffle(shuffle, lanes)?,
            Op::Vote {
                mode,
                result,
                ballot,
                given,
                members,
            } => {
                let members = self.members(*members, lanes)?;
                let held = self.holds(*given) & members;
                if let Some(d) = ballot {
                    self.put(*d, lanes, &[held as u64; 32]);
                }
                if let Some(p) = result {
                    let value = match mode {
                        VoteMode::All => held == members,
                        VoteMode::Any => held != 0,
                        _ => held == members || held == 0,
                    };
                    self.put_predicate(*p, lanes, if value { u32::MAX } else { 0 });
                }
            }
            Op::Match {
                all,
                d,
                p,
                a,
                bits,
                members,
            } => {
                let members = self.members(*members, lanes)?;
                let values = self.get(*a).map(|value| low(value, *bits));
                let equal = |lane: usize| {
                    each(members)
                        .filter(|&other| values[other] == values[lane])
                        .fold(0u32, |mask, other| mask | 1 << other)
                };
                let found: Lanes = std::array::from_fn(|lane| match equal(lane) {
                    mask if *all && mask != members => 0,
                    mask => mask as u64,
                });
                self.put(*d, lanes, &found);
                if let Some(p) = p {
                    let same = each(lanes)
                        .filter(|&lane| found[lane] != 0)
                        .fold(0, |mask, lane| mask | 1 << lane);
                    self.put_predicate(*p, lanes, same);
                }
            }
            Op::Reduce { f, d, a, members } => {
                let members = self.members(*members, lanes)?;
                let values = self.get(*a);
                let result = each(members).map(|lane| values[lane]).reduce(f).unwrap_or(0);
                self.put(*d, lanes, &[result; 32]);
            }
            Op::Elect { d, p, members } => {
                let members = self.members(*members, lanes)?;
                let leader = members.trailing_zeros();
                if let Some(d) = d {
                    self.put(*d, lanes, &[leader as u64; 32]);
                }
                self.put_predicate(*p, lanes, 1 << leader);
            }
            Op::WarpBarrier { members } => {
                let members = self.members(*members, lanes)?;
                block.clocks.meet_lanes(self.index, members, members == self.live);
            }
            Op::Barrier(barrier) => self.barrier(block, barrier, lanes, line)?,
            _ => unreachable!("every other instruction is executed elsewhere"),
        }
        Ok(())
    }

    /// The lanes that a `.sync` instruction names, those that ended left out. All of them must be here.
    fn members(&self, slot: Slot, lanes: u32) -> Result<u32, Fault> {
        let masks = self.get(slot);
        let first = masks[lanes.trailing_zeros() as usize] as u32;
        let fault = |detail: String| Err(Fault::new(Kind::InactiveLane, detail));
        if let Some(lane) = each(lanes).find(|&lane| masks[lane] as u32 != first) {
            return fault(format!(
                "lanes give different masks: {first:#010x} and {:#010x}",
                masks[lane]
            ))
            .map_err(|f: Fault| f.at(lane));
        }
        if lanes & !first != 0 {
            return fault(format!(
                "lanes {:#010x} execute it and aren't in its mask {first:#010x}",
                lanes & !first
            ));
        }
        let absent = first & self.live & !lanes;
        if absent != 0 {
            return fault(format!(
                "the mask {first:#010x} names lanes {absent:#010x}, which are elsewhere"
            ));
        }
        Ok(first & self.live)
    }

    /// The segment of a lane and how far it may reach follow from c, as the manual has it: bits 0-4 clamp, 8-12 segment.
    fn shuffle(&mut self, shuffle: &Shuffle, lanes: u32) -> Result<(), Fault> {
        let members = self.members(shuffle.members, lanes)?;
        let (a, b, c) = (*self.get(shuffle.a), *self.get(shuffle.lane), *self.get(shuffle.clamp));
        let mut values = [0; 32];
        let mut valid = 0;
        for lane in each(lanes) {
            let (b, clamp, segment) = (
                (b[lane] & 31) as usize,
                (c[lane] & 31) as usize,
                (c[lane] >> 8 & 31) as usize,
            );
            let max = lane & segment | clamp & !segment;
            let min = lane & segment;
            let (from, inside) = match shuffle.mode {
                ShuffleMode::Up => (lane.wrapping_sub(b), lane as isize - b as isize >= max as isize),
                ShuffleMode::Down => (lane + b, lane + b <= max),
                ShuffleMode::Butterfly => (lane ^ b, lane ^ b <= max),
                ShuffleMode::Index => (min | b & !segment, min | b & !segment <= max),
            };
            let from = if inside { from } else { lane };
            if members >> from & 1 == 0 {
                let detail = format!("a shuffle reads lane {from}, which takes no part");
                return Err(Fault::new(Kind::InactiveLane, detail).at(lane));
            }
            values[lane] = low(a[from], 32);
            valid |= (inside as u32) << lane;
        }
        self.put(shuffle.d, lanes, &values);
        if let Some(p) = shuffle.valid {
            self.put_predicate(p, lanes, valid);
        }
        Ok(())
    }

    fn barrier(&mut self, block: &mut Block<'_>, barrier: &Barrier, lanes: u32, line: u32) -> Result<(), Fault> {
        let divergent = |detail: String| Err(Fault::new(Kind::DivergentBarrier, detail));
        let first = lanes.trailing_zeros() as usize;
        if lanes != self.live {
            return divergent(format!(
                "lanes {lanes:#010x} reach it, {:#010x} are elsewhere",
                self.live & !lanes
            ));
        }
        let id = self.get(barrier.id)[first] as usize;
        let total = barrier.threads.map_or(0, |slot| self.get(slot)[first] as u32);
        if id >= BARRIERS {
            return divergent(format!("there is no barrier {id}"));
        }
        if barrier.threads.is_some() && (total == 0 || !total.is_multiple_of(32)) {
            return divergent(format!("a barrier of {total} threads: it must be a multiple of 32"));
        }
        if total == 0
            && (block.ended || self.live.count_ones() < (block.launch.threads() - self.index as u32 * 32).min(32))
        {
            return divergent("threads of the block have ended before".to_owned());
        }
        let held = barrier.given.map_or(0, |given| self.holds(given) & lanes);
        let meeting = &mut block.meetings[id];
        if meeting.arrived.is_empty() {
            (meeting.line, meeting.total) = (line, total);
        } else if total != meeting.total || total == 0 && line != meeting.line {
            return divergent(format!("other warps are at the barrier of line {}", meeting.line));
        }
        meeting.arrived.push(self.index);
        meeting.held += held.count_ones();
        meeting.failed += (lanes & !held).count_ones();
        if waits(barrier.mode) {
            meeting.waiting.push(self.index);
        }
        self.state = State::Waiting(id);
        Ok(())
    }

    /// Goes on behind a barrier: a reduction gets its result.
    pub(crate) fn finish_barrier(&mut self, kernel: &Kernel, held: u32, failed: u32) {
        let Some(top) = self.stack.last() else { return };
        let Op::Barrier(barrier) = &kernel.code[top.at as usize - 1].op else {
            return;
        };
        let lanes = top.lanes;
        if let Some(d) = barrier.count {
            self.put(d, lanes, &[held as u64; 32]);
        }
        if let Some(p) = barrier.result {
            let value = if barrier.mode == BarrierMode::And {
                failed == 0
            } else {
                held > 0
            };
            self.put_predicate(p, lanes, if value { u32::MAX } else { 0 });
        }
    }
}

/// The lanes of a mask, ascending.
fn each(mask: u32) -> impl Iterator<Item = usize> {
    (0..32).filter(move |&lane| mask >> lane & 1 == 1)
}
