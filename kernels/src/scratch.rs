//! Memory that calls reuse: aligned to a page, grown when a call needs more, never shrunk. A warm call allocates nothing.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};

/// Alignment of a buffer: a page, so that panels start on a cache line and never share a page with the heap.
const PAGE: usize = 4096;

/// A huge page. Larger buffers start on one, and where the system grants it a block of packed panels takes one entry of the TLB, not hundreds.
const HUGE_PAGE: usize = 2 << 20;

/// Bytes from which a buffer is rounded up to huge pages.
const HUGE_FROM: usize = 128 << 10;

/// Uninitialised bytes at a page boundary.
#[derive(Debug)]
pub(crate) struct Buffer {
    data: *mut u8,
    layout: Layout,
}

// SAFETY: a Buffer owns its memory; it is used under the context's lock.
unsafe impl Send for Buffer {}

impl Default for Buffer {
    fn default() -> Self {
        Self {
            data: std::ptr::null_mut(),
            layout: Layout::new::<()>(),
        }
    }
}

impl Buffer {
    /// Room for `len` elements, contents undefined. Pointers from earlier calls die when it grows.
    pub(crate) fn room<T>(&mut self, len: usize) -> *mut T {
        let bytes = len * size_of::<T>();
        if bytes > self.layout.size() || self.data.is_null() {
            self.grow(bytes.max(PAGE));
        }
        self.data.cast()
    }

    /// Its first byte; null before there was any room.
    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.data
    }

    fn grow(&mut self, bytes: usize) {
        self.free();
        let align = if bytes < HUGE_FROM { PAGE } else { HUGE_PAGE };
        let Ok(layout) = Layout::from_size_align(bytes.next_multiple_of(align), align) else {
            panic!("scratch of {bytes} bytes is more than an address space holds")
        };
        // SAFETY: the layout's size is not zero.
        let data = unsafe { alloc(layout) };
        if data.is_null() {
            handle_alloc_error(layout);
        }
        #[cfg(target_os = "linux")]
        if align == HUGE_PAGE {
            // SAFETY: whole pages of this buffer's own. Where it is refused, pages stay small.
            unsafe { libc::madvise(data.cast(), layout.size(), libc::MADV_HUGEPAGE) };
        }
        (self.data, self.layout) = (data, layout);
    }

    fn free(&mut self) {
        if !self.data.is_null() {
            // SAFETY: allocated in `grow` with this very layout.
            unsafe { dealloc(self.data, self.layout) };
            (self.data, self.layout) = (std::ptr::null_mut(), Layout::new::<()>());
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.free();
    }
}

/// The buffers of a context.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Packed panels of A, one block a thread.
    pub(crate) a: Buffer,
    /// Packed panels of B, shared.
    pub(crate) b: Buffer,
    /// Partial results: tiles on their way to C, partial column sums.
    pub(crate) partial: Buffer,
    /// What a call multiplies and gets, where a product is a part of it.
    pub(crate) terms: Buffer,
}
