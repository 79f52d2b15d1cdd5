//! What measures: the timing loop, statistics, machine facts, the FMA peak, and the [`Record`] that keeps it all.

mod allocations;
mod build_facts;
mod classification;
mod contest;
mod experiment;
mod fact;
mod machine;
mod probed;
mod probed_gpu;
mod progress;
mod rates;
mod record;
mod recording;
mod search;
mod statistics;
mod text;

pub use allocations::{Counting, allocated_bytes};
pub use classification::*;
pub use contest::*;
pub use experiment::*;
pub use fact::Fact;
pub use probed::*;
pub use probed_gpu::*;
pub use progress::Progress;
pub use rates::{RateOutcome, RatePoint, RateSearch};
pub use record::*;
pub use recording::{Recording, command_line};
pub use search::{
    Importance, Quartiles, Regret, Search, SearchContour, SearchParameter, SearchTest, SearchTrial, SearchValue,
    Surrogates,
};
pub use statistics::{COVERAGE, Interval, Ordered, StatisticsError, paired_ratio};
pub use text::{Table, bench_table, binary_bytes, duration};
