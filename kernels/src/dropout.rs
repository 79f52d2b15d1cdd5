//! Dropout: each element is kept with probability 1 - p and multiplied by 1 / (1 - p), else it is 0.
//!
//! Whether an element is kept depends on (seed, step, layer, row in the whole batch, column) alone: a counter goes through a hash, no state is
//! carried along. So the way back makes the same mask again and none is stored, any number of threads gives the same bits, and a
//! batch in parts has the masks of the whole.
//!
//! - key: seed, step, layer and row, mixed one after the other by the finalizer of splitmix64 (period and avalanche of 64 bits).
//! - element: the column times an odd constant, through two rounds of a 32-bit xor-multiply hash with the key's halves; kept where the hash is at least
//!   p 2^32.
//!
//! References: 1. N. Srivastava et al., *Dropout*, JMLR 15, 2014. 2. G. Steele, D. Lea, C. Flood, *Fast Splittable Pseudorandom Number
//! Generators*, 2014 (splitmix64). 3. C. Wellons, *Prospecting for Hash Functions*, 2018 (the 32-bit constants).

use crate::elementwise::{Rows, over_rows};
use crate::simd::{Kernel, Simd};
use crate::{Context, Float, MatMut, MatRef, ShapeError};

/// What a mask depends on beside row and column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// Share of elements that become 0, in 0..1.
    pub probability: f64,
    /// The run's seed.
    pub seed: u64,
    /// The step's number.
    pub step: u64,
    /// The layer's number.
    pub layer: u64,
    /// Row of the whole batch that row 0 is.
    pub first_row: u64,
}

/// The finalizer of splitmix64.
#[inline(always)]
const fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// `key` with one more part mixed in.
#[inline(always)]
const fn mixed(key: u64, part: u64) -> u64 {
    mix(key.wrapping_add(STEP) ^ part.wrapping_mul(STEP))
}

impl Dropout {
    /// The two halves of row `i`'s key.
    #[inline(always)]
    fn key(&self, i: usize) -> (u32, u32) {
        let key = mixed(self.common_key(), self.first_row + i as u64);
        (key as u32, (key >> 32) as u32)
    }

    /// What all rows' keys begin with.
    #[inline(always)]
    fn common_key(&self) -> u64 {
        mixed(mixed(mix(self.seed.wrapping_add(STEP)), self.step), self.layer)
    }

    /// What a GPU's kernel is given: seed, step and layer mixed, and the row of the whole batch that row 0 is.
    pub fn key_words(&self) -> [u64; 2] {
        [self.common_key(), self.first_row]
    }

    /// Elements whose hash is below this are dropped.
    #[inline(always)]
    pub(crate) fn threshold(&self) -> u32 {
        (self.probability * 4_294_967_296.0) as u32
    }

    /// Whether the element at (`row`, `col`) is kept.
    pub fn keeps(&self, row: usize, col: usize) -> bool {
        hash(self.key(row), col) >= self.threshold()
    }
}

#[inline(always)]
const fn hash((low, high): (u32, u32), col: usize) -> u32 {
    let h = (col as u32).wrapping_mul(0x9e37_79b9) ^ low;
    let h = (h ^ (h >> 16)).wrapping_mul(0x21f0_aaad);
    let h = (h ^ (h >> 15)).wrapping_add(high).wrapping_mul(0x735a_2d97);
    h ^ (h >> 15)
}

/// Rows `first..first + count`.
struct Run<T> {
    dropout: Dropout,
    x: Rows<T>,
    y: Rows<T>,
    first: usize,
    count: usize,
}

impl<T: Float> Kernel<T> for Run<T> {
    type Output = ();

    /// In plain numbers: the compiler makes vectors of the ISA of it.
    #[inline(always)]
    fn run<S: Simd<T>>(self, _: S) {
        let factor = T::from_f64(1.0 / (1.0 - self.dropout.probability));
        let threshold = self.dropout.threshold();
        for i in self.first..self.first + self.count {
            let key = self.dropout.key(i);
            // SAFETY: both matrices have row i with `cols` elements, and no other task has it. They are the same or do not
            // overlap, so each element is read before it is written.
            unsafe {
                let (x, y) = (self.x.row(i), self.y.row(i));
                for j in 0..self.x.cols {
                    let kept = hash(key, j) >= threshold;
                    y.add(j).write(if kept { (*x.add(j)).times(factor) } else { T::ZERO });
                }
            }
        }
    }
}

impl Context {
    /// y = x where kept, divided by the probability of that, else 0. The derivative is the same function of dy.
    ///
    /// # Errors
    /// When shapes differ, or rows are not contiguous.
    pub fn dropout<T: Float>(
        &self,
        dropout: Dropout,
        x: MatRef<'_, T>,
        mut y: MatMut<'_, T>,
    ) -> Result<(), ShapeError> {
        let (x, y) = (Rows::of("dropout", "x", x)?, Rows::of_mut("dropout", "y", &mut y)?);
        x.same_shape("dropout", "y", &y)?;
        let isa = self.isa();
        over_rows(self, x.rows, x.cols, &|first, count| {
            T::run_on(
                isa,
                Run {
                    dropout,
                    x,
                    y,
                    first,
                    count,
                },
            );
        });
        Ok(())
    }
}
