//! Twenty steps of a model, device against reference: every parameter after every step.

use tilelab::device::{Batch, Device, ProgramId};
use tilelab::mlp::{Init, Model, Optimizer};
use tilelab::program::lower::{Lowering, bias_name, weights_name};
use tilelab::program::{Element, LOSS_SUM, Program, StepArgs, fuse};
use tilelab_kernels::Activation;

use super::{CHECKED, assert_within, eps, floats, labels, open, random};

pub(super) const WIDTHS: [usize; 4] = [13, 21, 8, 5];
pub(super) const ROWS: usize = 19;

pub(super) fn model() -> Model {
    Model::new(&WIDTHS, Activation::Relu).unwrap()
}

pub(super) fn lowering(model: &Model, float: Element) -> Lowering<'_> {
    Lowering {
        model,
        float,
        rows: ROWS,
        byte_scale: 1.0 / 255.0,
    }
}

pub(super) fn args(rows: usize) -> StepArgs {
    StepArgs {
        lr: 0.1,
        decay: 1.0 - 0.1 * 0.01,
        inverse_rows: 1.0 / rows as f64,
        ..StepArgs::default()
    }
}

/// Names and first values of all parameters.
pub(super) fn parameters(model: &Model) -> Vec<(String, Vec<f64>)> {
    let layer = |l: usize| {
        let layer = model.layer(l);
        let weights = Init::Normal { sigma: 0.3 }.weights(5, l, (layer.inputs, layer.outputs));
        let weights = weights.iter().map(|&w| f64::from(w as f32)).collect();
        [
            (weights_name(l), weights),
            (bias_name(l), random(layer.outputs, 40 + l as u64)),
        ]
    };
    (1..=model.depth()).flat_map(layer).collect()
}

/// What one step may add to a parameter's error, in units of the device's eps and of the largest parameter: each product is
/// right to (k + 3) eps of the sum of its magnitudes, a step chains all of them, and with inputs in [-1, 1] and weights of
/// size 0.3 the chain does not amplify. An error that an earlier step left moves on as it is, but for lr times the curvature.
fn roundings() -> f64 {
    let forward_and_back: usize = WIDTHS.iter().map(|k| 2 * (k + 3)).sum();
    (forward_and_back + WIDTHS.len() * (ROWS + 3)) as f64
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(1.0, |largest, x| largest.max(x.abs()))
}

#[test]
fn twenty_steps_on_every_device() {
    let model = model();
    for (device, float) in CHECKED {
        let plain = lowering(&model, float).step(Optimizer::Sgd).unwrap();
        for program in [fuse(&plain).unwrap(), plain.clone()] {
            twenty_steps(device, &program, &plain, &model);
        }
    }
}

fn twenty_steps(device: Device, program: &Program, plain: &Program, model: &Model) {
    let mut got = open(device, std::slice::from_ref(program), &[]);
    let mut want = open(Device::Reference, std::slice::from_ref(plain), &[]);
    for (name, values) in parameters(model) {
        got.write(&name, &values).unwrap();
        want.write(&name, &values).unwrap();
    }
    let eps = eps(program.float());
    for t in 1..=20 {
        // Some batches are short.
        let rows = if t % 4 == 0 { ROWS - 8 } else { ROWS };
        let (values, labels) = (floats(&random(rows * WIDTHS[0], 100 + t)), labels(rows, 5));
        got.run(
            ProgramId(0),
            &Batch::of_slices(program, &values, &labels).unwrap(),
            &args(rows),
        );
        want.run(
            ProgramId(0),
            &Batch::of_slices(plain, &values, &labels).unwrap(),
            &args(rows),
        );
        let what = format!("{device} {}, step {t}", program.float());
        let bound = t as f64 * roundings() * eps;
        for (name, first) in parameters(model) {
            let (got, want) = (got.read(&name).unwrap(), want.read(&name).unwrap());
            assert_within(&format!("{name} on {what}"), &got, &want, |_| bound * largest(&want));
            assert!(first != want, "{name} on {what}: nothing moved");
        }
        let losses = (
            got.metrics().unwrap().get(LOSS_SUM),
            want.metrics().unwrap().get(LOSS_SUM),
        );
        assert_within(&format!("loss on {what}"), &[losses.0], &[losses.1], |_| {
            bound * losses.1
        });
    }
}

