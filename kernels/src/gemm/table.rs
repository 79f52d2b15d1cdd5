//! The table of micro-kernels: every ISA, element type and tile. Tests, benches and reports iterate it.

use super::microkernel::{PACKED, STRIDED, Tile, UNIT, microkernel};
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{Portable, Simd};
use crate::{Float, Isa};

/// A micro-kernel: its geometry and its three forms.
#[derive(Debug, Clone, Copy)]
pub struct MicroKernel<T> {
    /// Instruction set.
    pub isa: Isa,
    /// Rows of its tile, MR.
    pub mr: usize,
    /// Vectors in a row of its tile, NV.
    pub nv: usize,
    /// Elements in a vector.
    pub lanes: usize,
    /// Its three forms, by how the panels lie.
    pub(crate) forms: [unsafe fn(&Tile<T>); 3],
}

impl<T: Float> MicroKernel<T> {
    /// Columns of its tile, NR.
    pub const fn nr(&self) -> usize {
        self.nv * self.lanes
    }

    /// Its id everywhere, such as `sgemm-avx2-6x16`.
    pub fn id(&self) -> String {
        format!("{}gemm-{}-{}x{}", T::LETTER, self.isa, self.mr, self.nr())
    }
}

macro_rules! entries {
    ($t:ty, $isa:expr, $token:ty, $wrapper:ident, $nvs:tt, [$($mr:literal)*]) => {
        [$(entries!(@row $t, $isa, $token, $wrapper, $mr, $nvs)),*]
    };
    (@row $t:ty, $isa:expr, $token:ty, $wrapper:ident, $mr:literal, [$($nv:literal)*]) => {
        [$(MicroKernel {
            isa: $isa,
            mr: $mr,
            nv: $nv,
            lanes: <$token as Simd<$t>>::LANES,
            forms: [
                $wrapper::<$t, $mr, $nv, PACKED>,
                $wrapper::<$t, $mr, $nv, UNIT>,
                $wrapper::<$t, $mr, $nv, STRIDED>,
            ],
        }),*]
    };
}

/// # Safety
/// The CPU has AVX2 and FMA, and what [`microkernel`] asks.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<T: Float, const MR: usize, const NV: usize, const FORM: u8>(tile: &Tile<T>)
where
    Avx2: Simd<T>,
{
    // SAFETY: the caller's promises.
    unsafe { microkernel::<T, Avx2, MR, NV, FORM>(Avx2::assume(), tile) }
}

/// # Safety
/// The CPU has AVX-512 F, DQ, BW, VL, and what [`microkernel`] asks.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
unsafe fn avx512<T: Float, const MR: usize, const NV: usize, const FORM: u8>(tile: &Tile<T>)
where
    Avx512: Simd<T>,
{
    // SAFETY: the caller's promises.
    unsafe { microkernel::<T, Avx512, MR, NV, FORM>(Avx512::assume(), tile) }
}

/// # Safety
/// What [`microkernel`] asks.
unsafe fn portable<T: Float, const MR: usize, const NV: usize, const FORM: u8>(tile: &Tile<T>)
where
    Portable: Simd<T>,
{
    // SAFETY: the caller's promises. Packed panels are neighbouring rows of A at a stride like any other: one kernel less to compile.
    unsafe {
        match FORM {
            STRIDED => portable_form::<T, MR, NV, STRIDED>(tile),
            _ => portable_form::<T, MR, NV, UNIT>(tile),
        }
    }
}

/// # Safety
/// What [`microkernel`] asks.
#[inline(never)]
unsafe fn portable_form<T: Float, const MR: usize, const NV: usize, const FORM: u8>(tile: &Tile<T>)
where
    Portable: Simd<T>,
{
    // SAFETY: the caller's promises.
    unsafe { microkernel::<T, Portable, MR, NV, FORM>(Portable, tile) }
}

/// Kernels of an ISA with 32 registers: 14 x 2 tiles.
const LARGE: usize = 28;
/// Kernels of an ISA with 16 registers: 6 x 2 tiles.
const SMALL: usize = 12;

