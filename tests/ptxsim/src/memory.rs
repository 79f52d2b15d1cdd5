//! Global memory: allocations, each in an address window of its own, in pages that exist once they are touched.
//!
//! Windows lie 2^40 bytes apart, so that no wrong index of 32 bits leads from one allocation into another, and an
//! address names its allocation without a search. What was freed is never given out again.

use crate::finding::{Fault, Kind};
use crate::shadow::Cells;

const WINDOW_BITS: u32 = 40;
/// Allocations begin at a multiple of 256 bytes, as those of a driver do, and at no greater power of two.
const START: u64 = 256;
const PAGE: usize = 4096;

/// Where shared memory lies among generic addresses.
pub(crate) const SHARED_WINDOW: u64 = 1 << 32;
/// Where local memory lies among generic addresses.
pub(crate) const LOCAL_WINDOW: u64 = 2 << 32;

/// Bytes, whether each was written, and who touched it.
pub(crate) struct Page {
    pub bytes: Box<[u8]>,
    pub written: Box<[u8]>,
    pub cells: Cells,
}

impl Page {
    fn new() -> Self {
        let zeros = || vec![0u8; PAGE].into_boxed_slice();
        Self {
            bytes: zeros(),
            written: zeros(),
            cells: Cells::default(),
        }
    }
}

struct Allocation {
    bytes: u64,
    constant: bool,
    freed: bool,
    pages: Vec<Option<Page>>,
}

/// All allocations.
#[derive(Default)]
pub(crate) struct Memory {
    allocations: Vec<Allocation>,
}

impl Memory {
    pub fn allocate(&mut self, bytes: u64, constant: bool) -> u64 {
        let pages = bytes.div_ceil(PAGE as u64) as usize;
        let mut table = Vec::new();
        table.resize_with(pages, || None);
        self.allocations.push(Allocation {
            bytes,
            constant,
            freed: false,
            pages: table,
        });
        (self.allocations.len() as u64) << WINDOW_BITS | START
    }

    pub fn free(&mut self, address: u64) -> Result<(), Fault> {
        let (index, offset) = split(address);
        match self.allocations.get_mut(index) {
            Some(allocation) if offset == 0 && !allocation.freed => {
                allocation.freed = true;
                allocation.pages = Vec::new();
                Ok(())
            }
            _ => Err(Fault::new(
                Kind::OutOfBounds,
                format!("{address:#x} is no allocation that could be freed"),
            )),
        }
    }

    /// The allocation that holds the address: where it begins, its bytes.
    pub fn range(&self, address: u64) -> Option<(u64, u64)> {
        let (index, offset) = split(address);
        let allocation = self
            .allocations
            .get(index)
            .filter(|a| !a.freed && offset < a.bytes.max(1))?;
        Some((address - offset, allocation.bytes))
    }

    /// Forgets who touched what: launch numbers begin anew.
    pub fn forget(&mut self) {
        for page in self
            .allocations
            .iter_mut()
            .flat_map(|allocation| &mut allocation.pages)
            .flatten()
        {
            page.cells = Cells::default();
        }
    }

    /// The page of an access that is aligned to its size, and the place in it. Bounds are checked here.
    #[inline]
    pub fn page(&mut self, address: u64, bytes: usize, write: bool) -> Result<(&mut Page, usize), Fault> {
        let (index, offset) = split(address);
        let inside = |a: &&mut Allocation| !a.freed && offset < a.bytes && a.bytes - offset >= bytes as u64;
        if self.allocations.get_mut(index).filter(inside).is_none() {
            return Err(self.outside(address, bytes as u64));
        }
        let allocation = &mut self.allocations[index];
        if write && allocation.constant {
            return Err(Fault::new(
                Kind::ReadOnly,
                format!("{address:#x} lies in constant memory"),
            ));
        }
        let page = allocation.pages[offset as usize / PAGE].get_or_insert_with(Page::new);
        if page.cells.write.is_empty() {
            page.cells = Cells::new(PAGE);
        }
        Ok((page, offset as usize % PAGE))
    }

