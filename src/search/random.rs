//! One stream of random numbers for each parameter of each trial: no parameter shifts another, equal ranges stay independent,
//! and what a trial draws depends on the seed and its number alone.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The stream of a parameter, counted from 0, in a trial. The uppermost bit keeps it apart from those of a training run
/// ([`crate::mlp::stream`]) under the same seed.
pub fn stream(seed: u64, trial: usize, parameter: usize) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream((1 << 63) | ((trial as u64) << 16) | (parameter as u64 & 0xffff));
    random
}
