//! Who runs programs: `cpu` (our kernels), `cuda:N` (our kernels on a card), `baseline` (the `gemm` crate and plain loops), `reference`
//! (plain f64 loops).
//!
//! [`Device::open`] makes a [`Session`], which owns all buffers. Its programs share those of equal name: parameters, kept
//! gradients, metrics. All but cuda:N live in this process's memory and differ in their arithmetic only.

mod arithmetic;
mod baseline;
mod batch;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod error;
pub mod gemm_crate;
mod host;
mod memory;
mod reference;
mod slots;

use std::fmt;
use std::str::FromStr;

use tilelab_kernels::Threads;

pub use batch::{Batch, Set};
pub use error::DeviceError;
pub use memory::available_bytes;

use crate::program::{Element, Program, StepArgs};

/// Who runs programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// Our kernels on the CPU.
    #[default]
    Cpu,
    /// The `gemm` crate on one thread, and plain loops.
    Baseline,
    /// Plain loops in f64, whatever a program's type is: the oracle.
    Reference,
    /// Our kernels on a CUDA device, by number. Computes in f32.
    Cuda(u32),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Baseline => f.write_str("baseline"),
            Self::Reference => f.write_str("reference"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl FromStr for Device {
    type Err = DeviceError;

    fn from_str(name: &str) -> Result<Self, DeviceError> {
        match name {
            "cpu" => Ok(Self::Cpu),
            "baseline" => Ok(Self::Baseline),
            "reference" => Ok(Self::Reference),
            _ => match name.strip_prefix("cuda:").map(str::parse) {
                Some(Ok(number)) => Ok(Self::Cuda(number)),
                _ => Err(DeviceError::Name(name.to_owned())),
            },
        }
    }
}

impl Device {
    /// Whether programs run better here when [`crate::program::fuse`] has rewritten them. A session runs what it is given.
    pub fn wants_fused(self) -> bool {
        matches!(self, Self::Cpu | Self::Cuda(_))
    }

    /// A session that holds the buffers of `programs`, all 0, and reads batches from `sets`.
    ///
    /// # Errors
    /// A device that is not there, programs that do not fit together, or more memory than is available.
    pub fn open<'a>(
        self,
        programs: &[Program],
        sets: &[Set<'a>],
        threads: Threads,
    ) -> Result<Box<dyn Session + 'a>, DeviceError> {
        let float = programs.first().map_or(Element::F32, Program::float);
        let mut session: Box<dyn Session + 'a> = match (self, float) {
            #[cfg(feature = "cuda")]
            (Self::Cuda(ordinal), _) => Box::new(cuda::Cuda::open(ordinal, sets)?),
            #[cfg(not(feature = "cuda"))]
            (Self::Cuda(_), _) => return Err(DeviceError::NoCuda(self)),
            (Self::Cpu, Element::F64) => {
                Box::new(host::Host::<f64, _>::new(self, float, cpu::Cpu::new(threads)?, sets))
            }
            (Self::Cpu, _) => Box::new(host::Host::<f32, _>::new(self, float, cpu::Cpu::new(threads)?, sets)),
            (Self::Baseline, Element::F64) => {
                Box::new(host::Host::<f64, _>::new(self, float, baseline::Baseline, sets))
            }
            (Self::Baseline, _) => Box::new(host::Host::<f32, _>::new(self, float, baseline::Baseline, sets)),
            (Self::Reference, _) => Box::new(host::Host::<f64, _>::new(self, float, reference::Reference, sets)),
        };
        for program in programs {
            session.add(program)?;
        }
        Ok(session)
    }
}

/// Names a program within its session: the first that was added is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProgramId(pub usize);

/// Owns buffers, runs programs on them.
pub trait Session: Send {
    /// Which device it is.
    fn device(&self) -> Device;

    /// Id of the kernel that large products run on, such as `sgemm-avx2-6x16`.
    fn kernel(&self) -> String;

    /// Threads that work on one operation.
    fn threads(&self) -> usize;

    /// Takes in a program. Its new buffers begin at 0; those that another program has already keep what they hold.
    ///
    /// # Errors
    /// Another element type than the session's programs have, a buffer of equal name but another shape, or more memory
    /// than is available.
    fn add(&mut self, program: &Program) -> Result<ProgramId, DeviceError>;

    /// Runs a program. What is in `batch` may be reused as soon as this returns, though the work may not be done yet.
    ///
    /// # Panics
    /// When `id` is not this session's, or `batch` was checked against another program.
    fn run(&mut self, id: ProgramId, batch: &Batch<'_>, args: &StepArgs);

    /// The values of a buffer, row-major; where its rows are the batch's, those of the last one that ran. Every type that
    /// buffers have fits an f64 exactly.
    ///
    /// # Errors
    /// When no program has a buffer of that name.
    fn read(&mut self, name: &str) -> Result<Vec<f64>, DeviceError>;

    /// Overwrites a buffer of real numbers, rounding to its type; a metric too, so that a sum can go on. Where its rows are
    /// the batch's, the leading rows.
    ///
    /// # Errors
    /// When no program has a buffer of that name and kind, or `values` has another length.
    fn write(&mut self, name: &str, values: &[f64]) -> Result<(), DeviceError>;

    /// What the programs of this session have allocated: each buffer by its name, then what it takes to run them. Without
    /// the device's own (threads, the panels that products pack into), which is there whatever the programs are.
    fn held(&self) -> Vec<Held>;

    /// Waits for what runs; the sums since the last call, which begin at 0 again.
    ///
    /// # Errors
    /// What went wrong since the last call, on devices that report late.
    fn metrics(&mut self) -> Result<Metrics, DeviceError>;
}

/// Memory that a session has allocated for its programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Name of the buffer, or what it is.
    pub name: String,
    /// Whether it is a buffer of a program.
    pub buffer: bool,
    /// Bytes, as they were asked for.
    pub bytes: u64,
}

impl Held {
    fn buffer(name: &str, bytes: usize) -> Self {
        Self {
            name: name.to_owned(),
            buffer: true,
            bytes: bytes as u64,
        }
    }

    fn overhead(name: &str, bytes: usize) -> Self {
        Self {
            name: name.to_owned(),
            buffer: false,
            bytes: bytes as u64,
        }
    }
}

/// Sums over the runs between two calls of [`Session::metrics`], by the name of their buffer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metrics(Vec<(String, f64)>);

impl Metrics {
    /// The sum of this name; 0 where no program has such a metric.
    pub fn get(&self, name: &str) -> f64 {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map_or(0.0, |(_, value)| *value)
    }
}
