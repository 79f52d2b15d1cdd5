//! A progress bar on stderr for work that is long enough to wait for.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work below this is over before a bar would be read.
const SHOWN_AFTER: Duration = Duration::from_millis(700);

/// A bar that appears if stderr is a terminal and the work takes long, and is gone when dropped.
///
/// It draws only within its own calls: no thread of it ever disturbs what is measured.
pub struct Progress {
    bar: ProgressBar,
    started: Instant,
    /// Whether it waits to be shown: stderr is a terminal, and the time has not come.
    waits: bool,
}

impl Progress {
    /// A bar of `total` steps, each a `unit` such as `samples` or `rounds`.
    pub fn new(total: u64, unit: &str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        let template = format!("{{msg}} {{wide_bar}} {{pos}}/{{len}} {unit}, {{per_sec}}, {{eta}} left");
        // The template is ours and valid; should indicatif ever differ, its default bar does.
        bar.set_style(ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self {
            bar,
            started: Instant::now(),
            waits: std::io::stderr().is_terminal(),
        }
    }

    /// Says what is being done now, in front of the bar.
    pub fn label(&mut self, text: impl Into<String>) {
        self.bar.set_message(text.into());
    }

    /// `steps` more are done.
    pub fn add(&mut self, steps: u64) {
        self.show();
        self.bar.inc(steps);
    }

    /// `done` steps of all are done.
    pub fn set(&mut self, done: u64) {
        self.show();
        self.bar.set_position(done);
    }

    /// Takes the bar away while `print` writes to the terminal.
    pub fn suspend<R>(&mut self, print: impl FnOnce() -> R) -> R {
        self.bar.suspend(print)
    }

    fn show(&mut self) {
        if self.waits && self.started.elapsed() >= SHOWN_AFTER {
            self.waits = false;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_without_a_terminal() {
        let mut progress = Progress::new(10, "rounds");
        progress.label("1024 cubed");
        progress.add(3);
        progress.set(7);
        assert_eq!(progress.suspend(|| 5), 5);
        assert_eq!(progress.bar.position(), 7);
        assert!(progress.bar.is_hidden());
    }
}
