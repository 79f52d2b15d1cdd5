//! `batch-size`: 20-64-1 with binary cross-entropy and Adam, batches of 16 to 1024, at equal epochs and at equal updates.
//!
//! Ten epochs of 8,000 rows are 5,000 updates at a batch of 16 and 80 at 1024: that is not the same work. At equal updates the
//! large batch has had 64 times the rows. Curvatures are compared at equal loss: [`sharpness`].

mod sharpness;

use super::seeds::{self, curve};
use super::{Entry, Failure, Outcome, Run, Trained, notebook, plot};
use crate::data::{Dataset, synthetic};
use crate::measure::{Beside, Cell, Epoch, Finding, Held, PlotAxis, Trace};
use crate::mlp::{Init, Loss, Optimizer, TrainOptions};
use sharpness::{HESSIAN_ROWS, LOSS, Reached, compared, reached, top_eigenvalue};

pub const ENTRY: Entry = Entry {
    name: "batch-size",
    title: "The size of a batch",
    question: "What does the size of a batch do to time, loss and accuracy, at equal epochs and at equal updates, and do small batches find flatter minima?",
    expects: "At equal epochs large batches are faster and far less trained, since they make fewer updates; at equal updates their accuracy is that of small ones. At equal loss small batches should stand at flatter places, if the seeds' own noise lets it be seen.",
    run,
};

const BATCHES: [usize; 7] = [16, 32, 64, 128, 256, 512, 1024];
const EPOCHS: usize = 10;
/// Runs that differ in their seed, and the curvature where each ended.
struct Runs {
    trained: Vec<Trained>,
    /// Largest eigenvalue, and its residual.
    top: Vec<(f64, f64)>,
}

impl Runs {
    fn mean(&self, figure: impl Fn(&Trained) -> f64) -> f64 {
        seeds::mean(&seeds::figures(&self.trained, figure))
    }

    fn accuracies(&self) -> Vec<f64> {
        seeds::figures(&self.trained, Trained::test_acc)
    }

    fn sharpness(&self) -> Vec<f64> {
        self.top.iter().map(|(value, _)| *value).collect()
    }
}

/// One batch size.
struct Size {
    batch: usize,
    equal_epochs: Runs,
    equal_updates: Runs,
    /// One a seed.
    equal_loss: Vec<Reached>,
}

impl Size {
    fn reached(&self, figure: fn(&Reached) -> f64) -> Vec<f64> {
        self.equal_loss.iter().map(figure).collect()
    }
}

/// Milliseconds of one update, evaluation left out.
fn update_ms(trained: &Trained, batch: usize) -> f64 {
    let rows = trained.training.train_rows as f64;
    let training_s: f64 = trained
        .training
        .epochs
        .iter()
        .map(|epoch| rows / epoch.samples_per_s)
        .sum();
    1e3 * training_s / (trained.training.epochs.len() as f64 * (rows / batch as f64).ceil())
}

fn options(run: &Run<'_>, batch: usize, epochs: usize) -> TrainOptions {
    TrainOptions {
        layers: vec![20, 64, 1],
        loss: Loss::BinaryCrossEntropy,
        optimizer: Optimizer::Adam { decoupled: false },
        init: Init::Torch,
        lr: 0.001,
        batch,
        epochs,
        ..run.base()
    }
}

fn run(run: &mut Run<'_>) -> Result<Outcome, Failure> {
    let data = synthetic::sums();
    // As many as the smallest batch makes in ten epochs; a quarter of them with --quick.
    let updates: usize = run.pick(1_250, 5_000);
    let mut sizes = Vec::new();
    for batch in BATCHES {
        let epochs = updates.div_ceil(data.train.rows.div_ceil(batch)).max(1);
        sizes.push(Size {
            batch,
            equal_epochs: trained(run, &format!("{EPOCHS} epochs"), &data, (batch, EPOCHS))?,
            equal_updates: trained(run, &format!("{updates} updates"), &data, (batch, epochs))?,
            equal_loss: reached(run, &data, batch)?,
        });
    }
    Ok(assess(&sizes, run.options().full))
}

