//! Frameworks as child processes: one small protocol of JSON lines, so that they take turns with ours round by round.
//!
//! The other side is `benches/frameworks/frameworks.py`, which is part of this program and handed to the Python interpreter.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

const SCRIPT: &str = include_str!("../../benches/frameworks/frameworks.py");

/// Names that the script takes.
pub const NAMES: [&str; 3] = ["pytorch", "jax", "numpy"];

/// One framework in its own process, which ends when this is dropped.
pub struct Framework {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    name: &'static str,
    version: String,
}

impl Framework {
    /// Starts `python` with the script for this framework and as many threads.
    ///
    /// # Errors
    /// One line that says why it is not there: no interpreter, or no such package.
    pub fn start(python: &str, name: &'static str, threads: usize) -> Result<Self, String> {
        let mut child = Command::new(python)
            .args(["-c", SCRIPT, name, &threads.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A missing package is told on stdout; what else libraries print is not for the user of the bench.
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| {
                format!("{name}: {python} can't be started ({error}); name an interpreter with --python")
            })?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(format!("{name}: no pipe to {python}"));
        };
        let mut framework = Self {
            child,
            to,
            from: BufReader::new(from),
            name,
            version: String::new(),
        };
        let first = framework.hear()?;
        match first["ready"].as_str() {
            Some(version) => framework.version = version.to_owned(),
            None => {
                return Err(format!(
                    "{name}: not installed ({})",
                    first["missing"].as_str().unwrap_or("no answer")
                ));
            }
        }
        Ok(framework)
    }

    /// As the script takes it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Such as `PyTorch 2.15.0`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Sends an order and gives the answer.
    ///
    /// # Errors
    /// One line when the process is gone or answers no JSON.
    pub fn ask(&mut self, order: &Value) -> Result<Value, String> {
        writeln!(self.to, "{order}").map_err(|error| format!("{}: the process is gone ({error})", self.name))?;
        self.hear()
    }

    /// How long `calls` calls of an opened case took, ns.
    ///
    /// # Errors
    /// As [`Framework::ask`].
    pub fn run(&mut self, case: u64, calls: u64) -> Result<u64, String> {
        let answer = self.ask(&json!({"run": case, "calls": calls}))?;
        answer["ns"]
            .as_u64()
            .ok_or_else(|| format!("{}: no time in {answer}", self.name))
    }

    fn hear(&mut self) -> Result<Value, String> {
        let mut line = String::new();
        match self.from.read_line(&mut line) {
            Ok(0) => Err(format!("{}: the process ended without an answer", self.name)),
            Ok(_) => serde_json::from_str(&line).map_err(|error| format!("{}: {error} in {line:?}", self.name)),
            Err(error) => Err(format!("{}: {error}", self.name)),
        }
    }
}

impl Drop for Framework {
    fn drop(&mut self) {
        // It ends by itself at the end of its input; one that hangs must not outlive us. Nothing to do if it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
