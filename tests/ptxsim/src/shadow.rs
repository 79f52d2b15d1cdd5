//! The race shadow: three cells for each byte, and the rule that compares them with an access.
//!
//! A cell says who touched the byte: the last writer, the last reader, and the last reader of another warp than that
//! one. Two readers are enough where every barrier orders the whole block, since a write after them is compared with both;
//! a flag says that several lanes of the reading warp read. Kernels with barriers of some warps, fences or atomics keep all
//! readers, and all atomics that nothing orders, in a list beside the cells. Layout: launch 12 bits, block 20, warp 5, lane 5, count 20,
//! several lanes 1, atomic 1.

use std::collections::HashMap;

use crate::clocks::Clocks;
use crate::finding::{Fault, Kind};

/// A launch number has 12 bits, and 0 is that of cells nobody touched.
pub(crate) const LAUNCHES: u64 = 1 << 12;
/// A block number has 20.
pub(crate) const MAX_BLOCKS: u64 = 1 << 20;

const ATOMIC: u64 = 1;
const MANY: u64 = 2;

/// Bytes that hold a writer and two readers.
#[derive(Default)]
pub(crate) struct Cells {
    pub write: Box<[u64]>,
    pub read: Box<[u64]>,
    pub other: Box<[u64]>,
    /// By byte: what else must be kept.
    more: HashMap<usize, More>,
}

/// Further readers and atomics of a byte.
#[derive(Default)]
struct More {
    reads: Vec<u64>,
    writes: Vec<u64>,
}

impl Cells {
    pub fn new(bytes: usize) -> Self {
        let zeros = || vec![0u64; bytes].into_boxed_slice();
        Self {
            write: zeros(),
            read: zeros(),
            other: zeros(),
            more: HashMap::new(),
        }
    }
}

/// Who accesses memory.
pub(crate) struct Accessor<'a> {
    pub clocks: &'a Clocks,
    /// What this warp learned of other blocks by fences and atomics: block -> counts of its warps.
    pub learned: &'a HashMap<u64, Vec<u32>>,
    /// Launch and block, at their place in a cell.
    pub prefix: u64,
    pub warp: u32,
    pub lane: u32,
    /// An atomic or a strong access: no race with its like.
    pub strong: bool,
    /// Two readers are not enough.
    pub keeps_all: bool,
}

pub(crate) fn prefix(launch: u64, block: u64) -> u64 {
    (launch % LAUNCHES) << 52 | block << 32
}

#[inline(always)]
fn launch_of(cell: u64) -> u64 {
    cell >> 52
}

#[inline(always)]
fn warp_of(cell: u64) -> u32 {
    (cell >> 27 & 31) as u32
}

#[inline(always)]
fn lane_of(cell: u64) -> u32 {
    (cell >> 22 & 31) as u32
}

#[inline(always)]
fn count_of(cell: u64) -> u32 {
    ((cell >> 2) & 0xf_ffff) as u32
}

