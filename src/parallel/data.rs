//! Data-parallel training: every worker has the whole model and its share of each batch's rows.
//!
//! A worker's gradient is that of its rows' losses over the rows of the whole batch; their sum over the workers is the batch's. All
//! workers begin with the same parameters and take the same step from the same bits, so that parameters are never sent.

use std::time::Duration;

use super::ring::{Ring, ring};
use super::{Job, ParallelError, Ran, Worker, flat, gradient_name, race};
use crate::device::Session;
use crate::hessian::Directions;
use crate::mlp::Optimizer;
use crate::program::Program;

const GRADIENTS: usize = 0;
const UPDATE: usize = 1;

struct Replica<'a> {
    job: &'a Job<'a>,
    session: Box<dyn Session + 'a>,
    programs: [Program; 2],
    directions: Directions,
    /// Its rows of each step.
    rows: Vec<Vec<u32>>,
    /// None where it is the only worker.
    ring: Option<Ring>,
}

/// Trains with this many workers; one sends nothing and is the whole batch on one session.
///
/// # Errors
/// More workers than rows, batch norm, or a device that is not there or fails.
pub fn data_parallel(job: &Job<'_>, workers: usize) -> Result<Ran, ParallelError> {
    job.check()?;
    if workers == 0 || workers > job.batch {
        return Err(ParallelError::Parts {
            what: "rows",
            count: job.batch,
            parts: workers,
        });
    }
    let directions = Directions::of(job.model, "all")?;
    let lowering = job.lowering(job.batch.div_ceil(workers));
    let programs = job.prepared([lowering.gradients()?, lowering.update(Optimizer::Sgd)?])?;
    let rings = ring(workers, job.float).into_iter().map(Some);
    let replicas = rings.enumerate().map(|(at, ring)| {
        Ok(Replica {
            job,
            session: job.open(&programs)?,
            programs: programs.clone(),
            directions: directions.clone(),
            rows: job.rows(workers, at),
            ring: ring.filter(|_| workers > 1),
        })
    });
    let replicas = replicas.collect::<Result<Vec<_>, ParallelError>>()?;
    let (mut replicas, elapsed, idle) = race(replicas, job.steps)?;
    let parameters = replicas
        .iter_mut()
        .map(|replica| flat(&mut *replica.session, &directions, str::to_owned));
    Ok(Ran {
        parameters: parameters.collect::<Result<_, _>>()?,
        gradient: flat(&mut *replicas[0].session, &directions, gradient_name)?,
        bytes: replicas.iter().map(Worker::sent).sum(),
        elapsed,
        idle,
    })
}

impl Worker for Replica<'_> {
    fn step(&mut self, number: usize) -> Result<(), ParallelError> {
        let (job, rows, args) = (self.job, &self.rows[number], self.job.args(number));
        let session = &mut *self.session;
        job.run(session, (GRADIENTS, &self.programs[GRADIENTS]), rows, &args)?;
        if let Some(ring) = &mut self.ring {
            let mut gradient = flat(session, &self.directions, gradient_name)?;
            ring.all_reduce(&mut gradient)?;
            self.directions.write(session, &gradient, 1, gradient_name)?;
        }
        job.run(session, (UPDATE, &self.programs[UPDATE]), &rows[..1], &args)
    }

    fn session(&mut self) -> &mut dyn Session {
        &mut *self.session
    }

    fn sent(&self) -> u64 {
        self.ring.as_ref().map_or(0, |ring| ring.next.sent)
    }

    fn waited(&self) -> Duration {
        self.ring.as_ref().map_or(Duration::ZERO, |ring| ring.previous.waited)
    }
}
