//! `hessian-cost`: seconds and bytes of a gradient and of a Hessian three ways, over parameters and over samples.

use super::{Entry, Failure, Outcome, Run, notebook, plot};
use crate::bench::hessian::cost::{Cost, Size, WAYS, Way, exponent, largest_that_fits, measure, sizes};
use crate::measure::{Beside, Cell, Erratum, Finding, Held, PlotAxis, Trace};

pub const ENTRY: Entry = Entry {
    name: "hessian-cost",
    title: "What a Hessian costs",
    question: "How do time and memory of second derivatives grow with a network, and how much more than a gradient do they take?",
    expects: "A Hessian of n numbers has n x n entries: bytes grow as n^2, n products with it as n times a few gradients, a double loop as n^2 of them. All are powers; none is exponential.",
    run,
};

/// Samples while parameters grow, and hidden units while samples do.
const FIXED: (usize, usize) = (100, 20);

fn run(run: &mut Run<'_>) -> Result<Outcome, Failure> {
    let mut all = Vec::new();
    for (hidden, rows) in sizes(!run.options().full) {
        let key = format!("10-{hidden}-5, {rows} rows");
        all.push(run.once(&key, |_| {
            measure(hidden, rows).map_err(|error| Failure::Failed(error.to_string()))
        })?);
    }
    Ok(assess(&all, largest_that_fits(), run.options().full))
}

/// (parameters, y) of the sizes of so many samples.
fn by_parameters(sizes: &[Size], way: fn(&Size) -> Option<Cost>, y: fn(Cost) -> f64) -> Vec<(f64, f64)> {
    let fixed = sizes.iter().filter(|size| size.rows == FIXED.0);
    fixed
        .filter_map(|size| Some((size.parameters as f64, y(way(size)?))))
        .collect()
}

fn by_rows(sizes: &[Size], way: fn(&Size) -> Option<Cost>) -> Vec<(f64, f64)> {
    let fixed = sizes.iter().filter(|size| size.hidden == FIXED.1);
    fixed
        .filter_map(|size| Some((size.rows as f64, way(size)?.seconds)))
        .collect()
}

/// How much the slope between two neighbours changes from the first pair to the last, in logarithms of y over x: a power has one slope
/// over log x, an exponential one over x.
fn bend(points: &[(f64, f64)], x: fn(f64) -> f64) -> f64 {
    let slope = |pair: &[(f64, f64)]| (pair[1].1 / pair[0].1).ln() / (x(pair[1].0) - x(pair[0].0));
    let slopes: Vec<f64> = points.windows(2).map(slope).collect();
    match (slopes.first(), slopes.last()) {
        (Some(first), Some(last)) if slopes.len() > 1 => (last / first).ln().abs(),
        _ => f64::NAN,
    }
}

