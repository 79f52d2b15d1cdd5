//! Programs over the stand-in: a test starts itself again as a child that alone sees the stand-in as its libcuda.

use std::process::Command;

/// What the child is to do; unset in the test itself.
pub const TASK: &str = "FAKECUDA_TEST_TASK";

/// What came of a child.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What it printed behind "result: ", or nothing if it failed.
    pub result: Option<String>,
    /// What it and the stand-in complained of.
    pub complaints: String,
}

/// Runs the test `name` of this binary as a child with a task; it must print "result: ..".
pub fn child(name: &str, task: &str, environment: &[(&str, String)]) -> Outcome {
    let binary = std::env::current_exe().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let stand_in = binary.parent().unwrap().join("libtilelab_fakecuda.so");
    for name in ["libcuda.so", "libcuda.so.1"] {
        std::fs::copy(&stand_in, folder.path().join(name)).unwrap();
    }
    let mut command = Command::new(&binary);
    command.args(["--exact", name, "--nocapture"]).env(TASK, task);
    command.env("LD_LIBRARY_PATH", folder.path());
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let output = command.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let result = stdout.lines().find_map(|line| line.split_once("result: "));
    Outcome {
        result: result
            .filter(|_| output.status.success())
            .map(|(_, result)| result.to_owned()),
        complaints: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
