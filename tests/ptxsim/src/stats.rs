//! What a launch did, counted. Counts of memory traffic are those of a model: each warp's access by itself, no cache.

/// Counts of one launch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Blocks that ran.
    pub blocks: u64,
    /// Instructions, counted once for each warp.
    pub instructions: u64,
    /// Instructions, counted for each lane.
    pub lane_instructions: u64,
    /// `fma.rn.f32`, counted for each lane.
    pub fma: u64,
    /// `mma.sync`, counted once for each warp.
    pub mma: u64,
    /// Loads from global memory: warps' requests, `cp.async` included.
    pub global_loads: u64,
    /// Stores and atomics to global memory.
    pub global_stores: u64,
    /// Bytes that lanes asked for in global memory, each lane by itself.
    pub global_bytes: u64,
    /// 32-byte sectors that the requests touched: sectors * 32 is what moves without a cache.
    pub global_sectors: u64,
    /// The least sectors that could hold the distinct bytes of each request.
    pub global_sectors_ideal: u64,
    /// Requests that touched at least two sectors more than the least: one more is an edge that isn't aligned.
    pub uncoalesced: u64,
    /// Requests to shared memory.
    pub shared_requests: u64,
    /// Passes that they took: 32 banks of 4 bytes, one word of a bank in each pass.
    pub shared_passes: u64,
    /// Requests that took more passes than their bytes need.
    pub bank_conflicts: u64,
    /// Barriers, counted once for each warp that passed.
    pub barriers: u64,
}

impl Stats {
    /// Bytes that move between global memory and the processors, in whole sectors.
    pub fn moved_bytes(&self) -> u64 {
        self.global_sectors * 32
    }

    /// Adds the counts of another launch.
    pub fn add(&mut self, other: &Stats) {
        self.blocks += other.blocks;
        self.instructions += other.instructions;
        self.lane_instructions += other.lane_instructions;
        self.fma += other.fma;
        self.mma += other.mma;
        self.global_loads += other.global_loads;
        self.global_stores += other.global_stores;
        self.global_bytes += other.global_bytes;
        self.global_sectors += other.global_sectors;
        self.global_sectors_ideal += other.global_sectors_ideal;
        self.uncoalesced += other.uncoalesced;
        self.shared_requests += other.shared_requests;
        self.shared_passes += other.shared_passes;
        self.bank_conflicts += other.bank_conflicts;
        self.barriers += other.barriers;
    }

    /// Counts a request to global memory: `bytes` at each of the addresses.
    pub(crate) fn global(&mut self, addresses: &[u64], bytes: usize, load: bool) {
        if addresses.is_empty() {
            return;
        }
        if load {
            self.global_loads += 1
        } else {
            self.global_stores += 1
        }
        self.global_bytes += (addresses.len() * bytes) as u64;
        let mut sectors = [0u64; 32];
        let mut places = [0u64; 32];
        for (lane, &address) in addresses.iter().enumerate() {
            sectors[lane] = address / 32;
            places[lane] = address;
        }
        let touched = distinct(&mut sectors[..addresses.len()]);
        let ideal = (distinct(&mut places[..addresses.len()]) * bytes as u64).div_ceil(32);
        self.global_sectors += touched;
        self.global_sectors_ideal += ideal;
        self.uncoalesced += (touched > ideal + 1) as u64;
    }

    /// Counts a request to shared memory by the lanes `lanes`. Of 8 bytes per lane half a warp is served at a time, of 16 a quarter:
    /// lanes 0 to 7, 8 to 15 and so on, whichever of them take part.
    pub(crate) fn shared(&mut self, addresses: &[u64], lanes: &[u8], bytes: usize) {
        if addresses.is_empty() {
            return;
        }
        self.shared_requests += 1;
        let at_once = 128 / bytes.max(4);
        let (mut passes, mut least) = (0, 0);
        let mut begin = 0;
        for group in lanes.chunk_by(|&a, &b| a as usize / at_once == b as usize / at_once) {
            let group = &addresses[begin..begin + group.len()];
            begin += group.len();
            let mut words = [0u64; 32];
            let mut count = 0;
            for &address in group {
                for word in 0..bytes.div_ceil(4) as u64 {
                    words[count] = address / 4 + word;
                    count += 1;
                }
            }
            let words = &mut words[..count];
            words.sort_unstable();
            let mut used = [0u8; 32];
            let mut last = u64::MAX;
            for &word in words.iter() {
                if word != last {
                    used[(word % 32) as usize] += 1;
                    last = word;
                }
            }
            passes += used.iter().copied().max().unwrap_or(0) as u64;
            least += 1;
        }
        self.shared_passes += passes;
        self.bank_conflicts += (passes > least) as u64;
    }
}

/// How many different values there are; sorts them.
fn distinct(values: &mut [u64]) -> u64 {
    if !values.is_sorted() {
        values.sort_unstable();
    }
    1 + values.windows(2).filter(|pair| pair[0] != pair[1]).count() as u64
}
