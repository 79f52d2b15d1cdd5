//! What `fuse` makes of programs, and that it changes no result.

use tilelab::device::{Batch, Device, ProgramId};
use tilelab::mlp::Optimizer;
use tilelab::program::lower::{Lowering, weights_name};
use tilelab::program::{Buffer, BufferId, Element, Lifetime, Op, Parts, Program, Role, Scalar, Shape, fuse};

use super::steps::{ROWS, WIDTHS, args, lowering, model, parameters};
use super::{assert_within, floats, labels, open, random};

fn names(program: &Program) -> Vec<&'static str> {
    program.operations().iter().map(Op::name).collect()
}

fn has(program: &Program, name: &str) -> bool {
    program.buffers().iter().any(|buffer| buffer.name == name)
}

#[test]
fn a_step_keeps_only_products_sums_and_bias_updates() {
    let model = model();
    let plain = lowering(&model, Element::F32).step(Optimizer::Sgd).unwrap();
    let fused = fuse(&plain).unwrap();
    let expected = [
        "load rows",
        "load labels",
        "product",
        "product",
        "product", // forward, with bias and relu
        "softmax cross-entropy",
        "add sum",
        "column sum",
        "product",
        "column sum",
        "product",
        "column sum", // backward, with relu's derivative
        "product",
        "sgd",
        "product",
        "sgd",
        "product",
        "sgd", // weights, biases
    ];
    assert_eq!(names(&fused), expected);
    for gone in ["z1", "z2", "dh1", "dh2", "dW1", "dW2", "dW3"] {
        assert!(has(&plain, gone) && !has(&fused, gone), "{gone}");
    }
    for stays in [
        "x", "h1", "h2", "o", "do", "dz1", "dz2", "db1", "db2", "db3", "W1", "b1",
    ] {
        assert!(has(&fused, stays), "{stays}");
    }
}

#[test]
fn kept_gradients_stay() {
    let model = model();
    let fused = fuse(&lowering(&model, Element::F32).gradients().unwrap()).unwrap();
    for stays in ["dW1", "dW2", "dW3", "db1"] {
        assert!(has(&fused, stays), "{stays}");
    }
    assert!(!names(&fused).contains(&"add bias") && !names(&fused).contains(&"activate backward"));
}

/// Fuses `operations` put behind the step's, where the buffers are added as well.
fn with_more(more: impl FnOnce(&mut Parts)) -> Program {
    let model = model();
    let mut parts = lowering(&model, Element::F64)
        .step(Optimizer::Sgd)
        .unwrap()
        .into_parts();
    more(&mut parts);
    fuse(&Program::new(parts).unwrap()).unwrap()
}

fn id(parts: &Parts, name: &str) -> BufferId {
    BufferId(parts.buffers.iter().position(|buffer| buffer.name == name).unwrap())
}

fn sums(parts: &mut Parts, cols: usize) -> BufferId {
    let (shape, element) = (Shape::fixed(1, cols), Element::F64);
    let (role, lifetime) = (Role::Activation, Lifetime::Run);
    parts.buffers.push(Buffer {
        name: "sums".into(),
        shape,
        element,
        role,
        lifetime,
    });
    BufferId(parts.buffers.len() - 1)
}

#[test]
fn what_somebody_else_reads_is_not_fused_away() {
    for (name, cols) in [("dW2", WIDTHS[2]), ("z1", WIDTHS[1]), ("dh1", WIDTHS[1])] {
        let fused = with_more(|parts| {
            let (x, sums) = (id(parts, name), sums(parts, cols));
            parts.operations.push(Op::ColumnSum {
                x,
                accumulate: Scalar::ZERO,
                sums,
            });
        });
        assert!(has(&fused, name), "{name}");
        assert!(!has(&fused, "dW1"), "the others are fused all the same");
    }
}

/// What is kept may be read by another program of the session.
#[test]
fn what_is_kept_is_not_fused_away() {
    for name in ["dW2", "z1", "dh1"] {
        let fused = with_more(|parts| {
            let BufferId(id) = id(parts, name);
            parts.buffers[id].lifetime = Lifetime::Kept;
        });
        assert!(has(&fused, name), "{name}");
        assert!(!has(&fused, "dW1"), "the others are fused all the same");
    }
}

/// A step in which an operand of a gradient's product is written again before the update: the product must not move there.
#[test]
fn an_update_does_not_move_past_a_write_to_its_operands() {
    let fused = with_more(|parts| {
        let (x, z, h) = (id(parts, "dh1"), id(parts, "dz1"), id(parts, "h1"));
        let updates = parts
            .operations
            .iter()
            .position(|op| matches!(op, Op::Sgd { .. }))
            .unwrap();
        let activation = tilelab_kernels::Activation::Relu;
        let again = Op::ActivateBackward {
            activation,
            saved: h,
            gradient: x,
            out: z,
        };
        parts.operations.insert(updates, again);
    });
    assert!(has(&fused, "dW1"), "dz1 is an operand of dW1's product");
    assert!(!has(&fused, "dW2"));
}

/// The same programs fused and plain, on every device, in f64: a few roundings apart at most, for fusing the update saves one.
#[test]
fn fused_and_plain_agree() {
    let model = model();
    let lowering = lowering(&model, Element::F64);
    let plain = [lowering.step(Optimizer::Sgd).unwrap(), lowering.evaluate().unwrap()];
    let fused = [fuse(&plain[0]).unwrap(), fuse(&plain[1]).unwrap()];
    assert!(names(&plain[1]).len() > names(&fused[1]).len());
    for device in [Device::Cpu, Device::Baseline, Device::Reference] {
        let (values, labels) = (floats(&random(ROWS * WIDTHS[0], 3)), labels(ROWS, 5));
        let results = [&plain, &fused].map(|programs| {
            let mut session = open(device, programs, &[]);
            for (name, values) in parameters(&model) {
                session.write(&name, &values).unwrap();
            }
            let mut metrics = Vec::new();
            for id in [0, 1, 0, 1] {
                let batch = Batch::of_slices(&programs[id], &values, &labels).unwrap();
                session.run(ProgramId(id), &batch, &args(ROWS));
                let sums = session.metrics().unwrap();
                metrics.extend([sums.get("loss_sum"), sums.get("correct")]);
            }
            let weights: Vec<f64> = (1..=3).flat_map(|l| session.read(&weights_name(l)).unwrap()).collect();
            (weights, metrics)
        });
        let [(plain, plain_metrics), (fused, fused_metrics)] = results;
        assert_within(&format!("weights on {device}"), &fused, &plain, |_| 64.0 * f64::EPSILON);
        assert_within(&format!("metrics on {device}"), &fused_metrics, &plain_metrics, |i| {
            64.0 * f64::EPSILON * plain_metrics[i]
        });
        assert!(
            plain_metrics[3] > 0.0 && plain_metrics[0] > plain_metrics[2],
            "{plain_metrics:?}"
        );
    }
}

/// Two layers without anything between them: identity needs neither an activation nor its derivative.
#[test]
fn identity_leaves_no_operation() {
    let model = tilelab::mlp::Model::new(&WIDTHS, tilelab_kernels::Activation::Identity).unwrap();
    let lowering = Lowering {
        model: &model,
        ..lowering(&model, Element::F32)
    };
    let names = names(&lowering.step(Optimizer::Sgd).unwrap());
    assert!(
        !names.contains(&"activate") && !names.contains(&"activate backward"),
        "{names:?}"
    );
}
