//! A block: its warps take turns in an order that the seed chooses, and meet at barriers.

use std::collections::HashMap;

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::clocks::{Clocks, MAX_CLOCK};
use crate::finding::{Fault, Finding, Kind};
use crate::flow::END;
use crate::machine::{Checks, Launch};
use crate::memory::Memory;
use crate::mma::MmaModel;
use crate::module::Kernel;
use crate::op::BarrierMode;
use crate::shadow::{Accessor, prefix};
use crate::shared::Shared;
use crate::stats::Stats;
use crate::warp::{Frame, State, Warp};

/// Barriers of a block.
pub(crate) const BARRIERS: usize = 16;

/// What fences and atomics told of other blocks: address of the atomic -> who published what.
pub(crate) type Published = HashMap<u64, Vec<(u64, Vec<u32>)>>;

/// What is known of other blocks: block -> counts of its warps.
pub(crate) type Learned = HashMap<u64, Vec<u32>>;

fn learn(learned: &mut Learned, block: u64, counts: &[u32]) {
    let known = learned.entry(block).or_insert_with(|| vec![0; counts.len()]);
    known
        .iter_mut()
        .zip(counts)
        .for_each(|(known, &count)| *known = (*known).max(count));
}

/// Who has arrived at a barrier.
#[derive(Clone, Default)]
pub(crate) struct Meeting {
    pub arrived: Vec<usize>,
    pub waiting: Vec<usize>,
    /// Line of the instruction that the first warp arrived at.
    pub line: u32,
    pub total: u32,
    /// Of a reduction: lanes where the condition held, and where it did not.
    pub held: u32,
    pub failed: u32,
}

/// What a block's warps share while they run.
pub(crate) struct Block<'a> {
    pub kernel: &'a Kernel,
    pub launch: &'a Launch,
    pub parameters: &'a [u8],
    pub variables: &'a [u64],
    pub memory: &'a mut Memory,
    pub stats: &'a mut Stats,
    pub published: &'a mut Published,
    pub random: &'a mut ChaCha8Rng,
    pub checks: Checks,
    pub mma_model: MmaModel,
    pub seed: u64,
    pub shared: Shared,
    pub clocks: Clocks,
    /// By warp: what it learned of other blocks.
    pub learned: Vec<Learned>,
    /// What each warp's last fence covers.
    pub fenced: Vec<Option<Vec<u32>>>,
    pub place: [u32; 3],
    pub number: u64,
    pub launch_number: u64,
    pub meetings: Vec<Meeting>,
    /// Warps of which all threads, or some, have ended.
    pub ended: bool,
    pub instructions_left: u64,
}

