//! `--optimizer newton-cg`: it falls faster than SGD for each time through the data, and is the exact minimum where the objective is quadratic.

use std::ops::ControlFlow;

use tilelab::data::{Dataset, Source, Split, Values};
use tilelab::device::Device;
use tilelab::mlp::{Init, TrainError, TrainOptions, train};
use tilelab::program::Element;
use tilelab_kernels::{Activation, Threads};

/// Points on two arms of a spiral.
fn spiral(rows: usize) -> Dataset {
    let mut values = Vec::new();
    for i in 0..rows {
        let (arm, t) = ((i % 2) as f32, i as f32 / rows as f32);
        let angle = 6.0 * t + arm * std::f32::consts::PI;
        values.extend([t * angle.cos(), t * angle.sin()]);
    }
    let labels = (0..rows).map(|i| (i % 2) as u8).collect();
    let split = Split {
        values: Values::Reals(values),
        rows,
        columns: 2,
        labels,
    };
    Dataset {
        name: "spiral".into(),
        source: Source::Drawn,
        shape: (1, 2),
        classes: 2,
        train: split.clone(),
        test: split,
    }
}

fn options(optimizer: &str) -> TrainOptions {
    TrainOptions {
        layers: vec![2, 16, 2],
        activation: Activation::Tanh,
        init: "torch".parse::<Init>().unwrap(),
        optimizer: optimizer.parse().unwrap(),
        batch: 200,
        epochs: 15,
        threads: Threads::one(),
        ..TrainOptions::default()
    }
}

fn losses(options: &TrainOptions, data: &Dataset) -> Vec<f64> {
    let record = train(options, data, &mut |_| ControlFlow::Continue(())).unwrap();
    record.epochs.iter().map(|epoch| epoch.test_loss).collect()
}

#[test]
fn it_falls_faster_than_sgd_and_never_rises() {
    let data = spiral(200);
    let sgd = losses(
        &TrainOptions {
            epochs: 300,
            lr: 0.5,
            ..options("sgd")
        },
        &data,
    );
    for optimizer in ["newton-cg", "newton-cg:hessian"] {
        let newton = losses(&options(optimizer), &data);
        // One batch is all of the data: every step is a step down, to rounding.
        assert!(
            newton.windows(2).all(|two| two[1] <= two[0] + 1e-5),
            "{optimizer}: {newton:?}"
        );
        assert!(
            newton[14] < sgd[299] && newton[14] < 0.7 * newton[0],
            "{optimizer}: {newton:?}, SGD ends at {}",
            sgd[299]
        );
    }
}

/// A linear model with squared error has one minimum, and the damping alone keeps a step from it.
#[test]
fn a_quadratic_objective_takes_a_few_steps() {
    let data = spiral(100);
    let linear = TrainOptions {
        layers: vec![2, 2],
        loss: "mse".parse().unwrap(),
        l2: 0.01,
        batch: 100,
        epochs: 25,
        float: Element::F64,
        device: Device::Cpu,
        ..options("newton-cg")
    };
    let newton = losses(&linear, &data);
    let sgd = losses(
        &TrainOptions {
            optimizer: "sgd".parse().unwrap(),
            lr: 0.5,
            epochs: 4000,
            ..linear
        },
        &data,
    );
    assert!(
        (newton[24] - sgd[3999]).abs() < 1e-7,
        "{} and {}",
        newton[24],
        sgd[3999]
    );
}

#[test]
fn runs_repeat_and_what_does_not_go_together_is_refused() {
    let data = spiral(60);
    let small = TrainOptions {
        batch: 25,
        epochs: 3,
        ..options("newton-cg")
    };
    assert_eq!(losses(&small, &data), losses(&small, &data));
    for refused in [
        TrainOptions {
            dropout: 0.5,
            ..small.clone()
        },
        TrainOptions {
            batch_norm: true,
            ..small.clone()
        },
        TrainOptions {
            accumulate: 2,
            ..small.clone()
        },
        TrainOptions {
            clip: Some(1.0),
            ..small.clone()
        },
    ] {
        let error = train(&refused, &data, &mut |_| ControlFlow::Continue(())).unwrap_err();
        assert!(
            matches!(error, TrainError::Options(ref line) if line.contains("newton-cg")),
            "{error}"
        );
    }
}
