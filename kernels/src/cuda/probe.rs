//! Launches of `kernels/cuda/probe.cu`: what the memory of a GPU can do.

use super::call::{aligned, length, size};
use super::{Call, CallError, Slice, geometry};

/// A walk along a chain, each load of which waits for the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Walk {
    /// The element that it begins with.
    pub start: u32,
    /// Loads before the clock is looked at.
    pub warm: u32,
    /// Loads of a slice.
    pub steps: u32,
    /// Slices, each timed by itself.
    pub slices: u32,
}

impl Walk {
    /// Loads in all.
    pub fn loads(&self) -> u64 {
        u64::from(self.warm) + u64::from(self.steps) * u64::from(self.slices)
    }
}

/// Follows `next`; `out` gets where that ended, the cycles of all of it, and the cycles of each slice. The caller knows that every
/// element of `next` is an index into it. A load is one of 4 bytes, and a multiplication and addition for its address.
///
/// # Errors
/// Lengths that do not fit.
pub fn chase(walk: Walk, next: Slice<u32>, out: Slice<u64>) -> Result<Call, CallError> {
    const KERNEL: &str = "chase";
    let Walk {
        start,
        warm,
        steps,
        slices,
    } = walk;
    length(KERNEL, "out", out, 2 + slices as usize)?;
    size(KERNEL, "the chain", next.len())?;
    if start as usize >= next.len() {
        length(KERNEL, "next", next, start as usize + 1)?;
    }
    let args = vec![
        warm.into(),
        steps.into(),
        slices.into(),
        start.into(),
        next.into(),
        out.into(),
    ];
    Call::new(KERNEL, 1, 32, args)
}

/// A stream over arrays whose lengths are a multiple of 4.
#[derive(Debug, Clone, Copy)]
pub enum Stream {
    /// Sums x; a float for each of [`threads`] threads is written to the other.
    Read(Slice<f32>, Slice<f32>),
    /// y = 1
    Write(Slice<f32>),
    /// y = x, given as (x, y).
    Copy(Slice<f32>, Slice<f32>),
    /// a = b + 3 c, given as (b, c, a).
    Triad(Slice<f32>, Slice<f32>, Slice<f32>),
}

/// Threads that a [`Stream::Read`] of `n` floats runs on.
pub fn threads(n: usize) -> usize {
    geometry::elements(n as u64, 4) as usize * 256
}

/// One pass of a stream.
///
/// # Errors
/// Lengths that differ or are no multiple of 4, arrays off 16 bytes.
pub fn stream(stream: Stream) -> Result<Call, CallError> {
    let (kernel, arrays) = match stream {
        Stream::Read(x, _) => ("stream_read", vec![x]),
        Stream::Write(y) => ("stream_write", vec![y]),
        Stream::Copy(x, y) => ("stream_copy", vec![x, y]),
        Stream::Triad(b, c, a) => ("stream_triad", vec![b, c, a]),
    };
    let n = arrays[0].len() / 4 * 4;
    for &array in &arrays {
        length(kernel, "an array", array, n)?;
        aligned(kernel, "an array", array)?;
    }
    let mut args = vec![(n as u64).into()];
    match stream {
        Stream::Write(_) => args.push(1.0f32.into()),
        Stream::Triad(..) => args.push(3.0f32.into()),
        _ => {}
    }
    args.extend(arrays.iter().map(|&array| super::Arg::from(array)));
    if let Stream::Read(_, sums) = stream {
        length(kernel, "sums", sums, threads(n))?;
        args.push(sums.into());
    }
    Call::new(kernel, geometry::elements(n as u64, 4), 256, args)
}
