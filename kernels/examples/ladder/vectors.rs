//! Steps on the vectors of an ISA: the same loops, a tile of FMAs, then prefetches of C.

use tilelab_kernels::simd::{Kernel, Simd};
use tilelab_kernels::{Float, Isa};

use crate::problem::Problem;
use crate::tiles::{Tile, five_loops};

/// Rows of the tile where a vector has 8 lanes (AVX2): 6 x 2 sums, 2 vectors of B and a broadcast fit 16 registers.
const ROWS_OF_8: usize = 6;
/// Rows where it has 16 (AVX-512 and the portable token): 14 x 2 sums and the same three fit 32.
const ROWS_OF_16: usize = 14;
/// Vectors in a row of the tile.
const NV: usize = 2;

/// A tile of sums by FMA.
pub fn fma_tile(x: &Problem, c: &mut [f32]) {
    with::<false>(x, c);
}

/// The same, asking for C's lines while the sums are made: a row a step, since all at once they take every fill buffer and
/// the panels' own lines wait behind them.
pub fn prefetch(x: &Problem, c: &mut [f32]) {
    with::<true>(x, c);
}

fn with<const PREFETCH: bool>(x: &Problem, c: &mut [f32]) {
    let isa = x.ctx.isa();
    let tile = match isa {
        Isa::Avx2 => (ROWS_OF_8, NV * 8),
        _ => (ROWS_OF_16, NV * 16),
    };
    five_loops(x, c, tile, |tile| f32::run_on(isa, Fma::<PREFETCH>(tile)));
}

struct Fma<'a, const PREFETCH: bool>(Tile<'a>);

impl<const PREFETCH: bool> Kernel<f32> for Fma<'_, PREFETCH> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<f32>>(self, s: S) {
        if S::LANES == 8 {
            tile::<S, ROWS_OF_8, PREFETCH>(s, self.0);
        } else {
            tile::<S, ROWS_OF_16, PREFETCH>(s, self.0);
        }
    }
}

#[inline(always)]
fn tile<S: Simd<f32>, const MR: usize, const PREFETCH: bool>(s: S, tile: Tile<'_>) {
    let nr = NV * S::LANES;
    assert!(tile.a.len() >= tile.kc * MR && tile.b.len() >= tile.kc * nr);
    assert!(tile.c.len() >= (MR - 1) * tile.c_row + nr);
    let (mut a, mut b, c) = (tile.a.as_ptr(), tile.b.as_ptr(), tile.c.as_mut_ptr());
    let mut sums = [[s.splat(0.0); NV]; MR];
    let mut row = c.cast_const();
    for p in 0..tile.kc {
        if PREFETCH && p < MR {
            (0..NV).for_each(|j| s.prefetch(row.wrapping_add(j * S::LANES)));
            row = row.wrapping_add(tile.c_row);
        }
        // SAFETY: step p of kc in both panels, whose lengths were asserted.
        unsafe {
            let mut b_row = [s.splat(0.0); NV];
            for (j, v) in b_row.iter_mut().enumerate() {
                *v = s.load(b.add(j * S::LANES));
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let x = s.splat(*a.add(i));
                for (sum, b) in sums.iter_mut().zip(b_row) {
                    *sum = s.mul_add(x, b, *sum);
                }
            }
            (a, b) = (a.add(MR), b.add(nr));
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        for (j, sum) in sums.iter().enumerate() {
            // SAFETY: row i of MR and vector j of NV of the tile, inside C as asserted.
            unsafe {
                let c = c.add(i * tile.c_row + j * S::LANES);
                s.store(c, s.add(s.load(c), *sum));
            }
        }
    }
}
