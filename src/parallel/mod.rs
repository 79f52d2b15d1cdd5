//! One network over several workers: each a thread with a session of its own, joined by channels that count what they carry.
//!
//! ```text
//! data:     worker w has all layers and every W-th part of the rows; gradients are summed round a ring before each update
//! pipeline: worker s has some of the layers and all rows, in M micro-batches: activations go forward, their derivatives back
//! ```
//! Every worker takes plain SGD steps, and reads its rows and labels from the set that all of them have at hand: what the links carry
//! is gradients, activations and their derivatives alone.

mod data;
mod error;
mod link;
mod pipeline;
mod ring;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

pub use data::data_parallel;
pub use error::ParallelError;
pub use pipeline::{pipeline, stages};

use crate::device::{Batch, Device, ProgramId, Session, Set};
use crate::hessian::{Directions, Point};
use crate::mlp::Model;
use crate::program::lower::Lowering;
use crate::program::{Element, Program, StepArgs, fuse};
use tilelab_kernels::Threads;

/// What is trained, and for how long.
#[derive(Clone)]
pub struct Job<'a> {
    /// The model.
    pub model: &'a Model,
    /// Its first parameters.
    pub first: &'a Point,
    /// Rows and labels; step t takes the `batch` rows from t times `batch` on, and begins again at the end.
    pub set: Set<'a>,
    /// What bytes of the set are multiplied by.
    pub byte_scale: f64,
    /// Rows of a step, over all workers.
    pub batch: usize,
    /// Steps.
    pub steps: usize,
    /// Learning rate.
    pub lr: f64,
    /// Type of all real numbers, on the links too.
    pub float: Element,
    /// Who computes.
    pub device: Device,
    /// Threads of each worker.
    pub threads: Threads,
}

/// What a run leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Ran {
    /// The last step's gradient of the mean loss, in the order of [`Directions`] of all parameters.
    pub gradient: Vec<f64>,
    /// Parameters behind the last step in the same order, as each worker has them; a pipeline's lie over its workers, once.
    pub parameters: Vec<Vec<f64>>,
    /// Bytes that all links carried in all steps.
    pub bytes: u64,
    /// From the common start until the last worker was done.
    pub elapsed: Duration,
    /// Share of that time, over all workers, in which a worker waited for another or was done.
    pub idle: f64,
}

/// One thread's part.
trait Worker: Send {
    fn step(&mut self, number: usize) -> Result<(), ParallelError>;
    fn session(&mut self) -> &mut dyn Session;
    fn sent(&self) -> u64;
    fn waited(&self) -> Duration;
}

impl Job<'_> {
    fn check(&self) -> Result<(), ParallelError> {
        if self.model.batch_norm() {
            return Err(ParallelError::BatchNorm);
        }
        if self.batch == 0 || self.steps == 0 {
            return Err(ParallelError::Nothing);
        }
        Ok(())
    }

    fn lowering(&self, rows: usize) -> Lowering<'_> {
        Lowering {
            model: self.model,
            float: self.float,
            rows,
            byte_scale: self.byte_scale,
        }
    }

    /// The programs as the device runs them.
    fn prepared<const N: usize>(&self, plain: [Program; N]) -> Result<[Program; N], ParallelError> {
        let mut programs = plain;
        if self.device.wants_fused() {
            for program in &mut programs {
                *program = fuse(program)?;
            }
        }
        Ok(programs)
    }

    /// A session at the first parameters.
    fn open(&self, programs: &[Program]) -> Result<Box<dyn Session + '_>, ParallelError> {
        let mut session = self.device.open(programs, &[self.set], self.threads)?;
        self.first.write(&mut *session)?;
        Ok(session)
    }

    /// The set's rows of part `at` of `parts` of each step's batch.
    fn rows(&self, parts: usize, at: usize) -> Vec<Vec<u32>> {
        let rows = |step: usize| share(self.batch, parts, at).map(move |row| step * self.batch + row);
        (0..self.steps)
            .map(|step| rows(step).map(|row| (row % self.set.rows()) as u32).collect())
            .collect()
    }

    fn args(&self, step: usize) -> StepArgs {
        StepArgs {
            lr: self.lr,
            inverse_rows: 1.0 / self.batch as f64,
            t: step as u64 + 1,
            ..StepArgs::default()
        }
    }

    /// Runs a program on some rows of the set.
    fn run(
        &self,
        session: &mut (dyn Session + '_),
        program: (usize, &Program),
        rows: &[u32],
        args: &StepArgs,
    ) -> Result<(), ParallelError> {
        let batch = Batch::of_set(program.1, &[self.set], 0, rows)?;
        session.run(ProgramId(program.0), &batch, args);
        Ok(())
    }
}

/// Part `at` of `parts` of `count` things, as even as can be.
fn share(count: usize, parts: usize, at: usize) -> Range<usize> {
    at * count / parts..(at + 1) * count / parts
}

/// All steps of all workers, each on a thread, from one moment on. A worker that fails lets go of its links, which ends its neighbours'
/// waiting.
fn race<W: Worker>(workers: Vec<W>, steps: usize) -> Result<(Vec<W>, Duration, f64), ParallelError> {
    let count = workers.len();
    let barrier = Barrier::new(count);
    let part = |mut worker: W| -> Result<(W, Duration), ParallelError> {
        barrier.wait();
        let begun = Instant::now();
        for number in 0..steps {
            worker.step(number)?;
        }
        worker.session().metrics()?;
        let elapsed = begun.elapsed();
        Ok((worker, elapsed))
    };
    let ended: Vec<_> = thread::scope(|scope| {
        let part = &part;
        let spawned: Vec<_> = workers
            .into_iter()
            .map(|worker| scope.spawn(move || part(worker)))
            .collect();
        let joined = spawned
            .into_iter()
            .map(|thread| thread.join().unwrap_or(Err(ParallelError::Panicked)));
        joined.collect()
    });
    // A neighbour that is gone is no reason, where there is another.
    let mut reasons: Vec<_> = ended.iter().filter_map(|end| end.as_ref().err()).collect();
    reasons.sort_by_key(|error| matches!(error, ParallelError::Gone));
    if let Some(first) = reasons.first() {
        return Err((*first).clone());
    }
    let ended: Vec<(W, Duration)> = ended.into_iter().flatten().collect();
    let elapsed = ended.iter().map(|(_, elapsed)| *elapsed).max().unwrap_or_default();
    let busy: Duration = ended
        .iter()
        .map(|(worker, elapsed)| elapsed.saturating_sub(worker.waited()))
        .sum();
    let idle = 1.0 - busy.as_secs_f64() / (count as f64 * elapsed.as_secs_f64());
    Ok((ended.into_iter().map(|(worker, _)| worker).collect(), elapsed, idle))
}

/// Values of the buffers that `name` gives for the parts of `directions`, one after the other.
fn flat(
    session: &mut (dyn Session + '_),
    directions: &Directions,
    name: impl Fn(&str) -> String,
) -> Result<Vec<f64>, ParallelError> {
    let mut values = vec![0.0; directions.size()];
    directions.read(session, &mut values, name)?;
    Ok(values)
}

/// Name of a parameter's gradient.
fn gradient_name(parameter: &str) -> String {
    format!("d{parameter}")
}
