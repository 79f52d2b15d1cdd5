//! The curvature that batches of a size lead to.
//!
//! Sharpness is the largest eigenvalue of the Hessian of the mean loss over the same rows for all (Keskar et al., On large-batch
//! training for deep learning, 2017, ask for it). It changes with the loss as training goes on, and at equal epochs or updates
//! losses differ: what small batches do to it is read where every run gets to the same test loss for the first time.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::options;
use crate::data::Dataset;
use crate::device::Set;
use crate::experiment::{Failure, Run, seeds};
use crate::hessian::{Data, Directions, Point, Products, Setup, lanczos};
use crate::measure::{Flatter, Sharpness};
use crate::mlp::{Model, TrainOptions, Trainer};
use crate::program::Element;

/// Rows that the Hessian is taken over: the first of the training set, whatever the batch was.
pub const HESSIAN_ROWS: usize = 2_000;
/// Test loss at which curvatures are compared: the smallest batch gets there in about ten epochs.
pub const LOSS: f64 = 0.12;
/// Epochs behind which a run has not got there.
const MOST_EPOCHS: usize = 1_000;
/// Standard errors beyond which two ends differ by more than seeds do.
const SIGNIFICANT: f64 = 3.0;

/// Where a run was when its test loss was at most [`LOSS`] for the first time; NaN if it never was.
#[derive(Clone, Serialize, Deserialize)]
pub struct Reached {
    /// Whole epochs until then.
    pub epochs: usize,
    /// The test loss then.
    pub loss: f64,
    /// Largest eigenvalue.
    pub top: f64,
    /// Its residual.
    pub residual: f64,
}

/// Every seed's way to [`LOSS`].
pub fn reached(run: &mut Run<'_>, data: &Dataset, batch: usize) -> Result<Vec<Reached>, Failure> {
    let seeds = run.seeds(run.pick(3, 5)).into_iter();
    let one = |seed: u64| {
        run.once(&format!("batch {batch}, to a loss of {LOSS}, seed {seed}"), |run| {
            let options = TrainOptions {
                seed,
                ..options(run, batch, MOST_EPOCHS)
            };
            let mut trainer = Trainer::new(&options, data)?;
            for epochs in 1..=MOST_EPOCHS {
                let epoch = trainer.epoch(&mut |_| match run.stopped() {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                })?;
                if epoch.test_loss <= LOSS {
                    let (top, residual) = top_eigenvalue(&mut trainer, &options, data)?;
                    return Ok(Reached {
                        epochs,
                        loss: epoch.test_loss,
                        top,
                        residual,
                    });
                }
            }
            Ok(Reached {
                epochs: MOST_EPOCHS,
                loss: f64::NAN,
                top: f64::NAN,
                residual: f64::NAN,
            })
        })
    };
    seeds.map(one).collect()
}

/// The Hessian's largest eigenvalue where the trainer stands, in f64, and its residual.
pub fn top_eigenvalue(
    trainer: &mut Trainer<'_>,
    options: &TrainOptions,
    data: &Dataset,
) -> Result<(f64, f64), Failure> {
    let model = Model::new(&options.layers, options.activation)?.with_loss(options.loss);
    let directions = Directions::of(&model, "all")?;
    let session = trainer.session();
    let values = directions.names().into_iter().map(|name| {
        let values = session.read(&name)?;
        Ok((name, values))
    });
    let point = Point::of(values.collect::<Result<Vec<_>, Failure>>()?);
    let setup = Setup {
        float: Element::F64,
        device: options.device,
        threads: options.threads,
        together: 1,
        ..Setup::new(&model, &directions)
    };
    let rows = Data::first(Set::of_split(&data.train)?, HESSIAN_ROWS);
    let wanted = lanczos::Wanted {
        largest: 1,
        smallest: 0,
        tolerance: 1e-3,
        most_steps: 100,
        seed: 1,
    };
    let ends = lanczos::eigenpairs(&mut Products::new(&setup, &point, rows)?, wanted)?;
    let top = ends.largest.first();
    Ok(top.map_or((f64::NAN, f64::NAN), |pair| (pair.value, pair.residual)))
}

