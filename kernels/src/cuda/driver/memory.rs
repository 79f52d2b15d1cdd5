//! Memory of the card, and memory of the host that the card copies from by itself.

use cudarc::driver::{result, sys};

use super::error::failed;
use super::{CudaError, Event, Gpu, Stream};
use crate::cuda::Slice;

/// Bytes in device memory, freed with it. Begins on 256 bytes.
#[derive(Debug)]
pub struct Buffer {
    gpu: Gpu,
    address: sys::CUdeviceptr,
    bytes: usize,
}

impl Buffer {
    /// `bytes` bytes of no particular value.
    ///
    /// # Errors
    /// When the card has not as many.
    pub fn new(gpu: &Gpu, bytes: usize) -> Result<Self, CudaError> {
        gpu.bind()?;
        // SAFETY: what is in it is written before it is read by whoever uses it; a number has no invalid value.
        let address = unsafe { result::malloc_sync(bytes.max(1)) }.map_err(|error| match error.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => CudaError::Memory { bytes },
            _ => failed("cuMemAlloc")(error),
        })?;
        Ok(Self {
            gpu: gpu.clone(),
            address,
            bytes,
        })
    }

    /// Its bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Has `stream`, of either card, copy all of it to `to`, which lies on another card.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// When it does not fit.
    pub fn copy_across(&self, stream: &Stream, to: &Self) -> Result<(), CudaError> {
        assert!(self.bytes <= to.bytes, "{} bytes to {}", self.bytes, to.bytes);
        stream.gpu().bind()?;
        let (there, here) = (to.gpu.0.context, self.gpu.0.context);
        // SAFETY: both buffers hold as many bytes and lie in these contexts; the caller keeps them until this has run.
        unsafe { result::memcpy_peer_async(there, to.address, here, self.address, self.bytes, stream.raw()) }
            .map_err(failed("cuMemcpyPeerAsync"))
    }

    /// `len` elements from byte `offset` on.
    ///
    /// # Panics
    /// When they are not within it, or not aligned.
    pub fn slice<T>(&self, offset: usize, len: usize) -> Slice<T> {
        let end = len
            .checked_mul(size_of::<T>())
            .and_then(|bytes| bytes.checked_add(offset));
        assert!(
            end.is_some_and(|end| end <= self.bytes) && offset.is_multiple_of(align_of::<T>()),
            "{len} elements from byte {offset} of {}",
            self.bytes
        );
        Slice::new(self.address + offset as u64, len)
    }

    /// Copies to it from byte `offset` on; returns when that is done.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// When they do not fit.
    pub fn write(&mut self, offset: usize, values: &[u8]) -> Result<(), CudaError> {
        assert!(
            offset + values.len() <= self.bytes,
            "{} bytes to {offset} of {}",
            values.len(),
            self.bytes
        );
        self.gpu.bind()?;
        // SAFETY: the bytes lie within the buffer.
        unsafe { result::memcpy_htod_sync(self.address + offset as u64, values) }.map_err(failed("cuMemcpyHtoD"))?;
        // cuMemcpyHtoD returns once the driver has taken pageable memory into a buffer of its own; our streams do not wait for the
        // default one, on which the rest is still to be copied.
        // SAFETY: null is the default stream.
        unsafe { result::stream::synchronize(std::ptr::null_mut()) }.map_err(failed("cuStreamSynchronize"))
    }

    /// Copies from it from byte `offset` on; returns when that is done.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// When there are not as many bytes.
    pub fn read(&self, offset: usize, values: &mut [u8]) -> Result<(), CudaError> {
        assert!(
            offset + values.len() <= self.bytes,
            "{} bytes from {offset} of {}",
            values.len(),
            self.bytes
        );
        self.gpu.bind()?;
        // SAFETY: the bytes lie within the buffer.
        unsafe { result::memcpy_dtoh_sync(values, self.address + offset as u64) }.map_err(failed("cuMemcpyDtoH"))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // A card that has failed is of no use here, and frees by itself.
        if self.gpu.bind().is_ok() {
            // SAFETY: the address is ours; cuMemFree waits for the work that uses it.
            let _ = unsafe { result::free_sync(self.address) };
        }
    }
}

