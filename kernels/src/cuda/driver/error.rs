//! What can go wrong with a driver or a card.

use cudarc::driver::DriverError;

use crate::cuda::CallError;

/// One line that names the thing and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CudaError {
    /// No libcuda, or one that no card answers through.
    #[error("no CUDA driver found ({0})")]
    NoDriver(String),
    /// A libcuda that lacks what we call.
    #[error("the CUDA driver lacks {0}: it is damaged or of another make; install an NVIDIA driver from r525 on")]
    Partial(String),
    /// A driver whose JIT refuses PTX 8.0.
    #[error("the CUDA driver knows CUDA {}.{}; 12.0 is needed: install an NVIDIA driver from r525 on", .0 / 1000, .0 % 1000 / 10)]
    TooOld(i32),
    /// No device of this number.
    #[error("there is no cuda:{ordinal}: the driver knows {count} device(s)")]
    Device {
        /// Asked for.
        ordinal: u32,
        /// How many there are.
        count: u32,
    },
    /// A card before Turing.
    #[error("{name} has compute capability {}.{}; 7.5 (Turing) is needed", .capability / 10, .capability % 10)]
    TooEarly {
        /// The card.
        name: String,
        /// 10 * major + minor.
        capability: u32,
    },
    /// The driver refused some PTX.
    #[error("the driver can't compile {file} ({code}): {log}")]
    Jit {
        /// The file of PTX.
        file: String,
        /// The driver's error.
        code: String,
        /// What it says about it.
        log: String,
    },
    /// A kernel beyond the card.
    #[error("kernel `{kernel}` needs compute capability {}.{}", .needed / 10, .needed % 10)]
    Capability {
        /// The kernel.
        kernel: String,
        /// 10 * major + minor.
        needed: u32,
    },
    /// Memory that is not there.
    #[error("the card has no {bytes} bytes left")]
    Memory {
        /// Asked for.
        bytes: usize,
    },
    /// A launch that cannot be.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Any other error of the driver; errors of earlier launches come up in later calls.
    #[error("{what}: {code}")]
    Driver {
        /// What was called.
        what: &'static str,
        /// Its name and text.
        code: String,
    },
}

/// The driver's error as one of ours.
pub(super) fn failed(what: &'static str) -> impl Fn(DriverError) -> CudaError {
    move |error| CudaError::Driver {
        what,
        code: code(error),
    }
}

/// Name and text of an error.
pub(super) fn code(error: DriverError) -> String {
    let name = error
        .error_name()
        .map_or_else(|_| format!("{:?}", error.0), |name| name.to_string_lossy().into_owned());
    match error.error_string() {
        Ok(text) => format!("{name}, {}", text.to_string_lossy()),
        Err(_) => name,
    }
}
