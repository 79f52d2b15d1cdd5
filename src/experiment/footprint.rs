//! `footprint`: memory of prediction and training, by the notebook's formulas, by its list, by the program, and on the device.

use tilelab_kernels::{Activation, Threads};

use super::notebook::figure;
use super::{Entry, Failure, Outcome, Run, plot};
use crate::measure::{Beside, Erratum, Finding, Held, PlotAxis, Trace};
use crate::mlp::{Model, Optimizer};
use crate::program::footprint::{Footprint, formula, listed};
use crate::program::lower::Lowering;
use crate::program::{Element, Program, fuse};

pub const ENTRY: Entry = Entry {
    name: "footprint",
    title: "Memory of training and prediction",
    question: "What do training and prediction take in memory, by formula and on the device?",
    expects: "5,770 numbers for prediction of 100-50-10, as the notebook says; for training its own list has 11,440 where its formula has 11,380. The device holds every buffer of its program, so bytes grow linearly with width and batch.",
    run,
};

/// Bytes of a number.
const FLOAT: u64 = 4;
/// A program's buffers may be rounded up to a cache line each.
const LINE: u64 = 64;

/// One model and batch.
#[derive(Debug, Clone)]
struct Case {
    layers: Vec<usize>,
    rows: usize,
    training: bool,
    formula: u64,
    listed: u64,
    /// Buffers of the program that the device runs, and how many.
    program: u64,
    buffers: u64,
    /// What the device has allocated for them.
    held: u64,
}

fn run(run: &mut Run<'_>) -> Result<Outcome, Failure> {
    let widths: &[usize] = run.pick(&[16, 50, 256, 1024], &[16, 50, 256, 1024, 4096, 8192]);
    let mut cases = Vec::new();
    for training in [false, true] {
        for &width in widths {
            cases.push(case(run, &[100, width, 10], 1, training)?);
        }
        for rows in [16, 64, 256, 1024] {
            cases.push(case(run, &[100, 50, 10], rows, training)?);
        }
    }
    Ok(assess(&cases))
}

fn case(run: &Run<'_>, layers: &[usize], rows: usize, training: bool) -> Result<Case, Failure> {
    let model = Model::new(layers, Activation::Relu)?;
    let lowering = Lowering {
        model: &model,
        float: Element::F32,
        rows,
        byte_scale: 1.0,
    };
    let plain = if training {
        lowering.step(Optimizer::Sgd)?
    } else {
        lowering.predict()?
    };
    let device = run.options().device;
    let program: Program = if device.wants_fused() { fuse(&plain)? } else { plain };
    let session = device.open(std::slice::from_ref(&program), &[], Threads::one())?;
    let held = session.held();
    let footprint = Footprint::of(&program, rows);
    Ok(Case {
        layers: layers.to_vec(),
        rows,
        training,
        formula: formula(&model, rows, training).bytes() / FLOAT,
        listed: listed(&model, rows, training).bytes() / FLOAT,
        program: footprint.bytes(),
        buffers: footprint.lines.len() as u64,
        held: held.iter().filter(|held| held.buffer).map(|held| held.bytes).sum(),
    })
}

