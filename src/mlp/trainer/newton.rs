//! A step of Newton-CG: the minimum of a damped quadratic model of the objective on the batch, found by conjugate gradients over products.
//!
//! ```text
//! q(d) = g . d + 1/2 d . (B + damping I) d      B: Gauss-Newton, or the Hessian
//! ```
//! After J. Martens, "Deep learning via Hessian-free optimization", ICML 2010: conjugate gradients begin at a share of the last step (warm
//! start) and end when q falls by less than 0.0005 an iteration; of the iterates the last is taken that no earlier one betters on the
//! batch (backtracking); a step is halved until the objective falls by enough (L. Armijo, 1966); the damping follows how much of q's
//! promise was kept (Levenberg and Marquardt). With the Hessian a direction of negative curvature ends the iterations.

use super::super::{TrainError, TrainOptions};
use super::steps::Loaded;
use crate::device::{Batch, Session, Set};
use crate::hessian::{Directions, HessianError, Tangent, Which, objective, tangent};
use crate::program::lower::Lowering;
use crate::program::{Buffer, LOSS_SUM, Program, StepArgs};

/// Iterations of conjugate gradients at most.
const ITERATIONS: usize = 50;

/// Share of the last step with which the next begins.
const WARM: f64 = 0.95;

/// Damping before the first step.
const DAMPING: f64 = 0.1;

/// Name of the buffer that keeps the damping.
const DAMPING_NAME: &str = "newton_damping";

/// The programs of a step.
pub(super) struct Newton {
    linearise: Loaded,
    tangent: Loaded,
    objective: Loaded,
    update: Loaded,
    directions: Directions,
    l2: f64,
}

/// A batch at the point where its step begins.
struct Here<'s, 'a> {
    newton: &'s Newton,
    session: &'s mut (dyn Session + 'a),
    sets: &'s [Set<'a>],
    set: usize,
    rows: &'s [u32],
    args: StepArgs,
}

fn wrong(error: HessianError) -> TrainError {
    TrainError::Options(format!("--optimizer newton-cg: {error}"))
}

/// The plain programs of a step, in the order that [`Newton::new`] takes them.
pub(super) fn programs(
    options: &TrainOptions,
    lowering: Lowering<'_>,
    which: Which,
) -> Result<Vec<Program>, TrainError> {
    let refused = [
        (
            options.dropout > 0.0,
            "--dropout",
            "masks make another function of every step",
        ),
        (
            options.batch_norm,
            "--batch-norm",
            "its running statistics would move with every trial of a step",
        ),
        (
            options.accumulate > 1,
            "--accumulate",
            "products are taken over the whole batch",
        ),
        (
            options.clip.is_some(),
            "--clip",
            "the damping and the line search keep steps short",
        ),
    ];
    if let Some((_, flag, why)) = refused.into_iter().find(|(given, ..)| *given) {
        return Err(TrainError::Options(format!(
            "--optimizer newton-cg goes without {flag}: {why}"
        )));
    }
    let gradients = lowering.derivatives(true)?;
    let directions = Directions::of(lowering.model, "all").map_err(wrong)?;
    let parameters = directions.names();
    let what = Tangent {
        directions: 1,
        parameters: &parameters,
        which,
        with_gradient: true,
    };
    let (linearise, tangent) = tangent(&gradients, what).map_err(wrong)?;
    Ok(vec![
        linearise,
        tangent,
        objective(&gradients).map_err(wrong)?,
        lowering.update(options.optimizer)?,
    ])
}

impl Newton {
    /// From what [`programs`] gave. None if that is not what they are.
    pub(super) fn new(options: &TrainOptions, directions: Directions, programs: Vec<Loaded>) -> Option<Self> {
        let mut programs = programs.into_iter();
        Some(Self {
            linearise: programs.next()?,
            tangent: programs.next()?,
            objective: programs.next()?,
            update: programs.next()?,
            directions,
            l2: options.l2,
        })
    }

