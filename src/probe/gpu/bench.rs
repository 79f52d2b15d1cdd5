//! Time on a card, as nvbandwidth takes it: a kernel holds the card back until everything is queued, two events lie around the work, and
//! their difference is the card's own time, without the host's.

use tilelab_kernels::cuda::probe::{Walk, chase};
use tilelab_kernels::cuda::{Buffer, Call, CudaError, Event, Gpu, Stream};

/// Loads of the kernel that holds the card back, at first; four times as many each time that they were too few.
const FIRST_LOADS: u32 = 256;

/// And at most: about half a second.
const MOST_LOADS: u32 = 1 << 24;

/// A stream of a card, and what times it.
pub struct Bench {
    stream: Stream,
    begin: Event,
    end: Event,
    /// One element that leads to itself: the chase that holds the card back.
    knot: Buffer,
    out: Buffer,
    loads: u32,
}

impl Bench {
    /// Compiles the kernel too.
    ///
    /// # Errors
    /// Of the driver.
    pub fn new(gpu: &Gpu) -> Result<Self, CudaError> {
        let mut knot = Buffer::new(gpu, 4)?;
        knot.write(0, &0u32.to_le_bytes())?;
        let bench = Self {
            stream: Stream::new(gpu)?,
            begin: Event::new(gpu)?,
            end: Event::new(gpu)?,
            knot,
            out: Buffer::new(gpu, 16)?,
            loads: FIRST_LOADS,
        };
        bench.hold(0)?;
        bench.stream.synchronize()?;
        Ok(bench)
    }

    /// The card.
    pub fn gpu(&self) -> &Gpu {
        self.stream.gpu()
    }

    /// The stream that everything runs on.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// One thread that follows `loads` loads.
    ///
    /// # Errors
    /// None that can be seen from here.
    pub fn idle(&self, loads: u32) -> Result<Call, CudaError> {
        let walk = Walk {
            warm: loads,
            ..Walk::default()
        };
        Ok(chase(walk, self.knot.slice(0, 1), self.out.slice(0, 2))?)
    }

    fn hold(&self, loads: u32) -> Result<(), CudaError> {
        self.stream.launch(&self.idle(loads)?)
    }

    /// Nanoseconds of what `work` queues on the stream that it is given, all of it queued before the first began; another stream waits
    /// for the event that it is given. `work` may be called again: where the card was free too early, it is held back for longer.
    ///
    /// # Errors
    /// Of the driver, or of work that can't be queued whole.
    pub fn span(&mut self, mut work: impl FnMut(&Stream, &Event) -> Result<(), CudaError>) -> Result<f64, String> {
        loop {
            let held = self.held(&mut work).map_err(|error| error.to_string())?;
            if let Some(elapsed_ns) = held {
                return Ok(elapsed_ns);
            }
            if self.loads >= MOST_LOADS {
                return Err("the host can't queue the work while a kernel holds the card back".to_owned());
            }
            self.loads *= 4;
        }
    }

    /// `None` if the card was not held back for long enough.
    fn held(&self, work: &mut impl FnMut(&Stream, &Event) -> Result<(), CudaError>) -> Result<Option<f64>, CudaError> {
        self.hold(self.loads)?;
        self.begin.record(&self.stream)?;
        work(&self.stream, &self.begin)?;
        self.end.record(&self.stream)?;
        let early = self.begin.is_reached()?;
        self.stream.synchronize()?;
        Ok(if early {
            None
        } else {
            Some(self.end.elapsed_ns(&self.begin)?)
        })
    }

    /// Nanoseconds of one launch by the events around it alone: for kernels that run far longer than a launch takes.
    ///
    /// # Errors
    /// Of the driver.
    pub fn launch(&self, call: &Call) -> Result<f64, CudaError> {
        self.begin.record(&self.stream)?;
        self.stream.launch(call)?;
        self.end.record(&self.stream)?;
        self.stream.synchronize()?;
        self.end.elapsed_ns(&self.begin)
    }
}