fn assess(cases: &[Case]) -> Outcome {
    let of = |layers: &[usize], training: bool| {
        cases
            .iter()
            .find(|case| case.layers == layers && case.rows == 1 && case.training == training)
    };
    let numbers = |training: bool, pick: fn(&Case) -> u64| of(&[100, 50, 10], training).map_or(0, pick);
    let (formula, listed) = (numbers(true, |case| case.formula), numbers(true, |case| case.listed));
    let widest = cases
        .iter()
        .filter(|case| case.training && case.rows == 1)
        .max_by_key(|case| case.layers[1]);
    let mut outcome = Outcome::new(Finding::FootprintReconciled {
        formula,
        listed,
        held_over_listed: widest.map_or(f64::NAN, |case| case.held as f64 / (FLOAT * case.listed) as f64),
    });
    let prediction = numbers(false, |case| case.formula);
    let (wanted, wanted_training) = (
        figure("/footprint/prediction_floats"),
        figure("/footprint/training_floats"),
    );
    outcome.equals(
        "numbers for prediction of 100-50-10, by the formula",
        prediction as f64,
        wanted,
    );
    outcome.equals("numbers for training, by the formula", formula as f64, wanted_training);
    outcome.equals(
        "numbers that the formula drops from its list: h + q",
        listed as f64 - formula as f64,
        60.0,
    );
    let differs = |case: &&Case| case.held < case.program || case.held > case.program + LINE * case.buffers;
    let wrong = cases.iter().filter(differs).count();
    outcome.equals(
        "cases whose device holds less or more than its program's buffers",
        wrong as f64,
        0.0,
    );
    for (what, notebook, ours) in [
        ("prediction", wanted, prediction),
        ("training", wanted_training, formula),
    ] {
        outcome.beside(Beside {
            of: format!("100-50-10, {what}"),
            figure: "numbers".to_owned(),
            notebook,
            ours: ours as f64,
            deviation: None,
            seeds: 1,
            held: Held::within(notebook, ours as f64, 0.0, 0.0),
        });
    }
    if listed != formula {
        outcome.erratum(Erratum::TrainingFootprint { formula, listed });
    }
    let trace = |name: &str, training: bool, by_width: bool, bytes: fn(&Case) -> u64| {
        let fits =
            |case: &&Case| case.training == training && (if by_width { case.rows == 1 } else { case.layers[1] == 50 });
        let x = |case: &Case| if by_width { case.layers[1] } else { case.rows };
        let mut points: Vec<(f64, f64)> = cases
            .iter()
            .filter(fits)
            .map(|case| (x(case) as f64, bytes(case) as f64))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Trace::line(name, points)
    };
    for (title, label, by_width) in [
        ("by width, one row", "hidden units", true),
        ("by batch, 50 units", "rows of a batch", false),
    ] {
        let traces = vec![
            trace("prediction, list", false, by_width, |case| FLOAT * case.listed),
            trace("prediction, device", false, by_width, |case| case.held),
            trace("training, list", true, by_width, |case| FLOAT * case.listed),
            trace("training, device", true, by_width, |case| case.held),
        ];
        let (x, y) = (
            PlotAxis::new(label, "").log().whole(),
            PlotAxis::new("memory", "bytes").log(),
        );
        outcome.plot(plot(&format!("Memory {title}"), x, y, traces));
    }
    let row = |case: &Case| {
        let layers: Vec<String> = case.layers.iter().map(usize::to_string).collect();
        let what = if case.training { "training" } else { "prediction" };
        let bytes = [FLOAT * case.formula, FLOAT * case.listed, case.program, case.held];
        let mut row = vec![layers.join("-").into(), case.rows.into(), what.into()];
        row.extend(bytes.map(|bytes| (bytes as f64).into()));
        row
    };
    let head = ["network", "rows", "", "formula", "list", "program", "device"];
    outcome.sheet("Bytes", &head, cases.iter().map(row).collect());
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::testing::{Bed, assert_holds, failed};

    #[test]
    fn it_holds_and_each_break_is_found() {
        let bed = Bed::new();
        assert_holds(&bed.run(run).unwrap());
        let cases = || {
            bed.run(|run| {
                let cases = [false, true].map(|training| case(run, &[100, 50, 10], 1, training));
                cases.into_iter().collect::<Result<Vec<_>, _>>()
            })
            .unwrap()
        };
        assert_holds(&assess(&cases()));
        let breaks: [(&dyn Fn(&mut Vec<Case>), usize); 4] = [
            (&|cases| cases[0].formula += 1, 0),
            (&|cases| (cases[1].formula, cases[1].listed) = (11_440, 11_500), 1),
            (&|cases| cases[1].listed = cases[1].formula, 2),
            (&|cases| cases[1].held /= 2, 3),
        ];
        for (harm, check) in breaks {
            let mut data = cases();
            harm(&mut data);
            let outcome = assess(&data);
            assert_eq!(failed(&outcome), [outcome.checks()[check].name.clone()]);
        }
    }
}
