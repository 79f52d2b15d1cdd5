//! Worker threads that share the tasks of one call.
//!
//! # Rule
//! A call publishes a job: a function of a task number and the number of tasks. Workers and the caller take task numbers
//! from one counter, so a core that is taken away delays at most the task it holds. Which thread runs a task never
//! changes what the task computes. After its last job a worker spins for [`SPINS`] looks at the job counter (some 20 us:
//! the gap between two products of a training step), then parks; [`Pool::park`] makes the workers park at once, so that
//! a bench can time something else next. The caller spins for its workers' last tasks, yielding the CPU now and then.

use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

/// Looks at the job counter before a worker parks. A look with its pause takes about 40 ns on recent x86.
const SPINS: u32 = 500;

/// A job's code, with its lifetime taken away: [`Pool::run`] does not return while a worker may still call it.
type Task = *const (dyn Fn(usize, usize) + Sync);

struct Shared {
    /// Counts jobs; a change is what workers wait for.
    job: AtomicU64,
    /// The current job, written before `job` changes.
    task: UnsafeCell<Option<Task>>,
    tasks: AtomicUsize,
    next: AtomicUsize,
    /// Workers that have not yet finished with the current job.
    busy: AtomicUsize,
    panicked: AtomicBool,
    stop: AtomicBool,
    /// Don't spin: park as soon as there is nothing to do.
    park: AtomicBool,
}

// SAFETY: `task` is written only by the caller while no worker is busy, and read by workers only after they saw `job`
// change (release/acquire); all else is atomic.
unsafe impl Sync for Shared {}
// SAFETY: the pointer in `task` is only used under the rule above.
unsafe impl Send for Shared {}

/// A set of workers. Dropping it joins them.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({} workers)", self.workers.len())
    }
}

impl Pool {
    /// Starts `workers` threads beside the caller's.
    pub(crate) fn new(workers: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            job: AtomicU64::new(0),
            task: UnsafeCell::new(None),
            tasks: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            park: AtomicBool::new(false),
        });
        let mut pool = Self {
            shared,
            workers: Vec::with_capacity(workers),
        };
        for i in 0..workers {
            let shared = Arc::clone(&pool.shared);
            let worker = thread::Builder::new()
                .name(format!("tilelab-{i}"))
                .spawn(move || work(&shared, i + 1))?;
            pool.workers.push(worker);
        }
        Ok(pool)
    }

    /// Threads that share a job, the caller's included.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task(0)` to `task(tasks - 1)`, each once, on any thread, and returns when all are done.
    ///
    /// # Panics
    /// When a task did.
    pub(crate) fn run(&mut self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        self.run_by_worker(tasks, &|i, _| task(i));
    }

    /// The same, each task also told which thread runs it: 0 for the caller, then the workers. No two tasks of one
    /// thread run at the same time.
    ///
    /// # Panics
    /// When a task did.
    pub(crate) fn run_by_worker(&mut self, tasks: usize, task: &(dyn Fn(usize, usize) + Sync)) {
        if self.workers.is_empty() || tasks <= 1 {
            for i in 0..tasks {
                task(i, 0);
            }
            return;
        }
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes. The pointer is called only between here and the wait for `busy` below.
        let erased: Task = unsafe { std::mem::transmute::<*const (dyn Fn(usize, usize) + Sync + '_), Task>(task) };
        // SAFETY: `busy` is 0, so no worker reads `task` now; `&mut self` keeps other callers out.
        unsafe { *shared.task.get() = Some(erased) };
        shared.tasks.store(tasks, Ordering::Relaxed);
        shared.next.store(0, Ordering::Relaxed);
        shared.busy.store(self.workers.len(), Ordering::Relaxed);
        shared.park.store(false, Ordering::Relaxed);
        shared.job.fetch_add(1, Ordering::Release);
        for worker in &self.workers {
            worker.thread().unpark();
        }
        let wait = WaitForWorkers(shared);
        shared.take_tasks(task, 0);
        drop(wait);
        assert!(
            !shared.panicked.swap(false, Ordering::Relaxed),
            "a kernel's worker panicked"
        );
    }

    /// Lets idle workers sleep at once, until the next job.
    pub(crate) fn park(&self) {
        self.shared.park.store(true, Ordering::Relaxed);
    }
}

/// Waits for the workers even if the caller's own task panics: they borrow from its stack.
struct WaitForWorkers<'a>(&'a Shared);

impl Drop for WaitForWorkers<'_> {
    fn drop(&mut self) {
        let mut looks = 0u32;
        while self.0.busy.load(Ordering::Acquire) > 0 {
            looks += 1;
            if looks.is_multiple_of(4096) {
                thread::yield_now()
            } else {
                std::hint::spin_loop()
            }
        }
    }
}

impl Shared {
    fn take_tasks(&self, task: &(dyn Fn(usize, usize) + Sync), worker: usize) {
        let tasks = self.tasks.load(Ordering::Relaxed);
        loop {
            let i = self.next.fetch_add(1, Ordering::Relaxed);
            if i >= tasks {
                return;
            }
            task(i, worker);
        }
    }
}

/// A worker's life.
fn work(shared: &Shared, number: usize) {
    let mut seen = 0;
    loop {
        let mut looks = 0;
        while shared.job.load(Ordering::Acquire) == seen {
            if shared.stop.load(Ordering::Relaxed) {
                return;
            }
            if looks < SPINS && !shared.park.load(Ordering::Relaxed) {
                looks += 1;
                std::hint::spin_loop();
            } else {
                thread::park(); // a token left by unpark makes this return at once, so no job is slept through
            }
        }
        seen += 1;
        // SAFETY: `job` changed, so `task` was written before, and the caller waits for `busy` before it writes again.
        if let Some(task) = unsafe { *shared.task.get() } {
            // SAFETY: the caller keeps the closure alive until `busy` is 0.
            let task = unsafe { &*task };
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| shared.take_tasks(task, number)));
            if outcome.is_err() {
                shared.panicked.store(true, Ordering::Relaxed);
            }
        }
        shared.busy.fetch_sub(1, Ordering::Release);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for worker in &self.workers {
            worker.thread().unpark();
        }
        for worker in self.workers.drain(..) {
            // A worker's panic was reported by `run`; there is nobody left to tell.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_for_any_number_of_threads() {
        for workers in [0, 1, 2, 6] {
            let mut pool = Pool::new(workers).unwrap();
            for tasks in [0, 1, 2, 3, 7, 100] {
                let counts: Vec<_> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(tasks, &|i| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(
                    counts.iter().all(|c| c.load(Ordering::Relaxed) == 1),
                    "{workers} workers, {tasks} tasks"
                );
            }
            pool.park();
        }
    }

    #[test]
    fn a_task_that_panics_is_reported_and_the_pool_lives_on() {
        let mut pool = Pool::new(2).unwrap();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.run(8, &|i| assert!(i != 5, "task five"))
        }));
        assert!(outcome.is_err());
        let sum = AtomicUsize::new(0);
        pool.run(8, &|i| {
            sum.fetch_add(i, Ordering::Relaxed);
        });
        assert_eq!(sum.load(Ordering::Relaxed), 28);
    }
}
