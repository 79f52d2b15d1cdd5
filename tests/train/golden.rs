//! What PyTorch computes (tests/golden/make.py): logits, loss, every gradient, twenty steps of each optimizer, and batch norm in
//! both modes.

use std::collections::BTreeMap;

use serde::Deserialize;
use tilelab::device::{Batch, Device, ProgramId};
use tilelab::mlp::{Extra, Model, activation_by_name};
use tilelab::program::lower::{Lowering, bias_name};
use tilelab::program::{Element, LOSS_SUM, StepArgs, fuse};
use tilelab_kernels::Threads;

#[derive(Deserialize)]
struct Golden {
    steps: u64,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    widths: Vec<usize>,
    activation: String,
    learned_beta: bool,
    loss_kind: String,
    batch_norm: bool,
    optimizer: String,
    lr: f64,
    l2: f64,
    x: Vec<f32>,
    labels: Vec<u8>,
    first: BTreeMap<String, Vec<f64>>,
    logits: Vec<f64>,
    loss: f64,
    gradients: BTreeMap<String, Vec<f64>>,
    predicted: Vec<f64>,
    last: BTreeMap<String, Vec<f64>>,
}

/// Every element within `bound`; NaN is not.
fn assert_close(what: &str, got: &[f64], want: &[f64], bound: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= bound, "{what}[{i}]: {got}, not {want}");
    }
}

/// The largest magnitude, which errors are relative to; at least 1e-3.
fn size<'a>(values: impl IntoIterator<Item = &'a f64>) -> f64 {
    values.into_iter().fold(1e-3, |size, x| size.max(x.abs()))
}

fn check(case: &Case, steps: u64, device: Device, float: Element) {
    let what = format!(
        "{device} {float} {} {} {} norm {}",
        case.activation, case.loss_kind, case.optimizer, case.batch_norm
    );
    let model = Model::new(&case.widths, activation_by_name(&case.activation).unwrap())
        .unwrap()
        .with_loss(case.loss_kind.parse().unwrap())
        .with_batch_norm(case.batch_norm)
        .with_learned_beta(case.learned_beta);
    let rows = case.labels.len();
    let lowering = Lowering {
        model: &model,
        float,
        rows,
        byte_scale: 1.0,
    };
    let optimizer = case.optimizer.parse().unwrap();
    let mut programs = vec![
        lowering.gradients().unwrap(),
        lowering.step(optimizer).unwrap(),
        lowering.predict().unwrap(),
    ];
    if device.wants_fused() {
        programs = programs.iter().map(|program| fuse(program).unwrap()).collect();
    }
    let mut session = device.open(&programs, &[], Threads::one()).unwrap();
    let mut args = StepArgs {
        lr: case.lr,
        decay: 1.0 - case.lr * case.l2,
        l2: case.l2,
        inverse_rows: 1.0 / rows as f64,
        ..StepArgs::default()
    };
    // The 1e-5 for f32; f64 is held closer.
    let relative = if float == Element::F64 { 1e-10 } else { 1e-5 };
    for (name, values) in &case.first {
        session.write(name, values).unwrap();
    }
    let batch = |id: usize| Batch::of_slices(&programs[id], &case.x, &case.labels).unwrap();
    session.run(ProgramId(0), &batch(0), &args);
    let (logits, loss) = (session.read("o").unwrap(), session.metrics().unwrap().get(LOSS_SUM));
    assert_close(
        &format!("{what}: logits"),
        &logits,
        &case.logits,
        relative * size(&case.logits),
    );
    assert_close(
        &format!("{what}: loss"),
        &[loss / rows as f64],
        &[case.loss],
        relative * case.loss,
    );
    // A bias in front of batch norm has no gradient but rounding: all of a case are held against the largest.
    let bound = relative * size(case.gradients.values().flatten());
    for (name, want) in &case.gradients {
        assert_close(&format!("{what}: {name}"), &session.read(name).unwrap(), want, bound);
    }
    for (name, values) in &case.first {
        session.write(name, values).unwrap();
    }
    for t in 1..=steps {
        args.t = t;
        session.run(ProgramId(1), &batch(1), &args);
    }
    // Adam makes a step of full size out of such a rounding, so those biases, and the running means that follow them, are left out.
    let noisy = case.batch_norm && case.optimizer.starts_with("adam");
    let moved =
        |name: &str| noisy && (1..model.depth()).any(|l| name == bias_name(l) || name == Extra::RunningMean.name(l));
    // Twenty steps add their roundings up.
    let relative = 20.0 * relative;
    for (name, want) in case.last.iter().filter(|(name, _)| !moved(name)) {
        let got = session.read(name).unwrap();
        assert_close(&format!("{what}: {name} in the end"), &got, want, relative * size(want));
    }
    if !noisy {
        session.run(ProgramId(2), &batch(2), &args);
        let logits = session.read("o").unwrap();
        assert_close(
            &format!("{what}: predicted"),
            &logits,
            &case.predicted,
            relative * size(&case.predicted),
        );
    }
}

#[test]
fn pytorchs_numbers() {
    let golden: Golden = serde_json::from_str(include_str!("../golden/pytorch.json")).unwrap();
    assert!(golden.cases.len() >= 28);
    for case in &golden.cases {
        for device in [Device::Reference, Device::Cpu, Device::Baseline] {
            for float in [Element::F64, Element::F32] {
                check(case, golden.steps, device, float);
            }
        }
    }
}
