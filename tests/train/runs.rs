//! Whole runs: they learn, repeat to the bit, stop when told, and fail in one line.

use std::ops::ControlFlow;

use tilelab::data::{Dataset, Places, fashion_mnist};
use tilelab::device::Device;
use tilelab::measure::{Body, Training};
use tilelab::mlp::{Event, TrainError, TrainOptions, Trainer, activation_by_name, recorded, train};
use tilelab::program::Element;
use tilelab_kernels::Threads;

use super::dataset;

fn small(data: &Dataset) -> TrainOptions {
    let layers = vec![data.columns(), 24, 16, data.classes];
    TrainOptions {
        layers,
        init: "normal:0.1".parse().unwrap(),
        lr: 0.2,
        batch: 32,
        epochs: 30,
        ..TrainOptions::default()
    }
}

fn run(options: &TrainOptions, data: &Dataset) -> Result<Training, TrainError> {
    train(options, data, &mut |_| ControlFlow::Continue(()))
}

#[test]
fn a_model_learns() {
    let data = dataset((500, 100), 40, 5);
    for device in [Device::Cpu, Device::Baseline, Device::Reference] {
        let training = run(&TrainOptions { device, ..small(&data) }, &data).unwrap();
        let (first, last) = (&training.epochs[0], &training.epochs[29]);
        // An untrained model knows nothing: its loss is near that of a guess.
        assert!((training.first_loss - 5f64.ln()).abs() < 0.2, "{}", training.first_loss);
        assert!(
            last.train_loss < 0.5 * first.train_loss && last.test_loss < 0.5 * first.test_loss,
            "{device}: {last:?}"
        );
        assert!(last.train_acc > 0.9 && last.test_acc > 0.9, "{device}: {last:?}");
        assert_eq!(
            training.epochs.iter().map(|epoch| epoch.epoch).collect::<Vec<_>>(),
            (1..=30).collect::<Vec<_>>()
        );
        assert!(
            training
                .epochs
                .iter()
                .all(|epoch| epoch.seconds > 0.0 && epoch.samples_per_s > 0.0)
        );
        assert_eq!(
            (training.device.as_str(), training.parameters),
            (device.to_string().as_str(), 41 * 24 + 25 * 16 + 17 * 5)
        );
    }
}

/// Every optimizer, loss and activation brings a small model to know its data.
#[test]
fn every_rule_learns() {
    let data = dataset((500, 100), 40, 5);
    let cases = [
        ("momentum:0.9", "cross-entropy", "gelu", 0.05),
        ("nesterov:0.9", "cross-entropy:0.1", "tanh", 0.05),
        ("adam", "bce", "elu:1", 0.005),
        ("adamw", "mse", "leaky-relu:0.01", 0.005),
        ("adam", "cross-entropy", "sigmoid", 0.02),
        ("sgd", "cross-entropy", "swish:1", 0.2),
        ("momentum:0.9", "cross-entropy", "gelu-tanh", 0.05),
    ];
    for (optimizer, loss, activation, lr) in cases {
        for dropout in [0.0, 0.2] {
            let options = TrainOptions {
                optimizer: optimizer.parse().unwrap(),
                loss: loss.parse().unwrap(),
                activation: activation_by_name(activation).unwrap(),
                dropout,
                lr,
                l2: 1e-4,
                ..small(&data)
            };
            let training = run(&options, &data).unwrap();
            let last = &training.epochs[29];
            assert!(last.test_acc > 0.9, "{}: {last:?}", options.command());
        }
    }
}

/// One output unit for two classes.
#[test]
fn one_output_tells_two_classes_apart() {
    let data = dataset((500, 100), 40, 2);
    for (loss, lr) in [("bce", 0.01), ("mse", 0.01)] {
        let options = TrainOptions {
            layers: vec![40, 16, 1],
            loss: loss.parse().unwrap(),
            optimizer: "adam".parse().unwrap(),
            lr,
            ..small(&data)
        };
        let training = run(&options, &data).unwrap();
        assert!(training.epochs[29].test_acc > 0.95, "{loss}: {:?}", training.epochs[29]);
    }
    // Three classes are too many for it.
    let data = dataset((50, 10), 40, 3);
    let options = TrainOptions {
        layers: vec![40, 16, 1],
        loss: "bce".parse().unwrap(),
        ..small(&data)
    };
    let line = run(&options, &data).unwrap_err().to_string();
    assert!(line.contains("--layers 40,16,1"), "{line}");
}

/// All figures and all weights, bit by bit.
fn bits(options: &TrainOptions, data: &Dataset) -> Vec<u64> {
    let mut trainer = Trainer::new(options, data).unwrap();
    let mut bits = Vec::new();
    for _ in 0..options.epochs {
        let epoch = trainer.epoch(&mut |_| ControlFlow::Continue(())).unwrap();
        bits.extend([epoch.train_loss, epoch.test_loss, epoch.train_acc, epoch.test_acc].map(f64::to_bits));
    }
    for l in 1..options.layers.len() {
        for name in [format!("W{l}"), format!("b{l}")] {
            bits.extend(trainer.session().read(&name).unwrap().iter().map(|x| x.to_bits()));
        }
    }
    bits
}

/// On products large enough that threads share them, and a short last batch.
#[test]
fn a_seed_fixes_every_bit_for_any_number_of_threads() {
    let mut data = fashion_mnist::load(&Places::default()).unwrap();
    data.train.rows = 1500;
    data.train.images.truncate(1500 * 784);
    data.train.labels.truncate(1500);
    for float in [Element::F32, Element::F64] {
        let options = |threads, seed| {
            let threads = Threads::new(threads).unwrap();
            TrainOptions {
                epochs: 2,
                float,
                threads,
                seed,
                ..TrainOptions::default()
            }
        };
        let one = bits(&options(1, 7), &data);
        assert_eq!(one.len(), 2 * 4 + 784 * 256 + 256 + 256 * 10 + 10);
        for threads in [1, 2, 3] {
            assert!(one == bits(&options(threads, 7), &data), "{threads} threads, {float}");
        }
        assert!(one != bits(&options(1, 8), &data), "another seed, other bits");
    }
}

