//! Shared memory of one block.

use crate::finding::{Fault, Kind};
use crate::module::Kernel;
use crate::shadow::Cells;

/// Somebody wrote the byte.
pub(crate) const WRITTEN: u8 = 1;
/// The byte belongs to a variable.
pub(crate) const VALID: u8 = 2;
/// An asynchronous copy will write the byte.
pub(crate) const IN_FLIGHT: u8 = 4;

/// Bytes, what is known of each, and who touched it.
pub(crate) struct Shared {
    pub bytes: Vec<u8>,
    pub state: Vec<u8>,
    pub cells: Cells,
    /// The state of a fresh block.
    fresh: Vec<u8>,
}

impl Shared {
    pub fn new(kernel: &Kernel, dynamic_bytes: usize) -> Self {
        let end = kernel
            .shared
            .iter()
            .map(|variable| variable.at + variable.bytes)
            .max()
            .unwrap_or(0);
        let bytes = end.max(kernel.dynamic_shared_at + dynamic_bytes);
        let mut fresh = vec![0; bytes];
        for variable in &kernel.shared {
            fresh[variable.at..variable.at + variable.bytes].fill(VALID);
        }
        fresh[kernel.dynamic_shared_at..][..dynamic_bytes].fill(VALID);
        Self {
            bytes: vec![0xff; bytes],
            state: fresh.clone(),
            cells: Cells::new(bytes),
            fresh,
        }
    }

    /// What the last block left is unwritten for the next, and nobody of it can race with the next.
    pub fn renew(&mut self) {
        self.state.copy_from_slice(&self.fresh);
        self.cells = Cells::new(self.fresh.len());
    }

    /// The place of an access, if it lies in one variable and, for a read, was written.
    #[inline]
    pub fn place(&self, address: u64, bytes: usize, read: bool, unwritten: bool) -> Result<usize, Fault> {
        let at = address as usize;
        let Some(state) = self.state.get(at..at.saturating_add(bytes)) else {
            return Err(self.outside(address, bytes));
        };
        let wanted = if read && unwritten { VALID | WRITTEN } else { VALID };
        if state.iter().any(|&byte| byte & (wanted | IN_FLIGHT) != wanted) {
            // The common state of a written byte has no other flag; what else there is gets a name.
            if state.iter().any(|&byte| byte & VALID == 0) {
                return Err(self.outside(address, bytes));
            }
            if state.iter().any(|&byte| byte & IN_FLIGHT != 0) {
                let detail =
                    format!("{bytes} bytes of shared memory at {address:#x}, which an asynchronous copy still writes");
                return Err(Fault::new(Kind::CopyInFlight, detail));
            }
            if read && unwritten && state.iter().any(|&byte| byte & WRITTEN == 0) {
                let detail = format!("a read of {bytes} bytes of shared memory at {address:#x}, which nobody wrote");
                return Err(Fault::new(Kind::Unwritten, detail));
            }
        }
        Ok(at)
    }

    #[cold]
    fn outside(&self, address: u64, bytes: usize) -> Fault {
        let detail = format!("{bytes} bytes at {address:#x} of shared memory, past the end of its variables");
        Fault::new(Kind::OutOfBounds, detail)
    }
}
