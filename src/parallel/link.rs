//! One direction between two workers: numbers as bytes over a channel, counted where they are sent.

use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use super::ParallelError;
use crate::program::Element;

/// The sending end.
pub(super) struct Outlet {
    to: Sender<Vec<u8>>,
    float: Element,
    /// Bytes that were sent.
    pub(super) sent: u64,
}

/// The receiving end.
pub(super) struct Inlet {
    from: Receiver<Vec<u8>>,
    float: Element,
    /// Time that was spent on waiting.
    pub(super) waited: Duration,
}

/// Both ends of a link whose messages are numbers of this type.
pub(super) fn link(float: Element) -> (Outlet, Inlet) {
    let (to, from) = mpsc::channel();
    let waited = Duration::ZERO;
    (Outlet { to, float, sent: 0 }, Inlet { from, float, waited })
}

impl Outlet {
    /// Sends numbers, rounded to the link's type; does not wait.
    pub(super) fn send(&mut self, numbers: &[f64]) -> Result<(), ParallelError> {
        let bytes: Vec<u8> = match self.float {
            Element::F64 => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
            _ => numbers.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect(),
        };
        self.sent += bytes.len() as u64;
        self.to.send(bytes).map_err(|_| ParallelError::Gone)
    }
}

impl Inlet {
    /// Waits for a message of `count` numbers.
    pub(super) fn receive(&mut self, count: usize) -> Result<Vec<f64>, ParallelError> {
        let begun = Instant::now();
        let bytes = self.from.recv().map_err(|_| ParallelError::Gone)?;
        self.waited += begun.elapsed();
        let size = match self.float {
            Element::F64 => 8,
            _ => 4,
        };
        if bytes.len() != count * size {
            let (got, expected) = (bytes.len(), count * size);
            return Err(ParallelError::Length { got, expected });
        }
        Ok(match self.float {
            Element::F64 => bytes.as_chunks().0.iter().map(|&x| f64::from_le_bytes(x)).collect(),
            _ => bytes
                .as_chunks()
                .0
                .iter()
                .map(|&x| f64::from(f32::from_le_bytes(x)))
                .collect(),
        })
    }
}
