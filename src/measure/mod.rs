//! What measures: the timing loop, statistics, machine facts, the FMA peak, and the [`Record`] that keeps it all.

mod record;

pub use record::*;
