//! `single-neuron`: 784-1-10, and 784-256-1-10 with a single neuron inserted.
//!
//! Behind one unit of value h >= 0 every logit is a line w_j h + b_j, and the answer is the highest line: a half-line is cut into
//! intervals, one a class at most, by the upper envelope of ten lines. Classes whose line is nowhere highest are never answered.

use super::seeds;
use super::{Entry, Failure, Outcome, Run, Trained, notebook, plot};
use crate::measure::{Beside, Finding, Held, PlotAxis};
use crate::mlp::{TrainOptions, Trainer};
use crate::program::lower::{bias_name, weights_name};

pub const ENTRY: Entry = Entry {
    name: "single-neuron",
    title: "A layer of one neuron",
    question: "Why is a hidden layer with a single neuron a bad idea?",
    expects: "Accuracy stays far below that of 256 units, in the notebook near 0.36, wherever the single neuron stands: its output is one number, and the classes are intervals on it.",
    run,
};

const EPOCHS: usize = 10;
/// Test accuracy that takes more than guessing, which is right on a tenth: two classes told apart.
const LEARNED: f64 = 0.15;
/// What no seed of the notebook's network comes near: its run ends at 0.36.
const LIMITED: f64 = 0.5;

/// All runs of one network, and the lines behind its neuron.
struct Net {
    layers: Vec<usize>,
    runs: Vec<Trained>,
    /// Slope and height of each class's line, of each run; empty for the control.
    lines: Vec<Vec<(f64, f64)>>,
}

impl Net {
    fn name(&self) -> String {
        self.layers.iter().map(usize::to_string).collect::<Vec<_>>().join("-")
    }

    fn accuracies(&self) -> Vec<f64> {
        seeds::figures(&self.runs, Trained::test_acc)
    }

    fn accuracy(&self) -> f64 {
        seeds::mean(&self.accuracies())
    }

    /// Whether a seed got beyond guessing, and none beyond what one number allows.
    fn limited(&self) -> bool {
        let accuracies = self.accuracies();
        accuracies.iter().all(|&acc| acc <= LIMITED) && accuracies.iter().any(|&acc| acc >= LEARNED)
    }
}

/// The last layer's lines, if one unit leads into it.
fn lines(trainer: &mut Trainer<'_>, layers: &[usize]) -> Result<Vec<(f64, f64)>, Failure> {
    let last = layers.len() - 1;
    if layers[last - 1] != 1 {
        return Ok(Vec::new());
    }
    let session = trainer.session();
    let (weights, biases) = (session.read(&weights_name(last))?, session.read(&bias_name(last))?);
    Ok(weights.into_iter().zip(biases).collect())
}

/// The classes on the upper envelope of the lines over h >= 0, each with the h where its interval begins.
fn envelope(lines: &[(f64, f64)]) -> Vec<(usize, f64)> {
    let highest = |h: f64| {
        let at = |j: &usize| (lines[*j].1 + lines[*j].0 * h, lines[*j].0);
        (0..lines.len()).max_by(|a, b| at(a).partial_cmp(&at(b)).unwrap_or(std::cmp::Ordering::Equal))
    };
    let Some(mut here) = highest(0.0) else {
        return Vec::new();
    };
    let mut found = vec![(here, 0.0)];
    // A steeper line overtakes; the first to do so is next.
    loop {
        let (slope, height) = lines[here];
        let steeper = (0..lines.len()).filter(|&j| lines[j].0 > slope);
        let next = steeper.map(|j| (j, (height - lines[j].1) / (lines[j].0 - slope)));
        let first =
            |a: &(usize, f64), b: &(usize, f64)| a.1.total_cmp(&b.1).then(lines[b.0].0.total_cmp(&lines[a.0].0));
        match next.min_by(first) {
            Some((j, h)) => {
                found.push((j, h.max(0.0)));
                here = j;
            }
            None => return found,
        }
    }
}

fn run(run: &mut Run<'_>) -> Result<Outcome, Failure> {
    let data = run.fashion()?;
    let mut nets = Vec::new();
    for layers in [vec![784, 1, 10], vec![784, 256, 1, 10], vec![784, 256, 10]] {
        let control = layers == [784, 256, 10];
        let mut net = Net {
            layers,
            runs: Vec::new(),
            lines: Vec::new(),
        };
        for seed in run.seeds(if control { 1 } else { run.pick(2, 3) }) {
            let options = TrainOptions {
                layers: net.layers.clone(),
                epochs: EPOCHS,
                seed,
                ..run.base()
            };
            let key = format!("{}, seed {seed}", net.name());
            let (trained, found) = run.train_and(&key, &options, &data, |trainer| lines(trainer, &options.layers))?;
            net.runs.push(trained);
            net.lines.push(found);
        }
        nets.push(net);
    }
    Ok(assess(&nets, run.options().full))
}

