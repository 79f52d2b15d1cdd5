//! The notebook's synthetic set: rows of uniform numbers from 0 to 1, and whether their sum is above half of their count.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Dataset, Source, Split, Values};

/// Rows, numbers in a row, and rows to train on: the first 80 percent, as in the notebook.
const ROWS: usize = 10_000;
const COLUMNS: usize = 20;
const TRAIN_ROWS: usize = 8_000;
/// The set is always the same, whatever a training run's seed is.
const SEED: u64 = 20;

/// 8,000 + 2,000 rows of 20 numbers; label 1 where they sum to more than 10, else 0.
pub fn sums() -> Dataset {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut split = |rows: usize| {
        let values: Vec<f32> = (0..rows * COLUMNS).map(|_| random.random()).collect();
        let sum = |row: &[f32]| row.iter().map(|&x| f64::from(x)).sum::<f64>();
        let labels = values
            .chunks_exact(COLUMNS)
            .map(|row| u8::from(sum(row) > COLUMNS as f64 / 2.0));
        Split {
            labels: labels.collect(),
            values: Values::Reals(values),
            rows,
            columns: COLUMNS,
        }
    };
    Dataset {
        name: "Sums of 20 uniform numbers".to_owned(),
        source: Source::Drawn,
        shape: (1, COLUMNS),
        classes: 2,
        train: split(TRAIN_ROWS),
        test: split(ROWS - TRAIN_ROWS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_the_notebook_draws() {
        let data = sums();
        assert_eq!((data.train.rows, data.test.rows, data.columns()), (8_000, 2_000, 20));
        for split in [&data.train, &data.test] {
            let Values::Reals(values) = &split.values else {
                panic!("bytes")
            };
            assert!(values.iter().all(|x| (0.0..1.0).contains(x)));
            // Five standard errors of a mean of numbers of variance 1/12, and of a share of 1/2.
            let count = values.len() as f64;
            let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
            assert!((mean - 0.5).abs() < 5.0 * (1.0 / 12.0 / count).sqrt(), "{mean}");
            let share = split.labels.iter().map(|&y| f64::from(y)).sum::<f64>() / split.rows as f64;
            assert!((share - 0.5).abs() < 5.0 * (0.25 / split.rows as f64).sqrt(), "{share}");
            for (row, label) in values.chunks(20).zip(&split.labels) {
                assert_eq!(*label == 1, row.iter().map(|&x| f64::from(x)).sum::<f64>() > 10.0);
            }
        }
        assert_eq!(data, sums());
    }
}
