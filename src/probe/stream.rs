//! Streaming kernels over f64, after McCalpin's STREAM (1995), with plain and with non-temporal stores.
//!
//! ```text
//! read   sum += x[i]          8 bytes an element     copy   z[i] = x[i]             16 (24 with the line of z read first)
//! write  z[i] = s             8 (16)                 scale  z[i] = s * x[i]         16 (24)
//! add    z[i] = x[i] + y[i]  24 (32)                 triad  z[i] = x[i] + s * y[i]  24 (32)
//! ```
//! The loops are written in intrinsics: a plain loop over Copy becomes a call of memcpy, which picks its own stores. A
//! barrier of no instructions ends each iteration, so that the compiler sees no idiom in it and drops no store.
#![allow(unsafe_code)] // vectors through raw pointers

use std::hint::black_box;

use tilelab_kernels::Isa;

/// What a kernel does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Sums.
    Read,
    /// Fills.
    Write,
    /// `z = x`.
    Copy,
    /// `z = s x`.
    Scale,
    /// `z = x + y`.
    Add,
    /// `z = x + s y`.
    Triad,
}

/// The factor of scale and triad, and what write writes.
pub const FACTOR: f64 = 3.0;

/// Elements that a length must be a multiple of: eight vectors of the widest ISA.
pub const MULTIPLE: usize = 64;

impl Op {
    /// All of them.
    pub const ALL: [Op; 6] = [Op::Read, Op::Write, Op::Copy, Op::Scale, Op::Add, Op::Triad];

    /// Name, as in records.
    pub const fn name(self) -> &'static str {
        match self {
            Op::Read => "read",
            Op::Write => "write",
            Op::Copy => "copy",
            Op::Scale => "scale",
            Op::Add => "add",
            Op::Triad => "triad",
        }
    }

    /// Bytes an element, as STREAM counts: each array once.
    pub const fn bytes(self) -> u64 {
        match self {
            Op::Read | Op::Write => 8,
            Op::Copy | Op::Scale => 16,
            Op::Add | Op::Triad => 24,
        }
    }

    /// Bytes an element with the line read before a plain store writes it.
    pub const fn bytes_allocated(self) -> u64 {
        if matches!(self, Op::Read) {
            self.bytes()
        } else {
            self.bytes() + 8
        }
    }
}

/// Three arrays of equal length.
#[derive(Debug)]
pub struct Arrays<'a> {
    x: &'a mut [f64],
    y: &'a mut [f64],
    z: &'a mut [f64],
}

/// x and y are filled with these before the first run.
const FILL: (f64, f64) = (1.5, 0.25);

impl<'a> Arrays<'a> {
    /// Splits `memory` into three and fills them: the calling thread touches every page first. Each array begins at a
    /// multiple of 64 bytes, and they are one line apart beyond a multiple of 4 KiB, or loads would wait for stores with
    /// equal low bits of their addresses.
    ///
    /// # Panics
    /// If `memory` is not aligned to 64 bytes or holds less than three times [`MULTIPLE`] elements and the gaps.
    pub fn new(memory: &'a mut [u64]) -> Self {
        const GAP: usize = 8;
        assert!(
            memory.as_ptr().addr().is_multiple_of(64),
            "arrays must be aligned to a line"
        );
        let len = (memory.len() - 2 * GAP) / 3 / MULTIPLE * MULTIPLE;
        assert!(len > 0, "no room for three arrays");
        // SAFETY: any bits are an f64, and both types have size and alignment 8; the slice is borrowed for 'a.
        let memory = unsafe { std::slice::from_raw_parts_mut(memory.as_mut_ptr().cast::<f64>(), memory.len()) };
        let (x, rest) = memory.split_at_mut(len + GAP);
        let (y, z) = rest.split_at_mut(len + GAP);
        let (x, y, z) = (&mut x[..len], &mut y[..len], &mut z[..len]);
        x.fill(FILL.0);
        y.fill(FILL.1);
        z.fill(0.0);
        Self { x, y, z }
    }

    /// Elements of each.
    pub fn len(&self) -> usize {
        self.x.len()
    }

    /// Always false: there are elements.
    pub fn is_empty(&self) -> bool {
        self.x.is_empty()
    }

