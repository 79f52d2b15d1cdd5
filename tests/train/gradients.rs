//! The gradients that a program computes, against central differences of the loss that it computes.

use tilelab::device::{Batch, Device, ProgramId, Session};
use tilelab::mlp::{Extra, Init, Loss, Model, Optimizer};
use tilelab::program::lower::{Lowering, bias_name, weights_name};
use tilelab::program::{Element, LOSS_SUM, Program, StepArgs};
use tilelab_kernels::{Activation, Threads};

const ROWS: usize = 6;
const WIDTHS: [usize; 4] = [7, 6, 5, 3];

struct Checked {
    session: Box<dyn Session>,
    programs: [Program; 3],
    values: Vec<f32>,
    labels: Vec<u8>,
}

impl Checked {
    fn new(device: Device, model: &Model) -> Self {
        let lowering = Lowering {
            model,
            float: Element::F64,
            rows: ROWS,
            byte_scale: 1.0,
        };
        let update = lowering.update(Optimizer::Sgd).unwrap();
        let programs = [lowering.gradients().unwrap(), lowering.evaluate().unwrap(), update];
        let mut session = device.open(&programs, &[], Threads::one()).unwrap();
        for l in 1..=model.depth() {
            let layer = model.layer(l);
            let init = Init::Normal { sigma: 0.5 };
            session
                .write(&weights_name(l), &init.weights(3, l, (layer.inputs, layer.outputs)))
                .unwrap();
            session
                .write(&bias_name(l), &init.weights(4, l, (1, layer.outputs)))
                .unwrap();
        }
        for (l, extra) in model.extras() {
            let count = extra.count(model.layer(l).outputs);
            // Off the first values, where nothing is 0 or 1.
            let first = extra.first(model.activation());
            let off = Init::Normal { sigma: 0.1 }.weights(6, l, (1, count));
            let values: Vec<f64> = off.iter().map(|x| first + x).collect();
            session.write(&extra.name(l), &values).unwrap();
        }
        let values = Init::Normal { sigma: 1.0 }.weights(5, 1, (ROWS, WIDTHS[0]));
        let labels = (0..ROWS).map(|i| (i % model.labels().min(3)) as u8).collect();
        Self {
            session,
            programs,
            values: values.iter().map(|&x| x as f32).collect(),
            labels,
        }
    }

    fn run(&mut self, id: usize, args: &StepArgs) -> f64 {
        let batch = Batch::of_slices(&self.programs[id], &self.values, &self.labels).unwrap();
        self.session.run(ProgramId(id), &batch, args);
        self.session.metrics().unwrap().get(LOSS_SUM) / ROWS as f64
    }

    /// The mean loss with element `i` of parameter `name` moved by `by`, as the program that computes gradients has it: with its
    /// dropout and its smoothing.
    fn loss_at(&mut self, name: &str, i: usize, by: f64) -> f64 {
        let values = self.session.read(name).unwrap();
        let mut moved = values.clone();
        moved[i] += by;
        self.session.write(name, &moved).unwrap();
        let loss = self.run(0, &ARGS);
        self.session.write(name, &values).unwrap();
        loss
    }

    /// Every element of every gradient. A central difference with h is off by h^2 / 6 of the third derivative and by eps / h of
    /// the loss: about 1e-9 for h = 1e-5 here, unless a kink lies within h, which these inputs avoid.
    fn assert_gradients(&mut self, model: &Model, what: &str) {
        let h = 1e-5;
        self.run(0, &ARGS);
        let extras = model.extras();
        let trained = extras.iter().filter(|(_, extra)| extra.trained());
        let names: Vec<String> = (1..=model.depth())
            .flat_map(|l| [weights_name(l), bias_name(l)])
            .chain(trained.map(|(l, extra)| extra.name(*l)))
            .collect();
        // Batch norm takes the mean off, and a bias with it; through identity a shift reaches the next one.
        let shift = |name: &str, l| {
            name == bias_name(l) || model.activation() == Activation::Identity && name == Extra::Beta.name(l)
        };
        let idle = |name: &str| model.batch_norm() && (1..model.depth()).any(|l| shift(name, l));
        let read = |checked: &mut Self, name: &String| checked.session.read(&format!("d{name}")).unwrap();
        let gradients: Vec<Vec<f64>> = names.iter().map(|name| read(self, name)).collect();
        for (name, gradient) in names.iter().zip(gradients) {
            assert!(
                idle(name) || gradient.iter().any(|g| g.abs() > 1e-5),
                "{what}, {name}: nothing to check"
            );
            for (i, gradient) in gradient.iter().enumerate() {
                let difference = (self.loss_at(name, i, h) - self.loss_at(name, i, -h)) / (2.0 * h);
                let relative = (gradient - difference).abs() / gradient.abs().max(1e-3);
                assert!(
                    relative <= 1e-6,
                    "{what}, d{name}[{i}]: {gradient} computed, {difference} by differences"
                );
            }
        }
    }
}

