//! Runs the trials of a study, some at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::study::{Next, Outcome, Study, StudyError, Task};
use super::trial::Trial;

/// When a search ends.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Trials that the study is to have, those before this run among them and repeated ones aside.
    pub trials: usize,
    /// How often a trial that failed is repeated.
    pub retries: usize,
    /// After this no trial begins; those under way end.
    pub timeout: Option<Duration>,
}

/// Why a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All trials are there.
    Done,
    /// The time was over.
    TimedOut,
    /// It was stopped.
    Stopped,
}

/// What happens to a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It begins.
    Started,
    /// It has seen a value at a step.
    Step,
    /// It has ended.
    Ended,
}

/// What a trial is to do behind a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// End as [`Outcome::Pruned`], if there are more steps to save.
    Prune,
    /// End as [`Outcome::Stopped`].
    Stop,
}

/// A trial under way, as the objective sees it.
pub struct Run<'a> {
    /// What to try.
    pub task: Task,
    link: &'a dyn Link,
}

/// What a trial is: it runs, reports on its way, and says how it ended.
pub type Objective<'o> = dyn Fn(&Run<'_>) -> Outcome + Sync + 'o;
/// Is told what happens, one thing at a time.
pub type Watcher<'o> = dyn FnMut(Told, &Trial) + Send + 'o;

struct Shared<'a> {
    state: Mutex<Inner<'a>>,
    changed: Condvar,
    stop: &'a AtomicBool,
    /// Something failed: every trial ends.
    broken: AtomicBool,
}

struct Inner<'a> {
    study: &'a mut Study,
    watch: &'a mut Watcher<'a>,
    error: Option<StudyError>,
    timed_out: bool,
}

impl<'a> Shared<'a> {
    fn lock(&self) -> MutexGuard<'_, Inner<'a>> {
        // Whoever panicked did so within the objective, which holds no lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn breaks(&self, inner: &mut Inner<'_>, error: StudyError) {
        inner.error.get_or_insert(error);
        self.broken.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }
}

/// What a trial has of its search.
trait Link: Sync {
    fn stops(&self) -> bool;
    fn report(&self, task: &Task, step: usize, value: f64) -> Flow;
}

impl Link for Shared<'_> {
    fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.broken.load(Ordering::Relaxed)
    }

    fn report(&self, task: &Task, step: usize, value: f64) -> Flow {
        let mut inner = self.lock();
        match inner.study.report(task, step, value) {
            Err(error) => {
                self.breaks(&mut inner, error);
                Flow::Stop
            }
            Ok(prune) => {
                inner.tell(task.number, Told::Step);
                if self.stops() {
                    Flow::Stop
                } else if prune {
                    Flow::Prune
                } else {
                    Flow::Continue
                }
            }
        }
    }
}

impl Run<'_> {
    /// Whether the search is being stopped: the trial is to end as [`Outcome::Stopped`].
    pub fn is_stopped(&self) -> bool {
        self.link.stops()
    }

    /// Writes down a value at a step, counted from 1.
    pub fn report(&self, step: usize, value: f64) -> Flow {
        self.link.report(&self.task, step, value)
    }
}

impl Inner<'_> {
    fn tell(&mut self, number: usize, what: Told) {
        (self.watch)(what, &self.study.trials()[number]);
    }
}

/// Runs trials until there are as many as wanted.
///
/// # Errors
/// A study that can't be written any more: every trial that had finished is in it.
pub fn optimize(
    study: &mut Study,
    limits: Limits,
    stop: &AtomicBool,
    watch: &mut Watcher<'_>,
    objective: &Objective<'_>,
) -> Result<Ended, StudyError> {
    let jobs = study.plan().jobs.max(1);
    let deadline = limits.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    // A watcher of the caller's lifetime, seen through one of ours.
    let mut watch = |told: Told, trial: &Trial| watch(told, trial);
    let shared = Shared {
        state: Mutex::new(Inner {
            study,
            watch: &mut watch,
            error: None,
            timed_out: false,
        }),
        changed: Condvar::new(),
        stop,
        broken: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        for worker in 0..jobs {
            let shared = &shared;
            scope.spawn(move || work(shared, worker, limits, deadline, objective));
        }
    });
    let inner = shared.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match inner.error {
        Some(error) => Err(error),
        None if stop.load(Ordering::Relaxed) => Ok(Ended::Stopped),
        None if inner.timed_out => Ok(Ended::TimedOut),
        None => Ok(Ended::Done),
    }
}

/// One of the jobs.
fn work(shared: &Shared<'_>, worker: usize, limits: Limits, deadline: Option<Instant>, objective: &Objective<'_>) {
    while let Some(task) = take(shared, worker, limits, deadline) {
        let run = Run { task, link: shared };
        let ended = catch_unwind(AssertUnwindSafe(|| objective(&run)));
        let outcome = ended.unwrap_or_else(|_| Outcome::Failed("its code panicked".to_owned()));
        let mut inner = shared.lock();
        match inner.study.end(&run.task, &outcome) {
            Err(error) => shared.breaks(&mut inner, error),
            Ok(()) if outcome == Outcome::Stopped => {}
            Ok(()) => inner.tell(run.task.number, Told::Ended),
        }
        shared.changed.notify_all();
    }
}

/// The next trial of a job; `None` when it is done.
fn take(shared: &Shared<'_>, worker: usize, limits: Limits, deadline: Option<Instant>) -> Option<Task> {
    let mut inner = shared.lock();
    loop {
        if shared.stops() {
            return None;
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            inner.timed_out = true;
            return None;
        }
        match inner.study.next(limits.trials, limits.retries, worker) {
            Err(error) => {
                shared.breaks(&mut inner, error);
                return None;
            }
            Ok(Next::Done) => return None,
            Ok(Next::Start(task)) => {
                inner.tell(task.number, Told::Started);
                return Some(task);
            }
            // Each trial that ends wakes all.
            Ok(Next::Wait) => inner = shared.changed.wait(inner).unwrap_or_else(PoisonError::into_inner),
        }
    }
}
