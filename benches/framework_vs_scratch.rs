//! A training step as depth, width and batch grow: `cpu`, `baseline`, plain `ndarray` in f32 and f64, and the frameworks of this machine.
//!
//! Contestants take turns round by round; the figures land in `reports/raw`, and so in the report.

fn main() -> anyhow::Result<()> {
    tilelab::bench::trainings::main(tilelab::bench::trainings::framework_vs_scratch())
}
