//! `cp.async`: copies that are done no earlier than their thread has waited for them.
//!
//! A copy is carried out when it is waited for, as late as the manual allows. From its issue on its target is in flight,
//! and whoever touches it is reported. After the wait the issuing thread alone may read it: for the others a barrier has
//! to follow, since the bytes count as written by that thread at that moment.

use crate::access::aligned;
use crate::block::Block;
use crate::finding::{Fault, Kind};
use crate::op::{AsyncCopy, Space, Strength};
use crate::shared::{IN_FLIGHT, WRITTEN};
use crate::warp::Warp;

/// A copy under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copy {
    lane: usize,
    group: u64,
    to: usize,
    from: u64,
    bytes: usize,
    read: usize,
    /// What lay at its source when it was issued: it may not change before the wait.
    seen: [u8; 16],
}

impl Warp {
    pub(crate) fn issue(&mut self, block: &mut Block<'_>, copy: &AsyncCopy, lanes: u32) -> Result<(), Fault> {
        let bytes = copy.bytes as usize;
        let ignored = copy.ignore.map_or(0, |condition| self.holds(condition));
        let (to, from) = (*self.get(copy.to.base), *self.get(copy.from.base));
        let read = copy.read.map(|slot| *self.get(slot));
        let reading = (0..32).filter(|&lane| read.is_none_or(|read| read[lane] > 0) && ignored >> lane & 1 == 0);
        let reading = reading.fold(0, |mask, lane| mask | 1 << lane) & lanes;
        self.count(block, &copy.from, bytes, reading, true);
        self.count(block, &copy.to, bytes, lanes, false);
        for lane in self
            .order
            .map(usize::from)
            .into_iter()
            .filter(|&lane| lanes >> lane & 1 == 1)
        {
            let target = to[lane].wrapping_add_signed(copy.to.offset);
            let from = from[lane].wrapping_add_signed(copy.from.offset);
            let read = if reading >> lane & 1 == 0 {
                0
            } else {
                read.map_or(bytes, |read| read[lane] as usize)
            };
            let issued = self.begin_copy(block, lane, target, from, bytes, read);
            issued.map_err(|fault| fault.at(lane))?;
        }
        Ok(())
    }

    fn begin_copy(
        &mut self,
        block: &mut Block<'_>,
        lane: usize,
        target: u64,
        from: u64,
        bytes: usize,
        read: usize,
    ) -> Result<(), Fault> {
        if read > bytes {
            return Err(Fault::new(
                Kind::OutOfBounds,
                format!("a copy of {bytes} bytes that reads {read}"),
            ));
        }
        aligned(target, bytes)?;
        if read > 0 {
            aligned(from, bytes)?;
        }
        let seen = self.source(block, lane, from, bytes, read)?;
        let to = block.shared.place(target, bytes, false, false)?;
        if block.checks.races {
            let mut cells = std::mem::take(&mut block.shared.cells);
            let result = block.accessor(self.index, lane, false).writes(&mut cells, to, bytes);
            block.shared.cells = cells;
            result?;
        }
        block.shared.state[to..to + bytes]
            .iter_mut()
            .for_each(|state| *state |= IN_FLIGHT);
        self.copies.push(Copy {
            lane,
            group: self.groups[lane],
            to,
            from,
            bytes,
            read,
            seen,
        });
        Ok(())
    }

    pub(crate) fn commit(&mut self, lanes: u32) {
        for (lane, group) in self.groups.iter_mut().enumerate() {
            *group += (lanes >> lane & 1) as u64;
        }
    }

    /// Ends the copies of all groups but the last `groups`; without a number also those that no commit has closed.
    pub(crate) fn wait(&mut self, block: &mut Block<'_>, groups: Option<u64>, lanes: u32) -> Result<(), Fault> {
        let copies = std::mem::take(&mut self.copies);
        for copy in copies {
            let open = self.groups[copy.lane];
            let ends = groups.is_none_or(|groups| copy.group + groups < open);
            if lanes >> copy.lane & 1 == 0 || !ends {
                self.copies.push(copy);
                continue;
            }
            self.end_copy(block, copy).map_err(|fault| fault.at(copy.lane))?;
        }
        Ok(())
    }

    /// The bytes that a copy reads; the rest is zero.
    fn source(
        &self,
        block: &mut Block<'_>,
        lane: usize,
        from: u64,
        bytes: usize,
        read: usize,
    ) -> Result<[u8; 16], Fault> {
        let mut data = [0u8; 16];
        // A read may have any size up to that of the copy: byte by byte it is always aligned.
        let at_once = if read == bytes { bytes } else { 1 };
        for (part, values) in data[..read].chunks_mut(at_once).enumerate() {
            let from = from + (part * at_once) as u64;
            self.read(block, Space::Global, from, values, lane, Strength::Weak)?;
        }
        Ok(data)
    }

    fn end_copy(&mut self, block: &mut Block<'_>, copy: Copy) -> Result<(), Fault> {
        let data = self.source(block, copy.lane, copy.from, copy.bytes, copy.read)?;
        if data != copy.seen {
            let detail = format!(
                "{} bytes at {:#x} changed while an asynchronous copy read them",
                copy.read, copy.from
            );
            return Err(Fault::new(Kind::CopyInFlight, detail));
        }
        let (from, to) = (copy.to, copy.to + copy.bytes);
        block.shared.bytes[from..to].copy_from_slice(&data[..copy.bytes]);
        block.shared.state[from..to]
            .iter_mut()
            .for_each(|state| *state = *state & !IN_FLIGHT | WRITTEN);
        if block.checks.races {
            let mut cells = std::mem::take(&mut block.shared.cells);
            let result = block
                .accessor(self.index, copy.lane, false)
                .writes(&mut cells, from, copy.bytes);
            block.shared.cells = cells;
            result?;
        }
        Ok(())
    }
}
