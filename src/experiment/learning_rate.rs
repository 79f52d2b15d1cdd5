//! `learning-rate`: 0.001 to 1, ten and twenty epochs.
//!
//! The rate is constant, so the first ten epochs of a run of twenty are a run of ten: each rate is trained once.

use super::seeds::{self, Holding, curve};
use super::{Entry, Failure, Outcome, Run, Trained, notebook, plot};
use crate::measure::{Cell, Finding, PlotAxis, Trace};
use crate::mlp::TrainOptions;

pub const ENTRY: Entry = Entry {
    name: "learning-rate",
    title: "The learning rate",
    question: "What does the learning rate change, and how does the best one depend on the number of epochs?",
    expects: "Small rates have not arrived after ten epochs and gain most by twenty; 0.3 to 0.5 is best; at 1 training is unstable, and with some seeds comes to nothing.",
    run,
};

const POINTERS: [(&str, usize); 2] = [("/learning_rate_10_epochs", 10), ("/learning_rate_20_epochs", 20)];
/// Test accuracy below which a run at a rate above the best one has come to nothing.
const NOTHING: f64 = 0.5;

/// All runs at one rate, of twenty epochs.
struct Rate {
    lr: f64,
    runs: Vec<Trained>,
}

impl Rate {
    /// Test accuracy behind this epoch; 0 if a run diverged, which learns nothing.
    fn accuracy(&self, epoch: usize) -> f64 {
        let at = |run: &Trained| run.training.epochs.get(epoch - 1).map_or(0.0, |row| row.test_acc);
        seeds::mean(&seeds::figures(&self.runs, at))
    }

    /// Seeds that have learned nothing behind this epoch.
    fn lost(&self, epoch: usize) -> usize {
        let nothing = |run: &&Trained| {
            let row = run.training.epochs.get(epoch - 1);
            // NaN counts as nothing.
            row.is_none_or(|row| row.test_acc.is_nan() || row.test_acc < NOTHING)
        };
        self.runs.iter().filter(nothing).count()
    }

    fn loss(&self, epoch: usize) -> f64 {
        let at = |run: &Trained| {
            run.training
                .epochs
                .get(epoch - 1)
                .map_or(f64::NAN, |row| row.train_loss)
        };
        seeds::mean(&seeds::figures(&self.runs, at))
    }
}

fn run(run: &mut Run<'_>) -> Result<Outcome, Failure> {
    let data = run.fashion()?;
    let mut done = Vec::new();
    let count = notebook::count(POINTERS[0].0);
    for at in 0..count {
        let lr = notebook::figure(&format!("{}/{at}/lr", POINTERS[0].0));
        let options = TrainOptions {
            lr,
            epochs: 20,
            ..run.base()
        };
        // Whether the largest comes to nothing one seed can't tell.
        let quick = if at + 1 == count { 3 } else { 1 };
        let runs = seeds::train(run, &format!("lr {lr}"), &options, &data, run.pick(quick, 3))?;
        done.push(Rate { lr, runs });
    }
    Ok(assess(&done, run.options().full))
}

/// The rate of the highest accuracy behind this epoch.
fn best(rates: &[Rate], epoch: usize) -> Option<&Rate> {
    rates
        .iter()
        .max_by(|a, b| a.accuracy(epoch).total_cmp(&b.accuracy(epoch)))
}