/// Which of two batch sizes ended where the objective is flatter, by the logarithms of the seeds' eigenvalues.
pub fn compared(small: &[f64], large: &[f64]) -> Sharpness {
    let logarithms = |values: &[f64]| values.iter().map(|x| x.ln()).collect::<Vec<f64>>();
    let (small, large) = (logarithms(small), logarithms(large));
    let variance = |logs: &[f64]| seeds::deviation(logs).powi(2) / logs.len() as f64;
    let gap = seeds::mean(&large) - seeds::mean(&small);
    let errors = gap.abs() / (variance(&small) + variance(&large)).sqrt();
    Sharpness {
        flatter: match gap > 0.0 {
            true if errors > SIGNIFICANT => Flatter::Small,
            false if errors > SIGNIFICANT => Flatter::Large,
            _ => Flatter::Noise,
        },
        small: seeds::mean(&small).exp(),
        large: seeds::mean(&large).exp(),
        errors,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::synthetic;
    use crate::experiment::testing::Bed;

    #[test]
    fn seeds_decide_whether_ends_differ() {
        let flatter = |small: &[f64], large: &[f64]| compared(small, large).flatter;
        assert_eq!(flatter(&[1.0, 1.1, 0.9], &[3.0, 3.3, 2.7]), Flatter::Small);
        assert_eq!(flatter(&[3.0, 3.3, 2.7], &[1.0, 1.1, 0.9]), Flatter::Large);
        assert_eq!(flatter(&[1.0, 4.0, 0.5], &[3.0, 0.6, 2.7]), Flatter::Noise);
        assert_eq!(flatter(&[1.0, f64::NAN], &[3.0, 3.1]), Flatter::Noise);
        let both = compared(&[1.0, 4.0], &[9.0, 9.0]);
        assert!((both.small - 2.0).abs() < 1e-12 && (both.large - 9.0).abs() < 1e-12);
    }

    /// The eigenvalue is the largest: of the dense Hessian at the same place too.
    #[test]
    fn it_is_the_dense_matrix_largest_eigenvalue() {
        let mut data = synthetic::sums();
        data.train = crate::data::Split {
            values: data.train.values.take(&(0..200).collect::<Vec<_>>(), 20),
            labels: data.train.labels[..200].to_vec(),
            rows: 200,
            columns: 20,
        };
        let bed = Bed::new();
        let (top, dense) = bed
            .run(|run| {
                let options = TrainOptions {
                    layers: vec![20, 3, 1],
                    ..options(run, 16, 2)
                };
                let (_, seen) = run.train_and("small", &options, &data, |trainer| {
                    let top = top_eigenvalue(trainer, &options, &data)?.0;
                    let model = Model::new(&options.layers, options.activation)?.with_loss(options.loss);
                    let directions = Directions::of(&model, "all")?;
                    let session = trainer.session();
                    let values = directions
                        .names()
                        .into_iter()
                        .map(|name| (name.clone(), session.read(&name).unwrap()));
                    let point = Point::of(values.collect::<Vec<_>>());
                    let setup = Setup {
                        float: Element::F64,
                        ..Setup::new(&model, &directions)
                    };
                    let rows = Data::first(Set::of_split(&data.train)?, HESSIAN_ROWS);
                    let n = directions.size();
                    let mut products = Products::new(&setup, &point, rows)?;
                    let unit = |i: usize| (0..n).map(move |j| f64::from(u8::from(i == j)));
                    let mut matrix = vec![0.0; n * n];
                    crate::hessian::Operator::multiply(
                        &mut products,
                        &(0..n).flat_map(unit).collect::<Vec<_>>(),
                        &mut matrix,
                    )?;
                    let eigen = nalgebra::DMatrix::from_row_slice(n, n, &matrix).symmetric_eigen();
                    Ok((top, eigen.eigenvalues.max()))
                })?;
                Ok(seen)
            })
            .unwrap();
        assert!(top > 0.0 && (top - dense).abs() < 1e-3 * dense, "{top} {dense}");
    }
}
