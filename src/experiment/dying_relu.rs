//! `dying-relu`: units whose output is 0 for every row, against learning rate, first weights, first bias and activation.

use tilelab_kernels::Activation;

use super::{Entry, Failure, Outcome, Run, Trained, plot};
use crate::measure::{Finding, PlotAxis, Trace};
use crate::mlp::{Init, TrainOptions, activation_name};

pub const ENTRY: Entry = Entry {
    name: "dying-relu",
    title: "Units that die",
    question: "At which learning rates do relu units die, and what do prelu, leaky relu and a bias of 0.01 change?",
    expects: "A large learning rate pushes relu units below 0 for every row, where no gradient brings them back; leaky relu and prelu pass a gradient there, so none of theirs is dead.",
    run,
};

const RATES: [f64; 4] = [0.01, 0.1, 0.3, 1.0];

/// The hidden layer at the end of one run.
#[derive(Debug, Clone)]
struct Case {
    activation: Activation,
    init: Init,
    bias: f64,
    lr: f64,
    /// Shares; NaN if the run diverged before its first epoch was over.
    dead: f64,
    sparsity: f64,
    test_acc: f64,
    diverged: bool,
}

impl Case {
    fn relu(&self) -> bool {
        self.activation == Activation::Relu
    }
}

fn run(run: &mut Run<'_>) -> Result<Outcome, Failure> {
    let data = run.fashion()?;
    let activations = [
        Activation::Relu,
        Activation::LeakyRelu { slope: 0.01 },
        Activation::PRelu { alpha: 0.25 },
    ];
    let mut cases = Vec::new();
    for activation in activations {
        for init in [Init::Normal { sigma: 0.01 }, Init::He { normal: true }] {
            for bias in [0.0, 0.01] {
                for lr in RATES {
                    let options = TrainOptions {
                        activation,
                        init,
                        bias: Some(bias),
                        lr,
                        epochs: run.pick(3, 10),
                        layer_stats: true,
                        ..run.base()
                    };
                    let key = format!("{}, {init}, bias {bias}, lr {lr}", activation_name(activation));
                    let trained = run.train(&key, &options, &data)?;
                    cases.push(case((activation, init, bias, lr), &trained));
                }
            }
        }
    }
    Ok(assess(&cases, run.options().full))
}

fn case((activation, init, bias, lr): (Activation, Init, f64, f64), trained: &Trained) -> Case {
    let layer = trained.last().and_then(|epoch| epoch.layers.first());
    let share = |share: Option<f64>| share.unwrap_or(f64::NAN);
    Case {
        activation,
        init,
        bias,
        lr,
        dead: share(layer.and_then(|layer| layer.dead_units)),
        sparsity: share(layer.and_then(|layer| layer.sparsity)),
        test_acc: trained.test_acc(),
        diverged: trained.diverged.is_some(),
    }
}

/// The largest dead share among the cases that did not diverge; NaN if one of them has none.
fn largest<'a>(cases: impl Iterator<Item = &'a Case>) -> f64 {
    let dead = cases.filter(|case| !case.diverged).map(|case| case.dead);
    dead.fold(0.0, |most, dead| if dead > most || dead.is_nan() { dead } else { most })
}