    /// All of the programs.
    pub(super) fn all(&self) -> [&Program; 4] {
        [&self.linearise, &self.tangent, &self.objective, &self.update].map(|loaded| &loaded.program)
    }

    /// The buffers of the program that updates.
    pub(super) fn updated(&self) -> &[Buffer] {
        self.update.program.buffers()
    }

    /// One step on these rows of `sets[set]`. The products it took.
    pub(super) fn step<'a>(
        &self,
        session: &mut (dyn Session + 'a),
        sets: &[Set<'a>],
        (set, rows): (usize, &[u32]),
        args: StepArgs,
    ) -> Result<u64, TrainError> {
        Here {
            newton: self,
            session,
            sets,
            set,
            rows,
            args,
        }
        .step()
        .map_err(|error| match error {
            HessianError::Device(error) => TrainError::Device(error),
            other => wrong(other),
        })
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// a + factor b
fn plus(a: &[f64], factor: f64, b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + factor * b).collect()
}

impl Here<'_, '_> {
    fn run(&mut self, loaded: &Loaded, args: StepArgs) -> Result<(), HessianError> {
        let batch = Batch::of_set(&loaded.program, self.sets, self.set, self.rows)?;
        self.session.run(loaded.id, &batch, &args);
        Ok(())
    }

    fn read(&mut self, name: impl Fn(&str) -> String) -> Result<Vec<f64>, HessianError> {
        let mut vector = vec![0.0; self.newton.directions.size()];
        self.newton.directions.read(self.session, &mut vector, name)?;
        Ok(vector)
    }

    fn write(&mut self, vector: &[f64], name: impl Fn(&str) -> String) -> Result<(), HessianError> {
        self.newton.directions.write(self.session, vector, 1, name)
    }

    /// lambda / 2 times the squares of the weights.
    fn penalty(&self, w: &[f64]) -> f64 {
        let weights = self
            .newton
            .directions
            .parts()
            .iter()
            .filter(|part| part.name.starts_with('W'));
        self.newton.l2 / 2.0
            * weights
                .map(|part| dot(&w[part.offset..][..part.len()], &w[part.offset..][..part.len()]))
                .sum::<f64>()
    }

    /// The objective at w; the epoch's sum of losses stays what it was.
    fn objective(&mut self, w: &[f64]) -> Result<f64, HessianError> {
        self.write(w, str::to_owned)?;
        let before = self.session.read(LOSS_SUM)?[0];
        self.session.write(LOSS_SUM, &[0.0])?;
        self.run(&self.newton.objective, self.args)?;
        let sum = self.session.read(LOSS_SUM)?[0];
        self.session.write(LOSS_SUM, &[before])?;
        Ok(sum * self.args.inverse_rows + self.penalty(w))
    }

    /// B d
    fn product(&mut self, d: &[f64]) -> Result<Vec<f64>, HessianError> {
        self.write(d, |name| format!("r_{name}"))?;
        self.run(
            &self.newton.tangent,
            StepArgs {
                accumulate: 0.0,
                l2: self.newton.l2,
                ..self.args
            },
        )?;
        self.read(|name| format!("r_d{name}"))
    }

    fn step(&mut self) -> Result<u64, HessianError> {
        let newton = self.newton;
        let w = self.read(str::to_owned)?;
        let losses = self.session.read(LOSS_SUM)?[0];
        self.run(
            &newton.linearise,
            StepArgs {
                accumulate: 0.0,
                ..self.args
            },
        )?;
        let first = (self.session.read(LOSS_SUM)?[0] - losses) * self.args.inverse_rows + self.penalty(&w);
        let mut gradient = self.read(|name| format!("d{name}"))?;
        for part in newton
            .directions
            .parts()
            .iter()
            .filter(|part| part.name.starts_with('W'))
        {
            for i in part.offset..part.offset + part.len() {
                gradient[i] += newton.l2 * w[i];
            }
        }
        let damping = match self.session.read(DAMPING_NAME)?[0] {
            0.0 => DAMPING,
            there => there,
        };
        let warm: Vec<f64> = self
            .read(|name| format!("n{name}"))?
            .into_iter()
            .map(|x| WARM * x)
            .collect();
        let (iterates, products) = self.conjugate_gradients(&gradient, damping, warm)?;
        // The latest iterate that no earlier one betters.
        let mut best: Option<(f64, usize)> = None;
        for i in (0..iterates.len()).rev() {
            let value = self.objective(&plus(&w, 1.0, &iterates[i].0))?;
            if best.is_some_and(|(there, _)| value >= there) {
                break;
            }
            // NaN is not below anything: an iterate that leads there is passed over.
            best = value.is_finite().then_some((value, i)).or(best);
        }
        let (mut d, mut curved) = match best {
            Some((_, i)) => iterates[i].clone(),
            None => (gradient.iter().map(|g| -g).collect(), f64::NAN),
        };
        let mut slope = dot(&gradient, &d);
        if slope >= 0.0 {
            d = gradient.iter().map(|g| -g).collect();
            (slope, curved) = (-dot(&gradient, &gradient), f64::NAN);
        }
        let mut length = 1.0;
        let mut value = self.objective(&plus(&w, length, &d))?;
        let whole = value;
        // Written so that NaN shortens the step.
        for _ in 0..30 {
            if value <= first + 1e-4 * length * slope {
                break;
            }
            length /= 2.0;
            value = self.objective(&plus(&w, length, &d))?;
        }
        if value.is_nan() || value > first {
            length = 0.0;
        }
        let kept = (whole - first) / (slope + 0.5 * curved);
        let next = if kept > 0.75 {
            damping * 2.0 / 3.0
        } else if kept >= 0.25 {
            damping
        } else {
            damping * 1.5
        };
        self.session.write(DAMPING_NAME, &[next])?;
        self.write(&w, str::to_owned)?;
        self.write(&d, |name| format!("n{name}"))?;
        self.run(
            &newton.update,
            StepArgs {
                lr: -length,
                ..self.args
            },
        )?;
        Ok(products)
    }

    /// Iterates towards the minimum of q, ever farther apart, each with d . B d; and the products it took.
    fn conjugate_gradients(
        &mut self,
        gradient: &[f64],
        damping: f64,
        mut x: Vec<f64>,
    ) -> Result<(Vec<(Vec<f64>, f64)>, u64), HessianError> {
        let mut products = 0;
        let mut bx = vec![0.0; x.len()];
        if x.iter().any(|x| *x != 0.0) {
            bx = self.product(&x)?;
            products += 1;
        }
        let mut r: Vec<f64> = (0..x.len()).map(|i| -gradient[i] - bx[i] - damping * x[i]).collect();
        let (mut p, mut square) = (r.clone(), dot(&r, &r));
        let (mut iterates, mut values, mut next) = (Vec::new(), Vec::new(), 1.0);
        for i in 1..=ITERATIONS {
            let bp = self.product(&p)?;
            products += 1;
            let curved = dot(&p, &bp) + damping * dot(&p, &p);
            // Written so that NaN ends it.
            let goes_on = curved > 0.0;
            if !goes_on || square == 0.0 {
                break;
            }
            let alpha = square / curved;
            x = plus(&x, alpha, &p);
            bx = plus(&bx, alpha, &bp);
            r.iter_mut()
                .zip(&bp)
                .zip(&p)
                .for_each(|((r, bp), p)| *r -= alpha * (bp + damping * p));
            let q = dot(gradient, &x) + 0.5 * (dot(&x, &bx) + damping * dot(&x, &x));
            values.push(q);
            let back = 10.max(i / 10);
            let stalled = i > back && q < 0.0 && (values[i - 1 - back] - q) / -q < 5e-4 * back as f64;
            if i as f64 >= next || stalled || i == ITERATIONS {
                iterates.push((x.clone(), dot(&x, &bx)));
                next = (next * 1.3).max(next + 1.0);
            }
            if stalled {
                break;
            }
            let fresh = dot(&r, &r);
            p = plus(&r, fresh / square, &p);
            square = fresh;
        }
        Ok((iterates, products))
    }
}
