//! Pipeline training: every worker has some of the layers, and a batch goes through them in micro-batches.
//!
//! ```text
//! stage 1   F1 F2 F3 F4                B1 B2 B3 B4 update
//! stage 2      F1 F2 F3 F4       B1 B2 B3 B4 update
//! stage 3         FB1 FB2 FB3 FB4 update                      the last goes back as soon as it has gone forward
//! ```
//! Of S stages that take equally long each is idle for (S - 1) of the (M + S - 1) turns of M micro-batches (Huang et al., GPipe, 2019,
//! section 2.3). A micro-batch that is under way is kept as what the stage was handed; the way back goes forward once more
//! ([`Lowering::stage_gradients`](crate::program::lower::Lowering::stage_gradients)). Gradients are added up over the
//! micro-batches, so that the step is that of the whole batch.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::link::{Inlet, Outlet, link};
use super::{Job, ParallelError, Ran, Worker, flat, gradient_name, race, share};
use crate::device::Session;
use crate::hessian::Directions;
use crate::mlp::{Model, Optimizer};
use crate::program::lower::{handed_gradient_name, handed_name};
use crate::program::{Program, StepArgs};

const GRADIENTS: usize = 0;
const UPDATE: usize = 1;
const FORWARD: usize = 2;

/// A neighbour: what goes to it and what comes from it.
struct Neighbour {
    out: Outlet,
    come: Inlet,
    /// Buffers that hold what is sent and what is received.
    buffers: (String, String),
    /// Numbers of a row.
    width: usize,
}

struct Stage<'a> {
    job: &'a Job<'a>,
    session: Box<dyn Session + 'a>,
    programs: [Program; 3],
    directions: Directions,
    rows: Vec<Vec<u32>>,
    micro_batches: usize,
    /// None in the first stage.
    ahead: Option<Neighbour>,
    /// None in the last.
    behind: Option<Neighbour>,
}

/// The model's layers in `count` stages whose largest has as few parameters as can be; the first such cut.
///
/// # Errors
/// More stages than layers.
pub fn stages(model: &Model, count: usize) -> Result<Vec<RangeInclusive<usize>>, ParallelError> {
    fn best(work: &[usize], from: usize, count: usize) -> Option<(usize, Vec<usize>)> {
        if count == 1 {
            return Some((work[from..].iter().sum(), vec![work.len()]));
        }
        let ends = from + 1..=work.len().checked_sub(count - 1)?;
        let cut = |end: usize| {
            let (most, mut cuts) = best(work, end, count - 1)?;
            cuts.insert(0, end);
            Some((most.max(work[from..end].iter().sum()), cuts))
        };
        ends.filter_map(cut).min_by_key(|(most, _)| *most)
    }
    let work: Vec<usize> = (1..=model.depth()).map(|l| model.parameters_of(l)).collect();
    let cuts = (1..=work.len())
        .contains(&count)
        .then(|| best(&work, 0, count))
        .flatten();
    let Some((_, cuts)) = cuts else {
        return Err(ParallelError::Parts {
            what: "layers",
            count: work.len(),
            parts: count,
        });
    };
    let begins = [0].into_iter().chain(cuts.clone());
    Ok(begins.zip(cuts).map(|(begin, end)| begin + 1..=end).collect())
}

/// Trains with `count` stages and this many micro-batches a step.
///
/// # Errors
/// More stages than layers, more micro-batches than rows, batch norm, or a device that is not there or fails.
pub fn pipeline(job: &Job<'_>, count: usize, micro_batches: usize) -> Result<Ran, ParallelError> {
    job.check()?;
    if micro_batches == 0 || micro_batches > job.batch {
        return Err(ParallelError::Parts {
            what: "rows",
            count: job.batch,
            parts: micro_batches,
        });
    }
    let mut ahead = None;
    let mut workers = Vec::new();
    for layers in stages(job.model, count)? {
        let last = *layers.end();
        let (to_me, behind) = if last == job.model.depth() {
            (None, None)
        } else {
            let (next, here) = neighbours(job, last);
            (Some(next), Some(here))
        };
        workers.push(Stage::new(job, layers, micro_batches, (ahead, behind))?);
        ahead = to_me;
    }
    let (mut workers, elapsed, idle) = race(workers, job.steps)?;
    let (mut gradient, mut parameters) = (Vec::new(), Vec::new());
    for Stage {
        session, directions, ..
    } in &mut workers
    {
        gradient.extend(flat(&mut **session, directions, gradient_name)?);
        parameters.extend(flat(&mut **session, directions, str::to_owned)?);
    }
    Ok(Ran {
        gradient,
        parameters: vec![parameters],
        bytes: workers.iter().map(Worker::sent).sum(),
        elapsed,
        idle,
    })
}

