//! The `tilelab` program: its allocator and exit codes only. What the user typed lies in [`tilelab::cli`].

use std::process::ExitCode;

/// `tilelab footprint` sets sums of buffers beside what is really allocated.
#[global_allocator]
static ALLOCATOR: tilelab::measure::Counting = tilelab::measure::Counting;

fn main() -> ExitCode {
    tilelab::cli::main()
}
