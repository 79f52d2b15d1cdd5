//! Which panels of a step are packed, from which operand, and by whom.

use super::Operand;
use super::ahead::Region;
use super::loops::{Part, Product, Shared, Step};
use super::operand::BytePanel;
use super::pack::{Panel, Panels, TOGETHER};
use crate::pool::Pool;
use crate::{Float, MatRef};

/// Steps from which on a panel of B is worth asking for.
pub(super) const DEEP: usize = 128;

impl<T: Float> Product<'_, T> {
    /// Packs row panels `first..end` of A; panel `base` begins at `to`.
    pub(super) fn pack_rows(&self, step: Step, (first, end): (usize, usize), base: usize, to: *mut T) {
        let place = |i: usize| to.wrapping_add((self.rows.start(i) - self.rows.start(base)) * step.kc);
        match self.a {
            Operand::Matrix(a) => self.pack(first, end, |i| {
                let (line, along) = (a.row_stride(), a.col_stride());
                Panel {
                    from: a.as_ptr().wrapping_add(self.rows.start(i) * line + step.pc * along),
                    line,
                    step: along,
                    width: self.rows.height(i),
                    depth: step.kc,
                    to: place(i),
                    pitch: self.rows.height(i),
                }
            }),
            Operand::Bytes(bytes) => {
                for i in first..end {
                    let panel = BytePanel {
                        bytes,
                        lines_are_rows: bytes.runs_along_rows(),
                        line: self.rows.start(i),
                        step: step.pc,
                        width: self.rows.height(i),
                        depth: step.kc,
                        to: place(i),
                        pitch: self.rows.height(i),
                    };
                    T::run_on(self.isa, panel);
                }
            }
            // Refused by `validate`.
            Operand::Packed(_) => {}
        }
    }

    /// Packs column panels `first..end` of B's block, each padded to whole vectors.
    pub(super) fn pack_columns(&self, step: Step, (first, end): (usize, usize), block: *mut T) {
        let nr = self.kernels.nr();
        let width = |j: usize| nr.min(step.nc - j * nr);
        let place = |j: usize| block.wrapping_add(j * nr * step.kc);
        match self.b {
            Operand::Matrix(b) => self.pack(first, end, |j| {
                let (line, along) = (b.col_stride(), b.row_stride());
                Panel {
                    from: b.as_ptr().wrapping_add((step.jc + j * nr) * line + step.pc * along),
                    line,
                    step: along,
                    width: width(j),
                    depth: step.kc,
                    to: place(j),
                    pitch: width(j).next_multiple_of(self.kernels.lanes),
                }
            }),
            Operand::Bytes(bytes) => {
                for j in first..end {
                    let panel = BytePanel {
                        bytes,
                        lines_are_rows: !bytes.runs_along_rows(),
                        line: step.jc + j * nr,
                        step: step.pc,
                        width: width(j),
                        depth: step.kc,
                        to: place(j),
                        pitch: width(j).next_multiple_of(self.kernels.lanes),
                    };
                    T::run_on(self.isa, panel);
                }
            }
            // Nothing to do.
            Operand::Packed(_) => {}
        }
    }

    /// The panel of a B read in place that begins at column `col`, for the tiles of the panel before it to ask for: the first rows' tiles,
    /// after which it is in L2. Its rows are too short for the prefetchers to follow where they come from memory.
    pub(super) fn columns_ahead(&self, b: MatRef<'_, T>, step: Step, col: usize, part: Part) -> Region<T> {
        let width = self.kernels.nr().min(self.shape.n.saturating_sub(col));
        if width == 0 || step.kc < DEEP {
            return Region::NONE;
        }
        let from = b.as_ptr().wrapping_add(step.pc * b.row_stride() + col);
        Region::new(from, (step.kc, width), b.row_stride(), part.last - part.first)
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

    /// Last steps of this block in which `width` columns of B, padded to whole vectors, would pass B's end; its rows are `b_row` apart.
    pub(super) fn edge(&self, step: Step, b_row: usize, width: usize) -> usize {
        let over = width.next_multiple_of(self.kernels.lanes) - width;
        if over == 0 {
            return 0;
        }
        if b_row == 0 {
            // One row for all steps: each ends where B does.
            return step.kc;
        }
        // Row p of B ends (k - 1 - p) b_row elements before B does.
        let all = over.div_ceil(b_row);
        let after = self.shape.k - (step.pc + step.kc);
        all.saturating_sub(after).min(step.kc)
    }

    /// The blocks of a B that was packed before.
    pub(super) fn prepacked(&self) -> Option<*const T> {
        match self.b {
            Operand::Packed(packed) => Some(packed.as_ptr()),
            _ => None,
        }
    }

    /// Where the packed panels of B's block lie, or will.
    pub(super) fn block_of_b(&self, step: Step, scratch: Shared<T>) -> *const T {
        match self.prepacked() {
            Some(blocks) => blocks.wrapping_add(self.offset(step)),
            None => scratch.from(0),
        }
    }

    /// Elements before this step's block where all blocks of B are kept: nc and kc are those of whole blocks but at
    /// the right and lower edge, and what lies left of an edge are whole vectors.
    fn offset(&self, step: Step) -> usize {
        step.jc * self.shape.k + step.nc.next_multiple_of(self.kernels.lanes) * step.pc
    }

    /// Packs all blocks of B to `blocks`.
    pub(super) fn pack_all(&self, pool: &mut Pool, blocks: *mut T) {
        for step in self.steps() {
            self.pack_b(pool, step, Shared(blocks.wrapping_add(self.offset(step))));
        }
    }

    /// The panels of B that are to be packed now.
    fn due(&self, step: Step) -> std::ops::Range<usize> {
        let panels = step.nc.div_ceil(self.kernels.nr());
        let first = match self.pack_b {
            _ if self.prepacked().is_some() => panels,
            true => 0,
            false => panels,
        };
        first..panels
    }

    pub(super) fn pack_b(&self, pool: &mut Pool, step: Step, b: Shared<T>) {
        let due = self.due(step);
        self.each(pool, due.len().div_ceil(TOGETHER), |task, _| {
            let from = due.start + task * TOGETHER;
            self.pack_columns(step, (from, due.end.min(from + TOGETHER)), b.from(0));
        });
    }

    pub(super) fn pack_both(&self, pool: &mut Pool, step: Step, a: Shared<T>, b: Shared<T>) {
        let due = self.due(step);
        // Small tasks here: this phase is short, and its end is waited for. Half a group of panels each.
        let group = TOGETHER / 2;
        let of_b = due.len().div_ceil(group);
        let of_a = if self.pack_a && step.jc == 0 {
            self.rows.count.div_ceil(group)
        } else {
            0
        };
        self.each(pool, of_a + of_b, |task, _| {
            if task >= of_a {
                let from = due.start + (task - of_a) * group;
                self.pack_columns(step, (from, due.end.min(from + group)), b.from(0));
            } else {
                let panels = (task * group, self.rows.count.min((task + 1) * group));
                self.pack_rows(step, panels, 0, a.from(0));
            }
        });
    }
}
