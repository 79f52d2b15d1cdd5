//! `depth`: one to four hidden layers, from weights of sigma 0.01 and from He's.
//!
//! Weights of sigma 0.01 shrink a signal by sigma sqrt(n / 2) in each layer, 0.11 for 256 units. Through four layers next to nothing
//! of the image reaches the logits, and next to nothing of the gradient comes back: the loss stays at ln 10. That is no overfitting,
//! as the notebook has it: the train loss does not fall either.

use super::passes::Passes;
use super::seeds::{self, Holding, curve};
use super::{Entry, Failure, Outcome, Run, Trained, notebook, plot};
use crate::data::{Dataset, Values};
use crate::measure::{Erratum, Finding, PlotAxis, Trace};
use crate::mlp::{Init, Model, TrainOptions};

pub const ENTRY: Entry = Entry {
    name: "depth",
    title: "How many hidden layers",
    question: "What do more hidden layers do to training, from small first weights and from He's?",
    expects: "From sigma 0.01 three hidden layers wait at the loss of guessing before they learn, and four never leave it; from He's weights every depth learns at once. The gradient norms of the first layers say why.",
    run,
};

/// A mean train loss above this is that of guessing: ln 10 is 2.3026.
const GUESSING: f64 = 2.29;
const INITS: [Init; 2] = [Init::Normal { sigma: 0.01 }, Init::He { normal: true }];

/// All runs of one depth and init.
struct Depth {
    hidden: usize,
    init: Init,
    runs: Vec<Trained>,
    /// Gradient norms of the untrained network, by layer.
    norms: Vec<f64>,
}

impl Depth {
    fn loss(&self) -> f64 {
        seeds::mean(&seeds::figures(&self.runs, Trained::train_loss))
    }

    /// Whether no run left the loss of guessing.
    fn stayed(&self) -> bool {
        self.runs.iter().all(|run| run.train_loss() > GUESSING)
    }

    /// Epochs at the loss of guessing, mean over the runs.
    fn waited(&self) -> f64 {
        let waited = |run: &Trained| {
            let epochs = run.training.epochs.iter();
            epochs.filter(|epoch| epoch.train_loss > GUESSING).count() as f64
        };
        seeds::mean(&seeds::figures(&self.runs, waited))
    }

    fn name(&self) -> String {
        format!("{} hidden, {}", self.hidden, self.init)
    }
}

/// Where the notebook has this depth from sigma 0.01.
fn pointer(hidden: usize) -> String {
    match hidden {
        1 => "/mlp_from_scratch".to_owned(),
        more => format!("/depth/{}", more - 2),
    }
}

fn run(run: &mut Run<'_>) -> Result<Outcome, Failure> {
    let data = run.fashion()?;
    let mut done = Vec::new();
    for init in INITS {
        for hidden in 1..=4 {
            let layers = notebook::layers(&pointer(hidden));
            let options = TrainOptions {
                init,
                // With a sixth of the rows an epoch has a sixth of the steps.
                epochs: run.pick(25, 10),
                ..run.base()
            };
            let norms = norms(run, &layers, init, &data)?;
            let options = TrainOptions { layers, ..options };
            let runs = seeds::train(
                run,
                &format!("{hidden} hidden, {init}"),
                &options,
                &data,
                run.pick(1, 3),
            )?;
            done.push(Depth {
                hidden,
                init,
                runs,
                norms,
            });
        }
    }
    Ok(assess(&done, run.options().full))
}

/// Gradient norms of the untrained network on the first rows.
fn norms(run: &Run<'_>, layers: &[usize], init: Init, data: &Dataset) -> Result<Vec<f64>, Failure> {
    let Values::Bytes(bytes) = &data.train.values else {
        return Err(Failure::Failed("Fashion-MNIST has no bytes".to_owned()));
    };
    let rows = 128.min(data.train.rows);
    let pixels: Vec<f32> = bytes[..rows * data.columns()]
        .iter()
        .map(|&byte| f32::from(byte) / 255.0)
        .collect();
    let model = Model::new(layers, run.base().activation)?;
    let mut passes = Passes::open(run.options().device, run.options().threads, model, rows)?;
    passes.init(init, run.options().seed)?;
    passes.run(&pixels, &data.train.labels[..rows])?;
    passes.gradient_norms()
}

