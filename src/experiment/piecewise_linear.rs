//! `piecewise-linear`: a network of relus is a continuous function made of linear pieces.
//!
//! Along a line x(t) = a + t d every sum is linear in t as long as no hidden unit changes sign, so its value and slope at one t give the
//! next t at which one does: the breakpoints are found one after the other, without searching. Within each piece
//! the network (on our kernels) must lie on the straight line, and the lines of neighbours must meet.
//! On a plane the pieces are regions; each is a pattern of signs, drawn in a colour that its neighbours do not have.

mod plane;

use tilelab_kernels::{Activation, Context};

use super::dense::Net;
use super::{Entry, Failure, Outcome, Run, plot};
use crate::measure::{Finding, PlotAxis, Trace};

pub const ENTRY: Entry = Entry {
    name: "piecewise-linear",
    title: "Networks of relus are piecewise linear",
    question: "Is a network with relu or prelu a continuous piecewise linear function?",
    expects: "Between breakpoints, which are found exactly, the network is a straight line to rounding, and neighbouring lines meet; one hidden layer of n units cuts a plane into at most 1 + n + n (n - 1) / 2 regions.",
    run,
};

/// The line goes from t = -SPAN to SPAN; the plane is as wide.
const SPAN: f64 = 3.0;
/// Samples that must see the breakpoints which were found.
const SAMPLES: usize = 6001;
const WIDTHS: [usize; 4] = [2, 16, 16, 1];

/// What a network did along the line.
struct Walk {
    name: &'static str,
    breakpoints: Vec<f64>,
    /// Largest distance from the straight line within a piece, and of two lines where they meet; over their bounds.
    bent: f64,
    torn: f64,
    /// Samples next to one another whose signs differ without a breakpoint between, or the other way round.
    unseen: usize,
    curve: Vec<(f64, f64)>,
}

/// What was computed.
struct Data {
    walks: Vec<Walk>,
    regions: plane::Regions,
}

fn run(run: &mut Run<'_>) -> Result<Outcome, Failure> {
    let (ctx, seed) = (run.context()?, run.options().seed);
    let mut walks = Vec::new();
    for (name, activation) in [("relu", Activation::Relu), ("prelu", Activation::PRelu { alpha: 0.25 })] {
        let net = Net::random(&WIDTHS, activation, seed);
        walks.push(walk(name, &ctx, &net, activation)?);
    }
    let one_layer = Net::random(&[2, 12, 1], Activation::Relu, seed);
    let side = run.pick(160, 400);
    let mut regions = plane::regions(&ctx, &Net::random(&WIDTHS, Activation::Relu, seed), side)?;
    regions.of_one_layer = plane::regions(&ctx, &one_layer, side)?.count;
    regions.units_of_one_layer = 12;
    Ok(assess(data(walks, regions)))
}

fn data(walks: Vec<Walk>, regions: plane::Regions) -> Data {
    Data { walks, regions }
}

fn at(t: f64) -> [f64; 2] {
    [0.3 + 0.8 * t, -0.2 + 0.6 * t]
}

/// Signs of all hidden units at x.
fn signs(ctx: &Context, net: &Net, x: &[f64]) -> Result<Vec<Vec<bool>>, Failure> {
    let mut sums = net.sums(ctx, x, 1)?;
    sums.pop();
    Ok(sums
        .into_iter()
        .map(|z| z.into_iter().map(|z| z > 0.0).collect())
        .collect())
}

/// Value and slope by t of each sum, for fixed signs: plain loops, since this is what the kernels are held against.
fn straight(net: &Net, signs: &[Vec<bool>], below: f64) -> Vec<Vec<(f64, f64)>> {
    let mut hidden: Vec<(f64, f64)> = vec![(0.3, 0.8), (-0.2, 0.6)];
    let mut all = Vec::new();
    for l in 0..net.depth() {
        let outputs = net.widths[l + 1];
        let sum = |j: usize| {
            hidden
                .iter()
                .enumerate()
                .fold((net.biases[l][j], 0.0), |(value, slope), (i, h)| {
                    let w = net.weights[l][i * outputs + j];
                    (value + w * h.0, slope + w * h.1)
                })
        };
        let z: Vec<(f64, f64)> = (0..outputs).map(sum).collect();
        if let Some(signs) = signs.get(l) {
            let factor = |j: usize| if signs[j] { 1.0 } else { below };
            hidden = z
                .iter()
                .enumerate()
                .map(|(j, z)| (factor(j) * z.0, factor(j) * z.1))
                .collect();
        }
        all.push(z);
    }
    all
}

/// The line's breakpoints with the straight pieces between them, as (value, slope) by t.
fn pieces(ctx: &Context, net: &Net, below: f64) -> Result<(Vec<f64>, Vec<(f64, f64)>), Failure> {
    let (mut t, mut breakpoints, mut lines) = (-SPAN, Vec::new(), Vec::new());
    let mut pattern = signs(ctx, net, &at(t))?;
    loop {
        let sums = straight(net, &pattern, below);
        lines.push(sums[net.depth() - 1][0]);
        // The first zero of a hidden sum behind t; one closer than rounding is the one that was just crossed.
        let mut next: Option<(f64, usize, usize)> = None;
        for (l, layer) in sums.iter().take(net.depth() - 1).enumerate() {
            for (j, &(value, slope)) in layer.iter().enumerate() {
                let zero = -value / slope;
                if zero > t + 1e-10 && zero < SPAN && next.is_none_or(|(first, ..)| zero < first) {
                    next = Some((zero, l, j));
                }
            }
        }
        let Some((zero, l, j)) = next else { break };
        breakpoints.push(zero);
        pattern[l][j] = !pattern[l][j];
        t = zero;
    }
    Ok((breakpoints, lines))
}