impl Block<'_> {
    pub fn coin(&mut self) -> bool {
        self.random.random()
    }

    pub fn accessor(&self, warp: usize, lane: usize, strong: bool) -> Accessor<'_> {
        Accessor {
            clocks: &self.clocks,
            learned: &self.learned[warp],
            prefix: prefix(self.launch_number, self.number),
            warp: warp as u32,
            lane: lane as u32,
            strong,
            keeps_all: self.kernel.keeps_all,
        }
    }

    /// What the warp has done and knows until now can be published by its next atomics, and nothing that it does from now on.
    pub fn fence(&mut self, warp: usize) -> Result<(), Fault> {
        self.fenced[warp] = Some(self.clocks.snapshot(warp));
        self.clocks.advance(warp);
        if self.clocks.greatest() >= MAX_CLOCK {
            return Err(Fault::new(Kind::Endless, "more fences than the race shadow can count"));
        }
        Ok(())
    }

    /// An atomic on `address` in global memory: its warp learns what others published there, and publishes what a fence covered.
    pub fn synchronise(&mut self, warp: usize, address: u64) {
        for (block, counts) in self.published.get(&address).into_iter().flatten() {
            learn(&mut self.learned[warp], *block, counts);
        }
        if let Some(counts) = self.fenced[warp].clone() {
            self.published.entry(address).or_default().push((self.number, counts));
        }
    }

    /// Fresh shared memory, clocks and registers for the block at `place`.
    pub fn begin(&mut self, warps: &mut [Warp], place: [u32; 3], number: u64) {
        (self.place, self.number) = (place, number);
        self.shared.renew();
        self.clocks = Clocks::new(warps.len());
        self.learned.iter_mut().for_each(Learned::clear);
        self.fenced.fill(None);
        self.meetings
            .iter_mut()
            .for_each(|meeting| *meeting = Meeting::default());
        self.ended = false;
        let threads = self.launch.threads();
        for warp in warps {
            let lanes = (threads - warp.index as u32 * 32).min(32);
            warp.live = if lanes == 32 { u32::MAX } else { (1 << lanes) - 1 };
            warp.stack = vec![Frame {
                at: 0,
                lanes: warp.live,
                meets: END,
            }];
            warp.state = State::Ready;
            warp.predicates.fill(0);
            warp.copies.clear();
            warp.groups = [0; 32];
            warp.local_written.fill(0);
            warp.order = std::array::from_fn(|lane| lane as u8);
            warp.order.shuffle(self.random);
            warp.prepare(self);
        }
    }

    /// Runs the block to its end.
    pub fn run(&mut self, warps: &mut [Warp]) -> Result<(), Finding> {
        let mut ready: Vec<usize> = Vec::new();
        loop {
            ready.clear();
            ready.extend(
                warps
                    .iter()
                    .filter(|warp| warp.state == State::Ready)
                    .map(|warp| warp.index),
            );
            let Some(&index) = ready.get(self.random.random_range(0..ready.len().max(1))) else {
                return self.stuck(warps);
            };
            let burst = self.random.random_range(8..512);
            if self.instructions_left < burst {
                return Err(self.finding(
                    index,
                    None,
                    Fault::new(Kind::Endless, "more instructions than Options allow"),
                ));
            }
            self.instructions_left -= burst;
            let warp = &mut warps[index];
            let live = warp.live;
            if let Err((line, fault)) = warp.run(self, burst) {
                return Err(self.finding(index, Some(line), fault));
            }
            if warp.live != live {
                self.ended = true;
                self.check_ended(index)?;
            }
            if let State::Waiting(barrier) = warps[index].state {
                self.try_release(warps, barrier)?;
                // Who only arrives goes on at once.
                if warps[index].state == State::Waiting(barrier) && !self.meetings[barrier].waiting.contains(&index) {
                    warps[index].state = State::Ready;
                }
            }
        }
    }

    /// Nobody can go on: all is done, or some wait for ever.
    fn stuck(&self, warps: &[Warp]) -> Result<(), Finding> {
        let waiting = warps.iter().find_map(|warp| match warp.state {
            State::Waiting(barrier) => Some((warp.index, barrier)),
            _ => None,
        });
        let Some((warp, barrier)) = waiting else { return Ok(()) };
        let meeting = &self.meetings[barrier];
        let detail = format!(
            "{} warps wait at barrier {barrier}, and nobody else comes",
            meeting.waiting.len()
        );
        Err(self.finding(warp, Some(meeting.line), Fault::new(Kind::DivergentBarrier, detail)))
    }

    /// A thread that has ended can't reach the barrier where others wait.
    fn check_ended(&self, index: usize) -> Result<(), Finding> {
        let whole = self
            .meetings
            .iter()
            .find(|meeting| !meeting.waiting.is_empty() && meeting.total == 0);
        let Some(meeting) = whole else { return Ok(()) };
        let fault = Fault::new(
            Kind::DivergentBarrier,
            "the thread ends while others wait at a barrier of the whole block",
        );
        Err(self.finding(index, Some(meeting.line), fault))
    }

    /// Lets the warps at the barrier go on if all that it wants have arrived.
    fn try_release(&mut self, warps: &mut [Warp], barrier: usize) -> Result<(), Finding> {
        let meeting = &self.meetings[barrier];
        let wanted = if meeting.total == 0 {
            warps.len()
        } else {
            (meeting.total as usize).div_ceil(32)
        };
        if meeting.arrived.len() < wanted {
            return Ok(());
        }
        let meeting = std::mem::take(&mut self.meetings[barrier]);
        self.clocks.meet_warps(&meeting.arrived, &meeting.waiting);
        self.share_learned(&meeting);
        if self.clocks.greatest() >= MAX_CLOCK {
            let fault = Fault::new(Kind::Endless, "more barriers than the race shadow can count");
            return Err(self.finding(meeting.arrived[0], Some(meeting.line), fault));
        }
        self.stats.barriers += meeting.waiting.len() as u64;
        for &index in &meeting.waiting {
            let warp = &mut warps[index];
            warp.state = State::Ready;
            warp.finish_barrier(self.kernel, meeting.held, meeting.failed);
        }
        Ok(())
    }

    /// Warps that waited at a barrier know what those that arrived had learned.
    fn share_learned(&mut self, meeting: &Meeting) {
        let mut all = Learned::new();
        for &warp in &meeting.arrived {
            for (&block, counts) in &self.learned[warp] {
                learn(&mut all, block, counts);
            }
        }
        if !all.is_empty() {
            meeting
                .waiting
                .iter()
                .for_each(|&warp| self.learned[warp] = all.clone());
        }
    }

    fn finding(&self, warp: usize, line: Option<u32>, fault: Fault) -> Finding {
        Finding {
            kind: fault.kind,
            kernel: self.kernel.name.clone(),
            block: Some(self.place),
            thread: fault.lane.map(|lane| warp as u32 * 32 + lane),
            line,
            detail: fault.detail,
        }
    }
}

/// Whether a barrier of this mode makes the warp wait.
pub(crate) fn waits(mode: BarrierMode) -> bool {
    mode != BarrierMode::Arrive
}
