//! What the experiment measures: every split checked in f64 and f32, its bytes, and its time round by round beside the whole's.

use serde::{Deserialize, Serialize};
use tilelab_kernels::{Activation, Context, Threads};

use super::rounding::{self, norm, over};
use super::{Failure, Run};
use crate::device::Set;
use crate::hessian::{Data, Directions, Point, Products, Setup, lanczos};
use crate::mlp::{Init, Model};
use crate::parallel::{Job, ParallelError, Ran, data_parallel, pipeline, stages};
use crate::program::Element;

const BATCH: usize = 256;
const LR: f64 = 0.1;
const BYTE_SCALE: f64 = 1.0 / 255.0;
/// Steps behind which weights are compared.
const CHECKED: usize = 4;

/// A way to share the work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Way {
    /// One session.
    Whole {
        /// Its threads.
        threads: usize,
    },
    /// Each worker has its rows.
    Rows {
        /// How many.
        workers: usize,
    },
    /// Each worker has its layers.
    Layers {
        /// The last layer of every stage but the last.
        cuts: Vec<usize>,
        /// Parts of a batch.
        micro_batches: usize,
    },
}

/// What one way gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// The way.
    pub way: Way,
    /// f64: largest difference of its gradient from the whole's, over the bound of rounding.
    pub gradient: f64,
    /// f64: the same of its weights behind some steps, by distance.
    pub weights: f64,
    /// f32: distance of its gradient from f64's, over that of the whole's.
    pub single: f64,
    /// Largest difference of the weights that several workers have.
    pub apart: f64,
    /// Bytes that all links carry in a step, f32.
    pub bytes: f64,
    /// Milliseconds of a step, one a round.
    pub ms: Vec<f64>,
    /// The whole's time over it, one a round.
    pub gains: Vec<f64>,
    /// Share of its workers' time in which they wait, one a round.
    pub idle: Vec<f64>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Widths, input first.
    pub layers: Vec<usize>,
    /// Trained numbers.
    pub parameters: usize,
    /// Rows of a step.
    pub batch: usize,
    /// Threads that this machine runs at once.
    pub cores: usize,
    /// The bound of the weights over the way that they went: how much could hide in it.
    pub bound_over_way: f64,
    /// The whole first.
    pub splits: Vec<Split>,
}

impl Seen {
    /// The network.
    pub fn shape(&self) -> String {
        self.layers.iter().map(usize::to_string).collect::<Vec<_>>().join("-")
    }
}

impl Way {
    fn run(&self, job: &Job<'_>) -> Result<Ran, ParallelError> {
        match self {
            Self::Whole { threads } => {
                let threads = Threads::new(*threads).unwrap_or(Threads::one());
                data_parallel(&Job { threads, ..job.clone() }, 1)
            }
            Self::Rows { workers } => data_parallel(job, *workers),
            Self::Layers { cuts, micro_batches } => pipeline(job, cuts.len() + 1, *micro_batches),
        }
    }
}

impl Split {
    /// Workers, each a thread.
    pub fn workers(&self) -> usize {
        match &self.way {
            Way::Whole { .. } => 1,
            Way::Rows { workers } => *workers,
            Way::Layers { cuts, .. } => cuts.len() + 1,
        }
    }

    /// Its name.
    pub fn name(&self) -> String {
        match &self.way {
            Way::Whole { threads: 1 } => "whole, 1 thread".to_owned(),
            Way::Whole { threads } => format!("whole, {threads} threads"),
            Way::Rows { workers } => format!("rows, {workers} workers"),
            Way::Layers { cuts, micro_batches } => {
                format!("layers, {} stages, M = {micro_batches}", cuts.len() + 1)
            }
        }
    }
}

