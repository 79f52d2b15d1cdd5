//! Splits give what the whole gives, and a worker that fails is told instead of waited for.

use std::thread;

use tilelab_kernels::Activation;

use super::ring::{Ring, ring};
use super::*;
use crate::mlp::Init;

const WIDTHS: [usize; 5] = [5, 7, 6, 4, 3];

/// Runs `work` on a job of three steps of seven rows, as the reference computes it.
fn with_job<T>(model: &Model, work: impl FnOnce(&Job<'_>) -> T) -> T {
    let values: Vec<f32> = (0..11 * 5).map(|at| (at * 7 % 13) as f32 / 13.0).collect();
    let labels: Vec<u8> = (0..11).map(|row| row % 3).collect();
    let first = Point::first(model, Init::Torch, 1);
    work(&Job {
        model,
        first: &first,
        set: Set::of_reals(&values, &labels, 5).unwrap(),
        byte_scale: 1.0,
        batch: 7,
        steps: 3,
        lr: 0.5,
        float: Element::F64,
        device: Device::Reference,
        threads: Threads::one(),
    })
}

fn model(activation: Activation) -> Model {
    Model::new(&WIDTHS, activation).unwrap()
}

fn furthest(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    apart.fold(0.0, |most, d| if d > most || d.is_nan() { d } else { most })
}

/// Activations that keep their input and their output, that learn and that are none, and dropout: at one micro-batch the stages do the
/// whole's operations, so that not a bit may differ.
#[test]
fn stages_do_what_the_whole_does() {
    let models = [
        model(Activation::Relu),
        model(Activation::Gelu),
        model(Activation::Identity),
        model(Activation::PRelu { alpha: 0.25 }),
        model(Activation::Tanh).with_dropout(0.4),
    ];
    for model in &models {
        with_job(model, |job| {
            let whole = data_parallel(job, 1).unwrap();
            assert_eq!((whole.bytes, whole.parameters.len()), (0, 1));
            for count in 1..=4 {
                let split = pipeline(job, count, 1).unwrap();
                assert_eq!(split.gradient, whole.gradient, "{count} {model:?}");
                assert_eq!(split.parameters, whole.parameters, "{count} {model:?}");
                for micro_batches in [2, 3, 7] {
                    let split = pipeline(job, count, micro_batches).unwrap();
                    let apart = furthest(&split.parameters[0], &whole.parameters[0]);
                    assert!(apart < 1e-14, "{count} {micro_batches} {model:?}: {apart}");
                    let handed: usize = stages(model, count)
                        .unwrap()
                        .iter()
                        .skip(1)
                        .map(|stage| WIDTHS[*stage.start() - 1])
                        .sum();
                    assert_eq!(split.bytes, (3 * 2 * 7 * 8 * handed) as u64);
                }
            }
        });
    }
}

#[test]
fn replicas_stay_together_and_do_what_one_does() {
    let model = model(Activation::Tanh);
    with_job(&model, |job| {
        let whole = data_parallel(job, 1).unwrap();
        for workers in 2..=5 {
            let split = data_parallel(job, workers).unwrap();
            assert!(split.parameters.iter().all(|replica| *replica == split.parameters[0]));
            assert!(furthest(&split.parameters[0], &whole.parameters[0]) < 1e-14);
            assert!(furthest(&split.gradient, &whole.gradient) < 1e-14);
            assert_eq!(split.bytes, (3 * 2 * (workers - 1) * model.parameters() * 8) as u64);
            assert!((0.0..1.0).contains(&split.idle));
        }
        // A step that is another's: what a comparison is for.
        let other = data_parallel(&Job { lr: 0.4, ..job.clone() }, 2).unwrap();
        assert!(furthest(&other.parameters[0], &whole.parameters[0]) > 1e-4);
    });
}

/// Numbers that no piece divides, down to fewer than workers.
#[test]
fn a_ring_sums() {
    for (workers, n) in [(1, 5), (2, 7), (3, 7), (5, 3), (4, 0)] {
        let places: Vec<(Ring, Vec<f64>)> = ring(workers, Element::F32)
            .into_iter()
            .enumerate()
            .map(|(at, place)| (place, (0..n).map(|i| (i + 10 * at) as f64).collect()))
            .collect();
        let done: Vec<(Ring, Vec<f64>)> = thread::scope(|scope| {
            let spawned: Vec<_> = places
                .into_iter()
                .map(|(mut place, mut values)| {
                    scope.spawn(move || {
                        place.all_reduce(&mut values).unwrap();
                        (place, values)
                    })
                })
                .collect();
            spawned.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let sum: Vec<f64> = (0..n)
            .map(|i| (workers * i + 10 * (workers * (workers - 1) / 2)) as f64)
            .collect();
        assert!(done.iter().all(|(_, values)| *values == sum), "{workers} {n}");
        let sent: u64 = done.iter().map(|(place, _)| place.next.sent).sum();
        assert_eq!(sent, (2 * (workers - 1) * n * 4) as u64);
    }
}

#[test]
fn layers_are_cut_evenly() {
    let cut = |widths: &[usize], count| stages(&Model::new(widths, Activation::Relu).unwrap(), count);
    assert_eq!(cut(&[9, 9, 9, 9, 9], 2).unwrap(), [1..=2, 3..=4]);
    assert_eq!(cut(&[100, 9, 9, 9, 9], 2).unwrap(), [1..=1, 2..=4]);
    assert_eq!(cut(&[9, 9, 9], 2).unwrap(), [1..=1, 2..=2]);
    for count in [0, 3] {
        assert!(
            cut(&[9, 9, 9], count)
                .unwrap_err()
                .to_string()
                .contains("2 layers can't be shared")
        );
    }
}

#[test]
fn what_cannot_be_split_says_why() {
    let plain = model(Activation::Relu);
    with_job(&plain, |job| {
        assert!(
            data_parallel(job, 8)
                .unwrap_err()
                .to_string()
                .contains("7 rows can't be shared by 8")
        );
        assert!(pipeline(job, 2, 8).unwrap_err().to_string().contains("7 rows"));
        assert!(pipeline(job, 5, 2).unwrap_err().to_string().contains("4 layers"));
    });
    with_job(&plain.with_batch_norm(true), |job| {
        assert!(data_parallel(job, 2).unwrap_err().to_string().contains("--batch-norm"));
    });
}

/// One worker fails while its neighbour waits for it: the run ends, with the reason and not with its echo.
#[test]
fn a_failure_ends_all() {
    let fails = model(Activation::Relu);
    with_job(&fails, |job| {
        struct Waits<'a>(Ring, Box<dyn Session + 'a>, bool);
        impl Worker for Waits<'_> {
            fn step(&mut self, _: usize) -> Result<(), ParallelError> {
                if self.2 {
                    return Err(ParallelError::Nothing);
                }
                self.0.all_reduce(&mut [1.0, 2.0])
            }
            fn session(&mut self) -> &mut dyn Session {
                &mut *self.1
            }
            fn sent(&self) -> u64 {
                0
            }
            fn waited(&self) -> Duration {
                Duration::ZERO
            }
        }
        let workers = ring(3, Element::F64).into_iter().enumerate();
        let workers = workers
            .map(|(at, place)| Waits(place, job.open(&[]).unwrap(), at == 1))
            .collect();
        assert!(matches!(race(workers, 2), Err(ParallelError::Nothing)));
    });
}