    #[cold]
    fn outside(&self, address: u64, bytes: u64) -> Fault {
        let (index, offset) = split(address);
        let detail = match self.allocations.get(index) {
            None => format!("{bytes} bytes at {address:#x}, where nothing was ever allocated"),
            Some(a) if a.freed => format!(
                "{bytes} bytes at {address:#x}, in an allocation of {} bytes that was freed",
                a.bytes
            ),
            Some(a) => {
                let number = index + 1;
                // An offset beyond half the window lies before the start.
                if offset > 1 << (WINDOW_BITS - 1) {
                    let before = offset.wrapping_neg() & ((1 << WINDOW_BITS) - 1);
                    format!(
                        "{bytes} bytes that begin {before} before allocation {number} of {} bytes",
                        a.bytes
                    )
                } else {
                    format!(
                        "{bytes} bytes at offset {offset} of allocation {number}, which has {} bytes",
                        a.bytes
                    )
                }
            }
        };
        Fault::new(Kind::OutOfBounds, detail)
    }

    /// Copies bytes of the host into memory.
    pub fn write(&mut self, address: u64, data: &[u8]) -> Result<(), Fault> {
        self.each_page(address, data.len(), |page, at, from, count| {
            let page = page.get_or_insert_with(Page::new);
            page.bytes[at..at + count].copy_from_slice(&data[from..from + count]);
            page.written[at..at + count].fill(1);
            Ok(())
        })
    }

    /// Copies memory out, whether or not it was written; whether all of it was.
    pub fn peek(&mut self, address: u64, data: &mut [u8]) -> Result<Option<usize>, Fault> {
        let mut unwritten = None;
        self.each_page(address, data.len(), |page, at, from, count| {
            let page = page.get_or_insert_with(Page::new);
            data[from..from + count].copy_from_slice(&page.bytes[at..at + count]);
            if let Some(gap) = page.written[at..at + count].iter().position(|&written| written == 0) {
                unwritten.get_or_insert(from + gap);
            }
            Ok(())
        })?;
        Ok(unwritten)
    }

    /// Makes memory unwritten again, full of a pattern that no result should hold.
    pub fn poison(&mut self, address: u64, bytes: usize) -> Result<(), Fault> {
        self.each_page(address, bytes, |page, at, _, count| {
            let page = page.get_or_insert_with(Page::new);
            page.bytes[at..at + count].fill(0xff);
            page.written[at..at + count].fill(0);
            Ok(())
        })
    }

    fn each_page(
        &mut self,
        address: u64,
        bytes: usize,
        mut f: impl FnMut(&mut Option<Page>, usize, usize, usize) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if bytes == 0 {
            return Ok(());
        }
        let (index, offset) = split(address);
        let inside = |a: &&mut Allocation| !a.freed && offset < a.bytes && a.bytes - offset >= bytes as u64;
        if self.allocations.get_mut(index).filter(inside).is_none() {
            return Err(self.outside(address, bytes as u64));
        }
        let allocation = &mut self.allocations[index];
        let mut done = 0;
        while done < bytes {
            let place = offset as usize + done;
            let count = (PAGE - place % PAGE).min(bytes - done);
            f(&mut allocation.pages[place / PAGE], place % PAGE, done, count)?;
            done += count;
        }
        Ok(())
    }
}

/// Number of the allocation, from 0, and offset in it.
#[inline(always)]
fn split(address: u64) -> (usize, u64) {
    let index = ((address >> WINDOW_BITS) as usize).wrapping_sub(1);
    (index, (address & ((1 << WINDOW_BITS) - 1)).wrapping_sub(START))
}

/// Whether the bytes were all written.
#[inline(always)]
pub(crate) fn all_written(written: &[u8]) -> bool {
    written.iter().all(|&byte| byte & 1 == 1)
}

/// A value of 1, 2, 4 or 8 bytes.
#[inline(always)]
pub(crate) fn value_of(bytes: &[u8]) -> u64 {
    match bytes.len() {
        4 => u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as u64,
        _ => bytes.iter().rev().fold(0, |value, &byte| value << 8 | byte as u64),
    }
}

/// Stores the low bytes of a value.
#[inline(always)]
pub(crate) fn store_value(bytes: &mut [u8], value: u64) {
    let count = bytes.len();
    bytes.copy_from_slice(&value.to_le_bytes()[..count]);
}
