//! The five loops round the micro-kernel, compiled once for all ISAs.
//!
//! ```text
//! for pc in k by kc
//!   for jc in columns of C by nc                  pack B's block, kc x nc: it stays in L2
//!     for ic in rows of C by mc                   pack two panels of A: they stay in L1, or are kept for the next jc
//!       for jr in the block's columns by NR       along the rows of C
//!         for ir in the block's rows by MR        the micro-kernel
//! ```
//! Threads split C in two dimensions, never k: a task is a block of rows and a run of columns. Where there are plenty of
//! row blocks, a task is one of them and packs A for itself; else A's blocks are packed first, together with B's, and
//! columns are split too. An element's sum is the same chain of FMAs whoever computes it.

use std::mem::MaybeUninit;

use super::Operand;
use super::ahead::Region;
use super::microkernel::{Ahead, Finish, PACKED, STRIDED, Tile, UNIT};
use super::plan::{Blocking, FEW_ROWS, RowPanels, Shape};
use super::table::Kernels;
use crate::context::Working;
use crate::pool::Pool;
use crate::{Activation, Context, Epilogue, Float, Isa};

/// Multiply-adds below which one thread works alone: waking a worker that spins costs about a microsecond and the two
/// barriers of a product as much again, so that two threads broke even near 100 x 100 x 100 here.
const ALONE_BELOW: usize = 1 << 20;

/// Panels of columns that are enough to share out.
const WIDE: usize = 16;

/// A product below validation: pointers, strides, sizes.
pub struct Product<'a, T: 'static> {
    pub(crate) isa: Isa,
    pub(crate) kernels: Kernels<T>,
    pub(crate) blocking: Blocking,
    pub(crate) shape: Shape,
    /// Row panels of C.
    pub(crate) rows: RowPanels,
    /// Threads worth waking, at most the pool's.
    pub(crate) threads: usize,
    /// Blocking was injected: everything is packed, so that tests reach every edge of it.
    pub(crate) forced: bool,
    /// A is copied into panels; else the kernels read it where it lies.
    pub(crate) pack_a: bool,
    /// B likewise.
    pub(crate) pack_b: bool,
    pub(crate) alpha: T,
    pub(crate) beta: T,
    pub(crate) a: Operand<'a, T>,
    pub(crate) b: Operand<'a, T>,
    pub(crate) c: *mut T,
    pub(crate) c_row: usize,
    pub(crate) c_col: usize,
    pub(crate) epilogue: &'a Epilogue<'a, T>,
}

// SAFETY: tasks write disjoint tiles of C and read the rest.
unsafe impl<T: Float> Sync for Product<'_, T> {}

/// What a product's shape and its context decide: all that a [`super::Plan`] can know before its operands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prepared<T: 'static> {
    kernels: Kernels<T>,
    blocking: Blocking,
    pub(crate) shape: Shape,
    rows: RowPanels,
    threads: usize,
    forced: bool,
}

impl<T: Float> Prepared<T> {
    /// For products of this shape on this context.
    pub(crate) fn new(ctx: &Context, shape: Shape) -> Self {
        let kernels = Kernels::of(ctx.isa());
        let injected = ctx.blocking().map(|blocking| blocking.at_least(&kernels));
        let forced = injected.is_some();
        let alone = shape.m.saturating_mul(shape.n).saturating_mul(shape.k) < ALONE_BELOW && !forced;
        Self {
            kernels,
            blocking: injected.unwrap_or_else(|| Blocking::new(shape, &kernels, ctx.caches())),
            shape,
            rows: RowPanels::new(shape.m, kernels.mr),
            threads: if alone { 1 } else { ctx.threads().get() },
            forced,
        }
    }
}

/// A pointer into scratch that tasks share; each uses its own part.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(pub *mut T);

impl<T> Shared<T> {
    /// The part from element `i` on.
    pub(crate) fn from(self, i: usize) -> *mut T {
        self.0.wrapping_add(i)
    }
}

// SAFETY: tasks write disjoint parts, or read what an earlier phase wrote.
unsafe impl<T> Sync for Shared<T> {}

/// One step of the two outer loops: columns jc.., depth pc...
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub jc: usize,
    pub nc: usize,
    pub pc: usize,
    pub kc: usize,
}

/// Row panels `first..last` of C, the columns from `col` to `end` of the step's block.
#[derive(Clone, Copy)]
pub(super) struct Part {
    /// Number of the block of rows.
    pub block: usize,
    pub first: usize,
    pub last: usize,
    pub col: usize,
    pub end: usize,
}

/// What the tasks of a product share.
#[derive(Clone, Copy)]
pub(super) struct Scratchpads<T> {
    /// Packed panels of A, and of B.
    pub a: Shared<T>,
    pub b: Shared<T>,
    /// Two tiles a worker: sums on their way through an epilogue, and what goes to a scattered C.
    pub tiles: Shared<T>,
    /// A row of column sums for each block of rows.
    pub sums: Shared<T>,
}

