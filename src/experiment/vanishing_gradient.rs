//! `vanishing-gradient`: sigmoid' far from 0, and what eight layers of it leave of a gradient.
//!
//! sigmoid' is at most 1/4, so that each layer takes a factor away on the way back; relu' is 1 where a unit is active, and He's weights
//! make up for the half that is not.

use tilelab_kernels::Activation;

use super::notebook::figure;
use super::passes::{Passes, distance};
use super::{Entry, Failure, Outcome, Run, plot};
use crate::data::Values;
use crate::measure::{Beside, Finding, Held, PlotAxis, Trace};
use crate::mlp::{Init, Model, activation_name};

pub const ENTRY: Entry = Entry {
    name: "vanishing-gradient",
    title: "Gradients that vanish",
    question: "Where is sigmoid's derivative next to nothing, and what does that do to the gradients of a deep network?",
    expects: "sigmoid' is 1/4 at 0 and 0.0000454 at 10, to the notebook's 8 digits. Through eight hidden layers sigmoid's first layer gets a vanishing share of the last one's gradient; relu's with He's weights does not.",
    run,
};

/// Where the notebook looks.
const AT: [f64; 5] = [-10.0, -5.0, 0.0, 5.0, 10.0];
const HIDDEN: usize = 8;
const UNITS: usize = 64;
const ROWS: usize = 128;

/// Gradient norms by layer of one activation and init.
#[derive(Debug, Clone)]
struct Norms {
    activation: Activation,
    init: Init,
    norms: Vec<f64>,
}

impl Norms {
    /// First layer's over last layer's.
    fn share(&self) -> f64 {
        match (self.norms.first(), self.norms.last()) {
            (Some(first), Some(last)) => first / last,
            _ => f64::NAN,
        }
    }
}

/// What was computed.
struct Data {
    slopes: Vec<f64>,
    norms: Vec<Norms>,
}

/// The init that suits each activation, by which the finding is chosen.
const SUITED: [(Activation, Init); 3] = [
    (Activation::Sigmoid, Init::Xavier { normal: false }),
    (Activation::Tanh, Init::Xavier { normal: false }),
    (Activation::Relu, Init::He { normal: true }),
];

fn run(run: &mut Run<'_>) -> Result<Outcome, Failure> {
    let ctx = run.context()?;
    let (mut y, mut slopes) = (vec![0.0; AT.len()], vec![0.0; AT.len()]);
    ctx.activate(Activation::Sigmoid, &AT, &mut y)?;
    ctx.activate_backward(Activation::Sigmoid, &y, &[1.0; AT.len()], &mut slopes)?;
    let data = run.fashion()?;
    let Values::Bytes(bytes) = &data.train.values else {
        return Err(Failure::Failed("Fashion-MNIST has no bytes".to_owned()));
    };
    let columns = data.columns();
    let rows: Vec<f32> = bytes[..ROWS * columns]
        .iter()
        .map(|&byte| f32::from(byte) / 255.0)
        .collect();
    let labels = &data.train.labels[..ROWS];
    let widths: Vec<usize> = [columns].into_iter().chain([UNITS; HIDDEN]).chain([10]).collect();
    let inits = [
        Init::Normal { sigma: 0.01 },
        Init::Xavier { normal: false },
        Init::He { normal: true },
        Init::Torch,
    ];
    let mut norms = Vec::new();
    for (activation, _) in SUITED {
        let model = Model::new(&widths, activation)?;
        let mut passes = Passes::open(run.options().device, run.options().threads, model, ROWS)?;
        for init in inits {
            passes.init(init, run.options().seed)?;
            passes.run(&rows, labels)?;
            norms.push(Norms {
                activation,
                init,
                norms: passes.gradient_norms()?,
            });
        }
    }
    Ok(assess(&Data { slopes, norms }))
}