fn assess(depths: &[Depth], full: bool) -> Outcome {
    let of = |init: Init| depths.iter().filter(move |depth| depth.init == init);
    let deepest = |init: Init| of(init).max_by_key(|depth| depth.hidden);
    let loss = |init: Init| deepest(init).map_or(f64::NAN, Depth::loss);
    let (small, he) = (loss(INITS[0]), loss(INITS[1]));
    let finding = match of(INITS[0]).find(|depth| depth.stayed()) {
        Some(depth) => Finding::DepthStalls {
            hidden: depth.hidden,
            he_train_loss: he,
        },
        None => Finding::DepthLearns { train_loss: small },
    };
    let mut outcome = Outcome::new(finding);
    let shallow = of(INITS[0])
        .find(|depth| depth.hidden == 1)
        .map_or(f64::NAN, Depth::loss);
    outcome.at_most("train loss of one hidden layer, sigma 0.01", shallow, 1.0);
    outcome.at_least("train loss of four hidden layers, sigma 0.01", small, GUESSING);
    outcome.at_most("train loss of four hidden layers, He", he, 1.0);
    let first = |init: Init| {
        deepest(init)
            .and_then(|depth| depth.norms.first().copied())
            .unwrap_or(f64::NAN)
    };
    outcome.at_most(
        "untrained, four hidden layers: first gradient norm from sigma 0.01 over He's",
        first(INITS[0]) / first(INITS[1]),
        0.01,
    );
    for depth in of(INITS[0]).filter(|depth| depth.hidden > 1) {
        let holding = match (full, depth.hidden) {
            (false, _) => Holding::Not,
            (true, 2) => Holding::Value,
            // Waits at the loss of guessing, then leaves it.
            (true, 3) => Holding::Behaviour(depth.waited() >= 1.0 && depth.loss() < 1.8),
            (true, _) => Holding::Behaviour(depth.stayed()),
        };
        let shape = notebook::layers(&pointer(depth.hidden))
            .iter()
            .map(usize::to_string)
            .collect::<Vec<_>>();
        let row = seeds::beside(&shape.join("-"), &pointer(depth.hidden), &depth.runs, 10, holding);
        outcome.beside(row);
    }
    if let Some(depth) = deepest(INITS[0]).filter(|depth| depth.stayed()) {
        outcome.erratum(Erratum::StallCalledOverfitting {
            train_loss: depth.loss(),
            test_loss: seeds::mean(&seeds::figures(&depth.runs, Trained::test_loss)),
            he_train_loss: he,
        });
    }
    let layer = |depth: &Depth| {
        let norms = depth.norms.iter().enumerate();
        Trace::line(
            format!("{} hidden", depth.hidden),
            norms.map(|(at, &norm)| ((at + 1) as f64, norm)),
        )
    };
    for (init, name) in INITS.into_iter().zip(["sigma 0.01", "He"]) {
        let traces = of(init).map(|depth| {
            curve(format!("{} hidden", depth.hidden), &depth.runs, |epoch| {
                epoch.train_loss
            })
        });
        let (x, y) = (PlotAxis::new("epoch", "").whole(), PlotAxis::new("train loss", ""));
        let mut losses = plot(&format!("Train loss, {name}"), x, y, traces.collect());
        losses.rules.push(("ln 10".to_owned(), std::f64::consts::LN_10));
        outcome.plot(losses);
        let (x, y) = (
            PlotAxis::new("layer", "").whole(),
            PlotAxis::new("norm of dW", "").log(),
        );
        outcome.plot(plot(
            &format!("Gradient norm before training, {name}"),
            x,
            y,
            of(init).map(layer).collect(),
        ));
    }
    let row = |depth: &Depth| {
        let ends = [depth.norms.first(), depth.norms.last()].map(|norm| norm.copied().unwrap_or(f64::NAN));
        let accuracy = seeds::mean(&seeds::figures(&depth.runs, Trained::test_acc));
        let mut row = vec![depth.name().into()];
        row.extend([depth.waited(), depth.loss(), accuracy, ends[0], ends[1]].map(Into::into));
        row
    };
    let head = [
        "network",
        "epochs at ln 10",
        "train loss",
        "test accuracy",
        "first dW",
        "last dW",
    ];
    outcome.sheet("Every depth", &head, depths.iter().map(row).collect());
    if !full {
        outcome.shrunk(
            "10,000 of 60,000 images and one seed of three, but 25 epochs: 1,000 steps of the notebook's 2,350.",
        );
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::seeds::made;
    use crate::experiment::testing::{assert_holds, failed};

    fn depth(hidden: usize, init: Init, loss: f64) -> Depth {
        let losses = made::falling(2.3027, loss, 10);
        let first = if init == INITS[0] { 1e-6 } else { 1.0 };
        Depth {
            hidden,
            init,
            runs: vec![made::run(&losses, 0.5)],
            norms: vec![first, 1.0],
        }
    }

    fn all(four: f64, he: f64) -> Vec<Depth> {
        vec![
            depth(1, INITS[0], 0.4),
            depth(4, INITS[0], four),
            depth(1, INITS[1], 0.4),
            depth(4, INITS[1], he),
        ]
    }

    #[test]
    fn branches_and_breaks() {
        let stalls = assess(&all(std::f64::consts::LN_10, 0.4), true);
        assert_holds(&stalls);
        assert!(matches!(stalls.finding(), Finding::DepthStalls { hidden: 4, .. }));
        // A deep network that learns from small weights fails its check; without checks its finding would be the other.
        let learns = assess(&all(0.6, 0.4), true);
        assert_eq!(failed(&learns).len(), 1);
        assert!(matches!(learns.chosen(), Finding::DepthLearns { train_loss } if (train_loss - 0.6).abs() < 1e-9));
        assert_eq!(failed(&assess(&all(std::f64::consts::LN_10, f64::NAN), true)).len(), 1);
        let mut equal = all(std::f64::consts::LN_10, 0.4);
        equal[1].norms[0] = 1.0;
        assert_eq!(failed(&assess(&equal, true)).len(), 1);
        assert!(!depth(4, INITS[0], 0.6).stayed());
    }
}
