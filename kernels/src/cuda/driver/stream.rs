//! Streams, events between them, and graphs.

use std::ffi::c_void;

use cudarc::driver::{result, sys};

use super::error::failed;
use super::{CudaError, Gpu};
use crate::cuda::{Arg, Call, Slice};

/// Work in order. What is launched on two streams has no order but that of events.
#[derive(Debug)]
pub struct Stream {
    gpu: Gpu,
    stream: sys::CUstream,
}

// SAFETY: the driver takes calls on a stream from any thread that has made its context current, which every method does.
unsafe impl Send for Stream {}

impl Stream {
    /// A stream of its own; it does not wait for the default one.
    ///
    /// # Errors
    /// Of the driver.
    pub fn new(gpu: &Gpu) -> Result<Self, CudaError> {
        gpu.bind()?;
        let stream =
            result::stream::create(result::stream::StreamKind::NonBlocking).map_err(failed("cuStreamCreate"))?;
        Ok(Self {
            gpu: gpu.clone(),
            stream,
        })
    }

    /// The card.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    pub(super) fn raw(&self) -> sys::CUstream {
        self.stream
    }

    /// What other libraries of the driver know it by; its card's context is made this thread's, as they expect. It is theirs to launch on
    /// while the stream lives.
    ///
    /// # Errors
    /// Of the driver.
    pub fn handle(&self) -> Result<*mut c_void, CudaError> {
        self.gpu.bind()?;
        Ok(self.stream.cast())
    }

    /// Runs a call. Its slices must lie in buffers that live until it has run: a bad address is an error of the card, which a
    /// later call reports.
    ///
    /// # Errors
    /// A kernel beyond the card, or the driver's.
    pub fn launch(&self, call: &Call) -> Result<(), CudaError> {
        let function = self.gpu.function(call.kernel)?;
        self.gpu.bind()?;
        let mut values: Vec<u64> = call
            .args
            .iter()
            .map(|arg| match *arg {
                Arg::U32(x) => u64::from(x),
                Arg::U64(x) => x,
                Arg::F32(x) => u64::from(x.to_bits()),
            })
            .collect();
        let mut pointers: Vec<*mut c_void> = values.iter_mut().map(|value| (&raw mut *value).cast()).collect();
        // SAFETY: `Call::new` held the arguments against the kernel's parameters; the driver reads each through its pointer (the
        // low bytes of a little-endian u64) before this returns.
        let done = unsafe {
            result::launch_kernel(
                function,
                (call.blocks, 1, 1),
                (call.threads, 1, 1),
                0,
                self.stream,
                &mut pointers,
            )
        };
        done.map_err(failed(call.kernel))
    }

    /// Fills bytes with 0.
    ///
    /// # Errors
    /// Of the driver.
    pub fn zero(&self, bytes: Slice<u8>) -> Result<(), CudaError> {
        self.gpu.bind()?;
        // SAFETY: a slice of a buffer; the caller keeps it until this has run.
        unsafe { result::memset_d8_async(bytes.address(), 0, bytes.len(), self.stream) }
            .map_err(failed("cuMemsetD8Async"))
    }

    /// Copies from one place of the card to another.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn copy(&self, from: Slice<u8>, to: Slice<u8>) -> Result<(), CudaError> {
        assert!(from.len() == to.len(), "{} bytes to {}", from.len(), to.len());
        self.gpu.bind()?;
        // SAFETY: slices of buffers; the caller keeps them until this has run.
        unsafe { result::memcpy_dtod_async(to.address(), from.address(), from.len(), self.stream) }
            .map_err(failed("cuMemcpyDtoDAsync"))
    }

    /// Lets what is launched from now on wait for what the event was recorded behind.
    ///
    /// # Errors
    /// Of the driver.
    pub fn wait(&self, event: &Event) -> Result<(), CudaError> {
        self.gpu.bind()?;
        let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: both are alive, and of one context.
        unsafe { result::stream::wait_event(self.stream, event.event, flags) }.map_err(failed("cuStreamWaitEvent"))
    }

    /// Waits for all of it.
    ///
    /// # Errors
    /// What went wrong since the last call.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.gpu.bind()?;
        // SAFETY: it is alive.
        unsafe { result::stream::synchronize(self.stream) }.map_err(failed("cuStreamSynchronize"))
    }

    /// The launches that `work` makes, as a graph; none of them runs. Kernels must be prepared ([`Gpu::prepare`]).
    ///
    /// # Errors
    /// Of `work`, or the driver.
    pub fn capture(&self, work: impl FnOnce(&Self) -> Result<(), CudaError>) -> Result<Graph, CudaError> {
        self.gpu.bind()?;
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is alive.
        unsafe { result::stream::begin_capture(self.stream, mode) }.map_err(failed("cuStreamBeginCapture"))?;
        let worked = work(self);
        // SAFETY: the capture above has begun; it is ended whether the work was done or not.
        let graph = unsafe { result::stream::end_capture(self.stream) }.map_err(failed("cuStreamEndCapture"));
        worked?;
        let graph = graph?;
        // SAFETY: the graph is the one captured; its executable form stands by itself.
        let executable = unsafe {
            let executable = result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0));
            let _ = result::graph::destroy(graph);
            executable.map_err(failed("cuGraphInstantiate"))?
        };
        Ok(Graph {
            gpu: self.gpu.clone(),
            executable,
        })
    }

    /// Runs a graph. What its calls name must still be there.
    ///
    /// # Errors
    /// Of the driver.
    pub fn replay(&self, graph: &Graph) -> Result<(), CudaError> {
        self.gpu.bind()?;
        // SAFETY: both are alive, and of one context.
        unsafe { result::graph::launch(graph.executable, self.stream) }.map_err(failed("cuGraphLaunch"))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.gpu.bind().is_ok() {
            // SAFETY: the stream is ours; the driver lets its work end first.
            let _ = unsafe { result::stream::destroy(self.stream) };
        }
    }
}

