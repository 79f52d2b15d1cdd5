//! The model behind [`super::knees`]: levels that rise at knees, fitted to a curve.

/// How softly a level may rise behind its knee, `a` of `1 - (C / S)^a`: from random replacement with a tail to all at once.
const SOFTNESS: std::ops::RangeInclusive<f64> = 0.6..=24.0;

/// Values of `a` that a new knee begins with.
const STARTS: [f64; 3] = [1.0, 2.8, 16.0];

/// Residuals beyond this many standard deviations count linearly.
const HUBER: f64 = 1.5;

/// Places tried in an octave when a knee is added.
const PER_OCTAVE: usize = 6;

/// Most unknowns of one solve: the first level and a rise a knee.
const MOST: usize = 8;

/// Moves of a knee: along the sizes, across them in softness.
const NEIGHBOURS: [(f64, f64); 8] = [
    (-1.0, 0.0),
    (1.0, 0.0),
    (0.0, -1.0),
    (0.0, 1.0),
    (-1.0, -1.0),
    (1.0, 1.0),
    (-1.0, 1.0),
    (1.0, -1.0),
];

/// A knee in the model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bend {
    /// log2 of the size.
    pub place: f64,
    /// `a` of its rise.
    softness: f64,
}

/// A fitted staircase.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// Knees, ascending.
    pub knees: Vec<Bend>,
    /// Latency added behind each.
    pub rises: Vec<f64>,
    first: f64,
    /// Relative residuals, one a point.
    relative: Vec<f64>,
    score: f64,
}

impl Fit {
    /// Sum of squared residuals in units of `noise`, each held back beyond [`HUBER`] of them.
    pub fn cost(&self, noise: f64) -> f64 {
        self.relative.iter().map(|r| huber(r / noise)).sum()
    }
}

fn huber(z: f64) -> f64 {
    if z.abs() <= HUBER {
        z * z
    } else {
        HUBER * (2.0 * z.abs() - HUBER)
    }
}

/// A curve to fit.
#[derive(Debug, Clone)]
pub struct Staircase {
    x: Vec<f64>,
    y: Vec<f64>,
    /// Scale at which residuals are held back in the search.
    scale: f64,
}

impl Staircase {
    /// Points of (log2 size, latency), ascending.
    pub fn new(curve: &[(f64, f64)]) -> Self {
        Self {
            x: curve.iter().map(|point| point.0).collect(),
            y: curve.iter().map(|point| point.1).collect(),
            scale: 0.03,
        }
    }

    /// Mean distance of neighbouring sizes, octaves.
    pub fn step(&self) -> f64 {
        (self.x[self.x.len() - 1] - self.x[0]) / (self.x.len() - 1) as f64
    }

    /// Latency of the model just at a place.
    pub fn level(&self, fit: &Fit, place: f64) -> f64 {
        let rises = fit
            .knees
            .iter()
            .zip(&fit.rises)
            .map(|(knee, rise)| rise * share(knee, place));
        fit.first + rises.sum::<f64>()
    }

    /// Logarithmic residuals.
    pub fn residuals(&self, fit: &Fit) -> Vec<f64> {
        self.x
            .iter()
            .zip(&self.y)
            .map(|(&x, y)| (y / self.level(fit, x).max(1e-9)).ln())
            .collect()
    }

