//! What a product will do, decided before it runs: kernels, cache blocks, which operand is packed.
//!
//! # Blocking
//! The second and first caches change places against BLIS's model [1]: a block of B stays in L2, two panels of A at a
//! time pass through L1, and the innermost loop walks along the rows of C. With s bytes an element:
//! ```text
//! kc x nc x s = L2 / 2, nc = 256 where kc <= 512 allows   a block of B; C and A's source have the other half
//!                       nc = 128 where kc <= 1024 allows  on AMD
//! mc = 2 MR, MR where a panel alone overfills L1          what a thread multiplies by a block of B at once
//! ```
//! C is then touched in long runs along few rows, which the hardware's prefetcher follows and few TLB entries cover,
//! and only k / kc times in all. Measured against a block of A in L2 and a block of B in L3 (mc = 112, kc = 256, nc =
//! 4096), on a core with 2 MiB of L2: 211 to 198 GFLOP/s at 1024 cubed, 206 to 199 at 2048. A block of B that fills all
//! of L2 lost 10 percent. Deep blocks beat square ones on a core with 1 MiB (Zen 4): kc = 512, nc = 256 against 342 and
//! 352 gave 3 percent at 1024 and 2 at 1500, and k = 784 in one block against two of 392 gave 5 to 7 at 256 x 16384 x 784 and 3
//! at 128 x 8192 x 784: C is touched once. 1024 deep gave 2 more than 512 at 2048 cubed, and on Zen 5 k = 1300 and 1500 in one block 1 more
//! than two; there a single panel at a time, of 56 KiB beside an L1 of 48, gave 1 to 2 over two. Where C is wider than a block, A's
//! panels are packed once a step of k and kept for all blocks of B: packed again for each, 2048 cubed lost 5 percent.
//!
//! Blocks are evened out: with 512 at most, k = 784 makes two of 392 and not one of 512 and one of 272. They depend on shape and caches
//! alone, never on the number of threads. Rows are dealt out evenly too: m = 32 makes panels of 11, 11 and 10 rows and
//! not of 14, 14 and 4, whose sums would not cover the FMA's latency.
//!
//! # What is packed
//! An operand is copied when it is read often enough to pay for it: each panel of A is read once a panel of B and the
//! other way round. How often that is depends on the CPU. On Sapphire Rapids, A read where it lies costs the
//! micro-kernel 10 to 25 percent, and B pays from 64 rows on. Zen 4 makes a 512-bit FMA from two halves, so that loads have
//! time to spare, and stores of packed panels cost it more: nothing packed gave 98 percent of the peak at (256, 256, 784)
//! against 94 with both packed, and 97 against 93 at 256 cubed. There, A is packed only where its rows fall on each
//! other in L1, and B where it is larger than the cache that it is read from again and again. On any CPU B is packed where its rows fall
//! on each other. Zen 5, whose L1 has 12 ways, reads A in place even there (4 to 10 percent), and a B beyond L2 up to a thousand rows
//! of C (5 to 20 percent), unless a panel of it fills the sets of L2 that its rows fall into: 784 x 256 x 1024, rows 1 KiB apart, gains 18.
//!
//! [1] T. M. Low et al., "Analytical Modeling Is Enough for High-Performance BLIS", ACM TOMS 43(2), 2016.

use super::table::Kernels;
use crate::{Float, Isa, MatRef};

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

/// Caches in bytes, as the CPU claims them, and what is known of its loads; common values where it claims nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caches {
    /// The second level, of one core.
    pub l2: usize,
    /// Lines of one of its sets.
    pub l2_ways: usize,
    /// The first level's data cache.
    pub l1: usize,
    /// Lines of one of its sets.
    pub l1_ways: usize,
    /// Reading operands where they lie costs the micro-kernel next to nothing (AMD).
    pub reads_in_place: bool,
}

