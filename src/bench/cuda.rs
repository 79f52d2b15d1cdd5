//! Contestants on a card: its events time their launches.
//!
//! ```text
//! record start | launch | launch | ... | record end       one stream; the card's clock at both events, so that neither the way there
//!                                                         nor what holds the host up counts, while there are launches enough
//! ```

pub mod cublas;
pub mod elementwise;
pub mod gemm;

use tilelab_kernels::cuda::{Call, CudaError, Event, Gpu, GpuFacts, Stream};

use super::Trouble;
use crate::device::{Device, DeviceError};
use crate::measure::Contestant;
use crate::self_test::cuda::Workspace;

/// A card on which contestants take turns: where their arrays lie, and the events between which they are timed.
pub struct Track {
    workspace: Workspace,
    start: Event,
    end: Event,
}

impl Track {
    /// Opens card `ordinal`.
    ///
    /// # Errors
    /// When it is not there, or of the driver.
    pub fn open(ordinal: u32) -> Result<Self, DeviceError> {
        let device = Device::Cuda(ordinal);
        let gpu = Gpu::open(ordinal).map_err(|error| DeviceError::Open { device, error })?;
        Ok(Self {
            workspace: Workspace::new(&gpu)?,
            start: Event::new(&gpu)?,
            end: Event::new(&gpu)?,
        })
    }

    /// What the card says of itself.
    pub fn facts(&self) -> &GpuFacts {
        self.stream().gpu().facts()
    }

    /// What contestants launch on.
    pub fn stream(&self) -> &Stream {
        self.workspace.stream()
    }

    /// Frees the arrays of a case that is over.
    ///
    /// # Errors
    /// What went wrong on the card.
    pub fn clear(&mut self) -> Result<(), CudaError> {
        self.workspace.clear()
    }

    /// Nanoseconds that `calls` runs of `work` took on the card.
    ///
    /// # Errors
    /// Of `work`, or one line from the driver.
    pub fn time(&self, calls: u64, mut work: impl FnMut(&Stream) -> Result<(), String>) -> Result<u64, String> {
        let told = |error: CudaError| error.to_string();
        self.start.record(self.stream()).map_err(told)?;
        for _ in 0..calls {
            work(self.stream())?;
        }
        self.end.record(self.stream()).map_err(told)?;
        self.end.synchronize().map_err(told)?;
        self.end.elapsed_ns(&self.start).map(|ns| ns as u64).map_err(told)
    }

    /// One whose answer was checked. What goes wrong later is left in `trouble`, the first of it.
    pub fn contestant<'a>(
        &'a self,
        name: impl Into<String>,
        error_over_bound: f64,
        trouble: &'a Trouble,
        mut work: impl FnMut(&Stream) -> Result<(), String> + 'a,
    ) -> Contestant<'a> {
        Contestant::on_card(name, error_over_bound, move |calls| {
            let timed = self.time(calls, &mut work);
            timed.unwrap_or_else(|error| {
                trouble.borrow_mut().get_or_insert(error);
                FAILED_NS
            })
        })
    }
}

/// What a sample that failed is said to have taken: long enough that no more calls are tried.
const FAILED_NS: u64 = 1_000_000_000;

/// Launches as work.
fn launched(calls: Vec<Call>) -> impl Fn(&Stream) -> Result<(), String> {
    move |stream| {
        let mut calls = calls.iter();
        calls
            .try_for_each(|call| stream.launch(call))
            .map_err(|error| error.to_string())
    }
}
