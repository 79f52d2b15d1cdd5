//! The system's allocator with a count of the bytes that are allocated, so that a sum of buffers can be set beside what a
//! program really takes. The program `tilelab` runs on it; in a process that does not, there is no count.
#![allow(unsafe_code)] // An allocator is unsafe to implement.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Passes every call on to the system's allocator and keeps count.
pub struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

/// Bytes that this process has allocated and not freed, as they were asked for; `None` if it does not run on [`Counting`].
pub fn allocated_bytes() -> Option<u64> {
    let live = LIVE.load(Ordering::Relaxed);
    // A process that counts has allocated something before main.
    (live > 0).then_some(live as u64)
}

// SAFETY: every call goes on to the system's allocator as it came; counting neither allocates nor panics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are the system allocator's.
        let data = unsafe { System.alloc(layout) };
        if !data.is_null() {
            LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        }
        data
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above. Passed on as it came, so that the system may give pages that are 0 already.
        let data = unsafe { System.alloc_zeroed(layout) };
        if !data.is_null() {
            LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        }
        data
    }

    unsafe fn realloc(&self, data: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        let moved = unsafe { System.realloc(data, layout, size) };
        if !moved.is_null() {
            LIVE.fetch_add(size, Ordering::Relaxed);
            LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        }
        moved
    }

    unsafe fn dealloc(&self, data: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(data, layout) }
    }
}
