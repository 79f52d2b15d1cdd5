//! `linear-baseline`: 784-10 without a hidden layer against 784-256-10.
//!
//! A linear model's answer for a negative is o(1 - x) = o(0) + o(1) - o(x): what speaks for a class in an image speaks against
//! it in the negative. Trained on images of both polarities it can be right for few; a hidden layer can.

use super::{Entry, Failure, Outcome, Run, Trained};
use crate::data::{Dataset, Split, Values};
use crate::measure::Finding;
use crate::mlp::TrainOptions;

pub const ENTRY: Entry = Entry {
    name: "linear-baseline",
    title: "What a linear model cannot do",
    question: "What does a hidden layer do that a linear model cannot, on images and on their negatives?",
    expects: "On plain images the linear model is nearly as good. Trained on images and their negatives it fails where the hidden layer does not, since one weight a pixel cannot speak for both.",
    run,
};

/// Test accuracies.
struct Data {
    /// Of (784-10, 784-256-10): trained on plain images, tested on plain ones.
    plain: [f64; 2],
    /// Tested on their negatives.
    negatives: [f64; 2],
    /// Trained and tested on both.
    both: [f64; 2],
}

/// Each image's negative.
fn negative(split: &Split) -> Split {
    let values = match &split.values {
        Values::Bytes(bytes) => Values::Bytes(bytes.iter().map(|byte| 255 - byte).collect()),
        Values::Reals(reals) => Values::Reals(reals.iter().map(|x| 1.0 - x).collect()),
    };
    Split {
        values,
        ..split.clone()
    }
}

/// The images, then their negatives.
fn both(split: &Split) -> Split {
    let values = match (&split.values, negative(split).values) {
        (Values::Bytes(a), Values::Bytes(b)) => Values::Bytes([&a[..], &b[..]].concat()),
        (Values::Reals(a), Values::Reals(b)) => Values::Reals([&a[..], &b[..]].concat()),
        _ => unreachable!("a negative has its image's type"),
    };
    Split {
        values,
        rows: 2 * split.rows,
        labels: [&split.labels[..], &split.labels[..]].concat(),
        ..split.clone()
    }
}

fn run(run: &mut Run<'_>) -> Result<Outcome, Failure> {
    let data = run.fashion()?;
    // The same seed on the same images: the same network, tested on other ones.
    let on_negatives = Dataset {
        test: negative(&data.test),
        ..(*data).clone()
    };
    let mixed = Dataset {
        train: both(&data.train),
        test: both(&data.test),
        ..(*data).clone()
    };
    let mut accuracies = [[0.0; 2]; 3];
    for (at, layers) in [vec![784, 10], vec![784, 256, 10]].into_iter().enumerate() {
        let options = TrainOptions {
            layers,
            epochs: run.pick(6, 10),
            ..run.base()
        };
        let name = if at == 0 { "784-10" } else { "784-256-10" };
        for (set, (what, data)) in [("images", &*data), ("negatives", &on_negatives), ("both", &mixed)]
            .iter()
            .enumerate()
        {
            let trained = run.train(&format!("{name}, {what}"), &options, data)?;
            accuracies[set][at] = Trained::test_acc(&trained);
        }
    }
    let [plain, negatives, both] = accuracies;
    let full = run.options().full;
    Ok(assess(&Data { plain, negatives, both }, full))
}

fn assess(data: &Data, full: bool) -> Outcome {
    let [linear, hidden] = data.both;
    let finding = if hidden - linear >= 0.1 {
        Finding::LinearFails { linear, hidden }
    } else {
        Finding::LinearSuffices { linear, hidden }
    };
    let mut outcome = Outcome::new(finding);
    outcome.at_least("784-10 on plain images, test accuracy", data.plain[0], 0.7);
    outcome.at_least("784-256-10 on plain images, test accuracy", data.plain[1], 0.7);
    outcome.at_least("784-256-10 on both polarities, test accuracy", hidden, 0.5);
    outcome.at_most("784-10 trained on plain images, on negatives", data.negatives[0], 0.5);
    let row = |name: &str, at: usize| {
        let cells = [data.plain[at], data.negatives[at], data.both[at]];
        let mut row = vec![name.into()];
        row.extend(cells.map(Into::into));
        row
    };
    let rows = vec![row("784-10", 0), row("784-256-10", 1)];
    let head = ["network", "images", "their negatives", "both, trained on both"];
    outcome.sheet("Test accuracy", &head, rows);
    if !full {
        outcome.shrunk("10,000 of 60,000 images, 6 epochs of 10.");
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::testing::{assert_holds, failed};

    #[test]
    fn branches_and_breaks() {
        let data = |both| Data {
            plain: [0.8, 0.85],
            negatives: [0.05, 0.1],
            both,
        };
        let fails = assess(&data([0.4, 0.8]), true);
        assert_holds(&fails);
        assert_eq!(
            fails.finding(),
            Finding::LinearFails {
                linear: 0.4,
                hidden: 0.8
            }
        );
        assert_eq!(
            assess(&data([0.75, 0.8]), true).finding(),
            Finding::LinearSuffices {
                linear: 0.75,
                hidden: 0.8
            }
        );
        assert_eq!(failed(&assess(&data([0.4, f64::NAN]), true)).len(), 1);
        // A test set that was not inverted after all.
        let plain = Data {
            negatives: [0.8, 0.85],
            ..data([0.4, 0.8])
        };
        assert_eq!(failed(&assess(&plain, true)).len(), 1);
    }

    #[test]
    fn negatives_keep_their_labels() {
        let split = Split {
            values: Values::Bytes(vec![0, 255, 10, 20]),
            rows: 2,
            columns: 2,
            labels: vec![3, 4],
        };
        let both = both(&split);
        assert_eq!(both.values, Values::Bytes(vec![0, 255, 10, 20, 255, 0, 245, 235]));
        assert_eq!((both.rows, both.labels), (4, vec![3, 4, 3, 4]));
    }
}
