//! A run that is stopped behind any batch and goes on is, bit by bit, the run that was never stopped.

use std::ops::ControlFlow;
use std::path::Path;

use rand::{RngExt, SeedableRng};
use tilelab::data::Dataset;
use tilelab::device::Device;
use tilelab::mlp::checkpoint::{Checkpoint, Folder, Saving};
use tilelab::mlp::{Event, Optimizer, Schedule, TrainError, TrainOptions, train};
use tilelab::program::Element;
use tilelab_kernels::Activation;

use super::dataset;

fn saving(folder: &Path, every: Option<u64>, resume: bool) -> Saving {
    Saving {
        folder: folder.to_owned(),
        every,
        keep_last: 1,
        resume,
    }
}

/// What is seen of a run, bit by bit, up to `stop` batches; true if it came to its end.
fn watch(options: &TrainOptions, data: &Dataset, stop: usize, seen: &mut Vec<String>) -> bool {
    let (mut batches, mut rows_before) = (0, Vec::new());
    let done = train(options, data, &mut |event| {
        match event {
            Event::Batch { epoch, rows } => {
                batches += 1;
                seen.push(format!("{epoch}: {rows}"));
            }
            Event::Epoch(e) => {
                let bits = [e.train_loss, e.test_loss, e.train_acc, e.test_acc].map(f64::to_bits);
                rows_before.push(format!("epoch {} {bits:?}", e.epoch));
            }
            Event::Note(note) => panic!("{note}"),
            Event::Started(_) | Event::Summary(_) => {}
        }
        if batches == stop {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    // The table is told whole each time.
    seen.retain(|line| !line.starts_with("epoch"));
    seen.extend(rows_before);
    match done {
        Ok(training) => {
            assert_eq!(training.epochs.len(), options.epochs);
            true
        }
        Err(TrainError::Interrupted { saved, .. }) => {
            assert!(saved.unwrap().is_dir());
            false
        }
        Err(error) => panic!("{error}"),
    }
}

fn last(folder: &Path) -> Checkpoint {
    let folder = Folder::open(&saving(folder, None, true)).unwrap();
    let (mut checkpoint, _) = folder.last().unwrap().unwrap();
    // Time is no result, and JSON keeps the order of what is compared.
    checkpoint.state.seconds = 0.0;
    for epoch in &mut checkpoint.state.epochs {
        (epoch.seconds, epoch.samples_per_s) = (0.0, 0.0);
    }
    checkpoint
}

#[test]
fn stopped_anywhere_the_bits_are_the_same() {
    let data = dataset((70, 10), 40, 5);
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(20_260_101);
    for (device, float) in [
        (Device::Cpu, Element::F32),
        (Device::Cpu, Element::F64),
        (Device::Baseline, Element::F32),
        (Device::Reference, Element::F32),
    ] {
        let options = TrainOptions {
            layers: vec![40, 24, 16, 5],
            batch: 16,
            epochs: 4,
            lr: 0.2,
            l2: 0.01,
            // A step of several programs, whose rate depends on its number.
            schedule: Schedule::Cosine { floor: 0.1 },
            warmup: 7,
            accumulate: if device == Device::Cpu { 3 } else { 1 },
            clip: (float == Element::F64).then_some(0.5),
            // Moments are kept, and masks depend on the step's number.
            optimizer: match (device, float) {
                (Device::Cpu, Element::F32) => Optimizer::Adam { decoupled: true },
                (Device::Cpu, _) => "nesterov:0.9".parse().unwrap(),
                _ => Optimizer::Sgd,
            },
            dropout: if device == Device::Cpu { 0.25 } else { 0.0 },
            // Running statistics and a learned beta are kept too.
            activation: Activation::Swish { beta: 1.0 },
            learned_beta: device != Device::Baseline,
            batch_norm: device != Device::Reference,
            device,
            float,
            ..TrainOptions::default()
        };
        let home = tempfile::tempdir().unwrap();
        let with = |name: &str, every, resume| TrainOptions {
            saving: Some(saving(&home.path().join(name), every, resume)),
            ..options.clone()
        };
        let mut whole = Vec::new();
        assert!(watch(&with("whole", None, false), &data, usize::MAX, &mut whole));
        let unsaved = {
            let mut seen = Vec::new();
            assert!(watch(&options, &data, usize::MAX, &mut seen));
            seen
        };
        assert!(whole == unsaved, "saving changes nothing");
        for trial in 0..4 {
            let (name, every) = (format!("parts{trial}"), [None, Some(1), Some(3)][trial % 3]);
            let (mut seen, mut resume, mut parts) = (Vec::new(), false, 0);
            // From one batch to a whole epoch and more in a part.
            while !watch(&with(&name, every, resume), &data, random.random_range(1..8), &mut seen) {
                (resume, parts) = (true, parts + 1);
            }
            assert!(parts >= 2, "20 batches take more than two parts of at most 7");
            assert!(seen == whole, "{device} {float}: {seen:#?}");
            assert!(
                last(&home.path().join(&name)) == last(&home.path().join("whole")),
                "{device} {float}"
            );
        }
    }
}

/// A run that was done goes on when it is asked for more epochs, as if it had been asked for them at first.
#[test]
fn more_epochs_may_follow() {
    let data = dataset((70, 10), 40, 5);
    let home = tempfile::tempdir().unwrap();
    let with = |name: &str, epochs, resume| TrainOptions {
        layers: vec![40, 9, 5],
        epochs,
        saving: Some(saving(&home.path().join(name), None, resume)),
        ..TrainOptions::default()
    };
    let mut seen = [Vec::new(), Vec::new()];
    assert!(watch(&with("a", 2, false), &data, usize::MAX, &mut seen[0]));
    assert!(watch(&with("a", 5, true), &data, usize::MAX, &mut seen[0]));
    assert!(watch(&with("b", 5, false), &data, usize::MAX, &mut seen[1]));
    assert!(seen[0] == seen[1]);
}
