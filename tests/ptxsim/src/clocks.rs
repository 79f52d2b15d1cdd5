//! What happens before what: the clocks of a block's warps.
//!
//! Each warp counts the points where it met others. An access carries the count of its warp; another access comes after
//! it if a barrier told its warp of that count. Within a warp only `bar.warp.sync` orders lanes: since sm_70 they run
//! independently, and shuffles and votes order no memory.

/// Most barriers that one launch may pass: the counts of a cell have 20 bits.
pub(crate) const MAX_CLOCK: u32 = (1 << 20) - 1;

/// Which accesses a warp knows of.
pub(crate) struct Clocks {
    /// By warp, its count now; from 1.
    now: Vec<u32>,
    /// By warp and other warp: the last count of the other that it knows of.
    known: Vec<Vec<u32>>,
    /// By warp: accesses with a smaller count are ordered among all its lanes.
    whole: Vec<u32>,
    /// By warp: partial meetings since, as (members, count before).
    partial: Vec<Vec<(u32, u32)>>,
}

impl Clocks {
    pub fn new(warps: usize) -> Self {
        Self {
            now: vec![1; warps],
            known: vec![vec![0; warps]; warps],
            whole: vec![1; warps],
            partial: vec![Vec::new(); warps],
        }
    }

    #[inline(always)]
    pub fn now(&self, warp: usize) -> u32 {
        self.now[warp]
    }

    /// Lanes `members` of the warp have met; `all` says that no live lane is missing.
    pub fn meet_lanes(&mut self, warp: usize, members: u32, all: bool) {
        if all {
            self.partial[warp].clear();
            self.whole[warp] = self.now[warp] + 1;
        } else {
            self.partial[warp].push((members, self.now[warp]));
        }
        self.now[warp] += 1;
    }

    /// What the warp does from now on is told apart from what it has done.
    pub fn advance(&mut self, warp: usize) {
        self.now[warp] += 1;
    }

    /// The warps `arrived` have reached a barrier; those in `waiting` go on knowing what all of them did.
    pub fn meet_warps(&mut self, arrived: &[usize], waiting: &[usize]) {
        let warps = self.now.len();
        let mut joined = vec![0; warps];
        for &warp in arrived {
            for (other, count) in joined.iter_mut().enumerate() {
                let knows = if other == warp {
                    self.now[warp]
                } else {
                    self.known[warp][other]
                };
                *count = (*count).max(knows);
            }
        }
        for &warp in waiting {
            self.known[warp].copy_from_slice(&joined);
        }
        for &warp in arrived {
            self.meet_lanes(warp, u32::MAX, true);
        }
    }

    /// The greatest count of any warp.
    pub fn greatest(&self) -> u32 {
        self.now.iter().copied().max().unwrap_or(0)
    }

    /// What `warp` knows of `other`.
    #[inline(always)]
    pub fn knows(&self, warp: usize, other: usize, count: u32) -> bool {
        self.known[warp][other] >= count
    }

    /// Whether an access by `lane` (or by several lanes, if `many`) at `count` is ordered before one of `my_lane` now,
    /// both of `warp`.
    #[inline(always)]
    pub fn lanes_ordered(&self, warp: usize, lane: u32, many: bool, count: u32, my_lane: u32) -> bool {
        if !many && lane == my_lane || count < self.whole[warp] {
            return true;
        }
        let both = 1 << lane | 1 << my_lane;
        !many
            && self.partial[warp]
                .iter()
                .any(|&(members, at)| members & both == both && count <= at)
    }

    /// What a warp knows, itself included: what a fence before an atomic publishes.
    pub fn snapshot(&self, warp: usize) -> Vec<u32> {
        let mut known = self.known[warp].clone();
        known[warp] = self.now[warp];
        known
    }
}
