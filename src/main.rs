//! The `tilelab` program: exit codes only. What the user typed lies in [`tilelab::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    tilelab::cli::main()
}
