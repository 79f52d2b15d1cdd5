//! Finds where a curve of latency by working set bends, how sure that is, and when the machine itself changed.
//!
//! ```text
//! latency(S) = t0 + sum_i d_i * (1 - (C_i / S)^a_i)   for S > C_i,   d_i >= 0
//! ```
//! A random chase over S bytes hits a cache of C bytes in C / S of its loads if replacement is random (a = 1); the true LRU
//! of few ways misses everything at once (a large). t0 and d are linear, and solved by weighted least squares on relative
//! errors, with large residuals held back (Huber 1964); C and a are searched. Knees are added one by one while each
//! pays for its parameters in noise and in height. Intervals: the residuals are drawn again (Efron 1979) and the knees
//! fitted anew.
//!
//! A machine that changes in mid-sweep (a clock, a neighbour) shifts all sizes from one moment on. Sizes are visited in
//! several sweeps, so such a step shows in time, within the sizes; it is found there and taken out before the fit. With
//! one sweep it cannot be told from a knee.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::staircase::{Fit, Staircase};
use crate::measure::{CurvePoint, Knee, Ordered, Visit};

/// What stands for a visit: below the median, since spikes only add time.
const LOW: f64 = 0.4;

/// A knee must raise latency by this share.
const LEAST_RISE: f64 = 0.15;

/// Two knees closer than this, in octaves, are one.
const LEAST_DISTANCE: f64 = 0.9;

/// Errors of the model itself, relative: below this a residual is no sign of a knee.
const MODEL_ERROR: f64 = 0.012;

/// Most knees that are looked for.
const MOST_KNEES: usize = 6;

/// Draws of the bootstrap.
const DRAWS: usize = 120;

/// What a curve says.
#[derive(Debug, Clone, PartialEq)]
pub struct Findings {
    /// Knees, ascending.
    pub knees: Vec<Knee>,
    /// One summary a size, ascending.
    pub points: Vec<CurvePoint>,
    /// Steps in time that were taken out: after which visit, and by what factor.
    pub modes: Vec<(usize, f64)>,
}

