//! Frameworks as child processes: one small protocol of JSON lines, so that they take turns with ours round by round.
//!
//! The other side is `benches/frameworks/frameworks.py`, which is part of this program and handed to the Python interpreter, or
//! the package `benches/frameworks/candle`, which is no member of the workspace and built apart.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::Trouble;
use crate::measure::Contestant;

const SCRIPT: &str = include_str!("../../benches/frameworks/frameworks.py");

/// Names that the script takes.
const NAMES: [&str; 3] = ["pytorch", "jax", "numpy"];

/// Where a build of `benches/frameworks/candle` lies, seen from the repository.
pub const CANDLE: &str = "benches/frameworks/candle/target/release/tilelab-candle";

/// The frameworks of this machine, each optional, and a line for each that is not there.
pub struct Frameworks {
    /// In a fixed order.
    pub found: Vec<RefCell<Framework>>,
    /// Such as `jax: not installed (No module named 'jax')`.
    pub missing: Vec<String>,
}

impl Frameworks {
    /// Starts those of the interpreter `python`, and candle's program. They inherit the CPUs that this process is bound to.
    pub fn start(python: &str, candle: &Path, threads: usize) -> Self {
        let scripted = NAMES.map(|name| Framework::scripted(python, name, threads));
        Self::gathered(scripted.into_iter().chain([Framework::candle(candle, threads)]))
    }

    /// Starts those that have second derivatives: PyTorch and JAX.
    pub fn start_differentiating(python: &str, threads: usize) -> Self {
        Self::gathered(["pytorch", "jax"].map(|name| Framework::scripted(python, name, threads)))
    }

    fn gathered(all: impl IntoIterator<Item = Result<Framework, String>>) -> Self {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for framework in all {
            match framework {
                Ok(framework) => found.push(RefCell::new(framework)),
                Err(why) => missing.push(why),
            }
        }
        Self { found, missing }
    }

    /// What a reader of figures must know: the versions, then what is missing.
    pub fn lines(&self) -> Vec<String> {
        let found = self.found.iter().map(|framework| framework.borrow().version.clone());
        found.chain(self.missing.iter().cloned()).collect()
    }
}

/// A case that a framework has opened as `id`, as a contestant.
pub fn contestant<'a>(
    framework: &'a RefCell<Framework>,
    id: u64,
    error_over_bound: f64,
    trouble: &'a Trouble,
) -> Contestant<'a> {
    let (name, process) = (framework.borrow().name, framework.borrow().child.id());
    let mut last_ns = 1;
    Contestant::elsewhere(name, process, error_over_bound, move |calls| {
        match framework.borrow_mut().run(id, calls) {
            Ok(ns) => last_ns = ns,
            Err(error) => *trouble.borrow_mut() = Some(error),
        }
        last_ns
    })
}

/// One framework in its own process, which ends when this is dropped.
pub struct Framework {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    name: &'static str,
    version: String,
}

impl Framework {
    fn scripted(python: &str, name: &'static str, threads: usize) -> Result<Self, String> {
        let mut command = Command::new(python);
        command.args(["-c", SCRIPT, name, &threads.to_string()]);
        Self::start(command, name, |error| {
            format!("{python} can't be started ({error}); name an interpreter with --python")
        })
    }

    fn candle(program: &Path, threads: usize) -> Result<Self, String> {
        const NAME: &str = "candle";
        if !program.is_file() {
            return Err(format!(
                "{NAME}: not installed (no {}; cargo build --release --manifest-path benches/frameworks/candle/Cargo.toml makes it)",
                program.display()
            ));
        }
        let mut command = Command::new(program);
        command
            .arg(threads.to_string())
            .env("RAYON_NUM_THREADS", threads.to_string());
        Self::start(command, NAME, |error| {
            format!("{} can't be started ({error})", program.display())
        })
    }

    /// Starts the process; one line that says why it is not there.
    fn start(
        mut command: Command,
        name: &'static str,
        refused: impl FnOnce(std::io::Error) -> String,
    ) -> Result<Self, String> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A missing package is told on stdout; what else libraries print is not for the user of the bench.
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{name}: {}", refused(error)))?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(format!("{name}: no pipe to its process"));
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
    fn run(&mut self, case: u64, calls: u64) -> Result<u64, String> {
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
