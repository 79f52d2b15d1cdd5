//! What a product will do, decided before it runs: kernels, cache blocks, which operand is packed.
//!
//! # Blocking
//! With s bytes an element (BLIS's analytical model [1], rounded to what was measured here):
//! ```text
//! kc   a panel of B (kc x NR) takes two thirds of L1d; the panel of A streams through the rest
//! mc   a block of A (mc x kc) takes a quarter of L2: B's panels and C pass through it too
//! nc   a block of B (kc x nc) takes L2's other half, or L3 where it is claimed and larger
//! ```
//! Blocks are then evened out: k = 784 with kc up to 384 makes three of 262 and not two of 384 and a rest of 16. They
//! depend on shape and caches alone, never on the number of threads.
//!
//! [1] T. M. Low et al., "Analytical Modeling Is Enough for High-Performance BLIS", ACM TOMS 43(2), 2016.

use super::table::Kernels;
use crate::{Float, Isa};

/// Cache blocks, in elements. Can be injected with [`crate::Context::with_blocking`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocking {
    /// Rows of a packed block of A.
    pub mc: usize,
    /// Depth of packed blocks.
    pub kc: usize,
    /// Columns of a packed block of B.
    pub nc: usize,
}

/// Sizes of a product: C is m x n, the sum runs over k.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
}

/// Data caches in bytes, as the CPU claims them; common sizes where it claims nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caches {
    pub l1: usize,
    pub l2: usize,
    pub l3: usize,
}

impl Caches {
    /// Read from CPUID (leaf 4 or its AMD twin). Odd claims are brought into a sane range: a VM may claim anything.
    pub(crate) fn detect() -> Self {
        let mut found = Self {
            l1: 32 << 10,
            l2: 512 << 10,
            l3: 4 << 20,
        };
        #[cfg(target_arch = "x86_64")]
        if let Some(caches) = raw_cpuid::CpuId::new().get_cache_parameters() {
            for cache in caches.filter(|cache| cache.cache_type() != raw_cpuid::CacheType::Instruction) {
                let bytes = cache.associativity()
                    * cache.physical_line_partitions()
                    * cache.coherency_line_size()
                    * cache.sets();
                match cache.level() {
                    1 => found.l1 = bytes,
                    2 => found.l2 = bytes,
                    3 => found.l3 = bytes,
                    _ => {}
                }
            }
        }
        Self {
            l1: found.l1.clamp(16 << 10, 256 << 10),
            l2: found.l2.clamp(128 << 10, 8 << 20),
            // Neighbours share the last cache: what one core may count on is far less than the claim.
            l3: found.l3.clamp(1 << 20, 4 << 20),
        }
    }
}

/// `size` cut into the fewest pieces of at most `most`, as even as multiples of `unit` allow: the length of a piece.
pub(crate) fn even(size: usize, most: usize, unit: usize) -> usize {
    let pieces = size.div_ceil(most.max(1)).max(1);
    size.div_ceil(pieces).next_multiple_of(unit).max(1)
}

impl Blocking {
    /// For a product of this shape on these kernels and caches.
    pub(crate) fn new<T: Float>(shape: Shape, kernels: &Kernels<T>, caches: Caches) -> Self {
        let s = size_of::<T>();
        let kc = (caches.l1 * 2 / 3 / (kernels.nr() * s)).clamp(64, 512);
        let kc = even(shape.k, kc, 1);
        let mc = (caches.l2 / 4 / (kc * s)).clamp(kernels.mr, 4096);
        let nc = (caches.l3.max(caches.l2) / 2 / (kc * s)).clamp(kernels.nr(), 1 << 14);
        Self {
            mc: even(shape.m, mc, kernels.mr),
            kc,
            nc: even(shape.n, nc, kernels.nr()),
        }
    }

    /// Each at least one tile, and whole tiles.
    pub(crate) fn at_least<T: Float>(self, kernels: &Kernels<T>) -> Self {
        Self {
            mc: self.mc.max(1).next_multiple_of(kernels.mr),
            kc: self.kc.max(1),
            nc: self.nc.max(1).next_multiple_of(kernels.nr()),
        }
    }
}

/// Height of the next row panel where `left` rows are left: MR each, the last two sharing what is left evenly, so that
/// none is so low that its sums no longer cover the FMA's latency.
pub(crate) fn next_height(left: usize, mr: usize) -> usize {
    if left > mr && left < 2 * mr {
        left.div_ceil(2)
    } else {
        left.min(mr)
    }
}

/// Start and height of row panel `i` of a block of `rows` rows, by the rule of [`next_height`].
pub(crate) fn row_panel(rows: usize, mr: usize, i: usize) -> (usize, usize) {
    let panels = rows.div_ceil(mr);
    if rows.is_multiple_of(mr) || panels == 1 || i + 2 < panels {
        return (i * mr, mr.min(rows - i * mr));
    }
    let start = (panels - 2) * mr;
    let first = (rows - start).div_ceil(2);
    if i + 2 == panels {
        (start, first)
    } else {
        (start + first, rows - start - first)
    }
}

/// What a product does, in counts: no clock involved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// m * n * k.
    pub useful: u64,
    /// FMAs the micro-kernels issue, times lanes: columns are padded to whole vectors.
    pub issued: u64,
}

impl Work {
    /// Of a product of this shape on `isa`.
    pub fn of<T: Float>(shape: Shape, isa: Isa) -> Self {
        let lanes = Kernels::<T>::of(isa).lanes;
        let (m, n, k) = (shape.m as u64, shape.n as u64, shape.k as u64);
        Self {
            useful: m * n * k,
            issued: m * k * n.next_multiple_of(lanes as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_panels_cover_every_row_once_and_none_is_needlessly_low() {
        for mr in [1, 2, 6, 14] {
            for rows in 1usize..100 {
                let mut next = 0;
                for i in 0..rows.div_ceil(mr) {
                    let (start, height) = row_panel(rows, mr, i);
                    assert_eq!((start, height), (next, next_height(rows - next, mr)));
                    assert!(
                        (1..=mr).contains(&height) && (rows < mr || 2 * height >= mr),
                        "{rows} by {mr}: {height}"
                    );
                    next += height;
                }
                assert_eq!(next, rows);
            }
        }
    }

    #[test]
    fn blocks_are_even_whole_tiles_and_within_bounds() {
        let caches = Caches {
            l1: 32 << 10,
            l2: 512 << 10,
            l3: 4 << 20,
        };
        for isa in Isa::available() {
            let kernels = Kernels::<f32>::of(isa);
            for k in [1, 20, 784, 1024, 1025, 8192] {
                let b = Blocking::new::<f32>(Shape { m: 1025, n: 1031, k }, &kernels, caches);
                assert!(b.mc.is_multiple_of(kernels.mr) && b.nc.is_multiple_of(kernels.nr()));
                assert!(
                    b.kc * kernels.nr() * 4 <= caches.l1 && b.mc * b.kc * 4 <= caches.l2,
                    "{b:?}"
                );
                assert!(
                    k < 64 || k.div_ceil(b.kc) * b.kc < k + k.div_ceil(b.kc),
                    "{k} in uneven blocks of {}",
                    b.kc
                );
            }
        }
    }
}