/// A batch with fewer rows than were planned is the same as a program that was planned for so many, to the bit: what earlier
/// batches left behind it in the buffers takes no part.
#[test]
fn a_short_batch_is_a_smaller_program() {
    let model = model();
    for (device, float) in CHECKED.into_iter().chain([(Device::Reference, Element::F64)]) {
        let rows = 6;
        let planned = lowering(&model, float);
        let whole = [planned.step(Optimizer::Sgd).unwrap(), planned.evaluate().unwrap()];
        let small = Lowering { rows, ..planned };
        let small = [small.step(Optimizer::Sgd).unwrap(), small.evaluate().unwrap()];
        let results: Vec<_> = [(&whole, true), (&small, false)]
            .into_iter()
            .map(|(programs, full_first)| {
                let mut session = open(device, programs, &[]);
                if full_first {
                    let (values, labels) = (vec![9.0; ROWS * WIDTHS[0]], labels(ROWS, 5));
                    let batch = Batch::of_slices(&programs[0], &values, &labels).unwrap();
                    session.run(ProgramId(0), &batch, &args(ROWS));
                    session.metrics().unwrap();
                }
                for (name, values) in parameters(&model) {
                    session.write(&name, &values).unwrap();
                }
                let (values, labels) = (floats(&random(rows * WIDTHS[0], 9)), labels(rows, 5));
                for (id, program) in programs.iter().enumerate() {
                    let batch = Batch::of_slices(program, &values, &labels).unwrap();
                    session.run(ProgramId(id), &batch, &args(rows));
                }
                let all: Vec<_> = parameters(&model)
                    .iter()
                    .map(|(name, _)| session.read(name).unwrap())
                    .collect();
                (all, session.metrics().unwrap())
            })
            .collect();
        assert!(results[0] == results[1], "{device} {float}");
    }
}

/// `gradients` over two micro-batches and `update` once is `step` over the whole batch.
#[test]
fn gradients_accumulate() {
    let model = model();
    let lowering = lowering(&model, Element::F64);
    let programs = [
        lowering.step(Optimizer::Sgd).unwrap(),
        lowering.gradients().unwrap(),
        lowering.update(Optimizer::Sgd).unwrap(),
    ];
    for device in [Device::Cpu, Device::Baseline, Device::Reference] {
        let (values, labels) = (floats(&random(ROWS * WIDTHS[0], 3)), labels(ROWS, 5));
        let mut step = open(device, &programs[..1], &[]);
        let mut parts = open(device, &programs[1..], &[]);
        for (name, values) in parameters(&model) {
            step.write(&name, &values).unwrap();
            parts.write(&name, &values).unwrap();
        }
        step.run(
            ProgramId(0),
            &Batch::of_slices(&programs[0], &values, &labels).unwrap(),
            &args(ROWS),
        );
        let cut = 7;
        for (part, accumulate) in [(0..cut, 0.0), (cut..ROWS, 1.0)] {
            let rows = &values[part.start * WIDTHS[0]..part.end * WIDTHS[0]];
            let batch = Batch::of_slices(&programs[1], rows, &labels[part.clone()]).unwrap();
            let row_offset = part.start as u64;
            parts.run(
                ProgramId(0),
                &batch,
                &StepArgs {
                    accumulate,
                    row_offset,
                    ..args(ROWS)
                },
            );
        }
        // An update reads no rows; a batch must have some all the same.
        parts.run(
            ProgramId(1),
            &Batch::of_slices(&programs[2], &values, &labels).unwrap(),
            &args(ROWS),
        );
        for (name, _) in parameters(&model) {
            let (got, want) = (parts.read(&name).unwrap(), step.read(&name).unwrap());
            // Another order of the same sums over rows.
            assert_within(&format!("{name} on {device}"), &got, &want, |_| {
                roundings() * f64::EPSILON * largest(&want)
            });
        }
        let losses = (
            parts.metrics().unwrap().get(LOSS_SUM),
            step.metrics().unwrap().get(LOSS_SUM),
        );
        assert_within("loss", &[losses.0], &[losses.1], |_| 8.0 * f64::EPSILON * losses.1);
    }
}
