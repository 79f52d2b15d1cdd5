//! The timing loop: short slices, each dropped if its thread lost the CPU meanwhile.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::pin;

/// What the stages of a probe share.
#[derive(Debug)]
pub struct Clockwork<'a> {
    /// When the record began.
    pub started: Instant,
    /// Raised by Ctrl-C: a stage ends behind its slice and keeps what it has.
    pub stop: &'a AtomicBool,
    /// Slices timed.
    pub timed: u64,
    /// Slices dropped for a context switch.
    pub dropped: u64,
}

impl<'a> Clockwork<'a> {
    /// Counts from nothing.
    pub fn new(started: Instant, stop: &'a AtomicBool) -> Self {
        Self {
            started,
            stop,
            timed: 0,
            dropped: 0,
        }
    }

    /// Whether somebody asked to stop.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Seconds since the record began.
    pub fn at_s(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Nanoseconds of `work`; `None` if the thread was switched meanwhile, or slept.
    pub fn slice(&mut self, work: impl FnOnce()) -> Option<f64> {
        let (ns, quiet) = slice(work);
        self.count(quiet);
        quiet.then_some(ns)
    }

    /// Counts a slice that was timed elsewhere.
    pub fn count(&mut self, quiet: bool) {
        self.timed += 1;
        self.dropped += u64::from(!quiet);
    }

    /// Up to `wanted` undisturbed slices of `work`, in three times as many tries at most; and how many were dropped.
    pub fn slices(&mut self, wanted: usize, mut work: impl FnMut()) -> (Vec<f64>, u32) {
        let mut kept = Vec::with_capacity(wanted);
        let mut dropped = 0;
        while kept.len() < wanted && (dropped as usize) < 2 * wanted && (kept.is_empty() || !self.stopped()) {
            match self.slice(&mut work) {
                Some(ns) => kept.push(ns),
                None => dropped += 1,
            }
        }
        (kept, dropped)
    }
}

/// Nanoseconds of `work`, and whether its thread kept the CPU.
pub fn slice(work: impl FnOnce()) -> (f64, bool) {
    let before = pin::switches();
    let start = Instant::now();
    work();
    let ns = start.elapsed().as_nanos() as f64;
    (ns, pin::switches() == before)
}

/// Core clock in GHz: a chain of additions takes a cycle each. The fastest of a few slices, since interruptions only add.
pub fn clock_ghz() -> Option<f64> {
    const STEPS: u64 = 100_000;
    let fastest = (0..20)
        .map(|_| slice(|| additions(STEPS)).0)
        .fold(f64::INFINITY, f64::min);
    let ghz = (STEPS * 16) as f64 / fastest;
    (cfg!(target_arch = "x86_64") && ghz.is_finite()).then_some(ghz)
}

#[cfg(target_arch = "x86_64")]
fn additions(steps: u64) {
    let mut sum = black_box(1u64);
    for _ in 0..steps {
        sum = sixteen(sum);
    }
    black_box(sum);
}

/// Sixteen dependent additions, which the compiler would fold into one.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[allow(unsafe_code)]
fn sixteen(mut sum: u64) -> u64 {
    // A register, not an immediate: Golden Cove adds small immediates while renaming, in no time at all.
    // SAFETY: adds one register to another; no memory, no stack.
    unsafe {
        std::arch::asm!(
            ".rept 16",
            "add {sum}, {one}",
            ".endr",
            sum = inout(reg) sum,
            one = in(reg) 1u64,
            options(pure, nomem, nostack)
        );
    }
    sum
}

#[cfg(not(target_arch = "x86_64"))]
fn additions(steps: u64) {
    black_box(steps);
}

/// A meeting of `count` threads that spins, and yields where the others are late: waking a sleeper would cost more than
/// a slice.
#[derive(Debug)]
pub struct Meeting {
    count: u32,
    here: AtomicU32,
    turn: AtomicU32,
}

impl Meeting {
    /// Of `count` threads.
    pub fn new(count: usize) -> Self {
        Self {
            count: count as u32,
            here: AtomicU32::new(0),
            turn: AtomicU32::new(0),
        }
    }

    /// Waits for all.
    pub fn wait(&self) {
        let turn = self.turn.load(Ordering::Acquire);
        if self.here.fetch_add(1, Ordering::AcqRel) + 1 == self.count {
            self.here.store(0, Ordering::Release);
            self.turn.fetch_add(1, Ordering::AcqRel);
            return;
        }
        let mut spins = 0u32;
        while self.turn.load(Ordering::Acquire) == turn {
            spins += 1;
            if spins > 2000 {
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
    }
}

/// Waits without giving up the CPU.
pub fn spin_for(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_that_slept_is_dropped_and_the_tries_end() {
        let stop = AtomicBool::new(false);
        let mut clock = Clockwork::new(Instant::now(), &stop);
        let (kept, dropped) = clock.slices(3, || std::thread::sleep(Duration::from_millis(1)));
        if cfg!(target_os = "linux") {
            assert_eq!((kept.len(), dropped, clock.timed, clock.dropped), (0, 6, 6, 6));
        }
        let (kept, _) = clock.slices(3, || spin_for(Duration::from_micros(50)));
        assert!(kept.iter().all(|ns| *ns >= 50_000.0), "{kept:?}");
        stop.store(true, Ordering::Relaxed);
        let (kept, _) = clock.slices(30, || spin_for(Duration::from_micros(5)));
        assert!(kept.len() <= 1, "a stop ends the slices");
    }

    #[test]
    fn a_clock_is_that_of_a_cpu() {
        if let Some(ghz) = clock_ghz() {
            assert!((0.2..12.0).contains(&ghz), "{ghz} GHz");
        }
    }

    #[test]
    fn threads_meet() {
        let meeting = Meeting::new(3);
        let arrived = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for round in 1..50 {
                        arrived.fetch_add(1, Ordering::Relaxed);
                        meeting.wait();
                        assert_eq!(arrived.load(Ordering::Relaxed), 3 * round);
                        meeting.wait();
                    }
                });
            }
        });
    }
}
