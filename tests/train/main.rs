//! The trainer: gradients against differences, a run against one by hand, the same seed the same bits, and what goes wrong.
#![allow(clippy::unwrap_used)] // A test may panic.

mod accumulated;
mod by_hand;
mod golden;
mod gradients;
mod resume;
mod runs;
mod validation;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tilelab::data::{Dataset, Source, Split, Values};

/// Images of two shades, whose label is where the bright part lies: a small model learns them in a few epochs.
fn stripes(rows: usize, columns: usize, classes: usize, seed: u64) -> Split {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let labels: Vec<u8> = (0..rows).map(|_| random.random_range(0..classes) as u8).collect();
    let mut images = Vec::with_capacity(rows * columns);
    for &label in &labels {
        for column in 0..columns {
            let bright = column * classes / columns == usize::from(label);
            images.push(random.random_range(if bright { 120..=255 } else { 0..=140 }));
        }
    }
    Split {
        values: Values::Bytes(images),
        rows,
        columns,
        labels,
    }
}

/// Stripes to train on and other ones to test with.
fn dataset((train, test): (usize, usize), columns: usize, classes: usize) -> Dataset {
    Dataset {
        name: "stripes".into(),
        source: Source::Embedded,
        shape: (1, columns),
        classes,
        train: stripes(train, columns, classes, 1),
        test: stripes(test, columns, classes, 2),
    }
}
