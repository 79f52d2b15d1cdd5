//! The five loops round the micro-kernel, compiled once for all ISAs.
//!
//! ```text
//! for jc in columns of C by nc
//!   for pc in k by kc                             pack B's block, kc x nc: it stays in L2
//!     for ic in rows of C by mc                   pack two panels of A: they stay in L1
//!       for jr in the block's columns by NR       along the rows of C
//!         for ir in the block's rows by MR        the micro-kernel
//! ```
//! Threads split C in two dimensions, never k: a task is a block of rows and a run of columns. Where there are plenty of
//! row blocks, a task is one of them and packs A for itself; else A's blocks are packed first, together with B's, and
//! columns are split too. An element's sum is the same chain of FMAs whoever computes it.

use super::microkernel::{Finish, PACKED, STRIDED, Tile, UNIT};
use super::pack::{Panel, Panels, TOGETHER};
use super::plan::{Blocking, RowPanels, Shape};
use super::table::Kernels;
use crate::context::Working;
use crate::pool::Pool;
use crate::{Activation, Epilogue, Float, Isa, MatRef};

/// A product below validation: pointers, strides, sizes.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a, T: 'static> {
    pub isa: Isa,
    pub kernels: Kernels<T>,
    pub blocking: Blocking,
    pub shape: Shape,
    /// Row panels of C.
    pub rows: RowPanels,
    /// Threads worth waking, at most the pool's.
    pub threads: usize,
    /// Blocking was injected: everything is packed, so that tests reach every edge of it.
    pub forced: bool,
    /// A is copied into panels; else the kernels read it where it lies.
    pub pack_a: bool,
    /// B likewise (its last, narrow panel always is).
    pub pack_b: bool,
    pub alpha: T,
    pub beta: T,
    pub a: MatRef<'a, T>,
    pub b: MatRef<'a, T>,
    pub c: *mut T,
    pub c_row: usize,
    pub c_col: usize,
    pub epilogue: Epilogue<'a, T>,
}

// SAFETY: tasks write disjoint tiles of C and read the rest.
unsafe impl<T: Float> Sync for Product<'_, T> {}

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
struct Step {
    jc: usize,
    nc: usize,
    pc: usize,
    kc: usize,
}

/// Row panels `first..last` of C, the columns from `col` to `end` of the step's block.
#[derive(Clone, Copy)]
struct Part {
    first: usize,
    last: usize,
    col: usize,
    end: usize,
}

