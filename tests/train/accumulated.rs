//! Gradients added up over micro-batches are those of the whole batch, and the few batches to learn by heart are learned.

use std::ops::ControlFlow;

use tilelab::data::Dataset;
use tilelab::device::Device;
use tilelab::mlp::{TrainOptions, Trainer, train};
use tilelab::program::Element;

use super::dataset;

/// All parameters after two epochs.
fn parameters(options: &TrainOptions, data: &Dataset) -> Vec<f64> {
    let mut trainer = Trainer::new(options, data).unwrap();
    for _ in 0..2 {
        trainer.epoch(&mut |_| ControlFlow::Continue(())).unwrap();
    }
    let names = ["W1", "b1", "W2", "b2"];
    names
        .iter()
        .flat_map(|name| trainer.session().read(name).unwrap())
        .collect()
}

/// To rounding: a sum of at most 32 terms near 1 in another order, over six steps; and to the bit when it is done again.
#[test]
fn micro_batches_are_the_whole_batch() {
    let data = dataset((70, 10), 40, 5);
    for (device, float, tolerance) in [
        (Device::Cpu, Element::F32, 1e-5),
        (Device::Cpu, Element::F64, 1e-13),
        (Device::Baseline, Element::F64, 1e-13),
        (Device::Reference, Element::F64, 1e-13),
    ] {
        let options = |accumulate| TrainOptions {
            layers: vec![40, 24, 5],
            batch: 32,
            lr: 0.2,
            accumulate,
            device,
            float,
            ..TrainOptions::default()
        };
        let whole = parameters(&options(1), &data);
        // 32 rows in 3 parts are 11 + 11 + 10; the last batch of an epoch has 6 rows and one part.
        for parts in [2, 3, 32] {
            let micro = parameters(&options(parts), &data);
            for (got, want) in micro.iter().zip(&whole) {
                assert!(
                    (got - want).abs() <= tolerance,
                    "{device} {float}, {parts} parts: {got} is not {want}"
                );
            }
            assert!(
                micro == parameters(&options(parts), &data),
                "{parts} parts are reproducible"
            );
        }
    }
}

#[test]
fn a_few_batches_are_learned_by_heart() {
    let data = dataset((70, 10), 40, 5);
    let options = TrainOptions {
        layers: vec![40, 24, 5],
        batch: 4,
        epochs: 200,
        lr: 0.3,
        overfit_batches: Some(2),
        ..TrainOptions::default()
    };
    let mut rows = 0;
    let training = train(&options, &data, &mut |event| {
        if let tilelab::mlp::Event::Batch { rows: done, .. } = event {
            rows = rows.max(done);
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    let last = training.epochs.last().unwrap();
    assert_eq!((rows, training.train_rows, last.train_acc), (8, 8, 1.0));
    assert!(last.train_loss < 0.05 && last.train_loss < last.test_loss, "{last:?}");
}