impl Accessor<'_> {
    #[inline(always)]
    fn cell(&self) -> u64 {
        let count = self.clocks.now(self.warp as usize) as u64;
        self.prefix
            | ((self.warp as u64) << 27)
            | ((self.lane as u64) << 22)
            | (count << 2)
            | (self.strong as u64 * ATOMIC)
    }

    /// Whether what the cell tells of happened before now.
    #[inline(always)]
    fn ordered(&self, cell: u64) -> bool {
        if launch_of(cell) != launch_of(self.prefix) {
            return true;
        }
        if (cell ^ self.prefix) >> 32 != 0 {
            let block = (cell >> 32) & (MAX_BLOCKS - 1);
            let known = self
                .learned
                .get(&block)
                .and_then(|warps| warps.get(warp_of(cell) as usize));
            return known.is_some_and(|&count| count >= count_of(cell));
        }
        let warp = self.warp as usize;
        if warp_of(cell) == self.warp {
            self.clocks
                .lanes_ordered(warp, lane_of(cell), cell & MANY != 0, count_of(cell), self.lane)
        } else {
            self.clocks.knows(warp, warp_of(cell) as usize, count_of(cell))
        }
    }

    #[inline(always)]
    fn conflicts(&self, cell: u64) -> bool {
        !self.ordered(cell) && (!self.strong || cell & ATOMIC == 0)
    }

    /// Records a read of `cells[at..at + bytes]`.
    #[inline]
    pub fn reads(&self, cells: &mut Cells, at: usize, bytes: usize) -> Result<(), Fault> {
        let me = self.cell();
        let mut checked = 0;
        for byte in at..at + bytes {
            let write = cells.write[byte];
            // The bytes of a word mostly have one writer.
            if write != checked && self.conflicts(write) {
                return Err(self.race("reads", "was written", write, byte - at));
            }
            checked = write;
            if self.keeps_all {
                self.holds_against_writes(cells, byte, byte - at)?;
            }
            let read = cells.read[byte];
            if (read ^ me) >> 27 != 0 {
                // Another warp's read, or none, or an old one.
                if launch_of(read) == launch_of(me) && !self.ordered(read) {
                    let lost = std::mem::replace(&mut cells.other[byte], read);
                    if self.keeps_all && !self.ordered(lost) {
                        cells.more.entry(byte).or_default().reads.push(lost);
                    }
                }
                cells.read[byte] = me;
            } else if count_of(read) != count_of(me) {
                cells.read[byte] = me;
            } else {
                // The same warp since its last meeting: several lanes, and no longer only strong reads.
                let many = (lane_of(read) != self.lane) as u64 * MANY;
                let weak = !self.strong as u64 * ATOMIC;
                cells.read[byte] = (read | many) & !weak;
            }
        }
        Ok(())
    }

    /// Records a write.
    #[inline]
    pub fn writes(&self, cells: &mut Cells, at: usize, bytes: usize) -> Result<(), Fault> {
        let me = self.cell();
        let mut checked = [0; 3];
        for byte in at..at + bytes {
            let found = [cells.write[byte], cells.read[byte], cells.other[byte]];
            if found != checked {
                if self.conflicts(found[0]) {
                    return Err(self.race("writes", "was written", found[0], byte - at));
                }
                for read in [found[1], found[2]] {
                    if self.conflicts(read) {
                        return Err(self.race("writes", "was read", read, byte - at));
                    }
                }
                checked = found;
            }
            if self.keeps_all {
                self.holds_against_more(cells, byte, byte - at)?;
                if self.strong && !self.ordered(found[0]) {
                    cells.more.entry(byte).or_default().writes.push(found[0]);
                }
            }
            cells.write[byte] = me;
            if !self.strong {
                cells.read[byte] = 0;
                cells.other[byte] = 0;
                if self.keeps_all {
                    cells.more.remove(&byte);
                }
            }
        }
        Ok(())
    }

    /// Compares a read with the atomics that the cells no longer hold.
    fn holds_against_writes(&self, cells: &Cells, byte: usize, offset: usize) -> Result<(), Fault> {
        let writes = cells.more.get(&byte).map_or(&[][..], |more| &more.writes);
        match writes.iter().find(|&&cell| self.conflicts(cell)) {
            Some(&cell) => Err(self.race("reads", "was written", cell, offset)),
            None => Ok(()),
        }
    }

    /// Compares a write with the readers and atomics that the cells no longer hold.
    fn holds_against_more(&self, cells: &Cells, byte: usize, offset: usize) -> Result<(), Fault> {
        self.holds_against_writes(cells, byte, offset)?;
        let reads = cells.more.get(&byte).map_or(&[][..], |more| &more.reads);
        match reads.iter().find(|&&cell| self.conflicts(cell)) {
            Some(&cell) => Err(self.race("writes", "was read", cell, offset)),
            None => Ok(()),
        }
    }

    /// Whether this launch wrote the bytes: a read through the read-only path must not see that.
    pub fn written_by_launch(&self, cells: &Cells, at: usize, bytes: usize) -> bool {
        cells.write[at..at + bytes]
            .iter()
            .any(|&cell| launch_of(cell) == launch_of(self.prefix))
    }

    fn race(&self, does: &str, was: &str, cell: u64, byte: usize) -> Fault {
        let block = (cell >> 32) & (MAX_BLOCKS - 1);
        let place = if (cell ^ self.prefix) >> 32 == 0 {
            String::new()
        } else {
            format!("block {block}, ")
        };
        let lanes = if cell & MANY != 0 { " and other lanes" } else { "" };
        let detail = format!(
            "{does} byte {byte} of this access that {was} by {place}warp {} lane {}{lanes}, and nothing orders the two",
            warp_of(cell),
            lane_of(cell),
        );
        Fault::new(Kind::Race, detail).at(self.lane as usize)
    }
}
