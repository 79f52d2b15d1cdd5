//! Every question of the notebook as an experiment: a file states it, computes the answer on our kernels, checks itself and
//! chooses what it found from its data.
//!
//! ```text
//! Entry::run(&mut Run) -> Outcome { checks, plots, sheets, beside, finding } --record--> Record --report--> a section
//! ```
//! A file has two halves: what is measured (`run`), and what is made of it (`assess`, a pure function of the data, which tests
//! give made-up and broken data). To add one: its file with an [`Entry`], a line in [`ALL`], a variant of
//! [`crate::measure::Finding`], and its sentence in `report/sections/experiment/words.rs`.

pub mod notebook;
mod outcome;
mod run;
mod state;
#[cfg(test)]
mod testing;

mod dense;
mod passes;
mod seeds;

mod activation_choice;
mod activations;
mod batch_norm;
mod batch_size;
mod depth;
mod dying_relu;
mod footprint;
mod framework_vs_scratch;
mod gradients;
mod hessian_cost;
mod hidden_units;
mod joint_search;
mod learning_rate;
mod linear_baseline;
mod linear_collapse;
mod matmul_alignment;
mod memory_bus;
mod mlp_from_scratch;
mod partition;
mod piecewise_linear;
mod sigmoid_tanh;
mod single_neuron;
mod stable_softmax;
mod vanishing_gradient;
mod weight_init;

use crate::measure::{Body, Machine, Record, Recording};

pub use outcome::{Outcome, plot};
pub use run::{Failure, Options, QUICK_ROWS, Run, Told, Trained};
pub use state::State;

/// An experiment.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Its name on the command line.
    pub name: &'static str,
    /// Heading of its section.
    pub title: &'static str,
    /// What it asks.
    pub question: &'static str,
    /// What should come out, and why.
    pub expects: &'static str,
    /// Runs it.
    pub run: fn(&mut Run<'_>) -> Result<Outcome, Failure>,
}

/// All experiments, in the order of the notebook.
pub const ALL: &[Entry] = &[
    linear_baseline::ENTRY,
    activations::ENTRY,
    dying_relu::ENTRY,
    linear_collapse::ENTRY,
    piecewise_linear::ENTRY,
    sigmoid_tanh::ENTRY,
    batch_norm::ENTRY,
    vanishing_gradient::ENTRY,
    stable_softmax::ENTRY,
    mlp_from_scratch::ENTRY,
    hidden_units::ENTRY,
    depth::ENTRY,
    single_neuron::ENTRY,
    learning_rate::ENTRY,
    joint_search::ENTRY,
    framework_vs_scratch::ENTRY,
    matmul_alignment::ENTRY,
    memory_bus::ENTRY,
    activation_choice::ENTRY,
    weight_init::ENTRY,
    gradients::ENTRY,
    footprint::ENTRY,
    hessian_cost::ENTRY,
    batch_size::ENTRY,
    partition::ENTRY,
];

/// The experiment of this name.
pub fn by_name(name: &str) -> Option<&'static Entry> {
    ALL.iter().find(|entry| entry.name == name)
}

impl Options {
    /// As records and states hold them.
    pub fn settings(&self) -> Vec<(String, String)> {
        let build = crate::measure::Build::current();
        let settings = [
            ("size", if self.full { "full" } else { "quick" }.to_owned()),
            ("seed", self.seed.to_string()),
            ("device", self.device.to_string()),
            ("threads", self.threads.get().to_string()),
            ("build", format!("{} {}", build.version, build.commit)),
        ];
        let data = self
            .data
            .iter()
            .map(|folder| ("data".to_owned(), folder.display().to_string()));
        settings
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .chain(data)
            .collect()
    }
}

impl Entry {
    /// Name of its record.
    pub fn record_name(&self) -> String {
        format!("experiment-{}", self.name)
    }

    /// The command that repeats it.
    pub fn command(&self, options: &Options) -> String {
        let size = if options.full { "--full" } else { "--quick" };
        let (device, threads) = (options.device, options.threads.get());
        let mut args = vec![
            "experiment".to_owned(),
            "run".to_owned(),
            self.name.to_owned(),
            size.to_owned(),
        ];
        args.extend(["--seed".to_owned(), options.seed.to_string()]);
        args.extend([
            "--device".to_owned(),
            device.to_string(),
            "--threads".to_owned(),
            threads.to_string(),
        ]);
        if let Some(folder) = &options.data {
            args.extend(["--data".to_owned(), folder.display().to_string()]);
        }
        crate::measure::command_line(args)
    }

    /// Runs it into a record. What it has done when it fails or is stopped lies in `state`.
    ///
    /// # Errors
    /// As its [`Entry::run`].
    pub fn record(
        &self,
        options: &Options,
        machine: &Machine,
        state: &mut State,
        stop: &dyn Fn() -> bool,
        told: &mut Told<'_>,
    ) -> Result<Record, Failure> {
        let recording = Recording::start(&self.record_name(), self.title, self.question, !options.full);
        let recording = recording.command(self.command(options));
        let outcome = (self.run)(&mut Run::new(options, state, stop, told))?;
        let body = outcome.finish(self.name, self.expects, options.settings());
        Ok(recording.finish(machine, Body::Experiment(Box::new(body))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_apart_and_every_entry_says_what_it_asks() {
        let names: std::collections::BTreeSet<_> = ALL.iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), ALL.len());
        for entry in ALL {
            assert!(entry.question.ends_with('?'), "{}", entry.name);
            assert!(
                entry.expects.ends_with('.') && !entry.title.is_empty(),
                "{}",
                entry.name
            );
            assert_eq!(by_name(entry.name).unwrap().name, entry.name);
        }
        assert!(by_name("no-such").is_none());
    }
}