/// Looks at all visits, in the order of time.
pub fn find(visits: &[Visit], seed: u64) -> Findings {
    let mut usable: Vec<(u64, Vec<f64>)> = visits
        .iter()
        .map(|visit| {
            let logs = visit
                .ns
                .iter()
                .filter(|ns| ns.is_finite() && **ns > 0.0)
                .map(|ns| ns.ln());
            (visit.size, logs.collect::<Vec<f64>>())
        })
        .filter(|(size, logs)| *size > 0 && !logs.is_empty())
        .collect();
    let modes = remove_modes(&mut usable);
    let mut sizes: Vec<u64> = usable.iter().map(|(size, _)| *size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let pooled = |size: u64| -> Vec<f64> {
        usable
            .iter()
            .filter(|(other, _)| *other == size)
            .flat_map(|(_, logs)| logs)
            .copied()
            .collect()
    };
    let points: Vec<CurvePoint> = sizes.iter().filter_map(|&size| point(size, &pooled(size))).collect();
    let curve: Vec<(f64, f64)> = sizes
        .iter()
        .filter_map(|&size| {
            Some((
                (size as f64).log2(),
                Ordered::new(&pooled(size)).ok()?.quantile(LOW).exp(),
            ))
        })
        .collect();
    let knees = if curve.len() < 6 {
        Vec::new()
    } else {
        knees(&curve, seed)
    };
    Findings { knees, points, modes }
}

fn point(size: u64, logs: &[f64]) -> Option<CurvePoint> {
    let ordered = Ordered::new(logs).ok()?;
    let interval = ordered.median_interval();
    Some(CurvePoint {
        size,
        ns: ordered.median().exp(),
        interval_ns: (interval.low.exp(), interval.high.exp()),
    })
}

/// Knees of a curve of (log2 size, latency).
fn knees(curve: &[(f64, f64)], seed: u64) -> Vec<Knee> {
    let model = Staircase::new(curve);
    let mut best = model.fit(&[]);
    while best.knees.len() < MOST_KNEES {
        let Some(next) = model.with_one_more(&best, LEAST_DISTANCE) else {
            break;
        };
        // Noise as the richer model leaves it: the poorer one's residuals hold the knee itself.
        let noise = model.noise(&next).max(MODEL_ERROR);
        let gain = (best.cost(noise) - next.cost(noise)).max(0.0);
        // Three parameters, found among hundreds of places: far more than chance gives.
        let pays = gain > 16.0 + 3.0 * (curve.len() as f64).ln();
        let high = next
            .knees
            .iter()
            .zip(&next.rises)
            .all(|(knee, rise)| *rise > LEAST_RISE * model.level(&next, knee.place));
        if !pays || !high {
            // One knee may hide behind another: a second one more often makes both stand out.
            break;
        }
        best = next;
    }
    let intervals = intervals(&model, &best, seed);
    let level = |place: f64| model.level(&best, place);
    best.knees
        .iter()
        .zip(&best.rises)
        .zip(intervals)
        .map(|((knee, rise), (low, high))| Knee {
            size: knee.place.exp2(),
            interval: (low.exp2(), high.exp2()),
            before_ns: level(knee.place),
            after_ns: level(knee.place) + rise,
        })
        .collect()
}

/// 90 percent intervals of each knee's place: quantiles over refits to residuals drawn again.
fn intervals(model: &Staircase, fit: &Fit, seed: u64) -> Vec<(f64, f64)> {
    if fit.knees.is_empty() {
        return Vec::new();
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let residuals = model.residuals(fit);
    let count = residuals.len();
    // The fit took up some of the noise: three parameters a knee, and the first level.
    let used = (1 + 3 * fit.knees.len()).min(count - 2);
    let scale = (count as f64 / (count - used) as f64).sqrt();
    let mean = residuals.iter().sum::<f64>() / count as f64;
    let mut places = vec![Vec::with_capacity(DRAWS); fit.knees.len()];
    for _ in 0..DRAWS {
        let drawn = (0..count)
            .map(|_| scale * (residuals[rng.random_range(0..count)] - mean))
            .collect::<Vec<f64>>();
        let refit = model.redrawn(fit, &drawn);
        for (places, knee) in places.iter_mut().zip(&refit.knees) {
            places.push(knee.place);
        }
    }
    let bounds = |places: &Vec<f64>| Ordered::new(places).map(|places| (places.quantile(0.05), places.quantile(0.95)));
    let step = model.step();
    places
        .iter()
        .zip(&fit.knees)
        .map(|(places, knee)| {
            let (low, high) = bounds(places).unwrap_or((knee.place, knee.place));
            let (low, high) = (
                knee.place + WIDER * (low - knee.place),
                knee.place + WIDER * (high - knee.place),
            );
            // Between two sizes nothing was measured.
            (
                low.min(knee.place - RESOLUTION * step),
                high.max(knee.place + RESOLUTION * step),
            )
        })
        .collect()
}

/// Drawn residuals are those that the fit left, smoother than the noise was: without this the intervals of synthetic
/// curves held the truth in 87 of 100 cases.
const WIDER: f64 = 1.12;

/// Least half-width of an interval in steps of the sizes.
const RESOLUTION: f64 = 0.1;

/// Takes out steps in time that all sizes share; gives the visit behind which each began, and its factor.
fn remove_modes(visits: &mut [(u64, Vec<f64>)]) -> Vec<(usize, f64)> {
    let mut found = Vec::new();
    for _ in 0..3 {
        let low: Vec<f64> = visits
            .iter()
            .map(|(_, logs)| Ordered::new(logs).map_or(0.0, |logs| logs.quantile(LOW)))
            .collect();
        let sizes: Vec<u64> = visits.iter().map(|(size, _)| *size).collect();
        let Some((at, step)) = one_mode(&sizes, &low) else {
            break;
        };
        // The mode in which most visits were made stands for the machine.
        let (moved, by) = if at * 2 > visits.len() {
            (at..visits.len(), -step)
        } else {
            (0..at, step)
        };
        for (_, logs) in &mut visits[moved] {
            logs.iter_mut().for_each(|log| *log += by);
        }
        found.push((at, step.exp()));
    }
    found
}

/// The step that explains most of the differences between visits of equal size; `None` if none stands out.
fn one_mode(sizes: &[u64], low: &[f64]) -> Option<(usize, f64)> {
    let groups: Vec<Vec<usize>> = {
        let mut distinct = sizes.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let of = |size: u64| (0..sizes.len()).filter(|&t| sizes[t] == size).collect::<Vec<_>>();
        distinct.into_iter().map(of).filter(|group| group.len() > 1).collect()
    };
    if groups.len() < 6 {
        return None;
    }
    // For each moment: the median over sizes of (mean behind it - mean before it), of sizes visited on both sides.
    let steps = |at: usize| -> Vec<f64> {
        let mean = |part: &[usize]| part.iter().map(|&t| low[t]).sum::<f64>() / part.len() as f64;
        groups
            .iter()
            .filter_map(|group| {
                let split = group.partition_point(|&t| t < at);
                (split > 0 && split < group.len()).then(|| mean(&group[split..]) - mean(&group[..split]))
            })
            .collect()
    };
    let squares = |shift: &dyn Fn(usize) -> f64| -> f64 {
        groups
            .iter()
            .map(|group| {
                let values: Vec<f64> = group.iter().map(|&t| low[t] - shift(t)).collect();
                let middle = Ordered::new(&values).map_or(0.0, |values| values.median());
                // Absolute, so that single spikes weigh little.
                values.iter().map(|value| (value - middle).abs()).sum::<f64>()
            })
            .sum()
    };
    let before = squares(&|_| 0.0);
    let mut best: Option<(usize, f64, f64)> = None;
    for at in 3..sizes.len().saturating_sub(3) {
        let steps = steps(at);
        if steps.len() < 6 {
            continue;
        }
        let Ok(step) = Ordered::new(&steps).map(|steps| steps.median()) else {
            continue;
        };
        let after = squares(&|t| if t < at { 0.0 } else { step });
        if best.is_none_or(|(_, _, least)| after < least) {
            best = Some((at, step, after));
        }
    }
    // A third of all that visits differ by, and 4 percent at least: noise alone gives far less.
    best.filter(|(_, step, after)| step.abs() > 0.04 && *after < 0.7 * before)
        .map(|(at, step, _)| (at, step))
}

#[cfg(test)]
#[path = "knees_tests.rs"]
mod tests;