impl Caches {
    /// Read from CPUID (leaf 4 or its AMD twin). Odd claims are brought into a sane range: a VM may claim anything.
    pub(crate) fn detect() -> Self {
        #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut))]
        let mut found = Self {
            l2: 512 << 10,
            l2_ways: 8,
            l1: 32 << 10,
            l1_ways: 8,
            reads_in_place: false,
        };
        #[cfg(target_arch = "x86_64")]
        {
            let cpu = raw_cpuid::CpuId::new();
            found.reads_in_place = cpu
                .get_vendor_info()
                .is_some_and(|vendor| vendor.as_str() == "AuthenticAMD");
            for cache in cpu.get_cache_parameters().into_iter().flatten() {
                let ways = cache.associativity() * cache.physical_line_partitions();
                let size = ways * cache.coherency_line_size() * cache.sets();
                match (cache.level(), cache.cache_type()) {
                    (1, raw_cpuid::CacheType::Data) => (found.l1, found.l1_ways) = (size, ways),
                    (2, _) => (found.l2, found.l2_ways) = (size, ways),
                    _ => {}
                }
            }
        }
        found.l2 = found.l2.clamp(128 << 10, 4 << 20);
        found.l1 = found.l1.clamp(8 << 10, 1 << 20);
        found.l2_ways = found.l2_ways.clamp(1, 64);
        found
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
        let elements = caches.l2 / 2 / size_of::<T>();
        if shape.k <= 128 && shape.n * 128 <= elements {
            // One block.
            return Self {
                mc: 2 * kernels.mr,
                kc: shape.k.max(1),
                // NR is a power of two: no division.
                nc: (shape.n + kernels.nr() - 1) & !(kernels.nr() - 1),
            };
        }
        let (kc, most) = if caches.reads_in_place {
            (elements / 128, 1024)
        } else {
            (elements / 256, 512)
        };
        let kc = kc.clamp(128, most);
        // A quarter more is better than a second, shallow block; where blocks are deep, half.
        let more = if kc < 1024 { kc / 4 } else { kc / 2 };
        let kc = even(shape.k, kc + more, 1);
        let nc = even(shape.n, (elements / kc).max(kernels.nr()), kernels.nr());
        let panels = if kernels.mr * kc * size_of::<T>() > caches.l1 {
            1
        } else {
            2
        };
        Self {
            mc: panels * kernels.mr,
            kc,
            nc,
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

/// The row panels of a product: as few as MR allows, as even as can be, the higher ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowPanels {
    /// How many.
    pub count: usize,
    /// Rows of the lower ones.
    low: usize,
    /// How many have a row more.
    higher: usize,
}

impl RowPanels {
    /// Of `m` rows, at most `mr` in a panel.
    pub(crate) fn new(m: usize, mr: usize) -> Self {
        if m <= 2 * mr {
            // Without a division: a tenth of 16 x 1 x 64 else.
            let two = usize::from(m > mr);
            return Self {
                count: 1 + two,
                low: m >> two,
                higher: m & two,
            };
        }
        let count = m.div_ceil(mr).max(1);
        Self {
            count,
            low: m / count,
            higher: m % count,
        }
    }

    /// First row of panel `i`; the end of the last one at `i` = count.
    pub(crate) fn start(&self, i: usize) -> usize {
        i * self.low + i.min(self.higher)
    }

    /// Rows of panel `i`.
    pub(crate) fn height(&self, i: usize) -> usize {
        self.low + usize::from(i < self.higher)
    }
}

/// Rows of C up to which B is not worth a copy even where its rows share a set of L1.
const FEWEST_ROWS: usize = 16;

/// Rows of C up to which B is not worth a copy otherwise.
pub(crate) const FEW_ROWS: usize = 56;

/// Rows of C from which on a copy of a B larger than L2 costs less than it gains, where its panels are two lines wide.
const MANY_ROWS: usize = 1024;

/// Lines of a set of L1 that a tile's rows of A may share without harm.
const ENOUGH_WAYS: usize = 12;

impl Caches {
    /// Whether A, to be multiplied by n columns, is copied into panels first.
    pub(crate) fn packs_a<T: Float>(self, a: MatRef<'_, T>, n: usize, kernels: &Kernels<T>) -> bool {
        if a.row_stride() != 1 && a.col_stride() != 1 {
            return true;
        }
        if !self.reads_in_place {
            return n > 3 * kernels.nr();
        }
        // Rows of what lies there, A or A^T: MR of them are read side by side, or one a step of k.
        let (apart, rows, columns) = if a.row_stride() == 1 {
            (a.col_stride(), a.cols(), 2 * kernels.nr())
        } else if self.l1_ways < ENOUGH_WAYS {
            (a.row_stride(), a.rows(), kernels.nr())
        } else {
            return false;
        };
        n > columns && rows >= 8 && alias(apart * size_of::<T>())
    }

    /// Whether B, k x n, to be multiplied by m rows in steps of `kc`, is copied into panels first.
    pub(crate) fn packs_b<T: Float>(self, b: MatRef<'_, T>, (m, kc): (usize, usize), kernels: &Kernels<T>) -> bool {
        if b.col_stride() != 1 {
            return true;
        }
        let apart = b.row_stride() * size_of::<T>();
        if m > FEWEST_ROWS && b.rows() >= 16 && alias(apart) {
            return true;
        }
        if m <= FEW_ROWS {
            return false;
        }
        let beyond = |cache: usize| b.rows() * b.cols() * size_of::<T>() > cache;
        if !self.reads_in_place {
            return beyond(0);
        }
        // Rows of a panel of one line each are too short for the prefetcher to follow them from L2.
        let wide = kernels.nr() * size_of::<T>() > 64;
        self.crowds(apart, kc.min(b.rows()))
            || beyond(if wide { self.l2 } else { self.l2 / 8 }) && (!wide || m >= MANY_ROWS)
    }

    /// Whether so many rows, `apart` bytes from one to the next, leave too little of the sets of L2 that their first columns fall into.
    fn crowds(self, apart: usize, rows: usize) -> bool {
        let way = self.l2 / self.l2_ways;
        // A power of two divides both: rows fall into way / shared places, one after the other.
        let shared = 1 << apart.trailing_zeros().min(way.trailing_zeros());
        let places = (way / shared).max(1);
        4 * rows > 3 * places * self.l2_ways
    }
}

/// Whether lines so many bytes apart share one set of L1: a multiple of a page, or nearly.
fn alias(apart: usize) -> bool {
    let offset = apart % 4096;
    apart > 4096 - 32 && offset.min(4096 - offset) < 32
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
    fn row_panels_cover_every_row_once_and_are_even() {
        for mr in [1, 2, 6, 14] {
            for m in 1..100 {
                let panels = RowPanels::new(m, mr);
                assert_eq!((panels.start(0), panels.start(panels.count)), (0, m));
                assert_eq!(panels.count, m.div_ceil(mr));
                for i in 0..panels.count {
                    assert_eq!(panels.start(i) + panels.height(i), panels.start(i + 1));
                    assert!(
                        panels.height(i) <= mr && panels.height(i) + 1 >= panels.height(0),
                        "{m} by {mr}"
                    );
                }
            }
        }
    }

    #[test]
    fn blocks_are_even_whole_tiles_and_within_bounds() {
        for (isa, l2) in Isa::available()
            .into_iter()
            .flat_map(|isa| [(isa, 256 << 10), (isa, 2 << 20)])
        {
            let kernels = Kernels::<f32>::of(isa);
            for k in [1, 20, 784, 1024, 1025, 8192] {
                let caches = Caches {
                    l2,
                    l2_ways: 8,
                    l1: 32 << 10,
                    l1_ways: 8,
                    reads_in_place: false,
                };
                let b = Blocking::new::<f32>(Shape { m: 1025, n: 1031, k }, &kernels, caches);
                assert!(b.mc.is_multiple_of(kernels.mr) && b.nc.is_multiple_of(kernels.nr()));
                assert!(b.kc * b.nc * 4 <= l2 * 3 / 4, "{b:?} for {l2} bytes");
                assert!(
                    k.div_ceil(b.kc) * b.kc < k + k.div_ceil(b.kc),
                    "{k} in uneven blocks of {}",
                    b.kc
                );
            }
        }
    }
}
