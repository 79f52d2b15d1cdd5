//! The linear regions of a network on a plane, as far as a grid of points sees them.

use std::collections::BTreeMap;

use tilelab_kernels::Context;

use super::{Failure, Net, SPAN};
use crate::measure::Picture;

/// Colours that a picture has.
const COLOURS: u8 = 6;

/// Regions of a network with two inputs.
pub struct Regions {
    /// Patterns of signs that the grid met.
    pub count: usize,
    /// Each pattern in a colour.
    pub picture: Picture,
    /// The same count for a network of one hidden layer, and its units.
    pub of_one_layer: usize,
    /// Units of that layer.
    pub units_of_one_layer: usize,
}

/// The patterns on a grid of `side` x `side` points.
pub fn regions(ctx: &Context, net: &Net, side: usize) -> Result<Regions, Failure> {
    let place = |i: usize| -SPAN + 2.0 * SPAN * (i as f64 + 0.5) / side as f64;
    let mut ids: BTreeMap<Vec<bool>, usize> = BTreeMap::new();
    let mut cells = Vec::with_capacity(side * side);
    for y in 0..side {
        // The first row is the top one.
        let row: Vec<f64> = (0..side).flat_map(|x| [place(x), place(side - 1 - y)]).collect();
        let mut sums = net.sums(ctx, &row, side)?;
        sums.pop();
        for x in 0..side {
            let signs = sums.iter().flat_map(|z| {
                let units = z.len() / side;
                z[x * units..][..units].iter().map(|&z| z > 0.0)
            });
            let next = ids.len();
            cells.push(*ids.entry(signs.collect()).or_insert(next));
        }
    }
    let colours = colours(&cells, side, ids.len());
    Ok(Regions {
        count: ids.len(),
        of_one_layer: 0,
        units_of_one_layer: 0,
        picture: Picture {
            title: format!("{} linear regions on a plane", ids.len()),
            note: format!("A {} network; each region is one linear function.", shape(net)),
            x: ("first input".to_owned(), -SPAN, SPAN),
            y: ("second input".to_owned(), -SPAN, SPAN),
            columns: side,
            colours: cells.iter().map(|&id| colours[id]).collect(),
        },
    })
}

fn shape(net: &Net) -> String {
    let widths: Vec<String> = net.widths.iter().map(usize::to_string).collect();
    widths.join("-")
}

/// A colour for each region, the first that no coloured neighbour has. Where all are taken, one repeats.
fn colours(cells: &[usize], side: usize, count: usize) -> Vec<u8> {
    let mut neighbours = vec![std::collections::BTreeSet::new(); count];
    for (at, &here) in cells.iter().enumerate() {
        let right = (at % side + 1 < side).then(|| cells[at + 1]);
        for there in right.into_iter().chain(cells.get(at + side).copied()) {
            if there != here {
                neighbours[here].insert(there);
                neighbours[there].insert(here);
            }
        }
    }
    let mut colours = vec![COLOURS; count];
    for id in 0..count {
        let taken: Vec<u8> = neighbours[id].iter().map(|&other| colours[other]).collect();
        let free = (0..COLOURS).find(|colour| !taken.contains(colour));
        colours[id] = free.unwrap_or(id as u8 % COLOURS);
    }
    colours
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::testing::Bed;
    use tilelab_kernels::Activation;

    #[test]
    fn two_crossing_lines_make_four_regions() {
        let net = Net {
            widths: vec![2, 2, 1],
            activation: Activation::Relu,
            // The units' zeros are the axes.
            weights: vec![vec![1.0, 0.0, 0.0, 1.0], vec![1.0, 1.0]],
            biases: vec![vec![0.0, 0.0], vec![0.0]],
        };
        Bed::new()
            .run(|run| {
                let found = regions(&run.context()?, &net, 4)?;
                assert_eq!(found.count, 4);
                let c = &found.picture.colours;
                assert!(c[0] == c[1] && c[1] != c[2] && c[0] != c[8] && c[2] != c[10], "{c:?}");
                Ok(())
            })
            .unwrap();
    }
}