/// The links across the boundary behind layer l, as the stage behind it and the stage ahead of it have them.
fn neighbours(job: &Job<'_>, l: usize) -> (Neighbour, Neighbour) {
    let (forward, back) = (link(job.float), link(job.float));
    let (handed, gradient) = (handed_name(job.model, l), handed_gradient_name(job.model, l));
    let end = |out, come, buffers| Neighbour {
        out,
        come,
        buffers,
        width: job.model.layer(l).outputs,
    };
    (
        end(back.0, forward.1, (gradient.clone(), handed.clone())),
        end(forward.0, back.1, (handed, gradient)),
    )
}

impl Neighbour {
    fn send(&mut self, session: &mut (dyn Session + '_), rows: usize) -> Result<(), ParallelError> {
        let values = session.read(&self.buffers.0)?;
        // The buffer has room for the largest micro-batch.
        self.out.send(&values[..rows * self.width])
    }

    fn receive(&mut self, rows: usize) -> Result<Vec<f64>, ParallelError> {
        self.come.receive(rows * self.width)
    }

    fn place(&self, session: &mut (dyn Session + '_), values: &[f64]) -> Result<(), ParallelError> {
        Ok(session.write(&self.buffers.1, values)?)
    }
}

impl<'a> Stage<'a> {
    fn new(
        job: &'a Job<'a>,
        layers: RangeInclusive<usize>,
        micro_batches: usize,
        (ahead, behind): (Option<Neighbour>, Option<Neighbour>),
    ) -> Result<Self, ParallelError> {
        let lowering = job.lowering(job.batch.div_ceil(micro_batches));
        let programs = job.prepared([
            lowering.stage_gradients(layers.clone())?,
            lowering.stage_update(layers.clone(), Optimizer::Sgd)?,
            lowering.stage_forward(layers.clone())?,
        ])?;
        let names: Vec<String> = layers.map(|l| format!("layer{l}")).collect();
        Ok(Self {
            job,
            session: job.open(&programs)?,
            programs,
            directions: Directions::of(job.model, &names.join(","))?,
            rows: job.rows(1, 0),
            micro_batches,
            ahead,
            behind,
        })
    }

    /// Forward and, in the last stage, back of one micro-batch; or back, where it is not.
    fn pass(&mut self, which: usize, rows: &[u32], args: &StepArgs) -> Result<(), ParallelError> {
        let session = &mut *self.session;
        self.job.run(session, (which, &self.programs[which]), rows, args)?;
        let to = if which == FORWARD {
            &mut self.behind
        } else {
            &mut self.ahead
        };
        to.as_mut().map_or(Ok(()), |to| to.send(session, rows.len()))
    }
}

impl Worker for Stage<'_> {
    fn step(&mut self, number: usize) -> Result<(), ParallelError> {
        let batch = std::mem::take(&mut self.rows[number]);
        let mut kept = Vec::new();
        let mut args = self.job.args(number);
        let micro = |at: usize| share(batch.len(), self.micro_batches, at);
        let parts: Vec<_> = (0..self.micro_batches).map(micro).collect();
        let way = if self.behind.is_some() { FORWARD } else { GRADIENTS };
        for part in parts.clone() {
            if let Some(ahead) = &mut self.ahead {
                let handed = ahead.receive(part.len())?;
                ahead.place(&mut *self.session, &handed)?;
                kept.push(handed);
            }
            args.row_offset = part.start as u64;
            self.pass(way, &batch[part], &args)?;
            // The gradients of the micro-batches behind the first are added.
            args.accumulate = f64::from(u8::from(way == GRADIENTS));
        }
        if self.behind.is_some() {
            args.accumulate = 0.0;
            for (at, part) in parts.into_iter().enumerate() {
                if let Some(behind) = &mut self.behind {
                    let handed_back = behind.receive(part.len())?;
                    behind.place(&mut *self.session, &handed_back)?;
                }
                if let (Some(ahead), Some(handed)) = (&self.ahead, kept.get(at)) {
                    ahead.place(&mut *self.session, handed)?;
                }
                args.row_offset = part.start as u64;
                self.pass(GRADIENTS, &batch[part], &args)?;
                args.accumulate = 1.0;
            }
        }
        self.job
            .run(&mut *self.session, (UPDATE, &self.programs[UPDATE]), &batch[..1], &args)
    }

    fn session(&mut self) -> &mut dyn Session {
        &mut *self.session
    }

    fn sent(&self) -> u64 {
        [&self.ahead, &self.behind]
            .into_iter()
            .flatten()
            .map(|to| to.out.sent)
            .sum()
    }

    fn waited(&self) -> Duration {
        [&self.ahead, &self.behind]
            .into_iter()
            .flatten()
            .map(|from| from.come.waited)
            .sum()
    }
}