/// The pieces as if `net` were of relus, or prelus with `slopes`; the network on the kernels is what it is.
fn walk(name: &'static str, ctx: &Context, net: &Net, slopes: Activation) -> Result<Walk, Failure> {
    let below = match slopes {
        Activation::PRelu { alpha } => alpha,
        _ => 0.0,
    };
    let (breakpoints, lines) = pieces(ctx, net, below)?;
    let value = |line: (f64, f64), t: f64| line.0 + line.1 * t;
    let ends: Vec<f64> = [-SPAN].iter().chain(&breakpoints).chain(&[SPAN]).copied().collect();
    let largest = lines
        .iter()
        .map(|line| line.0.abs() + SPAN * line.1.abs())
        .fold(1.0, f64::max);
    let terms: usize = net.widths.iter().map(|width| width + 4).sum();
    let bound = 16.0 * terms as f64 * f64::EPSILON * largest;
    let (mut bent, mut torn) = (0.0f64, 0.0f64);
    for (piece, &line) in lines.iter().enumerate() {
        for share in [0.25, 0.5, 0.75] {
            let t = ends[piece] + share * (ends[piece + 1] - ends[piece]);
            let off = (net.outputs(ctx, &at(t), 1)?[0] - value(line, t)).abs() / bound;
            bent = if off > bent || off.is_nan() { off } else { bent };
        }
        if let Some(&next) = lines.get(piece + 1) {
            let t = ends[piece + 1];
            let off = (value(line, t) - value(next, t)).abs() / bound;
            torn = if off > torn || off.is_nan() { off } else { torn };
        }
    }
    let place = |i: usize| -SPAN + 2.0 * SPAN * i as f64 / (SAMPLES - 1) as f64;
    let (mut unseen, mut curve, mut before) = (0, Vec::new(), signs(ctx, net, &at(-SPAN))?);
    for i in 1..SAMPLES {
        let now = signs(ctx, net, &at(place(i)))?;
        let between = breakpoints.iter().any(|t| (place(i - 1)..place(i)).contains(t));
        unseen += usize::from((now != before) != between);
        before = now;
        if i % 60 == 0 {
            curve.push((place(i), net.outputs(ctx, &at(place(i)), 1)?[0]));
        }
    }
    Ok(Walk {
        name,
        breakpoints,
        bent,
        torn,
        unseen,
        curve,
    })
}

fn assess(data: Data) -> Outcome {
    let regions = &data.regions;
    let pieces = data
        .walks
        .iter()
        .map(|walk| walk.breakpoints.len() + 1)
        .max()
        .unwrap_or(0);
    let mut outcome = Outcome::new(Finding::PiecewiseLinear {
        pieces,
        regions: regions.count,
    });
    let mut rows = Vec::new();
    for walk in &data.walks {
        let name = walk.name;
        outcome.at_most(
            format!("{name}: distance from a straight line within a piece, over its bound"),
            walk.bent,
            1.0,
        );
        outcome.at_most(
            format!("{name}: gap where two lines meet, over its bound"),
            walk.torn,
            1.0,
        );
        outcome.equals(
            format!("{name}: samples that see a breakpoint elsewhere"),
            walk.unseen as f64,
            0.0,
        );
        rows.push(vec![
            name.into(),
            (walk.breakpoints.len() + 1).into(),
            walk.bent.into(),
            walk.torn.into(),
            walk.unseen.into(),
        ]);
    }
    outcome.at_least("linear pieces on the line", pieces as f64, 2.0);
    let n = regions.units_of_one_layer as f64;
    outcome.at_most(
        "regions of one hidden layer on a plane",
        regions.of_one_layer as f64,
        1.0 + n + n * (n - 1.0) / 2.0,
    );
    let head = [
        "activation",
        "pieces",
        "off the line / bound",
        "gap / bound",
        "samples that disagree",
    ];
    outcome.sheet("A 2-16-16-1 network along a line", &head, rows);
    let traces = data
        .walks
        .iter()
        .map(|walk| Trace::line(walk.name, walk.curve.iter().copied()));
    let axis = |label: &str| PlotAxis::new(label, "");
    let mut along = plot("The network along a line", axis("t"), axis("output"), traces.collect());
    along.note = "Straight between its breakpoints.".to_owned();
    outcome.plot(along);
    outcome.picture(data.regions.picture);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::testing::{Bed, assert_holds, failed};

    #[test]
    fn relus_hold_and_a_bent_network_is_found() {
        let bed = Bed::new();
        assert_holds(&bed.run(run).unwrap());
        bed.run(|run| {
            let ctx = run.context()?;
            // The kernels compute elu where straight pieces of relu are expected.
            let net = Net::random(&WIDTHS, Activation::Elu { alpha: 1.0 }, 1);
            let regions = || plane::regions(&ctx, &Net::random(&[2, 4, 1], Activation::Relu, 1), 20);
            let wrong = walk("relu", &ctx, &net, Activation::Relu)?;
            assert!(
                failed(&assess(data(vec![wrong], regions()?)))
                    .iter()
                    .any(|check| check.contains("straight line"))
            );
            let right = Net::random(&WIDTHS, Activation::Relu, 1);
            let mut lost = walk("relu", &ctx, &right, Activation::Relu)?;
            lost.torn = f64::NAN;
            lost.unseen = 1;
            let mut many = regions()?;
            many.of_one_layer = 1_000_000;
            assert_eq!(failed(&assess(data(vec![lost], many))).len(), 3);
            Ok(())
        })
        .unwrap();
    }
}