#[test]
fn an_observer_sees_every_batch_and_can_stop() {
    let data = dataset((70, 10), 40, 5);
    let options = TrainOptions {
        epochs: 2,
        ..small(&data)
    };
    let mut seen = Vec::new();
    train(&options, &data, &mut |event| {
        seen.push(match event {
            Event::Started(training) => format!("started with {} epochs", training.epochs.len()),
            Event::Batch { epoch, rows } => format!("{epoch}: {rows}"),
            Event::Epoch(epoch) => format!("epoch {}", epoch.epoch),
            Event::Summary(summary) => format!("{} layers, {} steps", summary.layers.len(), summary.epoch_steps),
            Event::Note(note) => note.to_owned(),
        });
        ControlFlow::Continue(())
    })
    .unwrap();
    let expected = [
        "3 layers, 3 steps",
        "started with 0 epochs",
        "1: 32",
        "1: 64",
        "1: 70",
        "epoch 1",
        "2: 32",
        "2: 64",
        "2: 70",
        "epoch 2",
    ];
    assert_eq!(seen, expected);
    let stopped = train(&options, &data, &mut |event| match event {
        Event::Batch { epoch: 2, rows: 64 } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert!(
        matches!(
            stopped,
            Err(TrainError::Interrupted {
                epoch: 2,
                rows: 64,
                saved: None
            })
        ),
        "{stopped:?}"
    );
}

#[test]
fn a_run_that_diverges_says_so() {
    let data = dataset((70, 10), 40, 5);
    for device in [Device::Cpu, Device::Baseline] {
        let lr = 1e30;
        let error = run(
            &TrainOptions {
                lr,
                device,
                ..small(&data)
            },
            &data,
        )
        .unwrap_err();
        assert!(matches!(error, TrainError::Diverged { .. }), "{device}: {error}");
        let line = error.to_string();
        assert!(
            line.contains("epoch 1") && line.contains("--lr than 1e30") && !line.contains('\n'),
            "{line}"
        );
    }
}

/// A relu may take NaN to 0 and hide it from the loss: the parameters are looked at too.
#[test]
fn a_parameter_that_is_no_number_is_found() {
    let data = dataset((70, 10), 40, 5);
    for device in [Device::Cpu, Device::Baseline, Device::Reference] {
        for value in [f64::NAN, f64::INFINITY] {
            let mut trainer = Trainer::new(&TrainOptions { device, ..small(&data) }, &data).unwrap();
            let mut weights = trainer.session().read("W1").unwrap();
            weights[3] = value;
            trainer.session().write("W1", &weights).unwrap();
            let error = trainer.epoch(&mut |_| ControlFlow::Continue(())).unwrap_err();
            assert!(
                matches!(error, TrainError::Diverged { epoch: 1, .. }),
                "{device}: {error}"
            );
        }
    }
}

#[test]
fn options_that_do_not_fit_name_the_flag() {
    let data = dataset((70, 10), 40, 5);
    type Change<'a> = &'a dyn Fn(&mut TrainOptions);
    let error = |change: Change<'_>| {
        let mut options = small(&data);
        change(&mut options);
        run(&options, &data).unwrap_err().to_string()
    };
    let cases: [(&str, Change<'_>); 8] = [
        ("--lr", &|o| o.lr = f64::NAN),
        ("--lr", &|o| o.lr = 0.0),
        ("--l2", &|o| o.l2 = -1.0),
        ("--batch", &|o| o.batch = 0),
        ("--epochs", &|o| o.epochs = 0),
        ("--layers 40", &|o| o.layers = vec![40]),
        ("begin with 40", &|o| o.layers[0] = 41),
        ("end with at least 5", &|o| o.layers = vec![40, 4]),
    ];
    for (flag, change) in cases {
        let line = error(change);
        assert!(line.contains(flag) && !line.contains('\n'), "{line}");
    }
}

/// A batch larger than the training set is the whole set; more classes than labels are allowed.
#[test]
fn a_batch_may_exceed_the_set() {
    let data = dataset((70, 10), 40, 5);
    let figures = |batch| {
        let layers = vec![40, 8, 300];
        let training = run(
            &TrainOptions {
                batch,
                layers,
                epochs: 1,
                ..small(&data)
            },
            &data,
        )
        .unwrap();
        training.epochs[0].train_loss.to_bits()
    };
    assert_eq!(figures(70), figures(1_000_000_000_000));
}

#[test]
fn a_record_says_how_to_repeat_it() {
    let data = dataset((70, 10), 40, 5);
    let options = TrainOptions {
        threads: Threads::one(),
        seed: 3,
        epochs: 1,
        ..small(&data)
    };
    let record = recorded(&options, &data, true, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((record.name.as_str(), record.quick), ("train-40-24-16-5", true));
    let expected = "tilelab train --layers 40,24,16,5 --epochs 1 --batch 32 --lr 0.2 --l2 0 --init normal:0.1 \
                    --activation relu --optimizer sgd --seed 3 --device cpu --threads 1";
    assert_eq!(record.command, expected);
    let Body::Training(training) = record.body else {
        panic!("{:?}", record.body)
    };
    assert_eq!(
        (training.train_rows, training.test_rows, training.seed, training.threads),
        (70, 10, 3, 1)
    );
}