fn assess(data: &Data) -> Outcome {
    let share = |at: usize| {
        let (activation, init) = SUITED[at];
        let found = data
            .norms
            .iter()
            .find(|norms| norms.activation == activation && norms.init == init);
        found.map_or(f64::NAN, Norms::share)
    };
    let (sigmoid, tanh, relu) = (share(0), share(1), share(2));
    let finding = if sigmoid < 0.01 && sigmoid < relu {
        Finding::GradientsVanish { sigmoid, tanh, relu }
    } else {
        Finding::GradientsSurvive { sigmoid }
    };
    let mut outcome = Outcome::new(finding);
    let wanted: Vec<f64> = (0..AT.len())
        .map(|at| figure(&format!("/sigmoid_derivative/{}", AT[at])))
        .collect();
    // Half of the eighth digit; 0.0000454 stands for 0.00004540.
    outcome.at_most(
        "sigmoid': largest difference from the notebook's 8 digits",
        distance(&data.slopes, &wanted),
        5.1e-9,
    );
    let exact: Vec<f64> = AT.iter().map(|x| 1.0 / (2.0 + 2.0 * x.cosh())).collect();
    outcome.at_most(
        "sigmoid': largest difference from 1 / (2 + 2 cosh x)",
        distance(&data.slopes, &exact),
        1e-15,
    );
    outcome.at_most("sigmoid, Xavier: first layer's gradient over the last's", sigmoid, 1e-3);
    outcome.at_least("relu, He: first layer's gradient over the last's", relu, 0.01);
    for (at, (&notebook, &ours)) in wanted.iter().zip(&data.slopes).enumerate() {
        outcome.beside(Beside {
            of: format!("x = {}", AT[at]),
            figure: "sigmoid'(x)".to_owned(),
            notebook,
            ours,
            deviation: None,
            seeds: 1,
            held: Held::within(notebook, ours, 0.0, 5.1e-9),
        });
    }
    for (activation, _) in SUITED {
        let of = data.norms.iter().filter(|norms| norms.activation == activation);
        let traces = of.map(|norms| {
            let layers = norms.norms.iter().enumerate();
            Trace::line(
                norms.init.to_string(),
                layers.map(|(at, &norm)| (at as f64 + 1.0, norm)),
            )
        });
        let title = format!("Gradient norm by layer, {}", activation_name(activation));
        let (x, y) = (
            PlotAxis::new("layer", "").whole(),
            PlotAxis::new("norm of dW", "").log(),
        );
        outcome.plot(plot(&title, x, y, traces.collect()));
    }
    let row = |norms: &Norms| {
        let ends = [norms.norms.first(), norms.norms.last()].map(|norm| norm.copied().unwrap_or(f64::NAN));
        let mut row = vec![activation_name(norms.activation).into(), norms.init.to_string().into()];
        row.extend([ends[0], ends[1], norms.share()].map(Into::into));
        row
    };
    let head = ["activation", "init", "first layer", "last layer", "first / last"];
    let caption =
        format!("Norm of dW in an untrained network of {HIDDEN} hidden layers of {UNITS}, {ROWS} images, f64");
    outcome.sheet(&caption, &head, data.norms.iter().map(row).collect());
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::testing::{Bed, assert_holds, failed};

    #[test]
    fn it_holds_and_each_break_is_found() {
        let outcome = Bed::new().run(run).unwrap();
        assert_holds(&outcome);
        assert!(matches!(outcome.finding(), Finding::GradientsVanish { .. }));
        let norms = |share: [f64; 3]| {
            let of = SUITED.into_iter().zip(share);
            of.map(|((activation, init), share)| Norms {
                activation,
                init,
                norms: vec![share, 1.0],
            })
        };
        let slopes = || AT.map(|x: f64| 1.0 / (2.0 + 2.0 * x.cosh())).to_vec();
        let made = |share, slopes| {
            assess(&Data {
                slopes,
                norms: norms(share).collect(),
            })
        };
        assert_holds(&made([1e-6, 0.1, 0.5], slopes()));
        assert_eq!(failed(&made([1e-6, 0.1, f64::NAN], slopes())).len(), 1);
        // No vanishing: the other finding stands behind the failed check.
        let survives = made([0.5, 0.1, 0.4], slopes());
        assert_eq!(failed(&survives).len(), 1);
        assert_eq!(*survives.chosen(), Finding::GradientsSurvive { sigmoid: 0.5 });
        // sigmoid where sigmoid' belongs.
        let values = AT.map(|x: f64| 1.0 / (1.0 + (-x).exp())).to_vec();
        assert_eq!(failed(&made([1e-6, 0.1, 0.5], values)).len(), 2);
    }
}
