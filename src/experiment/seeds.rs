//! Runs that differ in their seed alone: means, deviations, and their figures beside the notebook's.

use super::notebook;
use super::{Failure, Run, Trained};
use crate::data::Dataset;
use crate::measure::{Beside, Epoch, Held, Trace};
use crate::mlp::TrainOptions;

/// Distance from the notebook's train loss that is allowed however little the seeds differ: its own two runs at one
/// learning rate lie 0.018 apart.
const LEAST_DISTANCE: f64 = 0.02;

/// One run for each of `count` seeds; `name` tells them from others of the experiment.
///
/// # Errors
/// As [`Run::train`].
pub fn train(
    run: &mut Run<'_>,
    name: &str,
    options: &TrainOptions,
    data: &Dataset,
    count: usize,
) -> Result<Vec<Trained>, Failure> {
    let seeds = run.seeds(count);
    seeds
        .into_iter()
        .map(|seed| {
            run.train(
                &format!("{name}, seed {seed}"),
                &TrainOptions {
                    seed,
                    ..options.clone()
                },
                data,
            )
        })
        .collect()
}

/// A figure of each run.
pub fn figures(runs: &[Trained], figure: impl Fn(&Trained) -> f64) -> Vec<f64> {
    runs.iter().map(figure).collect()
}

/// The mean; NaN of nothing.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The standard deviation with n - 1 below; 0 for fewer than two values.
pub fn deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = mean(values);
    let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

/// How a train loss is held against the notebook's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// To its value, on data of its size.
    Value,
    /// To its behaviour, which this says is alike.
    Behaviour(bool),
    /// Not at all: sizes were shrunk.
    Not,
}

/// The runs' train loss of epoch `epoch` beside that of the notebook's run at `pointer`.
pub fn beside(of: &str, pointer: &str, runs: &[Trained], epoch: usize, holding: Holding) -> Beside {
    let notebook = notebook::epochs(pointer).get(epoch - 1).map_or(f64::NAN, |row| row[0]);
    let loss = |run: &Trained| {
        run.training
            .epochs
            .get(epoch - 1)
            .map_or(f64::NAN, |row| row.train_loss)
    };
    let losses = figures(runs, loss);
    let (ours, spread) = (mean(&losses), deviation(&losses));
    Beside {
        of: of.to_owned(),
        figure: format!("train loss, epoch {epoch}"),
        notebook,
        ours,
        deviation: (losses.len() > 1).then_some(spread),
        seeds: losses.len(),
        held: match holding {
            Holding::Value => Held::within(notebook, ours, spread, LEAST_DISTANCE),
            Holding::Behaviour(met) => Held::Behaviour { met },
            Holding::Not => Held::Nothing,
        },
    }
}

/// Whether all figures that are held to something meet it; none where none is held.
pub fn near(rows: &[Beside]) -> Option<bool> {
    let met = rows.iter().filter_map(|row| match row.held {
        Held::Within { met, .. } | Held::Behaviour { met } => Some(met),
        Held::Nothing => None,
    });
    met.reduce(|all, met| all && met)
}

/// A figure of each epoch, mean over the runs, with the deviation as its error bar where there are several.
pub fn curve(name: impl Into<String>, runs: &[Trained], figure: impl Fn(&Epoch) -> f64) -> Trace {
    let epochs = runs.iter().map(|run| run.training.epochs.len()).max().unwrap_or(0);
    let at = |epoch: usize| -> Vec<f64> {
        let reached = runs.iter().filter_map(|run| run.training.epochs.get(epoch));
        reached.map(&figure).collect()
    };
    let values: Vec<Vec<f64>> = (0..epochs).map(at).collect();
    let points = values
        .iter()
        .enumerate()
        .map(|(at, values)| ((at + 1) as f64, mean(values)));
    let trace = Trace::line(name, points);
    if runs.len() < 2 {
        return trace;
    }
    trace.with_error(values.iter().map(|values| deviation(values)).collect())
}

#[cfg(test)]
pub mod made {
    //! Made-up runs.

    use super::*;
    use crate::measure::Training;

    /// A run whose epochs have these train losses, and this test accuracy.
    pub fn run(losses: &[f64], test_acc: f64) -> Trained {
        let epoch = |(at, &train_loss): (usize, &f64)| Epoch {
            epoch: at + 1,
            train_loss,
            test_loss: train_loss,
            train_acc: test_acc,
            test_acc,
            validation_loss: None,
            validation_acc: None,
            seconds: 1.0,
            samples_per_s: 10_000.0,
            layers: Vec::new(),
        };
        let training = Training {
            layers: vec![784, 256, 10],
            settings: Vec::new(),
            device: "cpu".to_owned(),
            kernel: "made-up".to_owned(),
            threads: 1,
            seed: 1,
            data: "made up".to_owned(),
            train_rows: 10_000,
            test_rows: 2_000,
            parameters: 203_530,
            first_loss: std::f64::consts::LN_10,
            epochs: losses.iter().enumerate().map(epoch).collect(),
            classification: None,
        };
        Trained {
            training,
            diverged: None,
        }
    }

    /// A loss that goes evenly from `first` to `last` in `epochs` epochs.
    pub fn falling(first: f64, last: f64, epochs: usize) -> Vec<f64> {
        let step = (last - first) / (epochs.max(2) - 1) as f64;
        (0..epochs).map(|at| first + step * at as f64).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_deviations_and_what_is_held() {
        assert_eq!((mean(&[1.0, 3.0]), deviation(&[1.0, 3.0])), (2.0, 2f64.sqrt()));
        assert!(mean(&[]).is_nan() && deviation(&[1.0]) == 0.0);
        // The notebook's run ends at 0.3818.
        let runs = |losses: &[f64]| -> Vec<Trained> {
            losses
                .iter()
                .map(|&last| made::run(&made::falling(1.0, last, 10), 0.85))
                .collect()
        };
        let row = |losses: &[f64], holding| beside("x", "/mlp_from_scratch", &runs(losses), 10, holding);
        let met = |losses: &[f64]| near(&[row(losses, Holding::Value)]);
        assert_eq!(met(&[0.38, 0.39, 0.40]), Some(true));
        assert_eq!(met(&[0.45, 0.45, 0.45]), Some(false));
        assert_eq!(met(&[0.38, f64::NAN]), Some(false));
        assert_eq!(near(&[row(&[0.9], Holding::Not)]), None);
        assert_eq!(
            near(&[
                row(&[0.9], Holding::Behaviour(true)),
                row(&[0.9], Holding::Behaviour(false))
            ]),
            Some(false)
        );
        let curve = curve("x", &runs(&[0.2, 0.4]), |epoch| epoch.train_loss);
        assert!((curve.y[9] - 0.3).abs() < 1e-12 && curve.error.len() == 10);
    }
}
