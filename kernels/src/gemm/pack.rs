//! Packing: a block of an operand copied into panels that a micro-kernel reads straight through.
//!
//! Both operands are packed by one rule. A panel is `width` lines (rows of A, columns of B) taken side by side, step
//! after step of k; `pitch` elements from one step to the next, zero from `width` to `pitch`:
//! ```text
//! lines            panel
//! 0: 00 01 02 ..   00 10 20 .. | 01 11 21 .. | 02 12 22 ..
//! 1: 10 11 12 ..   <- pitch -> |
//! 2: 20 21 22 ..
//! ```
//! Where lines are neighbours in memory (A^T, row-major B) a step is copied; where steps are (row-major A, B^T) blocks
//! of LANES x LANES are transposed in registers; else elements are copied one by one.

use crate::Float;
use crate::simd::{Block, Kernel, Simd, Target};

/// One panel to be packed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Panel<T> {
    /// Line 0, step 0.
    pub from: *const T,
    /// Elements from one line to the next.
    pub line: usize,
    /// Elements from one step of k to the next.
    pub step: usize,
    /// Lines.
    pub width: usize,
    /// Steps.
    pub depth: usize,
    /// Where it goes: `depth * pitch` elements.
    pub to: *mut T,
    /// Elements from one step to the next there; at least `width`.
    pub pitch: usize,
}

/// Neighbouring panels of one operand, packed together: where lines are neighbours, a step of all of them is one long
/// read, which the hardware's prefetcher follows; panel by panel the same memory is read in pieces of 128 bytes, at
/// three times the cost once it comes from L3.
pub(crate) struct Panels<'a, T>(pub &'a [Panel<T>]);

/// Steps that are asked for in advance: rows are too short for the hardware to get far ahead in them. A fifth less time
/// from L3 with 2 than without; 4 made all of 128 x 8192 x 784 5 percent faster than 2 on Zen 5, 8 lost where rows are a page apart.
const AHEAD: usize = 4;

/// Panels packed together, at most.
pub(crate) const TOGETHER: usize = 16;

impl<T: Float> Kernel<T> for Panels<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let Some(first) = self.0.first() else { return };
        for p in 0..if first.line == 1 { first.depth } else { 0 } {
            for panel in self.0 {
                let ahead = panel.from.wrapping_add((p + AHEAD) * panel.step);
                s.prefetch(ahead);
                s.prefetch(ahead.wrapping_add(S::LANES));
                // SAFETY: as in `each`.
                unsafe { panel.copy(s, p) };
            }
        }
        if first.line != 1 {
            for panel in self.0 {
                panel.each(s);
            }
        }
    }
}

impl<T: Float> Panel<T> {
    /// Vector by vector of lines, the last vector first: what it writes beyond its step belongs to the next step's first
    /// lines, which are written after it.
    #[inline(always)]
    fn each<S: Simd<T>>(&self, s: S) {
        for line in (0..self.pitch).step_by(S::LANES).rev() {
            let keep = (self.pitch - line).min(S::LANES);
            let width = self.width.saturating_sub(line).min(S::LANES);
            // SAFETY: lines `line .. line + width` of the operand, elements `line .. line + keep` of every step of the
            // panel: `loops` made both from checked shapes.
            unsafe {
                if self.step == 1 {
                    self.transpose(s, line, width, keep);
                } else {
                    self.gather(line, width, keep);
                }
            }
        }
    }

    /// Step `p`, its lines side by side.
    #[inline(always)]
    unsafe fn copy<S: Simd<T>>(&self, s: S, p: usize) {
        let (from, to) = (
            self.from.wrapping_add(p * self.step),
            self.to.wrapping_add(p * self.pitch),
        );
        let mut line = 0;
        // SAFETY: `width` elements are read and `pitch` written, the caller's promise.
        unsafe {
            while line + S::LANES <= self.width {
                s.store(to.add(line), s.load(from.add(line)));
                line += S::LANES;
            }
            while line < self.pitch {
                let (read, write) = (self.width.saturating_sub(line), self.pitch - line);
                let x = s.load_masked(from.wrapping_add(line), s.first(read));
                // What goes beyond this step is written again with the next one.
                if p * self.pitch + line + S::LANES <= self.depth * self.pitch {
                    s.store(to.add(line), x);
                } else {
                    s.store_masked(to.add(line), s.first(write), x);
                }
                line += S::LANES;
            }
        }
    }

    /// LANES steps at a time.
    #[inline(always)]
    unsafe fn transpose<S: Simd<T>>(&self, s: S, line: usize, width: usize, keep: usize) {
        let end = self.to.wrapping_add(self.depth * self.pitch);
        let mut p = 0;
        while p < self.depth {
            let cols = (self.depth - p).min(S::LANES);
            let data = self.from.wrapping_add(line * self.line + p);
            // SAFETY: `width` lines of `cols` steps are read, `cols` steps written, the caller's promise.
            unsafe {
                let block = Block {
                    data,
                    row: self.line,
                    rows: width,
                    cols,
                };
                let to = self.to.add(p * self.pitch + line);
                s.transpose(block, Target::in_panel(to, self.pitch, keep, S::LANES, end));
            }
            p += S::LANES;
        }
    }

    /// One by one.
    #[inline(always)]
    unsafe fn gather(&self, line: usize, width: usize, keep: usize) {
        for p in 0..self.depth {
            for i in 0..keep {
                // SAFETY: line `line + i` and step `p` lie in the operand where i < width, and in the panel.
                unsafe {
                    let x = if i < width {
                        self.from.add((line + i) * self.line + p * self.step).read()
                    } else {
                        T::ZERO
                    };
                    self.to.add(p * self.pitch + line + i).write(x);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    fn check<T: Float>(isa: Isa) {
        for (width, pitch, depth) in [
            (1, 1, 1),
            (5, 8, 3),
            (14, 14, 33),
            (6, 6, 40),
            (32, 32, 17),
            (17, 32, 5),
            (10, 16, 16),
        ] {
            for (line, step) in [(1, width + 2), (depth + 3, 1), (2 * depth + 1, 2)] {
                let len = (width - 1) * line + (depth - 1) * step + 1;
                let from: Vec<T> = (0..len).map(|i| T::from_f64(i as f64 + 1.0)).collect();
                let guard = T::from_f64(-7.0);
                let mut to = vec![guard; depth * pitch + 1];
                let panel = Panel {
                    from: from.as_ptr(),
                    line,
                    step,
                    width,
                    depth,
                    to: to.as_mut_ptr(),
                    pitch,
                };
                T::run_on(isa, Panels(&[panel]));
                for p in 0..depth {
                    for i in 0..pitch {
                        let expected = if i < width { from[i * line + p * step] } else { T::ZERO };
                        assert_eq!(
                            to[p * pitch + i],
                            expected,
                            "{isa} {width}/{pitch}x{depth} strides {line}, {step}: ({i}, {p})"
                        );
                    }
                }
                assert_eq!(to[depth * pitch], guard);
            }
        }
    }

    #[test]
    fn panels_hold_every_element_once_padded_with_zeros_and_nothing_beyond() {
        for isa in Isa::available() {
            check::<f32>(isa);
            check::<f64>(isa);
        }
    }
}
