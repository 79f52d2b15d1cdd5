//! Products that need neither scratch memory nor workers: small ones, and those whose operands are read where they lie.
//!
//! They run without the context's lock. Of a product of 16 x 1 x 64, locking, looking after scratch and stepping through
//! five loops of one turn each took longer than its arithmetic.

use std::mem::MaybeUninit;

use super::loops::{Part, Product, Scratchpads, Shared, Step};
use super::plan::{Blocking, Shape};
use crate::Float;

/// Elements of a packed panel that fit on the stack of a direct product.
const EDGE: usize = 2048;

/// Elements of the largest tile: 14 rows of two vectors of 16.
const LARGEST_TILE: usize = 14 * 32;

/// Bytes of A that stay in L1 beside a panel of B.
const RESIDENT: usize = 16 << 10;

impl<T: Float> Product<'_, T> {
    /// Whether it needs neither scratch nor workers: one thread, operands read where they lie (or packed before), one
    /// block of k and of columns, nothing to add up beside C. Such products run without the context's lock.
    pub(crate) fn is_direct(&self) -> bool {
        let Shape { m, n, k } = self.shape;
        let Blocking { kc, nc, .. } = self.blocking;
        let alone = self.threads == 1 && !self.forced && self.epilogue.column_sum.is_none() && m > 0 && n > 0;
        if !alone || self.pack_a && !self.is_dots() {
            return false;
        }
        if self.is_dots() {
            return self.columns_in_place().is_some();
        }
        let in_place = !self.pack_b || self.prepacked().is_some();
        in_place && k <= kc && n <= nc && self.c_col == 1 && self.edge() * k <= EDGE
    }

    /// Columns of the last panel of B, whole vectors, if it is to be packed; else 0.
    fn edge(&self) -> usize {
        match self.shape.n % self.kernels.nr() {
            rest if self.prepacked().is_none() && !rest.is_multiple_of(self.kernels.lanes) => {
                rest.next_multiple_of(self.kernels.lanes)
            }
            _ => 0,
        }
    }

    /// Runs what [`Product::is_direct`], with room on the stack.
    pub(crate) fn run_directly(&self) {
        let Shape { m, n, k } = self.shape;
        if let (true, Some(columns)) = (self.is_dots(), self.columns_in_place()) {
            return self.dots((0, m), columns, std::ptr::null_mut());
        }
        if self.edge() > 0 {
            let mut panel = [const { MaybeUninit::<T>::uninit() }; EDGE];
            let step = self.only_step();
            let panels = n.div_ceil(self.kernels.nr());
            // Where the block would begin whose last panel this is.
            let block = panel.as_mut_ptr().cast::<T>();
            let block = block.wrapping_sub((panels - 1) * self.kernels.nr() * k);
            self.pack_columns(step, (panels - 1, panels), block);
            return self.parts_directly(step, Shared(block));
        }
        self.parts_directly(self.only_step(), Shared(std::ptr::null_mut()));
    }

    /// All of a product that is one block.
    fn only_step(&self) -> Step {
        let Shape { n, k, .. } = self.shape;
        Step {
            jc: 0,
            nc: n,
            pc: 0,
            kc: k,
        }
    }

    /// All rows at once where A stays in L1 while the columns of C are walked, else block after block.
    fn parts_directly(&self, step: Step, b: Shared<T>) {
        let mut tile = [const { MaybeUninit::<T>::uninit() }; LARGEST_TILE];
        let tile = tile.as_mut_ptr().cast::<T>();
        let none = Shared(std::ptr::null_mut());
        let pads = Scratchpads {
            a: none,
            b,
            tiles: none,
            sums: none,
        };
        let Shape { m, n, k } = self.shape;
        let panels = if m * k * size_of::<T>() <= RESIDENT {
            self.rows.count
        } else {
            self.in_block()
        };
        for first in (0..self.rows.count).step_by(panels) {
            let part = Part {
                block: 0,
                first,
                last: (first + panels).min(self.rows.count),
                col: 0,
                end: n,
            };
            self.part(step, part, std::ptr::null(), pads, tile);
        }
    }
}