macro_rules! table {
    ($name:ident, $t:ty, $all:expr) => {
        /// Micro-kernels of this element type, every ISA that the target knows: rows MR from 1 up, in them NV from 1 up.
        ///
        /// A static and not a constant: a constant's kernels would be compiled again in every crate that multiplies,
        /// half a minute each.
        pub(crate) static $name: [MicroKernel<$t>; $all] = {
            #[cfg(target_arch = "x86_64")]
            const AVX512: [[MicroKernel<$t>; 2]; 14] =
        entries!($t, Isa::Avx512, Avx512, avx512, [1 2], [1 2 3 4 5 6 7 8 9 10 11 12 13 14]);
            #[cfg(target_arch = "x86_64")]
    const AVX2: [[MicroKernel<$t>; 2]; 6] = entries!($t, Isa::Avx2, Avx2, avx2, [1 2], [1 2 3 4 5 6]);
            const PORTABLE: [[MicroKernel<$t>; 2]; 14] =
        entries!($t, Isa::Portable, Portable, portable, [1 2], [1 2 3 4 5 6 7 8 9 10 11 12 13 14]);
            join(&[
                #[cfg(target_arch = "x86_64")]
                AVX512.as_flattened(),
                #[cfg(target_arch = "x86_64")]
                AVX2.as_flattened(),
                PORTABLE.as_flattened(),
            ])
        };
    };
}

/// Kernels in a table.
const ALL: usize = if cfg!(target_arch = "x86_64") {
    2 * LARGE + SMALL
} else {
    LARGE
};

/// One table from several.
const fn join<T: Copy, const N: usize>(parts: &[&[MicroKernel<T>]]) -> [MicroKernel<T>; N] {
    let mut all = [parts[0][0]; N];
    let (mut part, mut i, mut n) = (0, 0, 0);
    while part < parts.len() {
        while i < parts[part].len() {
            all[n] = parts[part][i];
            (i, n) = (i + 1, n + 1);
        }
        (part, i) = (part + 1, 0);
    }
    assert!(n == N);
    all
}

table!(KERNELS_F32, f32, ALL);
table!(KERNELS_F64, f64, ALL);

/// The kernels of one ISA, by tile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernels<T: 'static> {
    all: &'static [MicroKernel<T>],
    /// The largest MR.
    pub mr: usize,
    /// The largest NV.
    pub nv: usize,
    /// Elements in a vector.
    pub lanes: usize,
}

impl<T: Float> Kernels<T> {
    /// Those of `isa`; the context has made sure that the CPU has it.
    pub(crate) fn of(isa: Isa) -> Self {
        let all = match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => &T::KERNELS[..LARGE],
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => &T::KERNELS[LARGE..LARGE + SMALL],
            _ => &T::KERNELS[T::KERNELS.len() - LARGE..],
        };
        let largest = &all[all.len() - 1];
        Self {
            all,
            mr: largest.mr,
            nv: largest.nv,
            lanes: largest.lanes,
        }
    }

    /// Columns of the largest tile.
    pub(crate) fn nr(&self) -> usize {
        self.nv * self.lanes
    }

    /// Kernels of the fewest vectors that cover `nr` columns: that of MR rows stands at `(MR - 1) * nv`.
    pub(crate) fn column(&self, nr: usize) -> &'static [MicroKernel<T>] {
        // Lanes are a power of two: a shift and not a division, which a tile of few steps would feel.
        &self.all[(nr - 1) >> self.lanes.trailing_zeros()..]
    }

    /// The largest tile's.
    pub(crate) fn largest(&self) -> &'static MicroKernel<T> {
        &self.all[self.all.len() - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Float>() {
        for isa in Isa::available() {
            let kernels = Kernels::<T>::of(isa);
            let listed = T::KERNELS.iter().filter(|kernel| kernel.isa == isa).count();
            assert!(kernels.all.iter().all(|kernel| kernel.isa == isa) && kernels.all.len() == listed);
            for mr in 1..=kernels.mr {
                for nr in 1..=kernels.nr() {
                    let kernel = &kernels.column(nr)[(mr - 1) * kernels.nv];
                    assert!(
                        kernel.mr == mr && kernel.nr() >= nr && kernel.nr() < nr + kernels.lanes,
                        "{}",
                        kernel.id()
                    );
                }
            }
        }
    }

    #[test]
    fn the_smallest_kernel_that_covers_a_tile_is_found() {
        check::<f32>();
        check::<f64>();
    }
}