    /// Runs a kernel over `count` elements from `from`, on; returns the sum of [`Op::Read`].
    ///
    /// # Panics
    /// If the range does not lie in the arrays, its ends are no multiples of [`MULTIPLE`], or the CPU lacks `isa`.
    #[inline(never)]
    pub fn run(&mut self, op: Op, non_temporal: bool, isa: Isa, from: usize, count: usize) -> f64 {
        assert!(from.is_multiple_of(MULTIPLE) && count.is_multiple_of(MULTIPLE) && from + count <= self.len());
        let (x, y) = (self.x[from..from + count].as_ptr(), self.y[from..from + count].as_ptr());
        let z = self.z[from..from + count].as_mut_ptr();
        let kernel = kernel(op, non_temporal, isa);
        // SAFETY: the three ranges hold `count` elements, a multiple of MULTIPLE, aligned to 64 bytes since the arrays
        // and MULTIPLE are; they do not overlap; `kernel` asked whether the CPU has its ISA.
        black_box(unsafe { kernel(x, y, z, count) })
    }

    /// x, y and z, for a loop that is compared with ours.
    pub fn parts(&mut self) -> (&[f64], &[f64], &mut [f64]) {
        (self.x, self.y, self.z)
    }

    /// Whether `z` holds what `op` should have left in all of it.
    pub fn holds(&self, op: Op) -> bool {
        let expected = match op {
            Op::Read => return true,
            Op::Write => FACTOR,
            Op::Copy => FILL.0,
            Op::Scale => FACTOR * FILL.0,
            Op::Add => FILL.0 + FILL.1,
            Op::Triad => FILL.0 + FACTOR * FILL.1,
        };
        self.z.iter().all(|z| *z == expected)
    }

    /// What [`Op::Read`] should give for `count` elements.
    pub fn sum(count: usize) -> f64 {
        FILL.0 * count as f64
    }
}

/// Vectors an iteration. Reads need eight sums in flight for two loads a cycle. Copies of eight or four vectors at once ran
/// 10 to 15 percent below plain C in DRAM on a Zen 4 core, whose prefetchers follow alternating loads and stores better. Add
/// and triad ran 2 percent below it with one, up to 7 percent with four on two threads, and level with it with two.
const fn vectors(op: u8) -> usize {
    match op {
        0 => 8,
        4 | 5 => 2,
        _ => 1,
    }
}

/// x, y, z, count; gives a sum.
type Kernel = unsafe fn(*const f64, *const f64, *mut f64, usize) -> f64;

/// Whether there are non-temporal stores here.
pub const fn has_non_temporal() -> bool {
    cfg!(target_arch = "x86_64")
}

macro_rules! choose {
    ($module:ident, $op:expr, $nt:expr) => {
        match ($op, $nt) {
            (Op::Read, _) => $module::run::<0, false>,
            (Op::Write, false) => $module::run::<1, false>,
            (Op::Copy, false) => $module::run::<2, false>,
            (Op::Scale, false) => $module::run::<3, false>,
            (Op::Add, false) => $module::run::<4, false>,
            (Op::Triad, false) => $module::run::<5, false>,
            (Op::Write, true) => $module::run::<1, true>,
            (Op::Copy, true) => $module::run::<2, true>,
            (Op::Scale, true) => $module::run::<3, true>,
            (Op::Add, true) => $module::run::<4, true>,
            (Op::Triad, true) => $module::run::<5, true>,
        }
    };
}

fn kernel(op: Op, non_temporal: bool, isa: Isa) -> Kernel {
    assert!(isa.is_available(), "this CPU can't run {isa}");
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => choose!(avx512, op, non_temporal),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => choose!(avx2, op, non_temporal),
        _ => choose!(base, op, non_temporal),
    }
}

/// One ISA's kernels: OP is the place in [`Op::ALL`], NT chooses the stores.
macro_rules! kernels {
    ($module:ident, $feature:literal, $lanes:literal, $vector:ty, $load:path, $store:path, $stream:path, $all:path,
     $add:path, $multiply_add:expr) => {
        #[cfg(target_arch = "x86_64")]
        mod $module {
            #[allow(unused_imports)]
            use std::arch::x86_64::*;

            /// # Safety
            /// `x`, `y` and `z` hold `count` elements, a multiple of 64, aligned to 64 bytes; the CPU has the ISA.
            #[target_feature(enable = $feature)]
            pub unsafe fn run<const OP: u8, const NT: bool>(
                x: *const f64,
                y: *const f64,
                z: *mut f64,
                count: usize,
            ) -> f64 {
                let s = $all(super::FACTOR);
                let mut sums = [$all(0.0); 8];
                let vectors = const { super::vectors(OP) };
                let mut i = 0;
                while i < count {
                    for (vector, sum) in sums[..vectors].iter_mut().enumerate() {
                        let at = i + vector * $lanes;
                        // SAFETY: `at` and the vector's lanes lie below `count`, and vectors are aligned.
                        unsafe {
                            let load = |from: *const f64| $load(from.add(at));
                            let value: $vector = match OP {
                                0 => {
                                    *sum = $add(*sum, load(x));
                                    continue;
                                }
                                1 => s,
                                2 => load(x),
                                3 => $multiply_add(s, load(x), $all(0.0)),
                                4 => $add(load(x), load(y)),
                                _ => $multiply_add(s, load(y), load(x)),
                            };
                            if NT {
                                $stream(z.add(at), value)
                            } else {
                                $store(z.add(at), value)
                            }
                        }
                    }
                    // SAFETY: no instructions; tells the compiler that memory was looked at.
                    unsafe { std::arch::asm!("", options(nostack, preserves_flags)) };
                    i += vectors * $lanes;
                }
                if NT {
                    // Until here the stores may wait in their buffers: the fence is part of the work.
                    _mm_sfence();
                }
                let mut total = sums[0];
                for sum in &sums[1..] {
                    total = $add(total, *sum);
                }
                let mut lanes = [0.0; $lanes];
                // SAFETY: an array of the vector's size, stored without a claim of alignment.
                unsafe { lanes.as_mut_ptr().cast::<$vector>().write_unaligned(total) };
                lanes.iter().sum()
            }
        }
    };
}

