use std::time::Instant;

/// What tells the time to a contest: the system, or a test.
pub trait Clock {
    /// Nanoseconds since the clock's zero; never falls.
    fn now_ns(&mut self) -> u64;
}

/// The system's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Monotonic(Instant);

impl Monotonic {
    /// A clock whose zero is `start`.
    pub fn since(start: Instant) -> Self {
        Self(start)
    }
}

impl Clock for Monotonic {
    fn now_ns(&mut self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}