/// Host memory that the card copies from and to by itself, while the host goes on.
#[derive(Debug)]
pub struct Pinned {
    gpu: Gpu,
    data: *mut u8,
    len: usize,
    copied: Event,
    under_way: bool,
}

// SAFETY: the memory is this value's alone; the driver takes calls from any thread.
unsafe impl Send for Pinned {}

impl Pinned {
    /// `len` bytes of 0.
    ///
    /// # Errors
    /// Of the driver.
    pub fn new(gpu: &Gpu, len: usize) -> Result<Self, CudaError> {
        gpu.bind()?;
        // SAFETY: no flags; the memory is written below before anybody reads it.
        let data = unsafe { result::malloc_host(len.max(1), 0) }.map_err(failed("cuMemHostAlloc"))?;
        let data = data.cast::<u8>();
        // SAFETY: `len` bytes were just allocated there.
        unsafe { data.write_bytes(0, len) };
        let copied = Event::new(gpu)?;
        Ok(Self {
            gpu: gpu.clone(),
            data,
            len,
            copied,
            under_way: false,
        })
    }

    /// Its bytes: waits until the last copy is done with them.
    ///
    /// # Errors
    /// Of the driver.
    pub fn bytes_mut(&mut self) -> Result<&mut [u8], CudaError> {
        if self.under_way {
            self.copied.synchronize()?;
            self.under_way = false;
        }
        // SAFETY: `len` bytes, this value's alone, and no copy uses them any more.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.data, self.len) })
    }

    /// Reached when the last copy is done with it.
    pub fn copied(&self) -> &Event {
        &self.copied
    }

    /// Has `stream` copy the first `bytes` bytes to `to`.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// When they do not fit.
    pub fn upload(&mut self, stream: &Stream, to: Slice<u8>, bytes: usize) -> Result<(), CudaError> {
        self.upload_times(stream, to, bytes, 1)
    }

    /// The same `times` times over, with nothing between.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// When they do not fit.
    pub fn upload_times(&mut self, stream: &Stream, to: Slice<u8>, bytes: usize, times: u32) -> Result<(), CudaError> {
        self.copies(stream, to, bytes, |data| {
            // SAFETY: as above; until the event that is recorded next nobody writes the bytes or frees them.
            let values = unsafe { std::slice::from_raw_parts(data, bytes) };
            (0..times).try_for_each(|_| {
                // SAFETY: as above.
                unsafe { result::memcpy_htod_async(to.address(), values, stream.raw()) }
                    .map_err(failed("cuMemcpyHtoDAsync"))
            })
        })
    }

    /// Has `stream` copy the first `bytes` bytes of `from` into it, `times` times over, with nothing between.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// When they do not fit.
    pub fn download_times(
        &mut self,
        stream: &Stream,
        from: Slice<u8>,
        bytes: usize,
        times: u32,
    ) -> Result<(), CudaError> {
        self.copies(stream, from, bytes, |data| {
            (0..times).try_for_each(|_| {
                // SAFETY: as above; until the event that is recorded next nobody reads or writes the bytes or frees them.
                unsafe {
                    let values = std::slice::from_raw_parts_mut(data, bytes);
                    result::memcpy_dtoh_async(values, from.address(), stream.raw())
                }
                .map_err(failed("cuMemcpyDtoHAsync"))
            })
        })
    }

    /// Copies that are `asked` for, and the event behind them.
    fn copies(
        &mut self,
        stream: &Stream,
        card: Slice<u8>,
        bytes: usize,
        ask: impl FnOnce(*mut u8) -> Result<(), CudaError>,
    ) -> Result<(), CudaError> {
        assert!(
            bytes <= self.len && bytes <= card.len(),
            "{bytes} bytes of {} here and {} there",
            self.len,
            card.len()
        );
        self.gpu.bind()?;
        self.under_way = true;
        let asked = ask(self.data);
        self.copied.record(stream)?;
        asked
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // The card may still use it.
        let _ = self.bytes_mut().map(|_| ());
        if self.gpu.bind().is_ok() {
            // SAFETY: it was allocated by the driver, and no copy uses it any more.
            let _ = unsafe { result::free_host(self.data.cast()) };
        }
    }
}