const ARGS: StepArgs = StepArgs {
    lr: 0.0,
    decay: 1.0,
    l2: 0.0,
    inverse_rows: 1.0 / ROWS as f64,
    accumulate: 0.0,
    gradient_scale: 1.0,
    t: 3,
    row_offset: 0,
    seed: 9,
};

#[test]
fn gradients_are_the_differences_of_the_loss() {
    let activations = [
        Activation::Identity,
        Activation::Relu,
        Activation::LeakyRelu { slope: 0.1 },
        Activation::Elu { alpha: 0.5 },
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Swish { beta: 1.5 },
        Activation::Gelu,
        Activation::GeluTanh,
    ];
    let losses = [
        Loss::CrossEntropy { smoothing: 0.0 },
        Loss::CrossEntropy { smoothing: 0.1 },
        Loss::SquaredError,
        Loss::BinaryCrossEntropy,
    ];
    for activation in activations {
        for loss in losses {
            for (dropout, outputs) in [(0.0, 3), (0.4, 3), (0.0, 1)] {
                if outputs == 1 && matches!(loss, Loss::CrossEntropy { .. }) {
                    continue;
                }
                let widths = [WIDTHS[0], WIDTHS[1], WIDTHS[2], outputs];
                let model = Model::new(&widths, activation)
                    .unwrap()
                    .with_loss(loss)
                    .with_dropout(dropout);
                for device in [Device::Reference, Device::Cpu, Device::Baseline] {
                    let what = format!("{device} {activation:?} {loss} dropout {dropout} outputs {outputs}");
                    Checked::new(device, &model).assert_gradients(&model, &what);
                }
            }
        }
    }
}

/// Batch norm, and the learned parameters of prelu and swish: with each loss, with and without dropout.
#[test]
fn gradients_of_norms_and_learned_parameters_are_the_differences_of_the_loss() {
    let activations = [
        (Activation::PRelu { alpha: 0.25 }, false),
        (Activation::PRelu { alpha: -0.5 }, true),
        (Activation::Swish { beta: 1.5 }, false),
        (Activation::Identity, true),
        (Activation::Relu, true),
        (Activation::LeakyRelu { slope: 0.1 }, true),
        (Activation::Elu { alpha: 0.5 }, true),
        (Activation::Sigmoid, true),
        (Activation::Tanh, true),
        (Activation::Swish { beta: 0.5 }, true),
        (Activation::Gelu, true),
        (Activation::GeluTanh, true),
    ];
    let losses = [
        Loss::CrossEntropy { smoothing: 0.1 },
        Loss::SquaredError,
        Loss::BinaryCrossEntropy,
    ];
    for (activation, norm) in activations {
        for loss in losses {
            for dropout in [0.0, 0.4] {
                let model = Model::new(&WIDTHS, activation)
                    .unwrap()
                    .with_loss(loss)
                    .with_dropout(dropout)
                    .with_batch_norm(norm)
                    .with_learned_beta(true);
                for device in [Device::Reference, Device::Cpu, Device::Baseline] {
                    let what = format!("{device} {activation:?} {loss} dropout {dropout} norm {norm}");
                    Checked::new(device, &model).assert_gradients(&model, &what);
                }
            }
        }
    }
}

/// The update takes lr times gradient and lambda W off the weights, and the gradient alone off the biases: with
/// decay = 1 - lr lambda, a step down the objective J = L + lambda/2 |W|^2.
#[test]
fn an_update_descends_the_regularised_objective() {
    let model = Model::new(&WIDTHS, Activation::Relu).unwrap();
    let (lr, l2) = (0.25, 0.125);
    let mut checked = Checked::new(Device::Reference, &model);
    let names: Vec<String> = (1..=model.depth())
        .flat_map(|l| [weights_name(l), bias_name(l)])
        .collect();
    let args = StepArgs {
        lr,
        decay: 1.0 - lr * l2,
        inverse_rows: 1.0 / ROWS as f64,
        ..StepArgs::default()
    };
    let before: Vec<Vec<f64>> = names.iter().map(|name| checked.session.read(name).unwrap()).collect();
    checked.run(0, &args);
    checked.run(2, &args);
    for (name, before) in names.iter().zip(before) {
        let gradient = checked.session.read(&format!("d{name}")).unwrap();
        let lambda = if name.starts_with('W') { l2 } else { 0.0 };
        for ((after, before), gradient) in checked.session.read(name).unwrap().iter().zip(before).zip(gradient) {
            let expected = before - lr * (gradient + lambda * before);
            assert!(
                (after - expected).abs() <= 4.0 * f64::EPSILON * (1.0 + before.abs()),
                "{name}: {after}, not {expected}"
            );
        }
    }
}
