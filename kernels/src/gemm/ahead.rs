//! What is brought into the caches while tiles are computed: the columns of a B that is read where it lies.
//!
//! What comes from memory or from the third level is otherwise waited for: the first tile that reads it asks for few lines at a time, and the
//! FMAs stand still meanwhile. Each tile asks for its share, spread over its hot loop, so that the lines arrive while it computes, as those of C
//! do.

use super::microkernel::{Ahead, LINE};

/// Short rows, and how much of them has been asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Region<T> {
    from: *const T,
    rows: usize,
    /// Pairs of lines in a row.
    pairs: usize,
    /// Elements from a row to the next.
    stride: usize,
    /// Pairs of a tile's share.
    share: usize,
    /// Pairs that tiles were given, down the rows and then on to the next pair.
    given: usize,
}

impl<T> Region<T> {
    /// No memory.
    pub(super) const NONE: Self = Self {
        from: std::ptr::null(),
        rows: 0,
        pairs: 0,
        stride: 0,
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
        let pairs = (before + width).div_ceil(2 * line);
        Self {
            from,
            rows,
            pairs,
            stride,
            share: (rows * pairs).div_ceil(tiles.max(1)),
            given: 0,
        }
    }

    /// The next tile's share, or less where the rows end within it.
    #[inline]
    pub(super) fn next(&mut self) -> Ahead<T> {
        if self.given >= self.pairs * self.rows {
            return Ahead::NONE;
        }
        let (pair, row) = (self.given / self.rows, self.given % self.rows);
        let count = (self.rows - row).min(self.share);
        self.given += count;
        let line = LINE / size_of::<T>();
        Ahead {
            at: self.from.wrapping_add(row * self.stride + 2 * pair * line),
            step: self.stride,
            count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Every line of the region is asked for, and nothing far from it.
    #[test]
    fn tiles_ask_for_every_line() {
        let memory = vec![0f32; 1 << 16];
        for (rows, width, stride, tiles) in [
            (392, 32, 100, 10),
            (32, 20, 784, 40),
            (28, 32, 1040, 16),
            (1, 20, 20, 3),
        ] {
            let mut region = Region::new(memory.as_ptr(), (rows, width), stride, tiles);
            let mut lines = BTreeSet::new();
            loop {
                let ahead = region.next();
                if ahead.count == 0 {
                    break;
                }
                for step in 0..ahead.count {
                    let at = (ahead.at.addr() + 4 * step * ahead.step - memory.as_ptr().addr()) / 4;
                    lines.extend([at, at + 16]);
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
            assert!(lines.iter().all(|&line| line < rows * stride + width + 48));
        }
    }
}
