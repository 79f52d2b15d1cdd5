//! `stable-softmax`: softmax with and without subtracting the maximum; two classes against one logit.
//!
//! exp overflows f32 above ln(f32::MAX) = 88.7, and infinity over infinity is NaN. Subtracting the row's maximum changes nothing
//! in the formula and leaves every argument at or below 0. For two classes, -log softmax((0, z))\[1\] is log(1 + exp(-z)), the binary
//! cross-entropy of the logit z. Softmax takes a difference of numbers of the logit's size, so a loss far below 1 keeps fewer digits
//! there than with one logit: the two are compared in ulp of the logit.

use tilelab_kernels::{Labels, MatMut, MatRef, reference};

use super::{Entry, Failure, Outcome, Run, plot};
use crate::measure::{Cell, Finding, PlotAxis, Trace};

pub const ENTRY: Entry = Entry {
    name: "stable-softmax",
    title: "Softmax that does not overflow",
    question: "What does subtracting the maximum save softmax from, and are two classes the same as one logit?",
    expects: "Without the subtraction exp overflows f32 above 88.7 and gives NaN; with it every row sums to 1. Two-class cross-entropy equals binary cross-entropy with logits to a few ulp of the logit.",
    run,
};

/// Largest logit of a row.
const TOPS: [f32; 8] = [1.0, 10.0, 50.0, 88.0, 89.0, 100.0, 1000.0, 10_000.0];
const CLASSES: usize = 10;

/// What was computed.
struct Data {
    /// Sum of each row by the formula as it stands.
    naive: Vec<f64>,
    /// By our kernel.
    ours: Vec<f64>,
    /// Largest difference of our kernel's row from the f64 oracle.
    error: Vec<f64>,
    /// Logits, and the two losses of each label: (two classes, one logit).
    logits: Vec<f32>,
    losses: [Vec<(f32, f32)>; 2],
}

fn row(top: f32) -> Vec<f32> {
    (0..CLASSES).map(|j| top * j as f32 / (CLASSES - 1) as f32).collect()
}