/// A run for every seed.
fn trained(run: &mut Run<'_>, name: &str, data: &Dataset, (batch, epochs): (usize, usize)) -> Result<Runs, Failure> {
    let mut runs = Runs {
        trained: Vec::new(),
        top: Vec::new(),
    };
    for seed in run.seeds(run.pick(3, 5)) {
        let options = TrainOptions {
            seed,
            ..options(run, batch, epochs)
        };
        let key = format!("batch {batch}, {name}, seed {seed}");
        let (trained, top) = run.train_and(&key, &options, data, |trainer| top_eigenvalue(trainer, &options, data))?;
        runs.trained.push(trained);
        runs.top.push(top);
    }
    Ok(runs)
}

fn assess(sizes: &[Size], full: bool) -> Outcome {
    let (Some(first), Some(last)) = (sizes.first(), sizes.last()) else {
        return Outcome::new(Finding::ChecksFailed {
            failed: vec!["no batch size was run".to_owned()],
        });
    };
    let accuracy = |runs: &Runs| runs.mean(Trained::test_acc);
    let (small, large) = (accuracy(&first.equal_epochs), accuracy(&last.equal_epochs));
    let large_at_equal_updates = accuracy(&last.equal_updates);
    let sharpness = Some(compared(&first.reached(|at| at.top), &last.reached(|at| at.top)));
    let finding = if large_at_equal_updates - large > 0.5 * (small - large) {
        Finding::UpdatesMatter {
            small,
            large,
            large_at_equal_updates,
            sharpness,
        }
    } else {
        Finding::BatchMatters {
            small,
            large_at_equal_updates,
            sharpness,
        }
    };
    let mut outcome = Outcome::new(finding);
    outcome.at_least("smallest batch, ten epochs: test accuracy", small, 0.9);
    outcome.at_least("what it is ahead of the largest at equal epochs", small - large, 0.05);
    outcome.at_least(
        "largest batch at equal updates: test accuracy",
        large_at_equal_updates,
        0.9,
    );
    let worst = |figures: &mut dyn Iterator<Item = f64>| {
        let worse = |most: f64, x: f64| if x > most || x.is_nan() { x } else { most };
        figures.fold(0.0, worse)
    };
    let over = |value: f64, residual: f64| residual / value.max(0.0);
    let ran = sizes.iter().flat_map(|size| [&size.equal_epochs, &size.equal_updates]);
    let ran = ran
        .flat_map(|runs| &runs.top)
        .map(|&(value, residual)| over(value, residual));
    let there = || sizes.iter().flat_map(|size| &size.equal_loss);
    let all = &mut ran.chain(there().map(|at| over(at.top, at.residual)));
    outcome.at_most(
        "top eigenvalues: largest residual over its eigenvalue",
        worst(all),
        0.05,
    );
    // Whole epochs of the smallest batches overshoot, and a loss that is another makes another comparison.
    let off = worst(&mut there().map(|at| 1.0 - at.loss / LOSS));
    outcome.at_most(
        "how far a run overshoots the loss at which curvatures are compared",
        off,
        0.2,
    );
    figures(&mut outcome, sizes);
    if !full {
        outcome.shrunk("1,250 updates of 5,000 where updates are equal, three seeds of five.");
    }
    outcome
}