fn assess(cases: &[Case], full: bool) -> Outcome {
    let relus = || cases.iter().filter(|case| case.relu());
    let leaky = || cases.iter().filter(|case| !case.relu());
    let (most, most_leaky) = (largest(relus()), largest(leaky()));
    let worst = relus().find(|case| !case.diverged && case.dead == most);
    let finding = match worst {
        Some(case) if most > 0.0 => Finding::UnitsDie {
            relu: most,
            lr: case.lr,
            leaky: most_leaky,
        },
        _ => Finding::NoUnitDies,
    };
    let mut outcome = Outcome::new(finding);
    outcome.equals("dead units under leaky relu and prelu, largest share", most_leaky, 0.0);
    let at = |lr: f64| largest(relus().filter(|case| case.lr == lr));
    outcome.at_least("dead relu units at lr 1 less those at lr 0.01", at(1.0) - at(0.01), 0.0);
    let sparse = relus()
        .filter(|case| case.lr == 0.1 && !case.diverged)
        .map(|case| case.sparsity);
    outcome.at_least(
        "zeros among relu's outputs at lr 0.1, smallest share",
        sparse.fold(f64::INFINITY, f64::min),
        0.01,
    );
    let lost = leaky().filter(|case| !case.diverged).map(|case| case.sparsity);
    outcome.at_most(
        "zeros among leaky outputs, largest share",
        lost.fold(0.0, |a, b| if b > a || b.is_nan() { b } else { a }),
        0.01,
    );
    type Share = fn(&Case) -> f64;
    let shares: [(&str, Share); 2] = [
        ("dead units", |case| case.dead),
        ("outputs that are 0", |case| case.sparsity),
    ];
    for (title, share) in shares {
        let mut traces = Vec::new();
        for init in [Init::Normal { sigma: 0.01 }, Init::He { normal: true }] {
            for bias in [0.0, 0.01] {
                let of = relus().filter(|case| case.init == init && case.bias == bias);
                traces.push(Trace::line(
                    format!("relu, {init}, bias {bias}"),
                    of.map(|case| (case.lr, share(case))),
                ));
            }
        }
        let (x, y) = (PlotAxis::new("learning rate", "").log(), PlotAxis::new(title, ""));
        outcome.plot(plot(&format!("Share of {title}"), x, y, traces));
    }
    let row = |case: &Case| {
        let mut row = vec![activation_name(case.activation).into(), case.init.to_string().into()];
        row.extend([case.bias, case.lr, case.dead, case.sparsity, case.test_acc].map(Into::into));
        row.push(if case.diverged { "diverged" } else { "" }.into());
        row
    };
    let head = [
        "activation",
        "init",
        "bias",
        "lr",
        "dead units",
        "zeros",
        "test accuracy",
        "",
    ];
    outcome.sheet(
        "The hidden layer of 784-256-10 after training",
        &head,
        cases.iter().map(row).collect(),
    );
    if !full {
        outcome.shrunk("10,000 of 60,000 images, 3 epochs of 10.");
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::testing::{assert_holds, failed};

    fn made(activation: Activation, lr: f64, dead: f64, sparsity: f64) -> Case {
        Case {
            activation,
            init: Init::Normal { sigma: 0.01 },
            bias: 0.0,
            lr,
            dead,
            sparsity,
            test_acc: 0.8,
            diverged: false,
        }
    }

    #[test]
    fn branches_and_breaks() {
        let leaky = Activation::LeakyRelu { slope: 0.01 };
        let cases = |dead: f64, leaky_dead: f64| {
            vec![
                made(Activation::Relu, 0.01, 0.0, 0.3),
                made(Activation::Relu, 0.1, 0.0, 0.3),
                made(Activation::Relu, 1.0, dead, 0.9),
                made(leaky, 1.0, leaky_dead, leaky_dead),
            ]
        };
        let dies = assess(&cases(0.5, 0.0), true);
        assert_holds(&dies);
        let finding = Finding::UnitsDie {
            relu: 0.5,
            lr: 1.0,
            leaky: 0.0,
        };
        assert_eq!(dies.finding(), finding);
        assert_eq!(assess(&cases(0.0, 0.0), true).finding(), Finding::NoUnitDies);
        // Leaky units that came out 0: the activation was relu after all.
        assert_eq!(failed(&assess(&cases(0.5, 0.5), true)).len(), 2);
        assert!(!failed(&assess(&cases(f64::NAN, 0.0), true)).is_empty());
        // A run that diverged counts for nothing.
        let mut lost = cases(0.5, 0.0);
        lost[2].diverged = true;
        assert_eq!(assess(&lost, true).finding(), Finding::NoUnitDies);
    }
}
