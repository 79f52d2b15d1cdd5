use tilelab_kernels::Activation;

use super::*;
use crate::mlp::{Model, Optimizer};
use crate::program::fuse;
use crate::program::lower::Lowering;

fn programs(widths: &[usize], activation: Activation, rows: usize) -> (Model, [Program; 2]) {
    let model = Model::new(widths, activation).unwrap();
    let lowering = Lowering {
        model: &model,
        float: Element::F32,
        rows,
        byte_scale: 1.0,
    };
    let programs = [lowering.predict().unwrap(), lowering.step(Optimizer::Sgd).unwrap()];
    (model, programs)
}

fn named(changes: &[Change]) -> Vec<(&str, i128)> {
    changes
        .iter()
        .map(|change| (change.name.as_str(), change.by()))
        .collect()
}

#[test]
fn the_notebooks_figures_and_what_its_formula_drops() {
    let (model, [predict, step]) = programs(&[100, 50, 10], Activation::Relu, 1);
    assert_eq!(formula(&model, 1, false).bytes(), 4 * 5_770);
    assert_eq!(listed(&model, 1, false).bytes(), 4 * 5_770);
    assert_eq!(formula(&model, 1, true).bytes(), 4 * 11_380);
    assert_eq!(listed(&model, 1, true).bytes(), 4 * 11_440);
    let dropped = formula(&model, 1, true).changes(&listed(&model, 1, true));
    assert_eq!(named(&dropped), [("dh1", 4 * 50), ("do", 4 * 10)]);

    // Prediction is the notebook's list, number by number; training adds the loss, its sum and the label.
    assert_eq!(
        listed(&model, 1, false).changes(&Footprint::of(&predict, 1).sum("")),
        []
    );
    let more = listed(&model, 1, true).changes(&Footprint::of(&step, 1).sum(""));
    assert_eq!(named(&more), [("y", 1), ("losses", 4), ("loss_sum", 8)]);
    // What the fused program has no need of.
    let fused = Footprint::of(&fuse(&step).unwrap(), 1);
    let less = Footprint::of(&step, 1).sum("").changes(&fused.sum(""));
    assert_eq!(
        named(&less),
        [("z1", -200), ("dW2", -2000), ("dh1", -200), ("dW1", -20_000)]
    );
}

/// By hand: `h = w x` as three buffers that follow one another, and one that lasts.
#[test]
fn dead_buffers_give_their_place_away() {
    let line = |bytes, alive| Line {
        name: String::new(),
        role: Role::Activation,
        size: (1, 1),
        element: Element::F32,
        bytes,
        alive,
        offset: 0,
    };
    let mut lines = [
        line(100, None),
        line(40, Some((0, 1))),
        line(30, Some((1, 2))),
        line(40, Some((2, 3))),
        line(10, Some((0, 3))),
    ];
    assert_eq!(place(&mut lines), 180);
    assert_eq!(lines.map(|line| line.offset), [0, 100, 140, 100, 170]);
}

/// Nothing that is alive together overlaps, and the sums stand in their order, for networks and batches of all kinds.
#[test]
fn placements_hold_up() {
    for widths in [&[784, 256, 10][..], &[20, 64, 2], &[9, 8, 7, 6, 5, 4, 3], &[5, 3]] {
        for activation in [Activation::Relu, Activation::Identity] {
            for rows in [1, 32] {
                let (_, [predict, step]) = programs(widths, activation, rows);
                for program in [&predict, &step, &fuse(&predict).unwrap(), &fuse(&step).unwrap()] {
                    let print = Footprint::of(program, rows);
                    assert!(print.peak_bytes <= print.reused_bytes && print.reused_bytes <= print.bytes());
                    for (i, a) in print.lines.iter().enumerate() {
                        for b in &print.lines[..i] {
                            let apart = a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset;
                            assert!(apart || !together(a.alive, b.alive), "{a:?} and {b:?}");
                        }
                    }
                    let roles = [
                        Role::Parameter,
                        Role::Gradient,
                        Role::Activation,
                        Role::Backward,
                        Role::Input,
                        Role::Label,
                        Role::OptimizerState,
                        Role::Metric,
                    ];
                    assert_eq!(
                        roles.map(|role| print.bytes_of(role)).iter().sum::<u64>(),
                        print.bytes()
                    );
                }
                let print = Footprint::of(&step, rows);
                assert!(print.reused_bytes < print.bytes(), "a step has something to reuse");
            }
        }
    }
}