/// A place in a stream's work.
#[derive(Debug)]
pub struct Event {
    gpu: Gpu,
    event: sys::CUevent,
}

// SAFETY: as for streams.
unsafe impl Send for Event {}

impl Event {
    /// One that takes the time too.
    ///
    /// # Errors
    /// Of the driver.
    pub fn new(gpu: &Gpu) -> Result<Self, CudaError> {
        gpu.bind()?;
        let flags = sys::CUevent_flags::CU_EVENT_DEFAULT;
        let event = result::event::create(flags).map_err(failed("cuEventCreate"))?;
        Ok(Self {
            gpu: gpu.clone(),
            event,
        })
    }

    /// Marks the end of what `stream` has been given so far.
    ///
    /// # Errors
    /// Of the driver.
    pub fn record(&self, stream: &Stream) -> Result<(), CudaError> {
        self.gpu.bind()?;
        // SAFETY: both are alive, and of one context.
        unsafe { result::event::record(self.event, stream.stream) }.map_err(failed("cuEventRecord"))
    }

    /// Whether it is reached.
    ///
    /// # Errors
    /// What went wrong before it.
    pub fn is_reached(&self) -> Result<bool, CudaError> {
        self.gpu.bind()?;
        // SAFETY: it is alive.
        match unsafe { result::event::query(self.event) } {
            Ok(()) => Ok(true),
            Err(error) if error.0 == sys::CUresult::CUDA_ERROR_NOT_READY => Ok(false),
            Err(error) => Err(failed("cuEventQuery")(error)),
        }
    }

    /// Waits until it is reached.
    ///
    /// # Errors
    /// What went wrong before it.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.gpu.bind()?;
        // SAFETY: it is alive.
        unsafe { result::event::synchronize(self.event) }.map_err(failed("cuEventSynchronize"))
    }

    /// Nanoseconds from `start` to this, both reached; the card's clock ticks every 500.
    ///
    /// # Errors
    /// Of the driver, as when one was not reached.
    pub fn elapsed_ns(&self, start: &Self) -> Result<f64, CudaError> {
        self.gpu.bind()?;
        // SAFETY: both are alive.
        let elapsed_ms = unsafe { result::event::elapsed(start.event, self.event) };
        Ok(f64::from(elapsed_ms.map_err(failed("cuEventElapsedTime"))?) * 1e6)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if self.gpu.bind().is_ok() {
            // SAFETY: the event is ours.
            let _ = unsafe { result::event::destroy(self.event) };
        }
    }
}

/// Launches that are replayed with one call.
#[derive(Debug)]
pub struct Graph {
    gpu: Gpu,
    executable: sys::CUgraphExec,
}

// SAFETY: as for streams.
unsafe impl Send for Graph {}

impl Drop for Graph {
    fn drop(&mut self) {
        if self.gpu.bind().is_ok() {
            // SAFETY: it is ours; the driver lets a running one end.
            let _ = unsafe { result::graph::exec_destroy(self.executable) };
        }
    }
}