impl From<ParallelError> for Failure {
    fn from(error: ParallelError) -> Self {
        match error {
            ParallelError::Device(error) => error.into(),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// The ways that are compared; the whole on one thread is the first.
fn ways(model: &Model, threads: usize, full: bool) -> Result<Vec<Way>, ParallelError> {
    let mut ways = vec![Way::Whole { threads: 1 }];
    if threads > 1 {
        ways.push(Way::Whole { threads });
    }
    let (workers, pipelines): (&[usize], &[(usize, usize)]) = if full {
        (
            &[2, 3, 4, 8],
            &[(2, 1), (2, 2), (2, 4), (2, 8), (2, 16), (3, 8), (4, 8)],
        )
    } else {
        (&[2, 4], &[(2, 1), (2, 4), (2, 8), (4, 8)])
    };
    ways.extend(workers.iter().map(|&workers| Way::Rows { workers }));
    for &(count, micro_batches) in pipelines {
        let mut cuts: Vec<usize> = stages(model, count)?.iter().map(|stage| *stage.end()).collect();
        cuts.pop();
        ways.push(Way::Layers { cuts, micro_batches });
    }
    Ok(ways)
}

/// Where the whole stands behind each of the checked steps, and what rounding may make of it.
struct Path {
    /// The first step's gradient.
    gradient: Vec<f64>,
    /// What it may be off, number by number.
    bounds: Vec<f64>,
    /// Weights behind the last step.
    weights: Vec<f64>,
    /// Distance that rounding may put between two runs.
    bound: f64,
    /// Distance that the weights went.
    way: f64,
}

/// Follows the whole step by step; d <- (1 + lr lambda) d + lr times the gradient's bound + the step's own rounding, with lambda the
/// eigenvalue of largest magnitude of the Hessian there.
fn path(ctx: &Context, job: &Job<'_>) -> Result<Path, Failure> {
    let directions = Directions::of(job.model, "all")?;
    let u = f64::EPSILON / 2.0;
    let mut here: Vec<f64> = job.first.iter().flat_map(|(_, values)| values.to_vec()).collect();
    let begun = here.clone();
    let (mut first, mut drift) = (None, 0.0);
    for step in 0..CHECKED {
        let parts = directions.parts().iter();
        let point = Point::of(parts.map(|part| (part.name.clone(), here[part.offset..][..part.len()].to_vec())));
        let rows = (step * job.batch..(step + 1) * job.batch).map(|row| (row % job.set.rows()) as u32);
        let data = Data {
            set: job.set,
            rows: rows.collect(),
            byte_scale: job.byte_scale,
        };
        let (x, labels) = data.values::<f64>();
        // Two runs lie apart by at most twice what one lies from the truth.
        let bounds: Vec<f64> = rounding::gradient(ctx, job.model, &point, (&x, &labels), u)?
            .iter()
            .map(|b| 2.0 * b)
            .collect();
        let lambda = steepest(job, &directions, &point, data)?;
        let steps = Job {
            steps: step + 1,
            ..job.clone()
        };
        let ran = data_parallel(&steps, 1)?;
        let next = ran.parameters.concat();
        let own = 2.0 * u * (norm(&next) + 2.0 * job.lr * norm(&ran.gradient));
        drift = (1.0 + job.lr * lambda) * drift + job.lr * norm(&bounds) + own;
        first.get_or_insert((ran.gradient, bounds));
        here = next;
    }
    let (gradient, bounds) = first.unwrap_or_default();
    let way: Vec<f64> = here.iter().zip(&begun).map(|(a, b)| a - b).collect();
    Ok(Path {
        gradient,
        bounds,
        weights: here,
        bound: drift,
        way: norm(&way),
    })
}

/// The Hessian's eigenvalue of largest magnitude, from above.
fn steepest(job: &Job<'_>, directions: &Directions, point: &Point, data: Data<'_>) -> Result<f64, Failure> {
    let setup = Setup {
        float: job.float,
        device: job.device,
        threads: job.threads,
        together: 1,
        ..Setup::new(job.model, directions)
    };
    let mut products = Products::new(&setup, point, data)?;
    let wanted = lanczos::Wanted {
        largest: 1,
        smallest: 1,
        tolerance: 0.05,
        most_steps: 40,
        seed: 1,
    };
    let ends = lanczos::eigenpairs(&mut products, wanted)?;
    let pairs = ends.largest.iter().chain(&ends.smallest);
    Ok(pairs.map(|pair| pair.value.abs() + pair.residual).fold(0.0, f64::max))
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    norm(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>())
}

/// Largest difference of any worker's weights from the first's.
fn apart(workers: &[Vec<f64>]) -> f64 {
    let ones = |weights: &Vec<f64>| vec![1.0; weights.len()];
    let all = workers.iter().map(|weights| over(weights, &workers[0], &ones(weights)));
    all.fold(0.0, |most, d| if d > most || d.is_nan() { d } else { most })
}

/// Everything, in two parts that are kept when it is stopped: what is checked, and the rounds.
pub fn measure(run: &mut Run<'_>) -> Result<Seen, Failure> {
    let data = run.fashion()?;
    let full = run.options().full;
    let width = run.pick(256, 512);
    let layers = vec![784, width, width, width, 10];
    let model = Model::new(&layers, Activation::Tanh)?;
    let first = Point::first(&model, Init::Xavier { normal: false }, run.options().seed);
    let job = Job {
        model: &model,
        first: &first,
        set: Set::of_split(&data.train)?,
        byte_scale: BYTE_SCALE,
        batch: BATCH,
        steps: CHECKED,
        lr: LR,
        float: Element::F64,
        device: run.options().device,
        threads: Threads::one(),
    };
    let ways = ways(&model, run.options().threads.get(), full)?;
    measured(run, (&job, &job), &ways)
}

/// The splits of the second job beside the whole of the first: the same, but in a test.
fn measured(run: &mut Run<'_>, (whole, split): (&Job<'_>, &Job<'_>), ways: &[Way]) -> Result<Seen, Failure> {
    let rounds = run.pick(5, 9);
    let mut seen = run.once("the same result", |run| check(run, (whole, split), ways))?;
    let timed = run.once("rounds", |run| rounds_of(run, split, ways, rounds))?;
    for (split, (ms, idle)) in seen.splits.iter_mut().zip(&timed) {
        split.gains = timed[0].0.iter().zip(ms).map(|(whole, ms)| whole / ms).collect();
        (split.ms, split.idle) = (ms.clone(), idle.clone());
    }
    Ok(seen)
}

fn check(run: &mut Run<'_>, (whole, job): (&Job<'_>, &Job<'_>), ways: &[Way]) -> Result<Seen, Failure> {
    let path = path(&run.context()?, whole)?;
    let once = Job {
        steps: 1,
        ..job.clone()
    };
    let far = |job: &Job<'_>, way: &Way| -> Result<(f64, u64), Failure> {
        let single = Job {
            float: Element::F32,
            steps: 1,
            ..job.clone()
        };
        let ran = way.run(&single)?;
        Ok((distance(&ran.gradient, &path.gradient), ran.bytes))
    };
    // Where the whole in f32 is as exact as in f64, one rounding is what counts.
    let whole = far(whole, &ways[0])?
        .0
        .max(f64::from(f32::EPSILON) * norm(&path.gradient));
    let mut splits = Vec::new();
    for way in ways {
        if run.stopped() {
            return Err(Failure::Interrupted);
        }
        let (gradient, last) = (way.run(&once)?.gradient, way.run(job)?);
        let (from_double, bytes) = far(job, way)?;
        splits.push(Split {
            way: way.clone(),
            gradient: over(&gradient, &path.gradient, &path.bounds),
            weights: distance(&last.parameters[0], &path.weights) / path.bound,
            single: from_double / whole,
            apart: apart(&last.parameters),
            bytes: bytes as f64,
            ms: Vec::new(),
            gains: Vec::new(),
            idle: Vec::new(),
        });
    }
    Ok(Seen {
        layers: job.model.widths().to_vec(),
        parameters: job.model.parameters(),
        batch: job.batch,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        bound_over_way: path.bound / path.way,
        splits,
    })
}

/// Milliseconds of a step, and idle shares.
type Timed = (Vec<f64>, Vec<f64>);

/// All ways take their turn in every round, in one order and then in the other. Sessions are opened before the clock starts.
fn rounds_of(run: &mut Run<'_>, job: &Job<'_>, ways: &[Way], rounds: usize) -> Result<Vec<Timed>, Failure> {
    let job = Job {
        float: Element::F32,
        steps: run.pick(12, 20),
        ..job.clone()
    };
    let mut timed = vec![(Vec::new(), Vec::new()); ways.len()];
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..ways.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            if run.stopped() {
                return Err(Failure::Interrupted);
            }
            let ran = ways[at].run(&job)?;
            timed[at].0.push(1e3 * ran.elapsed.as_secs_f64() / job.steps as f64);
            timed[at].1.push(ran.idle);
        }
    }
    Ok(timed)
}

/// All of it on a network of a few units; with `wrong`, the splits are taught one label that is another.
#[cfg(test)]
pub fn small(run: &mut Run<'_>, wrong: bool) -> Result<Seen, Failure> {
    let values: Vec<u8> = (0..64 * 12).map(|at| (at * 37 % 251) as u8).collect();
    let labels: Vec<u8> = (0..64).map(|row| row % 4).collect();
    let mut others = labels.clone();
    others[8] += u8::from(wrong);
    let layers = [12, 9, 8, 7, 4];
    let model = Model::new(&layers, Activation::Tanh)?;
    let first = Point::first(&model, Init::Torch, 1);
    let whole = Job {
        model: &model,
        first: &first,
        set: Set::new(&values, &labels, 12)?,
        byte_scale: BYTE_SCALE,
        batch: 24,
        steps: CHECKED,
        lr: LR,
        float: Element::F64,
        device: run.options().device,
        threads: Threads::one(),
    };
    let split = Job {
        set: Set::new(&values, &others, 12)?,
        ..whole.clone()
    };
    let ways = ways(&model, 1, true)?;
    measured(run, (&whole, &split), &ways)
}
