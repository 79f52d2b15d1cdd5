use std::time::Duration;

use super::Order;

/// How a [`Contest`](super::Contest) is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Undisturbed rounds wanted of each case.
    pub rounds: u32,
    /// Least time of a sample; a sample holds as many calls as it takes.
    pub min_sample: Duration,
    /// Most time for one [`Contest::run`](super::Contest::run), which makes one round even if that takes longer.
    pub budget: Duration,
    /// Order of turns within a round.
    pub order: Order,
    /// Most rounds of one [`Contest::run`](super::Contest::run) that are redone.
    pub max_redo: u32,
    /// Where not one round was left undisturbed, give results over the disturbed ones, with a note: for a first look on
    /// a busy machine. What carries a verdict never does this.
    pub or_disturbed: bool,
}

impl Options {
    /// For figures that carry a verdict: 40 rounds, samples of at least 2 ms.
    pub fn full() -> Self {
        let (min_sample, budget) = (Duration::from_millis(2), Duration::from_secs(60));
        Self {
            rounds: 40,
            min_sample,
            budget,
            order: Order::Mirrored,
            max_redo: 200,
            or_disturbed: false,
        }
    }

    /// For a first look: 15 rounds, samples of at least 1 ms, 5 seconds.
    pub fn quick() -> Self {
        let (min_sample, budget) = (Duration::from_millis(1), Duration::from_secs(5));
        Self {
            rounds: 15,
            min_sample,
            budget,
            order: Order::Mirrored,
            max_redo: 30,
            or_disturbed: true,
        }
    }
}
