//! What measures: the timing loop, statistics, machine facts, the FMA peak, and the [`Record`] that keeps it all.

mod contest;
mod record;
mod statistics;

pub use contest::*;
pub use record::*;
pub use statistics::{COVERAGE, Interval, Ordered, StatisticsError, paired_ratio};
