//! `weight-init`: normal(1), Xavier, He, constant and zero weights: one step, as the notebook does, and whole trainings.
//!
//! Units that begin with the same weights get the same gradient and stay the same unit: from a constant, 256 hidden units
//! are one. From zeros not even that one gets a gradient, since what comes back passes through the zeros behind it.

use super::seeds;
use super::{Entry, Failure, Outcome, Run, Trained, notebook, plot};
use crate::data::{Dataset, Split};
use crate::measure::{Beside, Finding, Held, PlotAxis, Trace};
use crate::mlp::{Init, TrainOptions, Trainer};
use crate::program::lower::weights_name;

pub const ENTRY: Entry = Entry {
    name: "weight-init",
    title: "How weights begin",
    question: "Does the initialisation of the weights matter?",
    expects: "Yes: zeros learn nothing, a constant makes all hidden units one, normal(1) begins with a huge loss, Xavier and He learn at once. One step, as in the notebook, shows mostly the noise of the batch.",
    run,
};

/// Rows of a batch, and of the notebook's test batch.
const BATCH: usize = 128;
const UNITS: usize = 256;

/// The inits, and where the notebook has their accuracy behind one step.
const INITS: [(Init, Option<&str>); 5] = [
    (
        Init::Normal { sigma: 1.0 },
        Some("/weight_init/first_test_batch_acc/normal sigma 1"),
    ),
    (
        Init::Xavier { normal: false },
        Some("/weight_init/first_test_batch_acc/xavier uniform"),
    ),
    (
        Init::He { normal: false },
        Some("/weight_init/first_test_batch_acc/he uniform"),
    ),
    (Init::Constant { value: 0.5 }, None),
    (Init::Constant { value: 0.0 }, None),
];

/// What one init led to.
struct Start {
    init: Init,
    /// Accuracy on the first test batch behind one step, by seed.
    one_step: Vec<f64>,
    /// Whole trainings.
    runs: Vec<Trained>,
    /// How far hidden units are apart after training: largest spread of a row of W1.
    apart: f64,
}

impl Start {
    fn accuracy(&self) -> f64 {
        seeds::mean(&seeds::figures(&self.runs, Trained::test_acc))
    }
}

/// `rows` rows from `from` on.
fn part(split: &Split, from: usize, rows: usize) -> Split {
    let rows: Vec<usize> = (from..from + rows).map(|row| row % split.rows).collect();
    Split {
        values: split.values.take(&rows, split.columns),
        labels: rows.iter().map(|&row| split.labels[row]).collect(),
        rows: rows.len(),
        columns: split.columns,
    }
}

/// Largest spread of what leads from one input into the hidden units.
fn apart(trainer: &mut Trainer<'_>) -> Result<f64, Failure> {
    let weights = trainer.session().read(&weights_name(1))?;
    let spread = |row: &[f64]| {
        let ends = row.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &w| {
            (low.min(w), high.max(w))
        });
        ends.1 - ends.0
    };
    Ok(weights.chunks_exact(UNITS).map(spread).fold(0.0, f64::max))
}

fn run(run: &mut Run<'_>) -> Result<Outcome, Failure> {
    let data = run.fashion()?;
    let (once, whole) = (run.pick(10, 20), run.pick(2, 3));
    let mut starts = Vec::new();
    for (init, _) in INITS {
        let options = TrainOptions {
            init,
            batch: BATCH,
            epochs: 1,
            ..run.base()
        };
        let mut one_step = Vec::new();
        for (at, seed) in run.seeds(once).into_iter().enumerate() {
            let first = Dataset {
                train: part(&data.train, at * BATCH, BATCH),
                test: part(&data.test, 0, BATCH),
                ..(*data).clone()
            };
            let options = TrainOptions {
                seed,
                ..options.clone()
            };
            let key = format!("{init}, one step, seed {seed}");
            one_step.push(run.train(&key, &options, &first)?.test_acc());
        }
        let (mut runs, mut spread) = (Vec::new(), 0.0f64);
        for seed in run.seeds(whole) {
            let options = TrainOptions {
                seed,
                epochs: run.pick(3, 10),
                ..options.clone()
            };
            let (trained, units) = run.train_and(&format!("{init}, seed {seed}"), &options, &data, apart)?;
            runs.push(trained);
            spread = spread.max(units);
        }
        starts.push(Start {
            init,
            one_step,
            runs,
            apart: spread,
        });
    }
    Ok(assess(&starts, run.options().full))
}

