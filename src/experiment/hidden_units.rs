//! `hidden-units`: accuracy, parameters and seconds against the width of the hidden layer.

use super::seeds::{self, Holding};
use super::{Entry, Failure, Outcome, Run, Trained, notebook, plot};
use crate::measure::{Finding, PlotAxis, Trace};
use crate::mlp::TrainOptions;

pub const ENTRY: Entry = Entry {
    name: "hidden-units",
    title: "How many hidden units",
    question: "How do accuracy, parameters and time go with the number of hidden units?",
    expects: "Accuracy rises slowly, about a percent from 64 to 8192 units, while parameters (784 h + h + 10 h + 10) and time grow in proportion.",
    run,
};

const POINTER: &str = "/hidden_units";
const EPOCHS: usize = 10;

/// All runs of one width.
struct Width {
    units: usize,
    runs: Vec<Trained>,
}

impl Width {
    fn mean(&self, figure: fn(&Trained) -> f64) -> f64 {
        seeds::mean(&seeds::figures(&self.runs, figure))
    }

    fn deviation(&self, figure: fn(&Trained) -> f64) -> f64 {
        seeds::deviation(&seeds::figures(&self.runs, figure))
    }

    /// Trained numbers, as the model counts them.
    fn counted(&self) -> usize {
        self.runs.first().map_or(0, |run| run.training.parameters)
    }
}

/// The notebook's formula for one hidden layer: i h + h + h o + o.
fn formula(units: usize) -> usize {
    784 * units + units + 10 * units + 10
}

fn run(run: &mut Run<'_>) -> Result<Outcome, Failure> {
    let data = run.fashion()?;
    let widths = run.pick(4, notebook::count(POINTER));
    let mut done = Vec::new();
    for at in 0..widths {
        let layers = notebook::layers(&format!("{POINTER}/{at}"));
        let units = layers[1];
        let options = TrainOptions {
            layers,
            epochs: EPOCHS,
            ..run.base()
        };
        let runs = seeds::train(run, &format!("{units} units"), &options, &data, run.pick(1, 3))?;
        done.push(Width { units, runs });
    }
    Ok(assess(&done, run.options().full))
}

fn assess(widths: &[Width], full: bool) -> Outcome {
    let (Some(first), Some(last)) = (widths.first(), widths.last()) else {
        return Outcome::new(Finding::ChecksFailed {
            failed: vec!["no width was run".to_owned()],
        });
    };
    let units = (first.units, last.units);
    let test_acc = (first.mean(Trained::test_acc), last.mean(Trained::test_acc));
    let loss = |width: &Width| width.mean(Trained::train_loss);
    let finding = if loss(last) < loss(first) && test_acc.1 > test_acc.0 {
        let times = last.mean(Trained::seconds) / first.mean(Trained::seconds);
        Finding::WiderIsBetter { units, test_acc, times }
    } else {
        Finding::WiderIsNoBetter { units, test_acc }
    };
    let mut outcome = Outcome::new(finding);
    let wrong = widths
        .iter()
        .filter(|width| width.counted() != formula(width.units))
        .count();
    outcome.equals(
        "widths whose parameters are not 784 h + h + 10 h + 10",
        wrong as f64,
        0.0,
    );
    outcome.at_most(
        "train loss of the widest over that of the narrowest",
        loss(last) / loss(first),
        1.0,
    );
    let worst = widths.iter().map(|width| width.mean(Trained::test_acc));
    let worst = worst.fold(
        f64::INFINITY,
        |least, acc| if acc < least || acc.is_nan() { acc } else { least },
    );
    outcome.at_least("smallest test accuracy", worst, if full { 0.8 } else { 0.6 });
    let mut rows = Vec::new();
    for (at, width) in widths.iter().enumerate() {
        let holding = if full { Holding::Value } else { Holding::Not };
        let of = format!("784-{}-10", width.units);
        outcome.beside(seeds::beside(
            &of,
            &format!("{POINTER}/{at}"),
            &width.runs,
            EPOCHS,
            holding,
        ));
        let printed = notebook::epochs(&format!("{POINTER}/{at}"));
        rows.push(vec![
            of.into(),
            width.counted().into(),
            formula(width.units).into(),
            loss(width).into(),
            width.mean(Trained::test_acc).into(),
            printed.last().map_or(f64::NAN, |row| row[3]).into(),
            width.mean(Trained::seconds).into(),
        ]);
    }
    let x = || PlotAxis::new("hidden units", "").log().whole();
    let by_width = |name: &str, figure: fn(&Trained) -> f64| {
        let trace = Trace::line(
            name,
            widths.iter().map(|width| (width.units as f64, width.mean(figure))),
        );
        match widths.iter().all(|width| width.runs.len() > 1) {
            true => trace.with_error(widths.iter().map(|width| width.deviation(figure)).collect()),
            false => trace,
        }
    };
    let printed = (0..widths.len()).filter_map(|at| {
        let row = *notebook::epochs(&format!("{POINTER}/{at}")).last()?;
        Some((widths[at].units as f64, row[3]))
    });
    let traces = vec![by_width("here", Trained::test_acc), Trace::line("notebook", printed)];
    outcome.plot(plot(
        "Test accuracy by width",
        x(),
        PlotAxis::new("test accuracy", ""),
        traces,
    ));
    let seconds = vec![by_width("seconds of ten epochs", Trained::seconds)];
    outcome.plot(plot("Time by width", x(), PlotAxis::new("time", "s").log(), seconds));
    let parameters = widths.iter().map(|width| (width.units as f64, width.counted() as f64));
    let parameters = vec![Trace::line("trained numbers", parameters)];
    outcome.plot(plot(
        "Parameters by width",
        x(),
        PlotAxis::new("trained numbers", "").log(),
        parameters,
    ));
    let head = [
        "network",
        "parameters",
        "by formula",
        "train loss",
        "test accuracy",
        "notebook's",
        "seconds",
    ];
    outcome.sheet("Every width, after ten epochs", &head, rows);
    if !full {
        outcome.shrunk("64 to 512 units of 64 to 8192, 10,000 of 60,000 images, one seed of three.");
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::seeds::made;
    use crate::experiment::testing::{assert_holds, failed};

    fn width(units: usize, loss: f64, acc: f64) -> Width {
        let mut run = made::run(&made::falling(1.0, loss, 10), acc);
        run.training.parameters = formula(units);
        Width { units, runs: vec![run] }
    }

    #[test]
    fn branches_and_breaks() {
        let wider = assess(&[width(64, 0.4, 0.84), width(128, 0.38, 0.85)], true);
        assert_holds(&wider);
        assert!(matches!(
            wider.finding(),
            Finding::WiderIsBetter { units: (64, 128), .. }
        ));
        let no_better = assess(&[width(64, 0.4, 0.85), width(128, 0.4, 0.84)], true);
        assert!(matches!(no_better.finding(), Finding::WiderIsNoBetter { .. }));
        // A bias that is not counted, a width that learned nothing, a run that diverged.
        let mut short = width(128, 0.38, 0.85);
        short.runs[0].training.parameters -= 128;
        assert_eq!(failed(&assess(&[width(64, 0.4, 0.84), short], true)).len(), 1);
        assert_eq!(
            failed(&assess(&[width(64, 0.4, 0.84), width(128, 2.3, 0.1)], true)).len(),
            2
        );
        let mut lost = width(128, 0.38, 0.85);
        lost.runs[0].diverged = Some(3);
        assert_eq!(failed(&assess(&[width(64, 0.4, 0.84), lost], true)).len(), 2);
        assert_eq!(failed(&assess(&[], true)).len(), 1);
    }
}
