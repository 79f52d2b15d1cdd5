//! Sums over all workers of a ring.
//!
//! ```text
//! n numbers in W pieces; worker w sends to w + 1:
//! reduce-scatter  step s: piece w - s     the receiver adds     after W - 1 steps worker w has the sum of piece w + 1
//! all-gather      step s: piece w + 1 - s the receiver copies   after W - 1 steps every worker has every sum
//! ```
//! In each of the 2 (W - 1) steps every piece is sent once, so all workers send 2 (W - 1) n numbers, 2 (W - 1) / W n each: for many
//! workers twice the numbers, however many there are (Patarasuk and Yuan, Bandwidth optimal all-reduce algorithms, 2009). A sum is
//! made once and copied, so that all workers have the same bits.

use super::link::{Inlet, Outlet, link};
use super::{ParallelError, share};
use crate::program::Element;

/// A worker's place in a ring.
pub(super) struct Ring {
    at: usize,
    workers: usize,
    pub(super) next: Outlet,
    pub(super) previous: Inlet,
}

/// The places of a ring of workers.
pub(super) fn ring(workers: usize, float: Element) -> Vec<Ring> {
    let (outlets, mut inlets): (Vec<_>, Vec<_>) = (0..workers).map(|_| link(float)).unzip();
    // Worker w receives what w - 1 sends.
    inlets.rotate_right(1);
    let places = outlets.into_iter().zip(inlets).enumerate();
    places
        .map(|(at, (next, previous))| Ring {
            at,
            workers,
            next,
            previous,
        })
        .collect()
}

impl Ring {
    /// Every worker's `values` become their sum.
    pub(super) fn all_reduce(&mut self, values: &mut [f64]) -> Result<(), ParallelError> {
        let (n, workers) = (values.len(), self.workers);
        let piece = |at: usize| share(n, workers, at % workers);
        for step in 0..workers - 1 {
            self.next.send(&values[piece(self.at + workers - step)])?;
            let sums = &mut values[piece(self.at + workers - step - 1)];
            let came = self.previous.receive(sums.len())?;
            sums.iter_mut().zip(came).for_each(|(sum, x)| *sum += x);
        }
        for step in 0..workers - 1 {
            self.next.send(&values[piece(self.at + 1 + workers - step)])?;
            let sums = &mut values[piece(self.at + workers - step)];
            let came = self.previous.receive(sums.len())?;
            sums.copy_from_slice(&came);
        }
        Ok(())
    }
}
