//! A launch as data: which kernel, how many blocks and threads, which arguments. Built and checked here, run by a stream of the driver
//! ([`super::Stream::launch`]), or by an interpreter in the tests.

use std::fmt;
use std::marker::PhantomData;

use super::ptx::{self, Param};

/// `len` elements of T in device memory. It owns nothing: whoever launches sees to it that the memory is there.
pub struct Slice<T> {
    address: u64,
    len: usize,
    element: PhantomData<T>,
}

impl<T> Clone for Slice<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Slice<T> {}

impl<T> fmt::Debug for Slice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} elements at {:#x}", self.len, self.address)
    }
}

impl<T> Slice<T> {
    /// `len` elements from `address` on.
    pub const fn new(address: u64, len: usize) -> Self {
        Self {
            address,
            len,
            element: PhantomData,
        }
    }

    /// No elements at address 0: what kernels take for "none".
    pub const fn none() -> Self {
        Self::new(0, 0)
    }

    /// Where it begins.
    pub const fn address(self) -> u64 {
        self.address
    }

    /// Elements.
    pub const fn len(self) -> usize {
        self.len
    }

    /// Whether it has no elements.
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The first `len` elements.
    ///
    /// # Panics
    /// When there are fewer.
    #[must_use]
    pub fn first(self, len: usize) -> Self {
        assert!(len <= self.len, "{len} of {} elements", self.len);
        Self::new(self.address, len)
    }

    /// The elements from `index` on.
    ///
    /// # Panics
    /// When there are fewer.
    #[must_use]
    pub fn from(self, index: usize) -> Self {
        assert!(index <= self.len, "element {index} of {}", self.len);
        Self::new(self.address + (index * size_of::<T>()) as u64, self.len - index)
    }
}

/// An argument of a kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arg {
    /// `.u32`
    U32(u32),
    /// `.u64`, addresses too.
    U64(u64),
    /// `.f32`
    F32(f32),
}

impl Arg {
    fn param(self) -> Param {
        match self {
            Self::U32(_) => Param::U32,
            Self::U64(_) => Param::U64,
            Self::F32(_) => Param::F32,
        }
    }
}

impl From<u32> for Arg {
    fn from(x: u32) -> Self {
        Self::U32(x)
    }
}

impl From<u64> for Arg {
    fn from(x: u64) -> Self {
        Self::U64(x)
    }
}

impl From<f32> for Arg {
    fn from(x: f32) -> Self {
        Self::F32(x)
    }
}

impl<T> From<Slice<T>> for Arg {
    fn from(x: Slice<T>) -> Self {
        Self::U64(x.address)
    }
}

/// A launch that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The embedded PTX has no such kernel.
    #[error("no kernel is called `{0}`")]
    Kernel(String),
    /// Arguments that do not fit the kernel's parameters.
    #[error("`{kernel}` takes {expected:?}, it was given {got:?}")]
    Arguments {
        /// Kernel.
        kernel: &'static str,
        /// Its parameters.
        expected: Vec<Param>,
        /// What came.
        got: Vec<Param>,
    },
    /// An operand of the wrong length.
    #[error("{kernel}: {operand} has {got} elements, it needs {expected}")]
    Length {
        /// Kernel.
        kernel: &'static str,
        /// Operand.
        operand: &'static str,
        /// Its elements.
        got: usize,
        /// Elements that it needs.
        expected: usize,
    },
    /// A size beyond what a kernel counts in.
    #[error("{kernel}: {size} is {got}, at most {most} is possible")]
    Size {
        /// Kernel.
        kernel: &'static str,
        /// Which size.
        size: &'static str,
        /// What it is.
        got: usize,
        /// The most.
        most: usize,
    },
    /// An array that does not begin on 16 bytes.
    #[error("{kernel}: {operand} begins at {address:#x}, which is no multiple of 16 bytes")]
    Alignment {
        /// Kernel.
        kernel: &'static str,
        /// Operand.
        operand: &'static str,
        /// Where it begins.
        address: u64,
    },
}

/// A launch: checked against the kernel's parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Name of the kernel.
    pub kernel: &'static str,
    /// Blocks, in one dimension.
    pub blocks: u32,
    /// Threads of a block, in one dimension.
    pub threads: u32,
    /// Its arguments.
    pub args: Vec<Arg>,
}

impl Call {
    /// Launches `kernel` on `blocks` blocks of `threads` threads.
    ///
    /// # Errors
    /// A kernel that is not there, arguments of other number or type than its parameters.
    pub fn new(kernel: &str, blocks: u32, threads: u32, args: Vec<Arg>) -> Result<Self, CallError> {
        let entry = ptx::entry(kernel).ok_or_else(|| CallError::Kernel(kernel.to_owned()))?;
        if !entry.params.iter().copied().eq(args.iter().map(|arg| arg.param())) {
            return Err(CallError::Arguments {
                kernel: entry.name,
                expected: entry.params.clone(),
                got: args.iter().map(|arg| arg.param()).collect(),
            });
        }
        let kernel = entry.name;
        Ok(Self {
            kernel,
            blocks,
            threads,
            args,
        })
    }
}

/// Sees to it that an operand has `expected` elements.
pub(super) fn length<T>(
    kernel: &'static str,
    operand: &'static str,
    slice: Slice<T>,
    expected: usize,
) -> Result<(), CallError> {
    if slice.len() == expected {
        return Ok(());
    }
    Err(CallError::Length {
        kernel,
        operand,
        got: slice.len(),
        expected,
    })
}

/// Sees to it that an array begins on 16 bytes.
pub(super) fn aligned<T>(kernel: &'static str, operand: &'static str, slice: Slice<T>) -> Result<(), CallError> {
    let address = slice.address();
    if address.is_multiple_of(16) {
        return Ok(());
    }
    Err(CallError::Alignment {
        kernel,
        operand,
        address,
    })
}

/// A size as kernels count it; beyond 2^31 - 1 it is an error, so that sums of two never wrap.
pub(super) fn size(kernel: &'static str, size: &'static str, value: usize) -> Result<u32, CallError> {
    let most = i32::MAX as usize;
    u32::try_from(value)
        .ok()
        .filter(|_| value <= most)
        .ok_or(CallError::Size {
            kernel,
            size,
            got: value,
            most,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_held_against_the_parameters_of_the_ptx() {
        let x = Slice::<f32>::new(256, 10);
        let good = vec![10u64.into(), x.into(), x.into()];
        assert!(Call::new("scale", 1, 256, good.clone()).is_ok());
        let wrong_type = Call::new("scale", 1, 256, vec![10u32.into(), x.into(), x.into()]);
        assert!(matches!(wrong_type, Err(CallError::Arguments { .. })));
        let missing = Call::new("scale", 1, 256, good[..2].to_vec());
        assert!(matches!(missing, Err(CallError::Arguments { .. })));
        assert_eq!(
            Call::new("scales", 1, 256, good).unwrap_err().to_string(),
            "no kernel is called `scales`"
        );
    }

    #[test]
    fn a_size_beyond_31_bits_is_an_error() {
        assert_eq!(size("k", "n", 0x7fff_ffff).unwrap(), 0x7fff_ffff);
        assert!(size("k", "n", 0x8000_0000).is_err());
        assert!(size("k", "n", usize::MAX).is_err());
    }
}