impl<T: Float> Product<'_, T> {
    /// Runs it.
    pub(crate) fn run(&self, working: &mut Working) {
        let Shape { m, n, k } = self.shape;
        if m == 0 || n == 0 {
            return;
        }
        let Blocking { mc, kc, nc } = self.blocking;
        let nr = self.kernels.nr();
        // Too few row blocks to keep every thread busy to the end: columns are split too.
        let both = self.threads > 1 && self.row_blocks() < 2 * self.threads;
        let threads = working.pool.threads();
        let a_room = match (self.pack_a, both) {
            (false, _) => 0,
            (true, true) => m,
            (true, false) => threads * mc,
        };
        let packed_a = Shared(working.scratch.a.room::<T>(a_room * kc));
        let packed_b = Shared(working.scratch.b.room::<T>(nc.min(n.next_multiple_of(nr)) * kc));
        let tiles = Shared(working.scratch.partial.room::<T>(2 * threads * self.kernels.mr * nr));
        let pool = &mut working.pool;
        for jc in (0..n).step_by(nc) {
            let mut pc = 0;
            loop {
                let step = Step {
                    jc,
                    nc: nc.min(n - jc),
                    pc,
                    kc: kc.min(k - pc),
                };
                if both {
                    self.pack_both(pool, step, packed_a, packed_b);
                    self.split_both(pool, step, packed_a, packed_b, tiles);
                } else {
                    self.pack_b(pool, step, packed_b);
                    self.split_rows(pool, step, packed_a, packed_b, tiles);
                }
                pc += kc;
                if pc >= k {
                    break;
                }
            }
        }
    }

    /// Row panels of a block.
    fn in_block(&self) -> usize {
        self.blocking.mc / self.kernels.mr
    }

    /// Blocks of row panels.
    fn row_blocks(&self) -> usize {
        self.rows.count.div_ceil(self.in_block())
    }

    /// Block `i` of the row panels, over the columns from `col` to `end`.
    fn block(&self, i: usize, col: usize, end: usize) -> Part {
        let first = i * self.in_block();
        Part {
            first,
            last: (first + self.in_block()).min(self.rows.count),
            col,
            end,
        }
    }

    /// Columns split as well as rows: A's and B's panels are all there.
    fn split_both(&self, pool: &mut Pool, step: Step, a: Shared<T>, b: Shared<T>, tiles: Shared<T>) {
        let (nr, row_blocks) = (self.kernels.nr(), self.row_blocks());
        let panels = step.nc.div_ceil(nr);
        // Several runs of columns a thread: the last one to finish is then a small part of the whole.
        let runs = (4 * self.threads).div_ceil(row_blocks).min(panels);
        self.each(pool, row_blocks * runs, |task, worker| {
            let (block, run) = (task / runs, task % runs);
            let end = ((run + 1) * panels / runs * nr).min(step.nc);
            let part = self.block(block, run * panels / runs * nr, end);
            let packed = a.from(self.rows.start(part.first) * step.kc);
            self.part(step, part, packed, b.from(0), self.tile_of(tiles, worker));
        });
    }

    /// A task is a block of rows.
    fn split_rows(&self, pool: &mut Pool, step: Step, a: Shared<T>, b: Shared<T>, tiles: Shared<T>) {
        self.each(pool, self.row_blocks(), |block, worker| {
            let part = self.block(block, 0, step.nc);
            let own = a.from(worker * self.blocking.mc * self.blocking.kc);
            if self.pack_a {
                self.pack(part.first, part.last, |i| self.row_panel(step, i, part.first, own));
            }
            self.part(step, part, own, b.from(0), self.tile_of(tiles, worker));
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

    /// Row panel `i`, to be packed where panel `first` begins at `to`.
    fn row_panel(&self, step: Step, i: usize, first: usize, to: *mut T) -> Panel<T> {
        let (row, height) = (self.rows.start(i), self.rows.height(i));
        let (line, along) = (self.a.row_stride(), self.a.col_stride());
        Panel {
            from: self.a.as_ptr().wrapping_add(row * line + step.pc * along),
            line,
            step: along,
            width: height,
            depth: step.kc,
            to: to.wrapping_add((row - self.rows.start(first)) * step.kc),
            pitch: height,
        }
    }

    /// Column panel `j` of B's block, padded to whole vectors, to be packed.
    fn column_panel(&self, step: Step, j: usize, block: *mut T) -> Panel<T> {
        let nr = self.kernels.nr();
        let col = j * nr;
        let width = nr.min(step.nc - col);
        let (line, along) = (self.b.col_stride(), self.b.row_stride());
        Panel {
            from: self.b.as_ptr().wrapping_add((step.jc + col) * line + step.pc * along),
            line,
            step: along,
            width,
            depth: step.kc,
            to: block.wrapping_add(col * step.kc),
            pitch: width.next_multiple_of(self.kernels.lanes),
        }
    }

    /// Packs panels `first..end`, [`TOGETHER`] at a time.
    fn pack(&self, first: usize, end: usize, panel: impl Fn(usize) -> Panel<T>) {
        let mut from = first;
        while from < end {
            let count = TOGETHER.min(end - from);
            let mut panels = [panel(from); TOGETHER];
            for (i, slot) in panels.iter_mut().enumerate().take(count) {
                *slot = panel(from + i);
            }
            T::run_on(self.isa, Panels(&panels[..count]));
            from += count;
        }
    }

    /// Whether column panel `j` is read from packed memory.
    fn is_packed(&self, step: Step, j: usize) -> bool {
        self.pack_b
            || !(step.nc - j * self.kernels.nr()).is_multiple_of(self.kernels.lanes)
                && (j + 1) * self.kernels.nr() > step.nc
    }

    /// The first of B's panels that is packed.
    fn first_packed(&self, step: Step) -> usize {
        let panels = step.nc.div_ceil(self.kernels.nr());
        match (self.pack_b, self.is_packed(step, panels - 1)) {
            (true, _) => 0,
            (false, true) => panels - 1,
            (false, false) => panels,
        }
    }

    fn pack_b(&self, pool: &mut Pool, step: Step, b: Shared<T>) {
        let (first, panels) = (self.first_packed(step), step.nc.div_ceil(self.kernels.nr()));
        self.each(pool, (panels - first).div_ceil(TOGETHER), |task, _| {
            let from = first + task * TOGETHER;
            self.pack(from, panels.min(from + TOGETHER), |j| {
                self.column_panel(step, j, b.from(0))
            });
        });
    }

    fn pack_both(&self, pool: &mut Pool, step: Step, a: Shared<T>, b: Shared<T>) {
        let (first, panels) = (self.first_packed(step), step.nc.div_ceil(self.kernels.nr()));
        // Small tasks here: this phase is short, and its end is waited for. Half a group of panels each.
        let group = TOGETHER / 2;
        let of_b = (panels - first).div_ceil(group);
        let of_a = if self.pack_a {
            self.rows.count.div_ceil(group)
        } else {
            0
        };
        self.each(pool, of_a + of_b, |task, _| {
            if task >= of_a {
                let from = first + (task - of_a) * group;
                self.pack(from, panels.min(from + group), |j| {
                    self.column_panel(step, j, b.from(0))
                });
            } else {
                let end = self.rows.count.min((task + 1) * group);
                self.pack(task * group, end, |i| self.row_panel(step, i, 0, a.from(0)));
            }
        });
    }

    /// The two inner loops.
    fn part(&self, step: Step, part: Part, a: *const T, b: *const T, tile: *mut T) {
        let nr = self.kernels.nr();
        let first = step.pc == 0;
        let last = step.pc + step.kc >= self.shape.k;
        let beta = if first { self.beta } else { T::ONE };
        let long = self.epilogue.is_long();
        for col in (part.col..part.end).step_by(nr) {
            let width = nr.min(part.end - col);
            let column = self.kernels.column(width);
            let (b, b_row) = if self.is_packed(step, col / nr) {
                (
                    b.wrapping_add(col * step.kc),
                    width.next_multiple_of(self.kernels.lanes),
                )
            } else {
                let from = self
                    .b
                    .as_ptr()
                    .wrapping_add(step.pc * self.b.row_stride() + step.jc + col);
                (from, self.b.row_stride())
            };
            let (row_stride, col_stride) = (self.a.row_stride(), self.a.col_stride());
            let form = match (self.pack_a, self.is_packed(step, col / nr)) {
                (true, true) => PACKED,
                (false, _) if row_stride != 1 => STRIDED,
                _ => UNIT,
            };
            let mut row = self.rows.start(part.first);
            let mut packed = a;
            for i in part.first..part.last {
                let height = self.rows.height(i);
                let (a, a_row, a_col) = if self.pack_a {
                    (packed, 1, height)
                } else {
                    let from = self.a.as_ptr().wrapping_add(row * row_stride + step.pc * col_stride);
                    (from, row_stride, col_stride)
                };
                packed = packed.wrapping_add(height * step.kc);
                let c = self.c.wrapping_add(row * self.c_row + (step.jc + col) * self.c_col);
                let finish = if last {
                    self.finish(row, step.jc + col)
                } else {
                    Finish::NONE
                };
                let (kc, c_row, alpha) = (step.kc, self.c_row, self.alpha);
                let mut work = Tile {
                    kc,
                    a,
                    a_row,
                    a_col,
                    b,
                    b_row,
                    c,
                    c_row,
                    nr: width,
                    alpha,
                    beta,
                    spill: tile,
                    finish,
                };
                let kernel = &column[(height - 1) * self.kernels.nv];
                let run = kernel.forms[usize::from(form)];
                if self.c_col == 1 {
                    // SAFETY: panels, C and the epilogue's operands hold this tile: validated shapes, and blocks cut
                    // from them. Tiles of different tasks are disjoint. The context has checked the ISA.
                    unsafe { run(&work) };
                    if last && long {
                        let at = (row, step.jc + col);
                        T::run_on(self.isa, self.epilogue.on_tile(c, c_row, at, (height, width)));
                    }
                    row += height;
                    continue;
                }
                let spare = tile.wrapping_add(self.kernels.mr * nr);
                (work.c, work.c_row, work.beta, work.finish) = (spare, nr, T::ZERO, Finish::NONE);
                // SAFETY: as above, with a tile of scratch for C.
                unsafe { run(&work) };
                self.scatter(spare, c, (height, width), beta, last.then_some((row, step.jc + col)));
                row += height;
            }
        }
    }

    /// What the micro-kernel does of the epilogue for the tile at (row, col): all of it, or the bias of a long one.
    fn finish(&self, row: usize, col: usize) -> Finish<T> {
        let epilogue = &self.epilogue;
        let bias = epilogue
            .bias
            .map_or(std::ptr::null(), |bias| bias.as_ptr().wrapping_add(col));
        if epilogue.is_long() {
            return Finish { bias, ..Finish::NONE };
        }
        let (saved, saved_row) = epilogue.derivative.map_or((std::ptr::null(), 0), |(_, saved)| {
            (
                saved.as_ptr().wrapping_add(row * saved.row_stride() + col),
                saved.row_stride(),
            )
        });
        Finish {
            bias,
            relu: epilogue.activation == Activation::Relu,
            saved,
            saved_row,
        }
    }

    /// A tile of scratch goes to a C whose columns are not neighbours, element by element; `epilogue_at` names the
    /// tile's place where its epilogue is due.
    fn scatter(&self, tile: *mut T, c: *mut T, used: (usize, usize), beta: T, epilogue_at: Option<(usize, usize)>) {
        let nr = self.kernels.nr();
        let place = |i: usize, j: usize| {
            (
                tile.wrapping_add(i * nr + j),
                c.wrapping_add(i * self.c_row + j * self.c_col),
            )
        };
        let bias = epilogue_at.and_then(|(_, col)| Some(&self.epilogue.bias?[col..]));
        for i in 0..used.0 {
            for j in 0..used.1 {
                let (tile, c) = place(i, j);
                // SAFETY: inside the tile of scratch, and inside the tile of C that this task alone writes.
                unsafe {
                    if beta != T::ZERO {
                        *tile = (*tile).plus(beta.times(c.read()));
                    }
                    if let Some(bias) = bias {
                        *tile = (*tile).plus(bias[j]);
                    }
                }
            }
        }
        if let Some(at) = epilogue_at
            && self.epilogue.has_function()
        {
            T::run_on(self.isa, self.epilogue.on_tile(tile, nr, at, used));
        }
        for i in 0..used.0 {
            for j in 0..used.1 {
                let (tile, c) = place(i, j);
                // SAFETY: as above.
                unsafe { c.write(tile.read()) };
            }
        }
    }
}
