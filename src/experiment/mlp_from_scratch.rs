//! `mlp-from-scratch`: the notebook's own run, 784-256-10 for ten epochs, and its four curves.

use super::seeds::{self, Holding, curve};
use super::{Entry, Failure, Outcome, QUICK_ROWS, Run, Trained, notebook, plot};
use crate::measure::{Epoch, Finding, PlotAxis, Trace};

pub const ENTRY: Entry = Entry {
    name: "mlp-from-scratch",
    title: "A multilayer perceptron from scratch",
    question: "Does 784-256-10 learn Fashion-MNIST in ten epochs as the notebook's version from scratch does?",
    expects: "Train and test loss fall together, accuracy passes 80 %; on the whole set the last train loss is the notebook's within the spread of seeds.",
    run,
};

const POINTER: &str = "/mlp_from_scratch";
const EPOCHS: usize = 10;

fn run(run: &mut Run<'_>) -> Result<Outcome, Failure> {
    let data = run.fashion()?;
    let runs = seeds::train(run, "784-256-10", &run.base(), &data, run.pick(1, 3))?;
    Ok(assess(&runs, run.options().full))
}

fn assess(runs: &[Trained], full: bool) -> Outcome {
    let of = |figure: fn(&Trained) -> f64| seeds::mean(&seeds::figures(runs, figure));
    let (loss, acc) = (of(Trained::train_loss), of(Trained::test_acc));
    let holding = if full { Holding::Value } else { Holding::Not };
    let row = seeds::beside("784-256-10, lr 0.1", POINTER, runs, EPOCHS, holding);
    let mut outcome = Outcome::new(Finding::Learned {
        train_loss: loss,
        test_acc: acc,
        near: seeds::near(std::slice::from_ref(&row)),
    });
    let first = |run: &Trained| run.training.epochs.first().map_or(f64::NAN, |epoch| epoch.train_loss);
    let first = seeds::mean(&seeds::figures(runs, first));
    outcome.at_most("last train loss over the first epoch's", loss / first, 0.7);
    outcome.at_least("test accuracy, mean of the seeds", acc, if full { 0.8 } else { 0.6 });
    if !full {
        outcome.shrunk(format!(
            "{} of 60,000 rows, one seed of three: a sixth of the steps, so losses end higher than the notebook's.",
            QUICK_ROWS.0
        ));
    }
    let printed = |name: &str, at: usize| {
        let rows = notebook::epochs(POINTER).into_iter().enumerate();
        Trace::line(name, rows.map(|(epoch, row)| ((epoch + 1) as f64, row[at])))
    };
    let pair: [(&str, &str, [fn(&Epoch) -> f64; 2], usize); 2] = [
        (
            "Loss over the epochs",
            "cross-entropy loss",
            [|epoch| epoch.train_loss, |epoch| epoch.test_loss],
            0,
        ),
        (
            "Accuracy over the epochs",
            "accuracy",
            [|epoch| epoch.train_acc, |epoch| epoch.test_acc],
            2,
        ),
    ];
    for (title, label, [train, test], at) in pair {
        let traces = vec![
            curve("train", runs, train),
            curve("test", runs, test),
            printed("notebook, train", at),
            printed("notebook, test", at + 1),
        ];
        outcome.plot(plot(
            title,
            PlotAxis::new("epoch", "").whole(),
            PlotAxis::new(label, ""),
            traces,
        ));
    }
    outcome.beside(row);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::seeds::made::{falling, run};
    use crate::experiment::testing::{assert_holds, failed};

    #[test]
    fn branches_and_breaks() {
        let outcome = |last, acc, full| assess(&[run(&falling(1.04, last, 10), acc)], full);
        let near = |outcome: &Outcome| match outcome.finding() {
            Finding::Learned { near, .. } => near,
            other => panic!("{other:?}"),
        };
        assert_holds(&outcome(0.385, 0.85, true));
        assert_eq!(near(&outcome(0.385, 0.85, true)), Some(true));
        assert_eq!(near(&outcome(0.5, 0.83, true)), Some(false));
        assert_eq!(near(&outcome(0.5, 0.83, false)), None);
        // A network that learns nothing, and one that diverges.
        assert_eq!(failed(&outcome(1.03, 0.1, false)).len(), 2);
        let mut lost = run(&falling(1.0, 0.4, 10), 0.85);
        lost.diverged = Some(10);
        assert_eq!(failed(&assess(&[lost], true)).len(), 2);
    }
}
