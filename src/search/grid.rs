//! Every cell of a space: the product of its parameters' values, without those of parameters that are not there.

use rand::seq::SliceRandom;

use super::random::stream;
use super::space::{Configuration, Space, Value};

/// More cells than anybody trains.
const MOST: usize = 1_000_000;

/// The cells in the order in which they are visited.
#[derive(Debug, Clone)]
pub struct Grid {
    values: Vec<Vec<Value>>,
    /// The number that the value of each parameter has in a cell, parameters in order; 0 where it is not there.
    cells: Vec<Vec<u32>>,
}

impl Grid {
    /// All cells, `points` of each continuum, in an order that the seed shuffles.
    ///
    /// # Errors
    /// More cells than can be visited, in one line.
    pub fn new(space: &Space, points: usize, seed: u64) -> Result<Self, String> {
        let values: Vec<Vec<Value>> = space.parameters().iter().map(|each| each.domain.grid(points)).collect();
        let mut grown: Vec<(Configuration, Vec<u32>)> = vec![Default::default()];
        for (parameter, values) in space.parameters().iter().zip(&values) {
            let mut next = Vec::new();
            for (configuration, cell) in grown {
                let there = parameter.when.as_ref().is_none_or(|when| when.holds(&configuration));
                for (number, value) in values.iter().enumerate().take(if there { values.len() } else { 1 }) {
                    let (mut configuration, mut cell) = (configuration.clone(), cell.clone());
                    cell.push(number as u32);
                    if there {
                        configuration.insert(parameter.name.clone(), value.clone());
                    }
                    next.push((configuration, cell));
                }
                if next.len() > MOST {
                    return Err(format!(
                        "the grid has more than {MOST} cells at {}; give fewer values, such as --{0} with one or a list",
                        parameter.name
                    ));
                }
            }
            grown = next;
        }
        let mut cells: Vec<Vec<u32>> = grown.into_iter().map(|(_, cell)| cell).collect();
        // No trial has this number.
        cells.shuffle(&mut stream(seed, u32::MAX as usize, 0));
        Ok(Self { values, cells })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The cell that is visited as number `number`, from 0; `None` behind the last.
    pub fn cell(&self, space: &Space, number: usize) -> Option<Configuration> {
        let cell = self.cells.get(number)?;
        let value = |parameter: usize| self.values[parameter][cell[parameter] as usize].clone();
        Some(space.configure(&Configuration::new(), |parameter, _| value(parameter)))
    }
}
