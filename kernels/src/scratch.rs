//! Memory that calls reuse: aligned to a page, grown when a call needs more, never shrunk. A warm call allocates nothing.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};

/// Alignment of every buffer: a page, so that panels start on a cache line and never share a page with the heap.
const ALIGN: usize = 4096;

/// Uninitialised bytes at a page boundary.
#[derive(Debug)]
pub(crate) struct Buffer {
    data: *mut u8,
    bytes: usize,
}

// SAFETY: a Buffer owns its memory; it is used under the context's lock.
unsafe impl Send for Buffer {}

impl Default for Buffer {
    fn default() -> Self {
        Self {
            data: std::ptr::null_mut(),
            bytes: 0,
        }
    }
}

impl Buffer {
    /// Room for `len` elements, contents undefined. Pointers from earlier calls die when it grows.
    pub(crate) fn room<T>(&mut self, len: usize) -> *mut T {
        let bytes = len * size_of::<T>();
        if bytes > self.bytes || self.data.is_null() {
            self.grow(bytes.max(ALIGN));
        }
        self.data.cast()
    }

    /// Its first byte; null before there was any room.
    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.data
    }

    fn grow(&mut self, bytes: usize) {
        self.free();
        let bytes = bytes.next_multiple_of(ALIGN);
        let Ok(layout) = Layout::from_size_align(bytes, ALIGN) else {
            panic!("scratch of {bytes} bytes is more than an address space holds")
        };
        // SAFETY: the layout's size is not zero.
        let data = unsafe { alloc(layout) };
        if data.is_null() {
            handle_alloc_error(layout);
        }
        (self.data, self.bytes) = (data, bytes);
    }

    fn free(&mut self) {
        if !self.data.is_null() {
            // SAFETY: allocated in `grow` with this very size and alignment.
            unsafe { dealloc(self.data, Layout::from_size_align_unchecked(self.bytes, ALIGN)) };
            (self.data, self.bytes) = (std::ptr::null_mut(), 0);
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
