//! Loads, stores and atomics of a warp: lane by lane, in the warp's own order.

use crate::block::Block;
use crate::finding::{Fault, Kind};
use crate::memory::{LOCAL_WINDOW, SHARED_WINDOW, all_written, store_value, value_of};
use crate::op::{Address, Atomic, Lanes, Slot, Space, Strength, Transfer};
use crate::shared::WRITTEN;
use crate::ty::{low, signed};
use crate::warp::Warp;

/// Addresses of the lanes that take part, for the counts.
pub(crate) struct Addresses {
    values: [u64; 32],
    lanes: [u8; 32],
    count: usize,
}

impl Addresses {
    pub fn of(base: &Lanes, offset: i64, lanes: u32) -> Self {
        let mut found = Self {
            values: [0; 32],
            lanes: [0; 32],
            count: 0,
        };
        for (lane, &address) in base.iter().enumerate() {
            if lanes >> lane & 1 == 1 {
                found.values[found.count] = address.wrapping_add_signed(offset);
                found.lanes[found.count] = lane as u8;
                found.count += 1;
            }
        }
        found
    }

    pub fn all(&self) -> &[u64] {
        &self.values[..self.count]
    }

    /// The lanes of [`Addresses::all`], ascending.
    pub fn lanes(&self) -> &[u8] {
        &self.lanes[..self.count]
    }
}

/// A generic address is global, shared or local by its window.
fn resolve(space: Space, address: u64) -> (Space, u64) {
    match (space, address >> 32) {
        (Space::Generic, window) if window == SHARED_WINDOW >> 32 => (Space::Shared, address - SHARED_WINDOW),
        (Space::Generic, window) if window == LOCAL_WINDOW >> 32 => (Space::Local, address - LOCAL_WINDOW),
        (Space::Generic | Space::Constant, _) => (Space::Global, address),
        (space, _) => (space, address),
    }
}

pub(crate) fn aligned(address: u64, bytes: usize) -> Result<(), Fault> {
    if address.is_multiple_of(bytes as u64) {
        return Ok(());
    }
    Err(Fault::new(
        Kind::Misaligned,
        format!("an access of {bytes} bytes at {address:#x}"),
    ))
}

impl Warp {
    pub(crate) fn count(&self, block: &mut Block<'_>, address: &Address, bytes: usize, lanes: u32, load: bool) {
        let addresses = Addresses::of(self.get(address.base), address.offset, lanes);
        let Some(&first) = addresses.all().first() else { return };
        match resolve(address.space, first).0 {
            Space::Global => block.stats.global(addresses.all(), bytes, load),
            Space::Shared => block.stats.shared(addresses.all(), addresses.lanes(), bytes),
            _ => {}
        }
    }

    pub(crate) fn load(&mut self, block: &mut Block<'_>, transfer: &Transfer, lanes: u32) -> Result<(), Fault> {
        let (count, bytes) = (transfer.count as usize, transfer.bytes as usize);
        self.count(block, &transfer.address, count * bytes, lanes, true);
        let base = *self.get(transfer.address.base);
        for lane in self.order.map(usize::from) {
            if lanes >> lane & 1 == 0 {
                continue;
            }
            let address = base[lane].wrapping_add_signed(transfer.address.offset);
            let mut data = [0; 32];
            let data = &mut data[..count * bytes];
            self.read(block, transfer.address.space, address, data, lane, transfer.strength)
                .map_err(|fault| fault.at(lane))?;
            for (slot, part) in transfer.slots.iter().zip(data.chunks_exact(bytes)) {
                let Some(slot) = slot else { continue };
                let value = value_of(part);
                let value = transfer
                    .extend_to
                    .map_or(value, |width| low(signed(value, bytes as u32 * 8) as u64, width));
                self.registers[*slot as usize][lane] = value;
            }
        }
        Ok(())
    }