impl<'a, T: Float> Product<'a, T> {
    /// `C <- A B` on this context, C still to be given.
    pub(crate) fn new(ctx: &Context, shape: Shape, a: Operand<'a, T>, b: Operand<'a, T>) -> Self {
        Self::prepared(ctx, Prepared::new(ctx, shape), a, b)
    }

    /// The same, where what depends on the shape alone is known.
    pub(crate) fn prepared(ctx: &Context, prepared: Prepared<T>, a: Operand<'a, T>, b: Operand<'a, T>) -> Self {
        let Prepared {
            kernels,
            blocking,
            shape,
            rows,
            threads,
            forced,
        } = prepared;
        Self {
            isa: ctx.isa(),
            kernels,
            // What was packed before keeps its blocks.
            blocking: b.blocking().map_or(blocking, |packed| Blocking {
                mc: blocking.mc,
                ..packed
            }),
            shape,
            rows,
            threads,
            forced,
            pack_a: forced || a.matrix().is_none_or(|a| ctx.caches().packs_a(a, shape.n, &kernels)),
            pack_b: forced
                || b.matrix()
                    .is_none_or(|b| ctx.caches().packs_b(b, (shape.m, blocking.kc), &kernels)),
            alpha: T::ONE,
            beta: T::ZERO,
            a,
            b,
            c: std::ptr::null_mut(),
            c_row: 0,
            c_col: 1,
            epilogue: const { &Epilogue::none() },
        }
    }

    /// Runs it.
    pub(crate) fn run(&self, working: &mut Working) {
        let Shape { m, n, .. } = self.shape;
        if m == 0 || n == 0 {
            return self.add_sums(std::ptr::null(), 0);
        }
        let Blocking { mc, kc, nc } = self.blocking;
        let nr = self.kernels.nr();
        // Too few row blocks to keep every thread busy to the end: columns are split too.
        let both = self.threads > 1 && self.row_blocks() < 2 * self.threads;
        let threads = working.pool.threads();
        let a_room = match (self.pack_a, both || self.keeps_a()) {
            (false, _) => 0,
            (true, true) => m,
            (true, false) => threads * mc,
        };
        let b_room = if self.prepacked().is_some() {
            0
        } else {
            nc.min(n.next_multiple_of(nr))
        };
        let tiles_room = 2 * threads * self.kernels.mr * nr;
        let sums_room = self.epilogue.column_sum.as_ref().map_or(0, |_| self.row_blocks() * n);
        let tiles = working.scratch.partial.room::<T>(tiles_room + sums_room);
        let pads = Scratchpads {
            a: Shared(working.scratch.a.room::<T>(a_room * kc)),
            b: Shared(working.scratch.b.room::<T>(b_room * kc)),
            tiles: Shared(tiles),
            sums: Shared(tiles.wrapping_add(tiles_room)),
        };
        let pool = &mut working.pool;
        for step in self.steps() {
            if both {
                self.pack_both(pool, step, pads.a, pads.b);
                self.split_both(pool, step, pads);
            } else {
                self.pack_b(pool, step, pads.b);
                self.split_rows(pool, step, pads);
            }
        }
        self.add_sums(pads.sums.from(0), self.row_blocks());
    }

    /// The two outer loops. A sum over nothing is a step too.
    pub(super) fn steps(&self) -> impl Iterator<Item = Step> {
        let (Shape { n, k, .. }, Blocking { kc, nc, .. }) = (self.shape, self.blocking);
        (0..k.max(1)).step_by(kc).flat_map(move |pc| {
            (0..n).step_by(nc).map(move |jc| Step {
                jc,
                nc: nc.min(n - jc),
                pc,
                kc: kc.min(k - pc),
            })
        })
    }

    /// The epilogue's column sums, from those of `blocks` blocks of rows, in their order.
    pub(super) fn add_sums(&self, partial: *const T, blocks: usize) {
        let Some(sums) = &self.epilogue.column_sum else { return };
        for j in 0..self.shape.n {
            let mut sum = T::ZERO;
            for block in 0..blocks {
                // SAFETY: each block has a row of n partial sums, which its tasks have written.
                sum = sum.plus(unsafe { *partial.add(block * self.shape.n + j) });
            }
            // SAFETY: n sums (`check`), exclusively borrowed for this call.
            unsafe { sums.shared_ptr().add(j).write(sum) };
        }
    }

    /// Whether A's panels are packed once a step of k and kept for the other blocks of columns.
    pub(super) fn keeps_a(&self) -> bool {
        self.shape.n > self.blocking.nc
    }

