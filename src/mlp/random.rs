//! Random numbers: one independent stream for each purpose, so that a seed fixes everything and no consumer shifts another.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What a stream of random numbers is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The first weights of a layer, counted from 1.
    Weights {
        /// Which.
        layer: usize,
    },
    /// The first biases of a layer, counted from 1.
    Biases {
        /// Which.
        layer: usize,
    },
    /// The target that is drawn for a row from the model's own distribution.
    Target {
        /// Place of the row.
        row: usize,
    },
    /// The direction of a random probe of second derivatives.
    Probe {
        /// Which.
        number: usize,
    },
    /// Rows in the place of data.
    Rows,
    /// Which rows are held back to validate on.
    Validation,
    /// The order of the rows in an epoch, counted from 1.
    Order {
        /// Which.
        epoch: usize,
    },
}

/// The stream of `purpose` under `seed`. ChaCha's 64-bit stream number keeps them apart: the purpose in its upper 32 bits, the
/// layer or epoch in its lower.
pub fn stream(seed: u64, purpose: Purpose) -> ChaCha8Rng {
    let (kind, index) = match purpose {
        Purpose::Weights { layer } => (1, layer),
        Purpose::Order { epoch } => (2, epoch),
        Purpose::Validation => (3, 0),
        Purpose::Biases { layer } => (4, layer),
        Purpose::Rows => (7, 0),
        Purpose::Target { row } => (5, row),
        Purpose::Probe { number } => (6, number),
    };
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream((kind << 32) | (index as u64 & 0xffff_ffff));
    random
}