kernels!(
    avx512,
    "avx512f",
    8,
    __m512d,
    _mm512_load_pd,
    _mm512_store_pd,
    _mm512_stream_pd,
    _mm512_set1_pd,
    _mm512_add_pd,
    _mm512_fmadd_pd
);
kernels!(
    avx2,
    "avx2,fma",
    4,
    __m256d,
    _mm256_load_pd,
    _mm256_store_pd,
    _mm256_stream_pd,
    _mm256_set1_pd,
    _mm256_add_pd,
    _mm256_fmadd_pd
);
kernels!(
    base,
    "sse2",
    2,
    __m128d,
    _mm_load_pd,
    _mm_store_pd,
    _mm_stream_pd,
    _mm_set1_pd,
    _mm_add_pd,
    |a, b, c| _mm_add_pd(_mm_mul_pd(a, b), c)
);

#[cfg(not(target_arch = "x86_64"))]
mod base {
    /// # Safety
    /// `x`, `y` and `z` hold `count` elements.
    pub unsafe fn run<const OP: u8, const NT: bool>(x: *const f64, y: *const f64, z: *mut f64, count: usize) -> f64 {
        let mut sums = [0.0; 16];
        for i in (0..count).step_by(16) {
            for (lane, sum) in sums.iter_mut().enumerate() {
                // SAFETY: below `count`, a multiple of 16.
                unsafe {
                    let (x, y, z) = (x.add(i + lane), y.add(i + lane), z.add(i + lane));
                    match OP {
                        0 => *sum += *x,
                        1 => *z = super::FACTOR,
                        2 => *z = *x,
                        3 => *z = super::FACTOR * *x,
                        4 => *z = *x + *y,
                        _ => *z = *x + super::FACTOR * *y,
                    }
                }
            }
            // SAFETY: no instructions; tells the compiler that memory was looked at.
            unsafe { std::arch::asm!("", options(nostack, preserves_flags)) };
        }
        sums.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::memory::{Mapping, Pages};

    #[test]
    fn every_kernel_leaves_its_values_on_every_isa_and_nowhere_else() {
        let mut memory = Mapping::new(3 * 8 * 10 * MULTIPLE + 512, Pages::Small).unwrap();
        for isa in Isa::available() {
            for op in Op::ALL {
                for non_temporal in [false, true] {
                    let mut arrays = Arrays::new(memory.words());
                    let count = arrays.len();
                    let sum = arrays.run(op, non_temporal, isa, 0, count);
                    assert!(arrays.holds(op), "{isa} {op:?}");
                    if op == Op::Read {
                        assert_eq!(sum, Arrays::sum(count), "{isa}");
                        continue;
                    }
                    // A part leaves the rest alone.
                    arrays.z.fill(-7.0);
                    arrays.run(op, non_temporal, isa, MULTIPLE, 3 * MULTIPLE);
                    let (part, rest) = (&arrays.z[MULTIPLE..4 * MULTIPLE], &arrays.z[4 * MULTIPLE..]);
                    assert!(
                        part.iter().all(|z| *z != -7.0) && rest.iter().chain(&arrays.z[..MULTIPLE]).all(|z| *z == -7.0)
                    );
                    assert!(!arrays.holds(op));
                    assert!(arrays.x.iter().all(|x| *x == FILL.0) && arrays.y.iter().all(|y| *y == FILL.1));
                }
            }
        }
    }

    #[test]
    fn bytes_are_those_of_stream() {
        let told: Vec<(u64, u64)> = Op::ALL.map(|op| (op.bytes(), op.bytes_allocated())).into();
        assert_eq!(told, [(8, 8), (8, 16), (16, 24), (16, 24), (24, 32), (24, 32)]);
    }
}
