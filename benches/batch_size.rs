//! Batches of 16 to 1024 rows of a small network: samples a second, and milliseconds a batch.
//!
//! Contestants take turns round by round; the figures land in `reports/raw`, and so in the report.

fn main() -> anyhow::Result<()> {
    tilelab::bench::trainings::main(tilelab::bench::trainings::batch_size())
}