/// softmax by its formula.
fn naive(x: &[f32]) -> Vec<f32> {
    let powers: Vec<f32> = x.iter().map(|x| x.exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

fn sum(x: &[f32]) -> f64 {
    x.iter().map(|&x| f64::from(x)).sum()
}

fn run(run: &mut Run<'_>) -> Result<Outcome, Failure> {
    let ctx = run.context()?;
    let (mut by_formula, mut ours, mut error) = (Vec::new(), Vec::new(), Vec::new());
    for top in TOPS {
        let x = row(top);
        let mut y = vec![0.0; CLASSES];
        let rows = MatRef::row_major(&x, 1, CLASSES)?;
        ctx.softmax(rows, MatMut::row_major(&mut y, 1, CLASSES)?)?;
        let oracle = reference::softmax(rows);
        let got: Vec<f64> = y.iter().map(|&y| f64::from(y)).collect();
        by_formula.push(sum(&naive(&x)));
        ours.push(sum(&y));
        error.push(super::passes::distance(&got, &oracle));
    }
    let logits: Vec<f32> = (-120..=120).map(|i| i as f32 / 2.0).collect();
    let n = logits.len();
    let pairs: Vec<f32> = logits.iter().flat_map(|&z| [0.0, z]).collect();
    let losses = [0u8, 1].map(|label| {
        let (mut two, mut one) = (vec![0.0f32; n], vec![0.0f32; n]);
        let labels = vec![label; n];
        ctx.cross_entropy_loss(MatRef::row_major(&pairs, n, 2)?, Labels::hard(&labels), &mut two)?;
        let targets = vec![f32::from(label); n];
        let (logits, targets) = (MatRef::row_major(&logits, n, 1)?, MatRef::row_major(&targets, n, 1)?);
        ctx.binary_cross_entropy(logits, targets, &mut one, None)?;
        Ok::<_, Failure>(two.into_iter().zip(one).collect::<Vec<_>>())
    });
    let [zero, one] = losses;
    Ok(assess(&Data {
        naive: by_formula,
        ours,
        error,
        logits,
        losses: [zero?, one?],
    }))
}

/// |two - one| in ulp of the logit, or of 1 below it; NaN if one is no number.
fn ulps(z: f32, (two, one): (f32, f32)) -> f64 {
    let unit = f64::from(f32::EPSILON) * f64::from(z.abs().max(1.0));
    (f64::from(two) - f64::from(one)).abs() / unit
}

fn most(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |most, x| if x > most || x.is_nan() { x } else { most })
}

fn assess(data: &Data) -> Outcome {
    let lost = data.naive.iter().position(|sum| !sum.is_finite());
    let of = |label: usize| data.logits.iter().zip(&data.losses[label]);
    let apart = most([0, 1].into_iter().flat_map(of).map(|(&z, &losses)| ulps(z, losses)));
    let mut outcome = Outcome::new(Finding::SoftmaxStable {
        overflows_from: lost.map_or(f64::INFINITY, |at| f64::from(TOPS[at])),
        ulps: apart,
    });
    let above = TOPS.iter().zip(&data.naive).filter(|(top, _)| **top > 88.7);
    let survived = above.filter(|(_, sum)| sum.is_finite()).count();
    outcome.equals(
        "rows above 88.7 that survive without the subtraction",
        survived as f64,
        0.0,
    );
    let off = most(data.ours.iter().map(|sum| (sum - 1.0).abs()));
    outcome.at_most(
        "largest |sum of a row - 1| with it",
        off,
        10.0 * f64::from(f32::EPSILON),
    );
    outcome.at_most(
        "largest difference from the f64 oracle",
        most(data.error.iter().copied()),
        4.0 * f64::from(f32::EPSILON),
    );
    outcome.at_most(
        "two classes against one logit, largest difference in ulp of the logit",
        apart,
        4.0,
    );
    let rows = TOPS.iter().enumerate().map(|(at, &top)| {
        let cells = [f64::from(top), data.naive[at], data.ours[at], data.error[at]];
        cells.map(Cell::from).into()
    });
    let head = [
        "largest logit",
        "sum by the formula",
        "sum, maximum subtracted",
        "error against f64",
    ];
    outcome.sheet("Sum of a softmax row, f32", &head, rows.collect());
    let trace = |label: usize| {
        let points = of(label).map(|(&z, &losses)| (f64::from(z), ulps(z, losses)));
        Trace::line(format!("label {label}"), points)
    };
    let (x, y) = (
        PlotAxis::new("logit", ""),
        PlotAxis::new("difference", "ulp of the logit"),
    );
    outcome.plot(plot(
        "Two-class softmax against binary cross-entropy",
        x,
        y,
        vec![trace(0), trace(1)],
    ));
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::testing::{Bed, assert_holds, failed};

    #[test]
    fn it_holds_and_each_break_is_found() {
        assert_holds(&Bed::new().run(run).unwrap());
        let good = || Data {
            naive: vec![1.0, 1.0, 1.0, 1.0, f64::NAN, f64::NAN, f64::NAN, f64::NAN],
            ours: vec![1.0; 8],
            error: vec![0.0; 8],
            logits: vec![1.0],
            losses: [vec![(1.0, 1.0)], vec![(0.5, 0.5)]],
        };
        assert_holds(&assess(&good()));
        let breaks: [(&dyn Fn(&mut Data), usize); 5] = [
            // As if it had subtracted the maximum after all.
            (&|data| data.naive[5] = 1.0, 0),
            (&|data| data.ours[6] = f64::NAN, 1),
            (&|data| data.error[0] = 1e-3, 2),
            (&|data| data.losses[1][0].0 = 0.5001, 3),
            (&|data| data.losses[0][0].1 = f32::NAN, 3),
        ];
        for (harm, check) in breaks {
            let mut data = good();
            harm(&mut data);
            let outcome = assess(&data);
            assert_eq!(failed(&outcome), [outcome.checks()[check].name.clone()]);
        }
    }
}