    /// Row panels of a block: all of few rows whose operands are read where they lie, so that each panel of B comes from afar once. Not
    /// where C is narrow too: threads would have nothing to share out.
    pub(super) fn in_block(&self) -> usize {
        let wide = self.shape.n >= WIDE * self.kernels.nr();
        if self.shape.m <= FEW_ROWS && wide && !self.pack_a && !self.pack_b {
            self.rows.count
        } else {
            self.blocking.mc / self.kernels.mr
        }
    }

    /// Blocks of row panels.
    pub(super) fn row_blocks(&self) -> usize {
        self.rows.count.div_ceil(self.in_block())
    }

    /// Block `i` of the row panels, over the columns from `col` to `end`.
    fn block(&self, i: usize, col: usize, end: usize) -> Part {
        let first = i * self.in_block();
        Part {
            block: i,
            first,
            last: (first + self.in_block()).min(self.rows.count),
            col,
            end,
        }
    }

    /// Columns split as well as rows: A's and B's panels are all there.
    fn split_both(&self, pool: &mut Pool, step: Step, pads: Scratchpads<T>) {
        let (nr, row_blocks) = (self.kernels.nr(), self.row_blocks());
        let panels = step.nc.div_ceil(nr);
        // Several runs of columns a thread: the last one to finish is then a small part of the whole.
        let runs = (4 * self.threads).div_ceil(row_blocks).min(panels);
        self.each(pool, row_blocks * runs, |task, worker| {
            let (block, run) = (task / runs, task % runs);
            let end = ((run + 1) * panels / runs * nr).min(step.nc);
            let part = self.block(block, run * panels / runs * nr, end);
            let packed = pads.a.from(self.rows.start(part.first) * step.kc);
            self.part(step, part, packed, pads, self.tile_of(pads.tiles, worker));
        });
    }

    /// A task is a block of rows.
    fn split_rows(&self, pool: &mut Pool, step: Step, pads: Scratchpads<T>) {
        self.each(pool, self.row_blocks(), |block, worker| {
            let part = self.block(block, 0, step.nc);
            let own = if self.keeps_a() {
                pads.a.from(self.rows.start(part.first) * step.kc)
            } else {
                pads.a.from(worker * self.blocking.mc * self.blocking.kc)
            };
            if self.pack_a && (step.jc == 0 || !self.keeps_a()) {
                self.pack_rows(step, (part.first, part.last), part.first, own);
            }
            self.part(step, part, own, pads, self.tile_of(pads.tiles, worker));
        });
    }

    /// Scratch for two tiles of one worker: sums on their way through an epilogue, and what goes to a scattered C.
    fn tile_of(&self, tiles: Shared<T>, worker: usize) -> *mut T {
        tiles.from(2 * worker * self.kernels.mr * self.kernels.nr())
    }

    /// Runs tasks on as many threads as are worth it.
    pub(crate) fn each(&self, pool: &mut Pool, tasks: usize, task: impl Fn(usize, usize) + Sync) {
        if self.threads == 1 {
            for i in 0..tasks {
                task(i, 0);
            }
        } else {
            pool.run_by_worker(tasks, &task);
        }
    }