fn assess(rates: &[Rate], full: bool) -> Outcome {
    let Some(top) = best(rates, 20) else {
        return Outcome::new(Finding::ChecksFailed {
            failed: vec!["no rate was run".to_owned()],
        });
    };
    let unstable = rates.iter().find(|rate| rate.lr > top.lr && rate.lost(20) > 0);
    let mut outcome = Outcome::new(Finding::BestRate {
        lr: top.lr,
        test_acc: top.accuracy(20),
        unstable: unstable.map(|rate| rate.lr),
        lost: unstable.map_or((0, 0), |rate| (rate.lost(20), rate.runs.len())),
    });
    outcome.at_least(
        "test accuracy of the best rate",
        top.accuracy(20),
        if full { 0.85 } else { 0.7 },
    );
    let smallest = rates
        .iter()
        .min_by(|a, b| a.lr.total_cmp(&b.lr))
        .map_or(f64::NAN, |rate| rate.loss(20));
    outcome.at_least(
        "train loss of the smallest rate less that of the best",
        smallest - top.loss(20),
        0.1,
    );
    let gained = rates
        .iter()
        .min_by(|a, b| a.lr.total_cmp(&b.lr))
        .map_or(f64::NAN, |rate| rate.loss(10) - rate.loss(20));
    outcome.at_least("what ten more epochs take from the smallest rate's loss", gained, 0.01);
    for (pointer, epochs) in POINTERS {
        for (at, rate) in rates.iter().enumerate() {
            let stable = rate.lr < 1.0;
            let holding = match (full, stable) {
                (false, _) => Holding::Not,
                (true, true) => Holding::Value,
                // The notebook's one run came to nothing: with some seed ours must.
                (true, false) => Holding::Behaviour(rate.lost(epochs) > 0),
            };
            let of = format!("784-256-10, lr {}", rate.lr);
            outcome.beside(seeds::beside(
                &of,
                &format!("{pointer}/{at}"),
                &rate.runs,
                epochs,
                holding,
            ));
        }
    }
    let by_rate = |epochs: usize| {
        Trace::line(
            format!("here, {epochs} epochs"),
            rates.iter().map(|rate| (rate.lr, rate.accuracy(epochs))),
        )
    };
    let printed = |(pointer, epochs): (&str, usize)| {
        let end = |at: usize| {
            notebook::epochs(&format!("{pointer}/{at}"))
                .last()
                .map_or(f64::NAN, |row| row[3])
        };
        Trace::line(
            format!("notebook, {epochs} epochs"),
            rates.iter().enumerate().map(|(at, rate)| (rate.lr, end(at))),
        )
    };
    let traces = vec![by_rate(10), by_rate(20), printed(POINTERS[0]), printed(POINTERS[1])];
    let (x, y) = (
        PlotAxis::new("learning rate", "").log(),
        PlotAxis::new("test accuracy", ""),
    );
    outcome.plot(plot("Test accuracy by learning rate", x, y, traces));
    let traces = rates
        .iter()
        .map(|rate| curve(format!("lr {}", rate.lr), &rate.runs, |epoch| epoch.train_loss));
    let (x, y) = (PlotAxis::new("epoch", "").whole(), PlotAxis::new("train loss", ""));
    outcome.plot(plot("Train loss over the epochs", x, y, traces.collect()));
    let row = |rate: &Rate| {
        let cells = [
            rate.lr,
            rate.loss(10),
            rate.accuracy(10),
            rate.loss(20),
            rate.accuracy(20),
        ];
        let mut row = cells.map(Cell::from).to_vec();
        row.push(format!("{} of {}", rate.lost(20), rate.runs.len()).into());
        row
    };
    let head = [
        "lr",
        "train loss, 10",
        "test accuracy, 10",
        "train loss, 20",
        "test accuracy, 20",
        "seeds that came to nothing",
    ];
    outcome.sheet(
        "Every rate, after ten and twenty epochs",
        &head,
        rates.iter().map(row).collect(),
    );
    if !full {
        outcome.shrunk("10,000 of 60,000 images, one seed of three but at the largest rate.");
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
        let rate = |lr, last, acc| Rate {
            lr,
            runs: vec![made::run(&made::falling(2.3, last, 20), acc)],
        };
        let rates = |best: f64| vec![rate(0.001, 1.5, 0.6), rate(0.5, 0.25, best), rate(1.0, 2.2, 0.1)];
        let unstable = assess(&rates(0.88), true);
        assert_holds(&unstable);
        let finding = |unstable, lost| Finding::BestRate {
            lr: 0.5,
            test_acc: 0.88,
            unstable,
            lost,
        };
        assert_eq!(unstable.finding(), finding(Some(1.0), (1, 1)));
        let mut steady = rates(0.88);
        steady.pop();
        assert_eq!(assess(&steady, true).finding(), finding(None, (0, 0)));
        // Rates that make no difference: the rate never reached the update.
        let same = vec![rate(0.001, 0.4, 0.85), rate(0.5, 0.4, 0.86)];
        assert_eq!(failed(&assess(&same, true)).len(), 1);
        assert_eq!(
            failed(&assess(&rates(0.2), true)).len(),
            1 + usize::from(best(&rates(0.2), 20).unwrap().lr == 0.001)
        );
        // One that diverged is unstable too.
        let mut lost = rates(0.88);
        lost[2].runs[0].training.epochs.clear();
        assert_eq!(assess(&lost, true).finding(), finding(Some(1.0), (1, 1)));
        // So is one that came to nothing with a single seed of three, though the mean did not.
        let mut some = rates(0.88);
        let learned = rate(1.0, 0.4, 0.8).runs;
        some[2].runs.extend([learned.clone(), learned].concat());
        assert!(some[2].accuracy(20) > NOTHING);
        assert_eq!(assess(&some, true).finding(), finding(Some(1.0), (1, 3)));
        some[2].runs.remove(0);
        assert_eq!(assess(&some, true).finding(), finding(None, (0, 0)));
        assert_eq!(failed(&assess(&[], true)).len(), 1);
    }
}