    pub(crate) fn read(
        &self,
        block: &mut Block<'_>,
        space: Space,
        address: u64,
        data: &mut [u8],
        lane: usize,
        strength: Strength,
    ) -> Result<(), Fault> {
        let bytes = data.len();
        aligned(address, bytes)?;
        let (space, address) = resolve(space, address);
        let checks = block.checks;
        match space {
            Space::Shared => {
                let at = block.shared.place(address, bytes, true, checks.unwritten)?;
                if checks.races {
                    let mut cells = std::mem::take(&mut block.shared.cells);
                    let result = block
                        .accessor(self.index, lane, strength == Strength::Strong)
                        .reads(&mut cells, at, bytes);
                    block.shared.cells = cells;
                    result?;
                }
                data.copy_from_slice(&block.shared.bytes[at..at + bytes]);
            }
            Space::Local => {
                let at = self.local_place(lane, address, bytes)?;
                if checks.unwritten && !all_written(&self.local_written[at..at + bytes]) {
                    return Err(unwritten(address, bytes, "local"));
                }
                data.copy_from_slice(&self.local[at..at + bytes]);
            }
            Space::Param => {
                let at = address as usize;
                let found = block.parameters.get(at..at.saturating_add(bytes));
                data.copy_from_slice(found.ok_or_else(|| {
                    Fault::new(Kind::OutOfBounds, format!("{bytes} bytes at {at} of the parameters"))
                })?);
            }
            _ => {
                let accessor = crate::shadow::Accessor {
                    clocks: &block.clocks,
                    learned: &block.learned[self.index],
                    prefix: crate::shadow::prefix(block.launch_number, block.number),
                    warp: self.index as u32,
                    lane: lane as u32,
                    strong: strength == Strength::Strong,
                    keeps_all: block.kernel.keeps_all,
                };
                let (page, at) = block.memory.page(address, bytes, false)?;
                if checks.unwritten && !all_written(&page.written[at..at + bytes]) {
                    return Err(unwritten(address, bytes, "global"));
                }
                if checks.races {
                    accessor.reads(&mut page.cells, at, bytes)?;
                    if strength == Strength::ReadOnly && accessor.written_by_launch(&page.cells, at, bytes) {
                        let detail = format!(
                            "{bytes} bytes at {address:#x} are read through ld.global.nc, and this launch wrote them"
                        );
                        return Err(Fault::new(Kind::Race, detail));
                    }
                }
                data.copy_from_slice(&page.bytes[at..at + bytes]);
            }
        }
        Ok(())
    }

    pub(crate) fn store(&mut self, block: &mut Block<'_>, transfer: &Transfer, lanes: u32) -> Result<(), Fault> {
        let (count, bytes) = (transfer.count as usize, transfer.bytes as usize);
        self.count(block, &transfer.address, count * bytes, lanes, false);
        let base = *self.get(transfer.address.base);
        for lane in self.order.map(usize::from) {
            if lanes >> lane & 1 == 0 {
                continue;
            }
            let address = base[lane].wrapping_add_signed(transfer.address.offset);
            let mut data = [0; 32];
            let data = &mut data[..count * bytes];
            for (slot, part) in transfer.slots.iter().flatten().zip(data.chunks_exact_mut(bytes)) {
                store_value(part, self.registers[*slot as usize][lane]);
            }
            self.write(
                block,
                transfer.address.space,
                address,
                data,
                lane,
                transfer.strength == Strength::Strong,
            )
            .map_err(|fault| fault.at(lane))?;
        }
        Ok(())
    }

    pub(crate) fn write(
        &mut self,
        block: &mut Block<'_>,
        space: Space,
        address: u64,
        data: &[u8],
        lane: usize,
        strong: bool,
    ) -> Result<(), Fault> {
        let bytes = data.len();
        aligned(address, bytes)?;
        let (space, address) = resolve(space, address);
        match space {
            Space::Shared => {
                let at = block.shared.place(address, bytes, false, false)?;
                if block.checks.races {
                    let mut cells = std::mem::take(&mut block.shared.cells);
                    let result = block.accessor(self.index, lane, strong).writes(&mut cells, at, bytes);
                    block.shared.cells = cells;
                    result?;
                }
                block.shared.state[at..at + bytes]
                    .iter_mut()
                    .for_each(|state| *state |= WRITTEN);
                block.shared.bytes[at..at + bytes].copy_from_slice(data);
            }
            Space::Local => {
                let at = self.local_place(lane, address, bytes)?;
                self.local[at..at + bytes].copy_from_slice(data);
                self.local_written[at..at + bytes].fill(1);
            }
            _ => {
                let accessor = crate::shadow::Accessor {
                    clocks: &block.clocks,
                    learned: &block.learned[self.index],
                    prefix: crate::shadow::prefix(block.launch_number, block.number),
                    warp: self.index as u32,
                    lane: lane as u32,
                    strong,
                    keeps_all: block.kernel.keeps_all,
                };
                let (page, at) = block.memory.page(address, bytes, true)?;
                if block.checks.races {
                    accessor.writes(&mut page.cells, at, bytes)?;
                }
                page.bytes[at..at + bytes].copy_from_slice(data);
                page.written[at..at + bytes].fill(1);
            }
        }
        Ok(())
    }

