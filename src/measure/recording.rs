//! From the start of a measurement to its [`Record`].

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::{Body, Build, Machine, Record, SCHEMA};

/// A measurement that has begun: holds what its record will say, and when it started.
///
/// ```
/// use tilelab::measure::{Body, Machine, Recording, SelfTest};
/// let recording = Recording::start("self-test", "Self-test", "Do the kernels compute what they should?", true);
/// // ... measure ...
/// let machine = Machine::detect(vec!["portable".into()]);
/// let record = recording.finish(&machine, Body::SelfTest(SelfTest { checks: vec![] }));
/// assert!(record.quick && record.elapsed_s >= 0.0);
/// ```
#[derive(Debug, Clone)]
pub struct Recording {
    name: String,
    title: String,
    question: String,
    quick: bool,
    command: String,
    started: Instant,
    started_unix_s: u64,
}

impl Recording {
    /// Starts now: `name` is the record's file stem, `title` its heading, `question` what it answers. The command that
    /// repeats it is this process's own, unless [`Recording::command`] says another.
    pub fn start(name: &str, title: &str, question: &str, quick: bool) -> Self {
        // A clock before 1970 is wrong anyway.
        let started_unix_s = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            question: question.to_owned(),
            quick,
            command: command_line(std::env::args_os().skip(1)),
            started: Instant::now(),
            started_unix_s,
        }
    }

    /// The command that repeats just this, where the process did more than it.
    pub fn command(mut self, command: impl Into<String>) -> Self {
        self.command = command.into();
        self
    }

    /// When it started: the zero of [`super::Round::at_s`], for [`super::Contest::new`].
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The record, with the build's facts and the time that it all took.
    pub fn finish(self, machine: &Machine, body: Body) -> Record {
        Record {
            schema: SCHEMA,
            name: self.name,
            title: self.title,
            question: self.question,
            quick: self.quick,
            started_unix_s: self.started_unix_s,
            elapsed_s: self.started.elapsed().as_secs_f64(),
            command: self.command,
            build: Build::current(),
            machine: machine.clone(),
            body,
        }
    }
}

/// `tilelab` and these arguments as a shell takes them.
pub fn command_line(args: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> String {
    let mut line = "tilelab".to_owned();
    for arg in args {
        let arg = arg.as_ref().to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+,.:/@%".contains(c);
        line.push(' ');
        if !arg.is_empty() && arg.chars().all(plain) {
            line.push_str(&arg);
        } else {
            line.push_str(&format!("'{}'", arg.replace('\'', r"'\''")));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::SelfTest;

    #[test]
    fn a_command_line_can_be_pasted() {
        assert_eq!(
            command_line(["train", "--layers", "784,10"]),
            "tilelab train --layers 784,10"
        );
        assert_eq!(
            command_line(["a b", "", "it's", "$x"]),
            r"tilelab 'a b' '' 'it'\''s' '$x'"
        );
        assert_eq!(command_line([] as [&str; 0]), "tilelab");
    }

    #[test]
    fn a_record_survives_json() {
        let machine = Machine::detect(vec!["avx2".into(), "portable".into()]);
        let recording = Recording::start("n", "t", "q?", false).command("tilelab bench");
        let record = recording.finish(&machine, Body::SelfTest(SelfTest { checks: vec![] }));
        assert!(record.started_unix_s > 1_700_000_000 && record.command == "tilelab bench" && !record.quick);
        assert_eq!(record.build.version, env!("CARGO_PKG_VERSION"));
        let json = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), record);
    }
}
