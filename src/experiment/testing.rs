//! What tests of experiments share.

use tempfile::TempDir;
use tilelab_kernels::Threads;

use super::outcome::Outcome;
use super::run::{Failure, Options, Run};
use super::state::State;
use crate::device::Device;
use crate::measure::Finding;

/// A folder for states, and options that are quick.
pub struct Bed(TempDir, Options);

impl Bed {
    pub fn new() -> Self {
        let options = Options {
            full: false,
            seed: 1,
            device: Device::Cpu,
            threads: Threads::one(),
            data: None,
        };
        Self(tempfile::tempdir().unwrap(), options)
    }

    /// Runs `work` on the state that earlier calls left.
    pub fn run<T>(&self, work: impl FnOnce(&mut Run<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
        let mut state = State::open(self.0.path(), "test", Vec::new());
        let (stop, mut told) = (|| false, |_: &str| ());
        work(&mut Run::new(&self.1, &mut state, &stop, &mut told))
    }
}

/// Names of the checks that failed.
pub fn failed(outcome: &Outcome) -> Vec<String> {
    match outcome.finding() {
        Finding::ChecksFailed { failed } => failed,
        _ => Vec::new(),
    }
}

/// All checks hold.
pub fn assert_holds(outcome: &Outcome) {
    let failed: Vec<_> = outcome.checks().iter().filter(|check| !check.passed).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(!outcome.checks().is_empty(), "an experiment has a check that can fail");
}