fn assess(sizes: &[Size], fits: f64, full: bool) -> Outcome {
    let products = by_parameters(sizes, WAYS[2].1, |cost| cost.seconds);
    let power = exponent(&products);
    // Bytes are counted, not timed: what they say of the growth no noise can change.
    let bytes = by_parameters(sizes, WAYS[2].1, |cost| cost.bytes as f64);
    let mut outcome = Outcome::new(if bend(&bytes, f64::ln) <= bend(&bytes, |n| n) {
        Finding::HessianIsPower {
            seconds: power,
            bytes: exponent(&bytes),
            fits: fits as u64,
        }
    } else {
        Finding::HessianIsNoPower {
            bytes: exponent(&bytes),
        }
    });
    outcome.erratum(Erratum::HessianGrowth { exponent: power });
    outcome.at_most("exponent of the products' seconds over parameters", power, 3.0);
    outcome.at_most(
        "exponent of the matrix' and buffers' bytes over parameters",
        exponent(&bytes),
        2.1,
    );
    let over = |size: &Size| size.double_loop.map(|double| double.seconds / size.products.seconds);
    let least = sizes.iter().filter_map(over).reduce(f64::min).unwrap_or(f64::NAN);
    outcome.at_least(
        "a double loop's seconds over those of products at once, least",
        least,
        2.0,
    );
    let spared = sizes
        .iter()
        .map(|size| size.closed_form.bytes as f64 / (4 * size.parameters * size.parameters) as f64);
    outcome.at_least(
        "the closed form's bytes over those of its matrix, least",
        spared.reduce(f64::min).unwrap_or(f64::NAN),
        1.0,
    );
    if let Some(ratio) = notebooks_size(sizes).and_then(|size| Some(size.double_loop?.seconds / size.gradient.seconds))
    {
        let [gradient, hessian] = ["gradient", "hessian"].map(|of| notebook::figure(&format!("/hessian/{of}_seconds")));
        outcome.beside(Beside {
            of: "a double loop over 100 parameters there, 85 here".to_owned(),
            figure: "seconds over a gradient's".to_owned(),
            notebook: hessian / gradient,
            ours: ratio,
            deviation: None,
            seeds: 1,
            held: Held::Nothing,
        });
    }
    let parameters = || PlotAxis::new("parameters", "").log();
    let traces = |y: fn(Cost) -> f64| {
        WAYS.map(|(name, way)| Trace::line(name, by_parameters(sizes, way, y)))
            .to_vec()
    };
    let y = PlotAxis::new("time", "s").log();
    outcome.plot(plot(
        "Seconds by parameters",
        parameters(),
        y,
        traces(|cost| cost.seconds),
    ));
    let y = PlotAxis::new("buffers and matrix", "B").log();
    outcome.plot(plot(
        "Bytes by parameters",
        parameters(),
        y,
        traces(|cost| cost.bytes as f64),
    ));
    let x = PlotAxis::new("samples", "").log();
    let traces = WAYS.map(|(name, way)| Trace::line(name, by_rows(sizes, way)));
    outcome.plot(plot(
        "Seconds by samples",
        x,
        PlotAxis::new("time", "s").log(),
        traces.to_vec(),
    ));
    let fitted = |(name, way): Way| -> Vec<Cell> {
        vec![
            name.into(),
            exponent(&by_parameters(sizes, way, |cost| cost.seconds)).into(),
            exponent(&by_parameters(sizes, way, |cost| cost.bytes as f64)).into(),
            exponent(&by_rows(sizes, way)).into(),
        ]
    };
    outcome.sheet(
        "Fitted exponents",
        &[
            "of",
            "seconds by parameters",
            "bytes by parameters",
            "seconds by samples",
        ],
        WAYS.into_iter().map(fitted).collect(),
    );
    let row = |size: &Size| -> Vec<Cell> {
        let mut cells: Vec<Cell> = vec![
            format!("10-{}-5", size.hidden).into(),
            size.rows.into(),
            size.parameters.into(),
        ];
        cells.extend(WAYS.map(|(_, way)| Cell::from(way(size).map_or(f64::NAN, |cost| 1e3 * cost.seconds))));
        cells
    };
    outcome.sheet(
        "Every size, milliseconds",
        &[
            "network",
            "samples",
            "parameters",
            "gradient",
            "double loop",
            "products",
            "closed form",
        ],
        sizes.iter().map(row).collect(),
    );
    if !full {
        outcome.shrunk("Up to 645 parameters and 800 samples, of 2,565 and 3,200.");
    }
    outcome
}

/// The size that is nearest to the notebook's 100 parameters.
fn notebooks_size(sizes: &[Size]) -> Option<&Size> {
    sizes.iter().find(|size| size.parameters == 85 && size.rows == FIXED.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::testing::{assert_holds, failed};

    /// Sizes whose Hessians take `bytes` and `seconds` for so many parameters.
    fn sizes(bytes: fn(f64) -> f64, seconds: fn(f64) -> f64) -> Vec<Size> {
        let size = |hidden: usize| {
            let parameters = 16 * hidden + 5;
            let n = parameters as f64;
            let of = |times: f64| Cost {
                seconds: times * seconds(n),
                bytes: bytes(n) as u64,
            };
            Size {
                hidden,
                rows: FIXED.0,
                parameters,
                gradient: of(0.01),
                double_loop: (hidden < 20).then(|| of(50.0)),
                products: of(1.0),
                closed_form: of(0.1),
            }
        };
        [5, 10, 20, 40].map(size).to_vec()
    }

    #[test]
    fn branches_and_breaks() {
        let square = |n: f64| 4.0 * n * n + 100.0;
        let power = assess(&sizes(square, |n| 1e-6 * n * n), 5e4, true);
        assert_holds(&power);
        assert!(matches!(power.finding(), Finding::HessianIsPower { fits: 50_000, .. }));
        let exponential = assess(&sizes(|n| 1e5 * (n / 50.0).exp(), |n| 1e-6 * n), 5e4, false);
        assert!(matches!(exponential.chosen(), Finding::HessianIsNoPower { .. }));
        // A cubic's bytes, a fourth power's time, a double loop that costs nothing, no matrix: each is found.
        assert_eq!(failed(&assess(&sizes(|n| n * n * n, |n| n), 5e4, true)).len(), 1);
        assert_eq!(failed(&assess(&sizes(square, |n| n.powi(4)), 5e4, true)).len(), 1);
        let mut free = sizes(square, |n| n);
        free[0].double_loop = Some(free[0].gradient);
        assert_eq!(failed(&assess(&free, 5e4, true)).len(), 1);
        let mut none = sizes(square, |n| n);
        none[3].closed_form.bytes = 9;
        assert_eq!(failed(&assess(&none, 5e4, true)).len(), 1);
        assert_eq!(failed(&assess(&[], 5e4, true)).len(), 4);
    }
}
