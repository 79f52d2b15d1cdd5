//! Values of the host on a card, and back.

use tilelab_kernels::cuda::{Buffer, Call, CallError, CudaError, Gpu, Slice, Stream};

/// A stream of a card, and the buffers of the case under way.
pub struct Workspace {
    stream: Stream,
    buffers: Vec<Buffer>,
}

impl Workspace {
    /// On this card, without buffers.
    ///
    /// # Errors
    /// Of the driver.
    pub fn new(gpu: &Gpu) -> Result<Self, CudaError> {
        Ok(Self {
            stream: Stream::new(gpu)?,
            buffers: Vec::new(),
        })
    }

    /// What launches go through.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The values in a buffer of their own.
    ///
    /// # Errors
    /// When the card has no room, or of the driver.
    pub fn put<const N: usize, T: Copy>(
        &mut self,
        values: &[T],
        bytes: impl Fn(T) -> [u8; N],
    ) -> Result<Slice<T>, CudaError> {
        let mut buffer = Buffer::new(self.stream.gpu(), values.len() * N)?;
        let all: Vec<u8> = values.iter().flat_map(|&x| bytes(x)).collect();
        buffer.write(0, &all)?;
        let slice = buffer.slice(0, values.len());
        self.buffers.push(buffer);
        Ok(slice)
    }

    /// [`Workspace::put`] of floats.
    ///
    /// # Errors
    /// As there.
    pub fn floats(&mut self, values: &[f32]) -> Result<Slice<f32>, CudaError> {
        self.put(values, f32::to_le_bytes)
    }

    /// NaN, so that what nobody writes is seen.
    ///
    /// # Errors
    /// As [`Workspace::put`].
    pub fn room(&mut self, len: usize) -> Result<Slice<f32>, CudaError> {
        self.floats(&vec![f32::NAN; len])
    }

    /// Launches.
    ///
    /// # Errors
    /// Of the call, or the driver.
    pub fn run(&self, call: Result<Call, CallError>) -> Result<(), CudaError> {
        self.stream.launch(&call?)
    }

    /// Waits, and reads a slice that is a whole buffer.
    ///
    /// # Errors
    /// What went wrong on the card since the last wait.
    pub fn get(&self, slice: Slice<f32>) -> Result<Vec<f32>, CudaError> {
        self.stream.synchronize()?;
        let mut bytes = vec![0; slice.len() * 4];
        let whole = |buffer: &&Buffer| buffer.slice::<u8>(0, 0).address() == slice.address();
        if let Some(buffer) = self.buffers.iter().find(whole) {
            buffer.read(0, &mut bytes)?;
        }
        let value = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        Ok(bytes.chunks_exact(4).map(value).collect())
    }

    /// Frees the buffers of a case that is done.
    ///
    /// # Errors
    /// What went wrong on the card since the last wait.
    pub fn clear(&mut self) -> Result<(), CudaError> {
        self.stream.synchronize()?;
        self.buffers.clear();
        Ok(())
    }
}
