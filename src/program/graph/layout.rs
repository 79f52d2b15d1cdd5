//! Places of nodes: each level is a grid of columns and lanes, in which no two nodes share a cell.

use std::collections::HashSet;

use super::{Part, Place};

/// Which cells are taken.
#[derive(Default)]
pub(super) struct Grid {
    taken: HashSet<(usize, usize, usize)>,
}

impl Grid {
    /// The first free cell from this one on, downwards.
    pub(super) fn take(&mut self, from: Place) -> Place {
        self.take_wide(from, 1)
    }

    /// The same for `width` cells side by side; the left one of them.
    pub(super) fn take_wide(&mut self, from: Place, width: usize) -> Place {
        let mut place = from;
        let cells = |place: Place| (0..width).map(move |i| (place.column + i, place.level, place.lane));
        while cells(place).any(|cell| self.taken.contains(&cell)) {
            place.lane += 1;
        }
        self.taken.extend(cells(place));
        place
    }
}

/// Where the middle of a node is, in cells from the left and from the top.
pub(super) fn at(part: &Part, place: Place) -> (usize, usize) {
    let above = (place.level + 1..=top(part))
        .map(|level| lanes(part, level))
        .sum::<usize>();
    (place.column, above + place.lane)
}

/// Columns and rows of cells that a part takes.
pub(super) fn extent(part: &Part) -> (usize, usize) {
    let columns = part.nodes.iter().map(|node| node.place.column + 1).max().unwrap_or(0);
    (columns, (0..=top(part)).map(|level| lanes(part, level)).sum())
}

fn top(part: &Part) -> usize {
    part.nodes.iter().map(|node| node.place.level).max().unwrap_or(0)
}

fn lanes(part: &Part, level: usize) -> usize {
    let lanes = part.nodes.iter().filter(|node| node.place.level == level);
    lanes.map(|node| node.place.lane + 1).max().unwrap_or(0)
}
