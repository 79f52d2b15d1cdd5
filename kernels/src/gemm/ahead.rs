//! What is brought into the caches while tiles are computed: the rows of A that are read, or packed, after them, and the columns
//! of a B that is read where it lies.
//!
//! What comes from memory or from the third level is otherwise waited for: packing it, or the first tile that reads it, asks for few
//! lines at a time, and the FMAs stand still meanwhile. Each tile asks for its share, spread over its hot loop, so that the lines arrive while
//! it computes, as those of C do.

use super::microkernel::Ahead;

/// Bytes of a line.
const LINE: usize = 64;

/// Rows of neighbouring elements, and how much of them has been asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Region<T> {
    from: *const T,
    rows: usize,
    /// Pairs of lines in a row, or lines where `wide`.
    lines: usize,
    /// Elements from a row to the next.
    stride: usize,
    /// Rows are long: two of them side by side, line by line; else down the rows, a pair of lines at a time.
    wide: bool,
    /// Steps of a tile's share, where not `wide`: else it is a run along two rows.
    share: usize,
    /// Steps that tiles were given.
    given: usize,
}

impl<T> Region<T> {
    /// No memory.
    pub(super) const NONE: Self = Self {
        from: std::ptr::null(),
        rows: 0,
        lines: 0,
        stride: 0,
        wide: false,
        share: 0,
        given: 0,
    };

    /// `rows` rows of `width` elements, `stride` apart, to be asked for by `tiles` tiles.
    pub(super) fn new(from: *const T, (rows, width): (usize, usize), stride: usize, tiles: usize) -> Self {
        let line = LINE / size_of::<T>();
        // Up to the line of a row's last element, wherever in a line the row begins.
        let before = match stride % line {
            0 => from.addr() / size_of::<T>() % line,
            _ => line - 1,
        };
        let lines = (before + width).div_ceil(line);
        let wide = lines > 4;
        let (steps, lines) = if wide {
            (rows.div_ceil(2) * lines, lines)
        } else {
            (rows * lines.div_ceil(2), lines.div_ceil(2))
        };
        Self {
            from,
            rows,
            lines,
            stride,
            wide,
            share: steps.div_ceil(tiles.max(1)),
            given: 0,
        }
    }

    /// The next tile's share, or less where a row, or a column of lines, ends within it.
    #[inline]
    pub(super) fn next(&mut self) -> Ahead<T> {
        let line = LINE / size_of::<T>();
        let length = if self.wide { self.lines } else { self.rows };
        let runs = if self.wide { self.rows.div_ceil(2) } else { self.lines };
        if self.given >= runs * length {
            return Ahead::NONE;
        }
        let (run, place) = (self.given / length, self.given % length);
        let count = (length - place).min(if self.wide { self.lines } else { self.share });
        self.given += count;
        if self.wide {
            let row = 2 * run;
            let at = self.from.wrapping_add(row * self.stride + place * line);
            let other = if row + 1 < self.rows { self.stride } else { 0 };
            Ahead {
                at,
                other,
                step: line,
                count,
            }
        } else {
            let at = self.from.wrapping_add(place * self.stride + 2 * run * line);
            Ahead {
                at,
                other: line,
                step: self.stride,
                count,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Every line of the region is asked for, once, and nothing far from it.
    #[test]
    fn tiles_ask_for_every_line() {
        let memory = vec![0f32; 1 << 16];
        for (rows, width, stride, tiles) in [
            (392, 32, 100, 10),
            (32, 392, 784, 40),
            (28, 512, 1025, 16),
            (1, 20, 20, 3),
            (5, 64, 70, 2),
        ] {
            let mut region = Region::new(memory.as_ptr(), (rows, width), stride, tiles);
            let mut lines = BTreeSet::new();
            loop {
                let ahead = region.next();
                if ahead.count == 0 {
                    break;
                }
                for step in 0..ahead.count {
                    for at in [ahead.at, ahead.at.wrapping_add(ahead.other)] {
                        lines.insert((at.addr() + 4 * step * ahead.step - memory.as_ptr().addr()) / 4);
                    }
                }
            }
            let asked = |element: usize| {
                lines
                    .range(..=element)
                    .next_back()
                    .is_some_and(|&line| element - line < 16)
            };
            for row in 0..rows {
                assert!((0..width).all(|j| asked(row * stride + j)), "{rows} x {width}");
            }
            assert!(lines.iter().all(|&line| line < rows * stride + width + 32));
        }
    }
}