    fn local_place(&self, lane: usize, address: u64, bytes: usize) -> Result<usize, Fault> {
        let size = self.local.len() / 32;
        if address as usize >= size || size - (address as usize) < bytes {
            let detail = format!("{bytes} bytes at {address:#x} of local memory, which has {size} bytes");
            return Err(Fault::new(Kind::OutOfBounds, detail));
        }
        Ok(lane * size + address as usize)
    }

    pub(crate) fn atomic(&mut self, block: &mut Block<'_>, atomic: &Atomic, lanes: u32) -> Result<(), Fault> {
        let bytes = atomic.bytes as usize;
        self.count(block, &atomic.address, bytes, lanes, false);
        let base = *self.get(atomic.address.base);
        for lane in self.order.map(usize::from) {
            if lanes >> lane & 1 == 0 {
                continue;
            }
            let address = base[lane].wrapping_add_signed(atomic.address.offset);
            if resolve(atomic.address.space, address).0 == Space::Global {
                block.synchronise(self.index, address);
            }
            let mut data = [0; 8];
            let data = &mut data[..bytes];
            let done = self
                .read(block, atomic.address.space, address, data, lane, Strength::Strong)
                .and_then(|()| {
                    let old = value_of(data);
                    let (b, c) = (self.get(atomic.b)[lane], self.get(atomic.c)[lane]);
                    store_value(
                        data,
                        (atomic.apply)(old, low(b, bytes as u32 * 8), low(c, bytes as u32 * 8)),
                    );
                    self.write(block, atomic.address.space, address, data, lane, true)?;
                    if let Some(slot) = atomic.old {
                        self.registers[slot as usize][lane] = old;
                    }
                    Ok(())
                });
            done.map_err(|fault| fault.at(lane))?;
        }
        Ok(())
    }

    /// Eight rows of 16 bytes for each matrix, given by the lanes 8 i to 8 i + 7; each lane gets two of its elements.
    pub(crate) fn load_matrix(
        &mut self,
        block: &mut Block<'_>,
        address: &Address,
        d: &[Slot],
        transposed: bool,
        lanes: u32,
    ) -> Result<(), Fault> {
        self.whole(lanes)?;
        let base = *self.get(address.base);
        self.count(block, address, 16, low(u64::MAX, d.len() as u32 * 8) as u32, true);
        for (matrix, &slot) in d.iter().enumerate() {
            let mut rows = [[0u8; 16]; 8];
            for (row, data) in rows.iter_mut().enumerate() {
                let lane = matrix * 8 + row;
                let at = base[lane].wrapping_add_signed(address.offset);
                self.read(block, address.space, at, data, lane, Strength::Weak)
                    .map_err(|fault| fault.at(lane))?;
            }
            let element = |row: usize, column: usize| value_of(&rows[row][2 * column..2 * column + 2]);
            let values = std::array::from_fn(|lane| {
                let (outer, inner) = (lane / 4, lane % 4 * 2);
                if transposed {
                    element(inner, outer) | element(inner + 1, outer) << 16
                } else {
                    element(outer, inner) | element(outer, inner + 1) << 16
                }
            });
            self.put(slot, lanes, &values);
        }
        Ok(())
    }

    /// An instruction that the whole warp executes together.
    pub(crate) fn whole(&self, lanes: u32) -> Result<(), Fault> {
        if lanes == u32::MAX {
            return Ok(());
        }
        let detail = format!("an instruction of the whole warp is executed by lanes {lanes:#010x} alone");
        Err(Fault::new(Kind::InactiveLane, detail))
    }
}

fn unwritten(address: u64, bytes: usize, space: &str) -> Fault {
    Fault::new(
        Kind::Unwritten,
        format!("a read of {bytes} bytes of {space} memory at {address:#x}, which nobody wrote"),
    )
}
