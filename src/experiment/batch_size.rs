//! `batch-size`: 20-64-1 with binary cross-entropy and Adam, batches of 16 to 1024, at equal epochs and at equal updates.
//!
//! Ten epochs of 8,000 rows are 5,000 updates at a batch of 16 and 80 at 1024: that is not the same work. At equal updates the
//! large batch has had 64 times the rows.

use super::seeds::curve;
use super::{Entry, Failure, Outcome, Run, Trained, notebook, plot};
use crate::data::synthetic;
use crate::measure::{Beside, Cell, Epoch, Finding, Held, PlotAxis, Trace};
use crate::mlp::{Init, Loss, Optimizer, TrainOptions};

pub const ENTRY: Entry = Entry {
    name: "batch-size",
    title: "The size of a batch",
    question: "What does the size of a batch do to time, loss and accuracy, at equal epochs and at equal updates?",
    expects: "At equal epochs large batches are faster and far less trained, since they make fewer updates; at equal updates their accuracy is that of small ones.",
    run,
};

const BATCHES: [usize; 7] = [16, 32, 64, 128, 256, 512, 1024];
const EPOCHS: usize = 10;

/// One batch size.
struct Size {
    batch: usize,
    equal_epochs: Trained,
    equal_updates: Trained,
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

fn run(run: &mut Run<'_>) -> Result<Outcome, Failure> {
    let data = synthetic::sums();
    // As many as the smallest batch makes in ten epochs; a quarter of them with --quick.
    let updates: usize = run.pick(1_250, 5_000);
    let mut sizes = Vec::new();
    for batch in BATCHES {
        let options = TrainOptions {
            layers: vec![20, 64, 1],
            loss: Loss::BinaryCrossEntropy,
            optimizer: Optimizer::Adam { decoupled: false },
            init: Init::Torch,
            lr: 0.001,
            batch,
            epochs: EPOCHS,
            ..run.base()
        };
        let equal_epochs = run.train(&format!("batch {batch}, {EPOCHS} epochs"), &options, &data)?;
        let epochs = updates.div_ceil(data.train.rows.div_ceil(batch)).max(1);
        let longer = TrainOptions { epochs, ..options };
        let equal_updates = run.train(&format!("batch {batch}, {updates} updates"), &longer, &data)?;
        sizes.push(Size {
            batch,
            equal_epochs,
            equal_updates,
        });
    }
    Ok(assess(&sizes, run.options().full))
}

fn assess(sizes: &[Size], full: bool) -> Outcome {
    let (Some(first), Some(last)) = (sizes.first(), sizes.last()) else {
        return Outcome::new(Finding::ChecksFailed {
            failed: vec!["no batch size was run".to_owned()],
        });
    };
    let (small, large) = (first.equal_epochs.test_acc(), last.equal_epochs.test_acc());
    let large_at_equal_updates = last.equal_updates.test_acc();
    let finding = if large_at_equal_updates - large > 0.5 * (small - large) {
        Finding::UpdatesMatter {
            small,
            large,
            large_at_equal_updates,
        }
    } else {
        Finding::BatchMatters {
            small,
            large_at_equal_updates,
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
    let mut rows = Vec::new();
    for (at, size) in sizes.iter().enumerate() {
        let printed = |what: &str| notebook::figure(&format!("/batch_size/rows/{at}/{what}"));
        outcome.beside(Beside {
            of: format!("batch {}", size.batch),
            figure: "test accuracy, ten epochs".to_owned(),
            notebook: printed("acc"),
            ours: size.equal_epochs.test_acc(),
            deviation: None,
            seeds: 1,
            held: Held::Nothing,
        });
        let cells = [
            size.batch as f64,
            size.equal_epochs.seconds(),
            printed("total_s"),
            update_ms(&size.equal_epochs, size.batch),
            printed("ms_per_batch"),
            size.equal_epochs.train_loss(),
            size.equal_epochs.test_acc(),
            size.equal_updates.test_acc(),
        ];
        rows.push(cells.map(Cell::from).to_vec());
    }
    type Figure = fn(&Epoch) -> f64;
    let figures: [(&str, Figure); 2] = [
        ("train loss", |epoch| epoch.train_loss),
        ("test accuracy", |epoch| epoch.test_acc),
    ];
    for (label, figure) in figures {
        let trace = |size: &Size| {
            curve(
                format!("batch {}", size.batch),
                std::slice::from_ref(&size.equal_epochs),
                figure,
            )
        };
        let (x, y) = (PlotAxis::new("epoch", "").whole(), PlotAxis::new(label, ""));
        outcome.plot(plot(
            &format!("At equal epochs: {label}"),
            x,
            y,
            sizes.iter().map(trace).collect(),
        ));
    }
    let by_size = |name: &str, figure: &dyn Fn(&Size) -> f64| {
        Trace::line(name, sizes.iter().map(|size| (size.batch as f64, figure(size))))
    };
    let x = || PlotAxis::new("rows of a batch", "").log().whole();
    let traces = vec![
        by_size("equal epochs", &|size| size.equal_epochs.test_acc()),
        by_size("equal updates", &|size| size.equal_updates.test_acc()),
    ];
    outcome.plot(plot(
        "Test accuracy by batch size",
        x(),
        PlotAxis::new("test accuracy", ""),
        traces,
    ));
    let times = vec![by_size("here", &|size| update_ms(&size.equal_epochs, size.batch))];
    outcome.plot(plot(
        "Time of an update by batch size",
        x(),
        PlotAxis::new("time", "ms").log(),
        times,
    ));
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
    if !full {
        outcome.shrunk("1,250 updates of 5,000 where updates are equal.");
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::seeds::made;
    use crate::experiment::testing::{Bed, assert_holds, failed};

    #[test]
    fn branches_and_breaks() {
        let size = |batch, epochs: f64, updates: f64| Size {
            batch,
            equal_epochs: made::run(&[0.6, 0.5], epochs),
            equal_updates: made::run(&[0.6, 0.1], updates),
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
    }

    /// On the notebook's own data: labels that were shuffled can't be learned, and the check says so.
    #[test]
    fn shuffled_labels_are_found() {
        let mut data = synthetic::sums();
        data.train.labels.rotate_left(1);
        let bed = Bed::new();
        let trained = bed.run(|run| {
            let options = TrainOptions {
                layers: vec![20, 64, 1],
                loss: Loss::BinaryCrossEntropy,
                optimizer: Optimizer::Adam { decoupled: false },
                init: Init::Torch,
                lr: 0.001,
                batch: 64,
                epochs: 2,
                ..run.base()
            };
            run.train("shuffled", &options, &data)
        });
        let trained = trained.unwrap();
        let size = |batch| Size {
            batch,
            equal_epochs: trained.clone(),
            equal_updates: trained.clone(),
        };
        assert!(failed(&assess(&[size(16), size(1024)], false)).len() >= 2);
    }
}