    /// The two inner loops.
    pub(super) fn part(&self, step: Step, part: Part, a: *const T, pads: Scratchpads<T>, tile: *mut T) {
        let nr = self.kernels.nr();
        let first = step.pc == 0;
        let last = step.pc + step.kc >= self.shape.k;
        let beta = if first { self.beta } else { T::ONE };
        let on_tile = last && self.epilogue.is_long();
        let block_of_b = self.block_of_b(step, pads.b);
        // Where A and B lie, if they aren't packed.
        let a_in_place = self.a.matrix().filter(|_| !self.pack_a);
        let b_in_place = self.b.matrix().filter(|_| !self.pack_b);
        let form = match (a_in_place, b_in_place) {
            (None, None) => PACKED,
            (Some(a), _) if a.row_stride() != 1 => STRIDED,
            _ => UNIT,
        };
        let (a_origin, a_row, a_col) = match a_in_place {
            None => (a, 1, 0),
            Some(a) => (
                a.as_ptr().wrapping_add(step.pc * a.col_stride()),
                a.row_stride(),
                a.col_stride(),
            ),
        };
        let start = self.rows.start(part.first);
        for col in (part.col..part.end).step_by(nr) {
            let width = nr.min(part.end - col);
            let column = self.kernels.column(width);
            let (b, b_row, edge) = match b_in_place {
                Some(b) => (
                    b.as_ptr().wrapping_add(step.pc * b.row_stride() + step.jc + col),
                    b.row_stride(),
                    self.edge(step, b.row_stride(), width),
                ),
                None => {
                    let pitch = width.next_multiple_of(self.kernels.lanes);
                    (block_of_b.wrapping_add(col * step.kc), pitch, 0)
                }
            };
            let mut columns = match b_in_place {
                Some(b) if part.first == 0 => self.columns_ahead(b, step, step.jc + col + nr, part),
                _ => Region::NONE,
            };
            let sums = self.sums_of(part.block, step.jc + col, width, pads.sums, last);
            let mut row = start;
            let mut work = Tile {
                kc: step.kc,
                a: a_origin,
                a_row,
                a_col,
                b,
                b_row,
                edge,
                c: std::ptr::null_mut(),
                c_row: self.c_row,
                nr: width,
                alpha: self.alpha,
                beta,
                spill: tile,
                finish: if last { self.finish(step.jc + col) } else { Finish::NONE },
                ahead: Ahead::NONE,
            };
            let saved = work.finish.saved;
            for i in part.first..part.last {
                let height = self.rows.height(i);
                if a_in_place.is_none() {
                    work.a = a_origin.wrapping_add((row - start) * step.kc);
                    work.a_col = height;
                } else {
                    work.a = a_origin.wrapping_add(row * a_row);
                }
                if !saved.is_null() {
                    work.finish.saved = saved.wrapping_add(row * work.finish.saved_row);
                }
                let c = self.c.wrapping_add(row * self.c_row + (step.jc + col) * self.c_col);
                let at = (row, step.jc + col);
                let run = column[(height - 1) * self.kernels.nv].forms[usize::from(form)];
                row += height;
                work.ahead = columns.next();
                if self.c_col == 1 {
                    work.c = c;
                    // SAFETY: panels, C and the epilogue's operands hold this tile: validated shapes, and blocks cut
                    // from them. Tiles of different tasks are disjoint. The context has checked the ISA.
                    unsafe { run(&work) };
                    if on_tile {
                        let tile = self.epilogue.on_tile((c, self.c_row), at, (height, width), sums);
                        T::run_on(self.isa, tile);
                    }
                    continue;
                }
                let spare = tile.wrapping_add(self.kernels.mr * nr);
                let scattered = Tile {
                    c: spare,
                    c_row: nr,
                    beta: T::ZERO,
                    finish: Finish::NONE,
                    ..work
                };
                // SAFETY: as above, with a tile of scratch for C.
                unsafe { run(&scattered) };
                self.scatter((spare, sums), c, (height, width), beta, last.then_some(at));
            }
        }
    }

    /// Where the column sums of a tile go: `width` zeros in the row of its block; null where none are asked for or due.
    pub(super) fn sums_of(&self, block: usize, col: usize, width: usize, sums: Shared<T>, last: bool) -> *mut T {
        if self.epilogue.column_sum.is_none() || !last {
            return std::ptr::null_mut();
        }
        let sums = sums.from(block * self.shape.n + col);
        // SAFETY: inside the block's row of n sums; these columns of it are this task's alone.
        unsafe { std::slice::from_raw_parts_mut(sums.cast::<MaybeUninit<T>>(), width) }.fill(MaybeUninit::new(T::ZERO));
        sums
    }

    /// What the micro-kernel does of the epilogue for the tiles from column `col` on: all of it, or the bias of a long one. `saved` is
    /// that of row 0.
    pub(super) fn finish(&self, col: usize) -> Finish<T> {
        let epilogue = self.epilogue;
        let bias = epilogue
            .bias
            .map_or(std::ptr::null(), |bias| bias.as_ptr().wrapping_add(col));
        if epilogue.is_long() {
            return Finish { bias, ..Finish::NONE };
        }
        let (saved, saved_row) = epilogue.derivative.map_or((std::ptr::null(), 0), |(_, saved)| {
            (saved.as_ptr().wrapping_add(col), saved.row_stride())
        });
        Finish {
            bias,
            relu: epilogue.activation == Activation::Relu,
            saved,
            saved_row,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Threads;

    /// Few rows read where they lie are one block where C is wide, and several tasks where it is narrow and deep.
    #[test]
    fn narrow_deep_products_have_something_to_share() {
        let ctx = Context::new(Isa::Portable, Threads::one()).unwrap();
        let blocks = |n: usize, k: usize| {
            let (a, b) = (vec![0f32; 56 * k], vec![0f32; k * n]);
            let a = crate::MatRef::row_major(&a, 56, k).unwrap();
            let b = crate::MatRef::row_major(&b, k, n).unwrap();
            let mut product = Product::new(&ctx, Shape { m: 56, n, k }, a.into(), b.into());
            (product.pack_a, product.pack_b) = (false, false);
            product.row_blocks()
        };
        assert!(blocks(16, 4000) > 1);
        assert_eq!(blocks(WIDE * Kernels::<f32>::of(Isa::Portable).nr(), 64), 1);
    }
}
