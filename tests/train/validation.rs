//! Rows that are held back to validate on: what a run does without them, and when it stops.

use std::ops::ControlFlow;

use rand::seq::SliceRandom;
use tilelab::data::{Dataset, Split};
use tilelab::measure::Training;
use tilelab::mlp::checkpoint::{SavedModel, Saving};
use tilelab::mlp::{Event, Purpose, TrainOptions, stream, train};

use super::dataset;

fn run(options: &TrainOptions, data: &Dataset) -> (Training, Vec<String>) {
    let mut notes = Vec::new();
    let training = train(options, data, &mut |event| {
        if let Event::Note(note) = event {
            notes.push(note.to_owned());
        }
        ControlFlow::Continue(())
    });
    (training.unwrap(), notes)
}

fn taken(split: &Split, mut rows: Vec<u32>) -> Split {
    rows.sort_unstable();
    Split {
        images: rows
            .iter()
            .flat_map(|&row| split.image(row as usize).to_vec())
            .collect(),
        rows: rows.len(),
        columns: split.columns,
        labels: rows.iter().map(|&row| split.labels[row as usize]).collect(),
    }
}

/// The same run, bit by bit, on a data set whose training rows are the others and whose test rows are the held-back ones.
#[test]
fn what_is_held_back_is_not_trained_on() {
    let data = dataset((70, 10), 40, 5);
    let plain = TrainOptions {
        layers: vec![40, 24, 5],
        batch: 16,
        epochs: 3,
        lr: 0.2,
        seed: 5,
        ..TrainOptions::default()
    };
    let (held, _) = run(
        &TrainOptions {
            validation: 0.2,
            ..plain.clone()
        },
        &data,
    );
    let mut rows: Vec<u32> = (0..70).collect();
    rows.shuffle(&mut stream(5, Purpose::Validation));
    let validation = rows.split_off(56);
    let apart = Dataset {
        train: taken(&data.train, rows),
        test: taken(&data.train, validation),
        ..data
    };
    let (by_hand, _) = run(&plain, &apart);
    assert_eq!((held.train_rows, by_hand.train_rows, by_hand.test_rows), (56, 56, 14));
    assert_eq!(held.first_loss.to_bits(), by_hand.first_loss.to_bits());
    for (held, hand) in held.epochs.iter().zip(&by_hand.epochs) {
        let (loss, acc) = (held.validation_loss.unwrap(), held.validation_acc.unwrap());
        let got = [held.train_loss, held.train_acc, loss, acc].map(f64::to_bits);
        assert_eq!(
            got,
            [hand.train_loss, hand.train_acc, hand.test_loss, hand.test_acc].map(f64::to_bits)
        );
        assert_eq!(hand.validation_loss, None);
    }
}

/// Labels that mean nothing: soon the model learns the training rows by heart, and the validation loss grows.
#[test]
fn a_run_that_gets_no_better_stops_and_its_best_is_kept() {
    let mut data = dataset((70, 10), 40, 5);
    let labels = &mut data.train.labels;
    labels.shuffle(&mut stream(99, Purpose::Validation));
    let home = tempfile::tempdir().unwrap();
    let options = |resume| TrainOptions {
        layers: vec![40, 32, 5],
        batch: 8,
        epochs: 500,
        lr: 0.3,
        validation: 0.3,
        patience: Some(4),
        saving: Some(Saving {
            folder: home.path().to_owned(),
            every: None,
            keep_last: 1,
            resume,
        }),
        ..TrainOptions::default()
    };
    let (training, notes) = run(&options(false), &data);
    let loss = |i: usize| training.epochs[i].validation_loss.unwrap();
    let best = (0..training.epochs.len())
        .min_by(|&i, &j| loss(i).total_cmp(&loss(j)))
        .unwrap();
    assert_eq!(training.epochs.len(), best + 1 + 4, "four epochs behind the best");
    assert_eq!(
        notes,
        [format!(
            "stopped: the validation loss was smallest in epoch {}, 4 epochs ago",
            best + 1
        )]
    );
    // 49 rows in batches of 8 are 7 steps an epoch.
    let (_, file) = SavedModel::load(home.path(), None).unwrap();
    assert!(
        file.to_string_lossy().contains(&format!("step-{:08}", 7 * (best + 1))),
        "{file:?}"
    );
    // Asked to go on, it knows that it was done.
    let (again, notes) = run(&options(true), &data);
    assert_eq!((again.epochs.len(), notes.len()), (training.epochs.len(), 1));
}
