//! Products that need neither scratch memory nor workers: small ones, and those whose operands are read where they lie.
//!
//! They run without the context's lock. Of a product of 16 x 1 x 64, locking, looking after scratch and stepping through
//! five loops of one turn each took longer than its arithmetic.

use std::mem::MaybeUninit;

use super::loops::{Part, Product, Scratchpads, Shared, Step};
use super::microkernel::{Ahead, STRIDED, Tile, UNIT};
use super::panels::DEEP;
use super::plan::{Blocking, Shape};
use crate::{Float, MatRef};

/// Elements of a packed B that fit on the stack of a direct product.
const ON_STACK: usize = 2048;

/// Column sums of blocks of rows that fit there too.
const SUMS: usize = 1024;

/// Elements of the largest tile: 14 rows of two vectors of 16.
const LARGEST_TILE: usize = 14 * 32;

/// Bytes of A that stay in L1 beside a panel of B.
const RESIDENT: usize = 16 << 10;

impl<T: Float> Product<'_, T> {
    /// Whether it needs neither scratch nor workers: one thread, operands read where they lie (or packed before, or a B so small that
    /// the stack has room for it), one block of k and of columns. Such products run without the context's lock.
    pub(crate) fn is_direct(&self) -> bool {
        let Shape { m, n, k } = self.shape;
        let Blocking { kc, nc, .. } = self.blocking;
        let alone = self.threads == 1 && !self.forced && m > 0 && n > 0;
        if alone && self.thin().is_some() {
            return true;
        }
        if !alone || self.pack_a && !self.is_dots() {
            return false;
        }
        if self.is_dots() {
            return self.epilogue.column_sum.is_none() && self.columns_in_place().is_some();
        }
        let sums_fit = self.epilogue.column_sum.is_none() || self.row_blocks() * n <= SUMS;
        sums_fit && k <= kc && n <= nc && self.c_col == 1 && self.packed_now() <= ON_STACK
    }

    /// Elements of B that are to be packed, whole vectors of columns.
    fn packed_now(&self) -> usize {
        if self.pack_b && self.prepacked().is_none() {
            self.shape.n.next_multiple_of(self.kernels.lanes) * self.shape.k
        } else {
            0
        }
    }

    /// Runs what [`Product::is_direct`], with room on the stack.
    pub(crate) fn run_directly(&self) {
        let Shape { m, n, .. } = self.shape;
        if let Some(operands) = self.thin() {
            return self.run_thin(operands);
        }
        if let (true, Some(columns)) = (self.is_dots(), self.columns_in_place()) {
            return self.dots((0, m), columns, std::ptr::null_mut());
        }
        if let Some((a, b)) = self.plain() {
            return self.tiles_in_place(a, b);
        }
        let step = self.only_step();
        if self.packed_now() > 0 {
            let mut block = [const { MaybeUninit::<T>::uninit() }; ON_STACK];
            let block = block.as_mut_ptr().cast::<T>();
            self.pack_columns(step, (0, n.div_ceil(self.kernels.nr())), block);
            return self.parts_directly(step, Shared(block));
        }
        self.parts_directly(step, Shared(std::ptr::null_mut()));
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

    /// The operands of a product whose tiles follow from their place alone: both read where they lie, A small enough to stay in L1, no long
    /// epilogue, nothing to ask for ahead.
    fn plain(&self) -> Option<(MatRef<'_, T>, MatRef<'_, T>)> {
        let Shape { m, k, .. } = self.shape;
        let simple = !self.pack_a && !self.pack_b && self.c_col == 1 && k < DEEP && m * k * size_of::<T>() <= RESIDENT;
        if !simple || self.epilogue.is_long() || self.epilogue.column_sum.is_some() {
            return None;
        }
        self.a.matrix().zip(self.b.matrix())
    }

    /// What [`Product::part`] does, with all that small products don't need left out: a tenth of 16 x 64 x 20.
    fn tiles_in_place(&self, a: MatRef<'_, T>, b: MatRef<'_, T>) {
        let mut tile = [const { MaybeUninit::<T>::uninit() }; LARGEST_TILE];
        let form = usize::from(if a.row_stride() == 1 { UNIT } else { STRIDED });
        let (n, nr) = (self.shape.n, self.kernels.nr());
        let step = self.only_step();
        for col in (0..n).step_by(nr) {
            let width = nr.min(n - col);
            let column = self.kernels.column(width);
            let mut work = Tile {
                kc: step.kc,
                a: a.as_ptr(),
                a_row: a.row_stride(),
                a_col: a.col_stride(),
                b: b.as_ptr().wrapping_add(col),
                b_row: b.row_stride(),
                edge: self.edge(step, b.row_stride(), width),
                c: self.c.wrapping_add(col),
                c_row: self.c_row,
                nr: width,
                alpha: self.alpha,
                beta: self.beta,
                spill: tile.as_mut_ptr().cast(),
                finish: self.finish(col),
                ahead: Ahead::NONE,
            };
            for i in 0..self.rows.count {
                let height = self.rows.height(i);
                // SAFETY: operands and C hold this tile, validated shapes. The context has checked the ISA.
                unsafe { column[(height - 1) * self.kernels.nv].forms[form](&work) };
                work.a = work.a.wrapping_add(height * work.a_row);
                work.c = work.c.wrapping_add(height * work.c_row);
                work.finish.saved = work.finish.saved.wrapping_add(height * work.finish.saved_row);
            }
        }
    }

    /// As many rows at once as stay in L1 while the columns of C are walked; where columns are summed, block after block.
    fn parts_directly(&self, step: Step, b: Shared<T>) {
        let mut tile = [const { MaybeUninit::<T>::uninit() }; LARGEST_TILE];
        let tile = tile.as_mut_ptr().cast::<T>();
        let mut sums = [const { MaybeUninit::<T>::uninit() }; SUMS];
        let sums = sums.as_mut_ptr().cast::<T>();
        let none = Shared(std::ptr::null_mut());
        let pads = Scratchpads {
            a: none,
            b,
            tiles: none,
            sums: Shared(sums),
        };
        let Shape { m, n, k } = self.shape;
        // Sums are added block by block whoever computes them, so that they have the same bits.
        let row = k.max(1) * size_of::<T>();
        let panels = if self.epilogue.column_sum.is_some() {
            self.in_block()
        } else if m * row <= RESIDENT {
            self.rows.count
        } else {
            self.in_block().max(RESIDENT / (self.kernels.mr * row))
        };
        for (block, first) in (0..self.rows.count).step_by(panels).enumerate() {
            let part = Part {
                block,
                first,
                last: (first + panels).min(self.rows.count),
                col: 0,
                end: n,
            };
            self.part(step, part, std::ptr::null(), pads, tile);
        }
        self.add_sums(sums, self.row_blocks());
    }
}