fn assess(nets: &[Net], full: bool) -> Outcome {
    let accuracy = |layers: &[usize]| {
        nets.iter()
            .find(|net| net.layers == layers)
            .map_or(f64::NAN, Net::accuracy)
    };
    let (one, inserted, control) = (
        accuracy(&[784, 1, 10]),
        accuracy(&[784, 256, 1, 10]),
        accuracy(&[784, 256, 10]),
    );
    let reach = nets
        .iter()
        .flat_map(|net| &net.lines)
        .map(|lines| envelope(lines).len())
        .max()
        .unwrap_or(0);
    let finding = if one < control - 0.1 {
        Finding::NeuronLimits {
            one,
            control,
            classes: reach,
        }
    } else {
        Finding::NeuronIsEnough { one, control }
    };
    let mut outcome = Outcome::new(finding);
    outcome.at_most("784-1-10, test accuracy", one, 0.6);
    outcome.at_most("784-256-1-10, test accuracy", inserted, 0.7);
    // A neuron may die, and then all is guessing: not with every seed.
    let best = |layers: &[usize]| {
        let net = nets.iter().find(|net| net.layers == layers);
        net.map_or(f64::NAN, |net| net.accuracies().into_iter().fold(f64::NAN, f64::max))
    };
    outcome.at_least("784-1-10, its best seed's test accuracy", best(&[784, 1, 10]), LEARNED);
    outcome.at_least(
        "784-256-1-10, its best seed's test accuracy",
        best(&[784, 256, 1, 10]),
        LEARNED,
    );
    outcome.at_least("784-256-10, test accuracy", control, if full { 0.8 } else { 0.6 });
    if let Some(net) = nets.iter().find(|net| net.layers == [784, 1, 10]) {
        let mut row = seeds::beside("784-1-10", "/single_neuron", &net.runs, EPOCHS, seeds::Holding::Not);
        let printed = notebook::epochs("/single_neuron").last().map_or(f64::NAN, |row| row[3]);
        let accuracies = net.accuracies();
        let held = if full {
            Held::Behaviour { met: net.limited() }
        } else {
            Held::Nothing
        };
        row.held = held;
        outcome.beside(row);
        outcome.beside(Beside {
            of: "784-1-10".to_owned(),
            figure: format!("test accuracy, epoch {EPOCHS}"),
            notebook: printed,
            ours: one,
            deviation: (accuracies.len() > 1).then(|| seeds::deviation(&accuracies)),
            seeds: accuracies.len(),
            held,
        });
    }
    let mut rows = Vec::new();
    for net in nets {
        for (trained, lines) in net.runs.iter().zip(&net.lines) {
            let intervals = envelope(lines)
                .iter()
                .map(|(class, from)| format!("{class} from {from:.2}"))
                .collect::<Vec<_>>();
            rows.push(vec![
                net.name().into(),
                (trained.training.seed as f64).into(),
                trained.train_loss().into(),
                trained.test_acc().into(),
                if lines.is_empty() {
                    "-".into()
                } else {
                    intervals.join(", ").into()
                },
            ]);
        }
    }
    let traces = nets
        .iter()
        .map(|net| seeds::curve(net.name(), &net.runs, |epoch| epoch.test_acc));
    let (x, y) = (PlotAxis::new("epoch", "").whole(), PlotAxis::new("test accuracy", ""));
    outcome.plot(plot("Test accuracy over the epochs", x, y, traces.collect()));
    let head = [
        "network",
        "seed",
        "train loss",
        "test accuracy",
        "classes by the neuron's output",
    ];
    outcome.sheet("Every run", &head, rows);
    if !full {
        outcome.shrunk("10,000 of 60,000 images, two seeds of three.");
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
        let net = |layers: &[usize], acc: f64| Net {
            layers: layers.to_vec(),
            runs: vec![made::run(&made::falling(2.0, 1.5, 10), acc)],
            lines: vec![if layers.contains(&1) {
                vec![(0.0, 1.0), (1.0, 0.0)]
            } else {
                Vec::new()
            }],
        };
        let nets = |one, control| {
            vec![
                net(&[784, 1, 10], one),
                net(&[784, 256, 1, 10], 0.5),
                net(&[784, 256, 10], control),
            ]
        };
        let limits = assess(&nets(0.36, 0.85), true);
        assert_holds(&limits);
        let finding = Finding::NeuronLimits {
            one: 0.36,
            control: 0.85,
            classes: 2,
        };
        assert_eq!(limits.finding(), finding);
        // As good as the control: the bottleneck was not there.
        assert_eq!(failed(&assess(&nets(0.84, 0.85), true)).len(), 1);
        assert_eq!(failed(&assess(&nets(0.36, 0.1), true)).len(), 1);
        // Guessing is no limit of a neuron: nothing was learned at all.
        assert_eq!(failed(&assess(&nets(0.1, 0.85), true)).len(), 1);
        let mut guessing = nets(0.36, 0.85);
        guessing[1] = net(&[784, 256, 1, 10], f64::NAN);
        assert_eq!(failed(&assess(&guessing, true)).len(), 2);
        let limited = |accs: &[f64]| {
            let runs = accs.iter().map(|&acc| made::run(&[2.0, 1.5], acc)).collect();
            let (layers, lines) = (vec![784, 1, 10], Vec::new());
            Net { layers, runs, lines }.limited()
        };
        assert!(limited(&[0.1, 0.36]) && !limited(&[0.1, 0.1]) && !limited(&[0.36, 0.6]));
        assert!(matches!(
            assess(&nets(0.59, 0.65), false).finding(),
            Finding::NeuronIsEnough { .. }
        ));
    }

    #[test]
    fn the_envelope_is_what_is_highest() {
        // Lines 1, h, and 2h - 3: the third overtakes at h = 3; -h is nowhere highest.
        let lines = [(0.0, 1.0), (1.0, 0.0), (2.0, -3.0), (-1.0, 0.0)];
        assert_eq!(envelope(&lines), [(0, 0.0), (1, 1.0), (2, 3.0)]);
        assert!(envelope(&[]).is_empty());
        assert_eq!(envelope(&[(1.0, 0.0), (1.0, 0.0)]).len(), 1);
    }
}