    /// Standard deviation of the residuals, from their median size: outliers do not move it.
    pub fn noise(&self, fit: &Fit) -> f64 {
        let mut sizes: Vec<f64> = fit.relative.iter().map(|r| r.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        1.48 * sizes[sizes.len() / 2]
    }

    /// The same knees on a curve made of the model and these residuals.
    pub fn redrawn(&self, fit: &Fit, residuals: &[f64]) -> Fit {
        let y = self
            .x
            .iter()
            .zip(residuals)
            .map(|(&x, r)| self.level(fit, x) * r.exp())
            .collect();
        let curve = Self {
            x: self.x.clone(),
            y,
            scale: self.scale,
        };
        curve.refine(curve.fit(&fit.knees), 0.0)
    }

    /// The best fit with one knee more, at least `distance` octaves from the others; `None` if there is no room.
    pub fn with_one_more(&self, fit: &Fit, distance: f64) -> Option<Fit> {
        let (first, last) = (self.x[0], self.x[self.x.len() - 1]);
        let places = ((last - first) * PER_OCTAVE as f64) as usize;
        let mut best: Option<Fit> = None;
        for place in 1..places {
            let place = first + place as f64 / PER_OCTAVE as f64;
            // A level needs points on both sides of its knee.
            let near = fit.knees.iter().any(|knee| (knee.place - place).abs() < distance);
            if near || place < self.x[1] || place > last - 0.6 {
                continue;
            }
            for softness in STARTS {
                let mut knees = fit.knees.clone();
                knees.push(Bend { place, softness });
                let tried = self.fit(&knees);
                if best.as_ref().is_none_or(|best| tried.score < best.score) {
                    best = Some(tried);
                }
            }
        }
        best.map(|best| self.refine(best, distance))
    }

    /// Moves places and softness downhill, in steps that halve.
    fn refine(&self, mut fit: Fit, distance: f64) -> Fit {
        let mut step = 0.24;
        while step > 0.012 {
            let mut moved = false;
            for knee in 0..fit.knees.len() {
                let Bend { place, softness } = fit.knees[knee];
                // Three octaves of softness are as far as one of place: it matters less.
                for (along, across) in NEIGHBOURS {
                    let place = place + along * step;
                    let softness = softness * (3.0 * across * step).exp2();
                    let mut knees = fit.knees.clone();
                    knees[knee] = Bend { place, softness };
                    let far = |other: usize| other == knee || (knees[other].place - place).abs() >= distance;
                    let inside = place > self.x[0] && place < self.x[self.x.len() - 1] && SOFTNESS.contains(&softness);
                    if !inside || !(0..knees.len()).all(far) {
                        continue;
                    }
                    let tried = self.fit(&knees);
                    if tried.score < fit.score * (1.0 - 1e-7) {
                        (fit, moved) = (tried, true);
                    }
                }
            }
            if !moved {
                step /= 2.0;
            }
        }
        fit
    }

    /// Least squares on relative errors with these knees; a level that would fall is left out of the sum.
    pub fn fit(&self, knees: &[Bend]) -> Fit {
        let mut knees = knees.to_vec();
        knees.truncate(MOST - 1);
        knees.sort_by(|a, b| a.place.total_cmp(&b.place));
        let unknowns = knees.len() + 1;
        let rows: Vec<[f64; MOST]> = self
            .x
            .iter()
            .zip(&self.y)
            .map(|(&x, y)| {
                let mut row = [0.0; MOST];
                row[0] = 1.0 / y;
                for (cell, knee) in row[1..].iter_mut().zip(&knees) {
                    *cell = share(knee, x) / y;
                }
                row
            })
            .collect();
        let mut weights = vec![1.0; rows.len()];
        let mut solution = [0.0; MOST];
        let mut relative = vec![0.0; rows.len()];
        for _ in 0..3 {
            solution = solve_not_negative(&rows, &weights, unknowns);
            for ((row, residual), weight) in rows.iter().zip(&mut relative).zip(&mut weights) {
                let value: f64 = row.iter().zip(&solution).map(|(a, b)| a * b).sum();
                *residual = 1.0 - value;
                *weight = (HUBER * self.scale / residual.abs().max(1e-12)).min(1.0);
            }
        }
        let score = relative.iter().map(|r| huber(r / self.scale)).sum();
        Fit {
            rises: solution[1..unknowns].to_vec(),
            first: solution[0],
            knees,
            relative,
            score,
        }
    }
}

/// Share of a knee's rise that is reached at `x`.
fn share(knee: &Bend, x: f64) -> f64 {
    if x <= knee.place {
        0.0
    } else {
        1.0 - (knee.softness * (knee.place - x)).exp2()
    }
}

/// Least squares of `row . u = 1` with all `u >= 0`: what comes out negative is set to zero and the rest solved again.
fn solve_not_negative(rows: &[[f64; MOST]], weights: &[f64], unknowns: usize) -> [f64; MOST] {
    let mut normal = [[0.0; MOST]; MOST];
    let mut right = [0.0; MOST];
    for (row, weight) in rows.iter().zip(weights) {
        for i in 0..unknowns {
            right[i] += weight * row[i];
            for j in 0..=i {
                normal[i][j] += weight * row[i] * row[j];
            }
        }
    }
    let mut active: Vec<usize> = (0..unknowns).collect();
    loop {
        let solution = cholesky(&normal, &right, &active);
        match active.iter().position(|&i| solution[i] < 0.0) {
            Some(place) if active.len() > 1 => {
                active.remove(place);
            }
            _ => return solution,
        }
    }
}

/// Solves the active rows and columns of a symmetric system given by its lower half.
fn cholesky(normal: &[[f64; MOST]; MOST], right: &[f64; MOST], active: &[usize]) -> [f64; MOST] {
    let count = active.len();
    let mut lower = [[0.0; MOST]; MOST];
    let mut z = [0.0; MOST];
    for i in 0..count {
        for j in 0..=i {
            let (a, b) = (active[i].max(active[j]), active[i].min(active[j]));
            let sum: f64 = normal[a][b] - (0..j).map(|k| lower[i][k] * lower[j][k]).sum::<f64>();
            // Two knees that explain the same points make it singular: a hair of ridge keeps it solvable.
            lower[i][j] = if i == j {
                sum.max(1e-12 * normal[a][a].max(1e-300)).sqrt()
            } else {
                sum / lower[j][j]
            };
        }
        z[i] = (right[active[i]] - (0..i).map(|k| lower[i][k] * z[k]).sum::<f64>()) / lower[i][i];
    }
    let mut solution = [0.0; MOST];
    for i in (0..count).rev() {
        let known: f64 = (i + 1..count).map(|k| lower[k][i] * solution[active[k]]).sum();
        solution[active[i]] = (z[i] - known) / lower[i][i];
    }
    solution
}