fn assess(starts: &[Start], full: bool) -> Outcome {
    let of = |init: Init| starts.iter().find(|start| start.init == init);
    let accuracy = |init: Init| of(init).map_or(f64::NAN, Start::accuracy);
    let (zeros, constant) = (INITS[4].0, INITS[3].0);
    let best = starts.iter().max_by(|a, b| a.accuracy().total_cmp(&b.accuracy()));
    let (name, top) = best.map_or((String::new(), f64::NAN), |start| {
        (start.init.to_string(), start.accuracy())
    });
    let gap = top - accuracy(zeros);
    let spread = starts
        .iter()
        .map(|start| seeds::deviation(&start.one_step))
        .fold(0.0, f64::max);
    let finding = if gap > 0.1 {
        Finding::InitMatters {
            best: top,
            name,
            zeros: accuracy(zeros),
            one_step_deviation: spread,
        }
    } else {
        Finding::InitMakesNoDifference { gap }
    };
    let mut outcome = Outcome::new(finding);
    outcome.at_most("zeros, test accuracy", accuracy(zeros), 0.15);
    for (init, _) in &INITS[1..3] {
        outcome.at_least(format!("{init}, test accuracy"), accuracy(*init), 0.6);
    }
    let spread_of = |init: Init| of(init).map_or(f64::NAN, |start| start.apart);
    outcome.equals(
        "constant: largest difference of two hidden units",
        spread_of(constant),
        0.0,
    );
    outcome.at_least(
        "He: largest difference of two hidden units",
        spread_of(INITS[2].0),
        1e-3,
    );
    for (init, pointer) in INITS {
        let (Some(start), Some(pointer)) = (of(init), pointer) else {
            continue;
        };
        outcome.beside(Beside {
            of: format!("{init}, one step"),
            figure: "accuracy on the first test batch".to_owned(),
            notebook: notebook::figure(pointer),
            ours: seeds::mean(&start.one_step),
            deviation: Some(seeds::deviation(&start.one_step)),
            seeds: start.one_step.len(),
            held: Held::Nothing,
        });
    }
    let traces = starts
        .iter()
        .map(|start| seeds::curve(start.init.to_string(), &start.runs, |epoch| epoch.test_acc));
    let (x, y) = (PlotAxis::new("epoch", "").whole(), PlotAxis::new("test accuracy", ""));
    outcome.plot(plot("Test accuracy over the epochs", x, y, traces.collect()));
    let one = starts.iter().enumerate().map(|(at, start)| {
        Trace::points(
            start.init.to_string(),
            [(at as f64 + 1.0, seeds::mean(&start.one_step))],
        )
        .with_error(vec![seeds::deviation(&start.one_step)])
    });
    let (x, y) = (PlotAxis::new("init", "").whole(), PlotAxis::new("accuracy", ""));
    let mut one = plot("Accuracy behind one step", x, y, one.collect());
    one.note = "Bars are one standard deviation over the seeds.".to_owned();
    outcome.plot(one);
    let row = |start: &Start| {
        let cells = [
            seeds::mean(&start.one_step),
            seeds::deviation(&start.one_step),
            start.accuracy(),
            seeds::deviation(&seeds::figures(&start.runs, Trained::test_acc)),
            start.apart,
        ];
        let mut row = vec![start.init.to_string().into()];
        row.extend(cells.map(Into::into));
        row
    };
    let head = ["init", "one step", "deviation", "trained", "deviation", "units apart"];
    outcome.sheet(
        "Accuracy behind one step and behind training",
        &head,
        starts.iter().map(row).collect(),
    );
    outcome.setting("biases", "0; the notebook's are PyTorch's");
    if !full {
        outcome.shrunk("10,000 of 60,000 images, 3 epochs of 10, 2 seeds of 3; one step from 10 seeds of 20.");
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::seeds::made;
    use crate::experiment::testing::{assert_holds, failed};

    #[test]
    fn branches_and_breaks() {
        let starts = |zeros: f64, constant_apart: f64| {
            let start = |(init, _): (Init, Option<&str>)| {
                let learns = matches!(init, Init::Xavier { .. } | Init::He { .. });
                Start {
                    init,
                    one_step: vec![0.1, 0.3],
                    runs: vec![made::run(&[1.0, 0.5], if learns { 0.85 } else { zeros })],
                    apart: if learns { 0.5 } else { constant_apart },
                }
            };
            INITS.map(start)
        };
        let matters = assess(&starts(0.1, 0.0), true);
        assert_holds(&matters);
        assert!(matches!(matters.finding(), Finding::InitMatters { zeros: 0.1, .. }));
        // Zeros that learn, and units that came apart: noise was in the weights after all.
        assert_eq!(failed(&assess(&starts(0.8, 0.0), true)).len(), 1);
        assert_eq!(failed(&assess(&starts(0.1, 0.1), true)).len(), 1);
        assert_eq!(failed(&assess(&starts(f64::NAN, 0.0), true)).len(), 1);
        let same = assess(&starts(0.85, 0.0), true);
        assert!(matches!(same.chosen(), Finding::InitMakesNoDifference { .. }));
    }
}
