//! Memory whose pages are known: 4 KiB ones, or 2 MiB ones as far as the kernel grants them, counted in smaps.
#![allow(unsafe_code)] // maps memory

use crate::measure::Fact;

/// Size of the pages that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pages {
    /// The base size, never merged.
    Small,
    /// 2 MiB, if the kernel has them.
    Huge,
}

/// Bytes of a huge page.
pub const HUGE: usize = 2 << 20;

/// Zeroed memory that begins at a multiple of 2 MiB. Its pages are taken when first written.
#[derive(Debug)]
pub struct Mapping {
    #[cfg(target_os = "linux")]
    base: *mut libc::c_void,
    #[cfg(target_os = "linux")]
    mapped: usize,
    #[cfg(not(target_os = "linux"))]
    words: Vec<u64>,
    first: *mut u64,
    bytes: usize,
}

// SAFETY: the memory is owned by the mapping and reached through its borrows only.
unsafe impl Send for Mapping {}

#[cfg(target_os = "linux")]
impl Mapping {
    /// Maps at least `bytes`.
    ///
    /// # Errors
    /// One line, if the system gives none.
    pub fn new(bytes: usize, pages: Pages) -> Result<Self, String> {
        let bytes = bytes.max(1).next_multiple_of(4096);
        let mapped = bytes.checked_add(HUGE).ok_or("too much memory was asked for")?;
        // SAFETY: an anonymous private mapping at an address that the kernel chooses touches no other memory.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                mapped,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(format!(
                "{bytes} bytes can't be mapped: {}",
                std::io::Error::last_os_error()
            ));
        }
        let skip = base.addr().next_multiple_of(HUGE) - base.addr();
        let first = base.wrapping_byte_add(skip).cast::<u64>();
        let advice = match pages {
            Pages::Small => libc::MADV_NOHUGEPAGE,
            Pages::Huge => libc::MADV_HUGEPAGE,
        };
        // A refusal (a kernel without huge pages) shows in smaps.
        // SAFETY: the range lies in the mapping: `skip` is below HUGE.
        unsafe { libc::madvise(first.cast(), bytes, advice) };
        Ok(Self {
            base,
            mapped,
            first,
            bytes,
        })
    }

    /// Bytes of this mapping on 2 MiB pages, as smaps counts them.
    pub fn huge_bytes(&self) -> Fact<u64> {
        let Ok(smaps) = std::fs::read_to_string("/proc/self/smaps") else {
            return Fact::unknown("/proc/self/smaps can't be read");
        };
        let (from, to) = (self.first.addr(), self.first.addr() + self.bytes);
        let (mut inside, mut sum, mut seen) = (false, 0, false);
        for line in smaps.lines() {
            // A mapping's line begins with its range; advice splits a mapping.
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let bounds =
                range.and_then(|(a, b)| Some((usize::from_str_radix(a, 16).ok()?, usize::from_str_radix(b, 16).ok()?)));
            if let Some((low, high)) = bounds {
                inside = low < to && high > from;
            } else if let Some(kib) = line.strip_prefix("AnonHugePages:").filter(|_| inside) {
                seen = true;
                sum += kib.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) << 10;
            }
        }
        Fact::of(
            seen.then_some(sum),
            "AnonHugePages in smaps",
            "smaps tells no AnonHugePages",
        )
    }
}

#[cfg(target_os = "linux")]
impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped in `new` with this length, and nobody borrows it any more.
        unsafe { libc::munmap(self.base, self.mapped) };
    }
}

#[cfg(not(target_os = "linux"))]
impl Mapping {
    /// Takes at least `bytes` from the allocator.
    ///
    /// # Errors
    /// None here.
    pub fn new(bytes: usize, _pages: Pages) -> Result<Self, String> {
        let bytes = bytes.max(1).next_multiple_of(4096);
        let mut words = vec![0u64; (bytes + 4096) / 8];
        let skip = words.as_ptr().align_offset(4096);
        let first = words[skip..].as_mut_ptr();
        Ok(Self { words, first, bytes })
    }

    /// Not told.
    pub fn huge_bytes(&self) -> Fact<u64> {
        let _ = self.words.len();
        Fact::unknown("pages are counted on Linux only")
    }
}

impl Mapping {
    /// All of it, in words.
    pub fn words(&mut self) -> &mut [u64] {
        // SAFETY: `first` and the `bytes` behind it lie in memory that this owns, zeroed, aligned beyond 8, and borrowed
        // for as long as the slice.
        unsafe { std::slice::from_raw_parts_mut(self.first, self.bytes / 8) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pages_stay_small_and_huge_ones_are_counted() {
        for pages in [Pages::Small, Pages::Huge] {
            let mut memory = Mapping::new(8 << 20, pages).unwrap();
            assert_eq!(
                (memory.words().as_ptr().addr() % 4096, memory.words().len()),
                (0, 1 << 20)
            );
            assert!(memory.words().iter().all(|word| *word == 0));
            memory.words().fill(7);
            let huge = memory.huge_bytes();
            if pages == Pages::Small && huge.value.is_some() {
                assert_eq!(huge.value, Some(0));
            }
            // How many are granted is the kernel's affair; never more than there are.
            assert!(huge.value.is_none_or(|bytes| bytes <= 8 << 20), "{huge:?}");
        }
        assert!(Mapping::new(usize::MAX - 5000, Pages::Small).is_err());
    }
}