/// The plots, the table, and the notebook's figures beside ours.
fn figures(outcome: &mut Outcome, sizes: &[Size]) {
    let ms = |size: &Size| size.equal_epochs.mean(|trained| update_ms(trained, size.batch));
    let mut rows = Vec::new();
    for (at, size) in sizes.iter().enumerate() {
        let printed = |what: &str| notebook::figure(&format!("/batch_size/rows/{at}/{what}"));
        let accuracies = size.equal_epochs.accuracies();
        outcome.beside(Beside {
            of: format!("batch {}", size.batch),
            figure: "test accuracy, ten epochs".to_owned(),
            notebook: printed("acc"),
            ours: seeds::mean(&accuracies),
            deviation: (accuracies.len() > 1).then(|| seeds::deviation(&accuracies)),
            seeds: accuracies.len(),
            held: Held::Nothing,
        });
        let cells = [
            size.batch as f64,
            size.equal_epochs.mean(Trained::seconds),
            printed("total_s"),
            ms(size),
            printed("ms_per_batch"),
            size.equal_epochs.mean(Trained::train_loss),
            seeds::mean(&accuracies),
            seeds::mean(&size.equal_updates.accuracies()),
        ];
        rows.push(cells.map(Cell::from).to_vec());
    }
    type Figure = fn(&Epoch) -> f64;
    let curves: [(&str, Figure); 2] = [
        ("train loss", |epoch| epoch.train_loss),
        ("test accuracy", |epoch| epoch.test_acc),
    ];
    for (label, figure) in curves {
        let trace = |size: &Size| curve(format!("batch {}", size.batch), &size.equal_epochs.trained, figure);
        let (x, y) = (PlotAxis::new("epoch", "").whole(), PlotAxis::new(label, ""));
        let traces = sizes.iter().map(trace).collect();
        outcome.plot(plot(&format!("At equal epochs: {label}"), x, y, traces));
    }
    // Mean and deviation over the seeds.
    let by_size = |name: &str, figures: &dyn Fn(&Size) -> Vec<f64>| {
        let mean = |size: &Size| (size.batch as f64, seeds::mean(&figures(size)));
        let trace = Trace::line(name, sizes.iter().map(mean));
        trace.with_error(sizes.iter().map(|size| seeds::deviation(&figures(size))).collect())
    };
    let x = || PlotAxis::new("rows of a batch", "").log().whole();
    let pair = |figures: fn(&Runs) -> Vec<f64>| {
        vec![
            by_size("equal epochs", &|size| figures(&size.equal_epochs)),
            by_size("equal updates", &|size| figures(&size.equal_updates)),
        ]
    };
    let y = PlotAxis::new("test accuracy", "");
    outcome.plot(plot("Test accuracy by batch size", x(), y, pair(Runs::accuracies)));
    let times = vec![Trace::line(
        "here",
        sizes.iter().map(|size| (size.batch as f64, ms(size))),
    )];
    let y = PlotAxis::new("time", "ms").log();
    outcome.plot(plot("Time of an update by batch size", x(), y, times));
    let y = PlotAxis::new("top eigenvalue", "");
    let mut traces = pair(Runs::sharpness);
    traces.insert(0, by_size("equal test loss", &|size| size.reached(|at| at.top)));
    let mut sharp = plot("Sharpness by batch size", x(), y, traces);
    sharp.note = format!(
        "Largest eigenvalue of the Hessian over the first {HESSIAN_ROWS} training rows: where the test loss is first at most {LOSS}, and where runs of equal epochs and updates end, at whatever loss. Bars are one standard deviation over the seeds."
    );
    outcome.plot(sharp);
    let head = [
        "batch",
        "seconds, 10 epochs",
        "notebook's",
        "ms an update",
        "notebook's",
        "train loss",
        "test accuracy",
        "at equal updates",
    ];
    outcome.sheet("Every batch size", &head, rows);
    let row = |size: &Size| {
        let of = |runs: &Runs| [runs.mean(Trained::train_loss), seeds::mean(&runs.sharpness())];
        let top = size.reached(|at| at.top);
        let there = [
            size.batch as f64,
            seeds::mean(&size.reached(|at| at.epochs as f64)),
            seeds::mean(&size.reached(|at| at.loss)),
            seeds::mean(&top),
            seeds::deviation(&top),
        ];
        let cells = [&there[..], &of(&size.equal_epochs), &of(&size.equal_updates)].concat();
        cells.into_iter().map(Cell::from).collect()
    };
    let head = [
        "batch",
        "epochs to equal loss",
        "test loss",
        "top eigenvalue",
        "deviation",
        "train loss, equal epochs",
        "top eigenvalue",
        "train loss, equal updates",
        "top eigenvalue",
    ];
    outcome.sheet(
        "Sharpness, at equal test loss and where the runs end",
        &head,
        sizes.iter().map(row).collect(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::seeds::made;
    use crate::experiment::testing::{Bed, assert_holds, failed};
    use crate::measure::Flatter;

    /// Two seeds that end alike, but for their curvature.
    fn made_runs(losses: &[f64], acc: f64, tops: [f64; 2]) -> Runs {
        Runs {
            trained: vec![made::run(losses, acc); 2],
            top: tops.map(|top| (top, 1e-4 * top)).to_vec(),
        }
    }

    fn made_reached(tops: &[f64]) -> Vec<Reached> {
        let reached = |&top: &f64| Reached {
            epochs: 10,
            loss: 0.119,
            top,
            residual: 1e-4,
        };
        tops.iter().map(reached).collect()
    }

    #[test]
    fn branches_and_breaks() {
        let size = |batch, epochs: f64, updates: f64| Size {
            batch,
            equal_epochs: made_runs(&[0.6, 0.5], epochs, [1.0, 1.1]),
            equal_updates: made_runs(&[0.6, 0.1], updates, [1.0, 1.1]),
            equal_loss: made_reached(&[1.0, 1.1]),
        };
        let sizes = |large, updates| [size(16, 0.98, 0.98), size(1024, large, updates)];
        let matter = assess(&sizes(0.6, 0.97), true);
        assert_holds(&matter);
        assert!(matches!(matter.finding(), Finding::UpdatesMatter { large: 0.6, .. }));
        // The large batch never catches up, and a small one that does nothing: each is found.
        assert_eq!(failed(&assess(&sizes(0.6, 0.62), true)).len(), 1);
        assert_eq!(
            failed(&assess(&[size(16, 0.5, 0.98), size(1024, 0.5, 0.97)], true)).len(),
            2
        );
        assert_eq!(failed(&assess(&sizes(f64::NAN, 0.97), true)).len(), 1);
        assert!(matches!(
            assess(&[size(16, 0.99, 0.99), size(1024, 0.905, 0.91)], true).finding(),
            Finding::BatchMatters { .. }
        ));
        // An eigenvalue that Lanczos did not find, and one that is none of a curved place.
        for top in [(1.0, 0.2), (-1.0, 0.01), (f64::NAN, 0.0)] {
            let mut lost = sizes(0.6, 0.97);
            lost[1].equal_updates.top[0] = top;
            assert_eq!(failed(&assess(&lost, true)).len(), 1, "{top:?}");
        }
        // A run that went past the loss where all are compared, and one that never got there.
        for loss in [0.05, f64::NAN] {
            let mut past = sizes(0.6, 0.97);
            past[0].equal_loss[1].loss = loss;
            assert_eq!(failed(&assess(&past, true)).len(), 1, "{loss}");
        }
        let sharper = [
            Size {
                equal_loss: made_reached(&[9.0, 9.5]),
                ..size(16, 0.98, 0.98)
            },
            size(1024, 0.6, 0.97),
        ];
        let flatter = match assess(&sharper, true).finding() {
            Finding::UpdatesMatter { sharpness, .. } => sharpness.map(|found| found.flatter),
            other => panic!("{other:?}"),
        };
        assert_eq!(flatter, Some(Flatter::Large));
        assert_eq!(failed(&assess(&[], true)).len(), 1);
    }

    /// On the notebook's own data: labels that were shuffled can't be learned, and the check says so.
    #[test]
    fn shuffled_labels_are_found() {
        let mut data = synthetic::sums();
        data.train.labels.rotate_left(1);
        let bed = Bed::new();
        let trained = bed.run(|run| {
            let options = options(run, 64, 2);
            run.train("shuffled", &options, &data)
        });
        let trained = trained.unwrap();
        let size = |batch| {
            let runs = || Runs {
                trained: vec![trained.clone()],
                top: vec![(1.0, 0.0)],
            };
            Size {
                batch,
                equal_epochs: runs(),
                equal_updates: runs(),
                equal_loss: made_reached(&[1.0]),
            }
        };
        assert!(failed(&assess(&[size(16), size(1024)], false)).len() >= 2);
    }
}
