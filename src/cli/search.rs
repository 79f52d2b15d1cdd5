//! `tilelab search`: flags to a study, outcomes to exit codes. What it prints lies in [`screen`].

mod screen;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tilelab_kernels::{Isa, Threads};

use self::screen::Screen;
use super::train::{failure, load, stop_flag};
use super::values::{above_zero, count, seed, threads};
use super::{Interrupted, Usage};
use crate::data::Dataset;
use crate::device::Device;
use crate::measure::{Body, Machine, Recording, command_line};
use crate::mlp::{TrainOptions, Trainer};
use crate::search::journal::JournalError;
use crate::search::recorded::{Setting, searched};
use crate::search::training::{Hyperparameters, Measure, Tested, held_back, test, trial};
use crate::search::{
    Configuration, Direction, Domain, Ended, Given, Kind, Limits, Outcome, Plan, Pruner, Sampler, Space, Study,
    StudyError, Value, optimize,
};

/// Where records go.
const RAW: &str = "reports/raw";
/// Attribute of the study: what the best did with the test set.
const TESTED: &str = "tested";

/// What the user typed.
#[derive(clap::Args)]
pub struct Args {
    /// File of the study, in the format of Optuna's JournalFileBackend; one that is there is gone on with
    #[arg(long, value_name = "FILE", default_value = "reports/study.jsonl")]
    study: PathBuf,
    /// Trials that the study is to have in all; without it 30, or every cell of a grid
    #[arg(long, value_name = "N", value_parser = count, allow_hyphen_values = true)]
    trials: Option<usize>,
    /// Who suggests: tpe, random, grid
    #[arg(long, default_value = "tpe")]
    sampler: Sampler,
    /// Who stops trials early: median:WARMUP, halving:FIRST:FACTOR, none
    #[arg(long, default_value = "median:2")]
    pruner: Pruner,
    /// Trials at once; trial k sees the results of trials up to k - N
    #[arg(long, value_name = "N", default_value = "1", value_parser = count, allow_hyphen_values = true)]
    jobs: usize,
    /// What trials are judged by, on the rows that are held back: accuracy, loss
    #[arg(long, default_value = "accuracy", value_parser = measure)]
    objective: Measure,
    /// Share of the training rows that is held back to judge trials by
    #[arg(long, value_name = "SHARE", default_value = "0.1667", value_parser = above_zero, allow_hyphen_values = true)]
    validation: f64,
    /// After this many seconds no trial begins
    #[arg(long, value_name = "SECONDS", value_parser = above_zero, allow_hyphen_values = true)]
    timeout: Option<f64>,
    /// A configuration to try first, such as lr=0.1,batch=64; what it leaves open is suggested; may be repeated
    #[arg(long, value_name = "NAME=VALUE,..")]
    enqueue: Vec<String>,
    /// How often a trial that failed is repeated; one that diverged is not
    #[arg(long, value_name = "N", default_value = "1", value_parser = whole)]
    retries: usize,
    /// Values of each continuum that a grid visits
    #[arg(long, value_name = "N", default_value = "3", value_parser = count, allow_hyphen_values = true)]
    grid_points: usize,
    /// Seeds with which the best is trained on all rows and tested once each; 0 leaves the test set alone
    #[arg(long, value_name = "N", default_value = "3", value_parser = whole)]
    final_seeds: usize,
    /// Learning rate: a value, a list a,b,c or a range LOW..HIGH, LOW..HIGH:log, LOW..HIGH:STEP, as all below
    #[arg(long, default_value = "0.001..0.5:log", value_parser = numbers, allow_hyphen_values = true)]
    lr: Given,
    /// Times to go through the training rows
    #[arg(long, default_value = "5..20", value_parser = wholes, allow_hyphen_values = true)]
    epochs: Given,
    /// Number of hidden layers
    #[arg(long, default_value = "1..3", value_parser = wholes, allow_hyphen_values = true)]
    hidden_layers: Given,
    /// Units of each hidden layer
    #[arg(long, default_value = "64..512:64", value_parser = wholes, allow_hyphen_values = true)]
    units: Given,
    /// Rows of a batch
    #[arg(long, default_value = "32,64,128", value_parser = wholes, allow_hyphen_values = true)]
    batch: Given,
    /// As `tilelab train` spells them, as all below
    #[arg(long, default_value = "relu,gelu", value_parser = names)]
    activation: Given,
    /// Distribution of the first weights
    #[arg(long, default_value = "xavier-uniform,he-normal", value_parser = names)]
    init: Given,
    /// Rule of an update; momentum and nesterov without a number take --momentum's
    #[arg(long, default_value = "sgd,momentum", value_parser = names)]
    optimizer: Given,
    /// mu, for the optimizers that have one
    #[arg(long, default_value = "0.5..0.95", value_parser = numbers, allow_hyphen_values = true)]
    momentum: Given,
    /// Probability of dropout behind each hidden layer
    #[arg(long, default_value = "0..0.5", value_parser = numbers, allow_hyphen_values = true)]
    dropout: Given,
    /// Weight decay
    #[arg(long, default_value = "0.000001..0.001:log", value_parser = numbers, allow_hyphen_values = true)]
    l2: Given,
    /// How the learning rate goes
    #[arg(long, default_value = "constant,cosine", value_parser = names)]
    schedule: Given,
    /// Fixes everything random
    #[arg(long, default_value = "1", value_parser = seed, allow_hyphen_values = true)]
    seed: u64,
    /// Who computes: cpu, baseline, reference, or cuda:N
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// Threads of each trial; without it the CPUs, shared by the jobs
    #[arg(long, value_parser = threads, allow_hyphen_values = true)]
    threads: Option<Threads>,
    /// Data, as for `tilelab train`
    #[arg(long, value_name = "DIR|FILE|sums")]
    data: Option<PathBuf>,
    /// Print one JSON object a line: each trial, then a summary
    #[arg(long)]
    json: bool,
}

fn numbers(text: &str) -> Result<Given, String> {
    Given::parse(text, Kind::Float)
}

fn wholes(text: &str) -> Result<Given, String> {
    Given::parse(text, Kind::Int)
}

fn names(text: &str) -> Result<Given, String> {
    Given::parse(text, Kind::Text)
}

fn whole(text: &str) -> Result<usize, String> {
    text.parse()
        .map_err(|_| "it must be a whole number of at least 0".to_owned())
}

fn measure(text: &str) -> Result<Measure, String> {
    match text {
        "accuracy" => Ok(Measure::Accuracy),
        "loss" => Ok(Measure::Loss),
        _ => Err(format!("`{text}`: there is accuracy, loss")),
    }
}

impl Args {
    fn hyperparameters(&self) -> Hyperparameters {
        Hyperparameters {
            lr: self.lr.clone(),
            epochs: self.epochs.clone(),
            hidden_layers: self.hidden_layers.clone(),
            units: self.units.clone(),
            batch: self.batch.clone(),
            activation: self.activation.clone(),
            init: self.init.clone(),
            optimizer: self.optimizer.clone(),
            momentum: self.momentum.clone(),
            dropout: self.dropout.clone(),
            l2: self.l2.clone(),
            schedule: self.schedule.clone(),
        }
    }

    fn measure_name(&self) -> &'static str {
        match self.objective {
            Measure::Accuracy => "accuracy",
            Measure::Loss => "loss",
        }
    }

    fn plan(&self, space: Space, fixed: &[(String, String)], data: &Dataset) -> Plan {
        let said = [
            ("--objective", self.measure_name().to_owned()),
            ("--validation", self.validation.to_string()),
            ("data", format!("{} of {} rows", data.name, data.train.rows)),
        ];
        let said = said.map(|(name, value)| (name.to_owned(), value));
        Plan {
            space,
            direction: match self.objective {
                Measure::Accuracy => Direction::Maximize,
                Measure::Loss => Direction::Minimize,
            },
            sampler: self.sampler,
            grid_points: self.grid_points,
            pruner: self.pruner,
            seed: self.seed,
            jobs: self.jobs,
            objective: said
                .into_iter()
                .chain(fixed.iter().cloned())
                .collect::<BTreeMap<_, _>>(),
        }
    }

    /// The command that trains this again.
    fn repeating(&self, options: &TrainOptions) -> String {
        let data = self.data.iter().map(|path| {
            let named = command_line(["--data".into(), path.clone().into_os_string()]);
            named["tilelab".len()..].to_owned()
        });
        options.command() + &data.collect::<String>()
    }

    /// What trials share.
    fn base(&self) -> TrainOptions {
        let share = Threads::new((Threads::all().get() / self.jobs).max(1)).unwrap_or_else(|_| Threads::all());
        TrainOptions {
            seed: self.seed,
            device: self.device,
            threads: self.threads.unwrap_or(share),
            ..TrainOptions::default()
        }
    }
}

/// `lr=0.1,batch=64` as values of the space.
fn configuration(text: &str, space: &Space) -> Result<Configuration, String> {
    let mut configuration = Configuration::new();
    for part in text.split(',') {
        let Some((name, value)) = part.split_once('=') else {
            return Err(format!(
                "--enqueue {text}: `{part}` must be a name and a value, such as lr=0.1"
            ));
        };
        let (name, value) = (name.trim(), value.trim());
        let typed = match space.get(name).map(|parameter| &parameter.domain) {
            Some(Domain::Float { .. }) => value.parse().ok().map(Value::Float),
            Some(Domain::Int { .. }) => value.parse().ok().map(Value::Int),
            Some(Domain::Choice(choices)) => choices.iter().find(|choice| choice.to_string() == value).cloned(),
            None => None,
        };
        // What is no value of the space is refused, by name, where it is put in front.
        configuration.insert(name.to_owned(), typed.unwrap_or_else(|| Value::Text(value.to_owned())));
    }
    Ok(configuration)
}

fn study_failure(error: StudyError) -> anyhow::Error {
    match error {
        StudyError::Journal(JournalError::Write { .. }) => anyhow::Error::msg(error.to_string()),
        other => Usage(other.to_string()).into(),
    }
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let hyperparameters = args.hyperparameters();
    let space = hyperparameters.space().map_err(Usage)?;
    let fixed = hyperparameters.fixed();
    let data = load(args.data.as_deref()).map_err(Usage::from)?;
    let part = held_back(&data, args.validation, args.seed).map_err(Usage)?;
    let base = args.base();
    check_device(&base, &part)?;
    let given: Result<Vec<_>, _> = args.enqueue.iter().map(|text| configuration(text, &space)).collect();
    let given = given.map_err(Usage)?;
    let opened = Study::open(&args.study, args.plan(space, &fixed, &data));
    let (mut study, notes) = opened.map_err(study_failure)?;
    study.enqueue(&given).map_err(study_failure)?;
    let wanted = args
        .trials
        .or(study.cells().map(|cells| cells + given.len()))
        .unwrap_or(30);
    let mut screen = Screen::new(args.json, &study, wanted);
    screen.begin(&data.describe(), (part.train.rows, part.test.rows), &notes)?;
    let recording = Recording::start(
        &format!(
            "search-{}",
            args.study
                .file_stem()
                .map_or("study".into(), |stem| stem.to_string_lossy())
        ),
        &format!("Hyperparameter search on {}", data.name),
        "Which hyperparameters are best together, and which of them make the difference?",
        false,
    );
    let stop = stop_flag().context("can't watch for signals")?;
    let limits = Limits {
        trials: wanted,
        retries: args.retries,
        timeout: args.timeout.map(Duration::from_secs_f64),
    };
    let ended = optimize(
        &mut study,
        limits,
        &stop,
        &mut |told, trial| screen.show(told, trial),
        &|run| match hyperparameters.options(&base, &part, &run.task.configuration) {
            Ok(options) => trial(run, &options, &part, args.objective),
            Err(why) => Outcome::Failed(why),
        },
    );
    let ended = ended.map_err(study_failure)?;
    screen.ended(&study, ended)?;
    if ended == Ended::Stopped {
        let kept = study.trials().iter().filter(|trial| trial.state.is_finished()).count();
        let command = command_line(std::env::args_os().skip(1));
        return Err(Interrupted(format!(
            "interrupted; {kept} finished trials are in {}; go on with: {command}",
            args.study.display()
        ))
        .into());
    }
    // The jobs are done: all CPUs are the best configuration's.
    let base = TrainOptions {
        threads: args.threads.unwrap_or_else(Threads::all),
        ..base
    };
    let options = study
        .best()
        .map(|best| hyperparameters.options(&base, &data, &best.configuration));
    let options = options.transpose().map_err(anyhow::Error::msg)?;
    let best_command = options
        .as_ref()
        .map_or(String::new(), |options| args.repeating(options));
    let mut tests = Vec::new();
    if let Some(options) = &options {
        tests = tested(args, &mut study, (options, &data), &stop)?;
        screen.tested(&tests, &best_command)?;
    }
    let setting = Setting {
        study: args.study.display().to_string(),
        measure: args.measure_name().to_owned(),
        data: data.describe(),
        rows: (part.train.rows, part.test.rows),
        fixed,
        best_command,
    };
    let machine = Machine::detect(Isa::available().into_iter().map(|isa| isa.id().to_owned()).collect());
    let record = recording.finish(&machine, Body::Search(Box::new(searched(&study, setting, &tests))));
    let path = crate::report::save(Path::new(RAW), &record).with_context(|| format!("can't write into {RAW}"))?;
    screen.finish(&study, &tests, &path)
}

/// A device that is not there is bad input, not thirty trials that fail.
fn check_device(base: &TrainOptions, data: &Dataset) -> anyhow::Result<()> {
    let options = TrainOptions {
        layers: vec![data.columns(), data.classes],
        batch: 1,
        ..base.clone()
    };
    Trainer::new(&options, data).map(|_| ()).map_err(failure)
}

/// The best on the test set, under each seed once: what the study's file has already is not done again.
fn tested(
    args: &Args,
    study: &mut Study,
    (options, data): (&TrainOptions, &Dataset),
    stop: &AtomicBool,
) -> anyhow::Result<Vec<Tested>> {
    let Some(best) = study.best().map(|best| best.number) else {
        return Ok(Vec::new());
    };
    let kept: Option<Vec<Tested>> = study
        .attr(TESTED)
        .and_then(|kept| serde_json::from_value(kept.clone()).ok());
    let mut tests: Vec<Tested> = kept
        .unwrap_or_default()
        .into_iter()
        .filter(|each| each.trial == best)
        .collect();
    for seed in (0..args.final_seeds as u64).map(|place| args.seed.wrapping_add(place)) {
        if tests.iter().any(|tested| tested.seed == seed) {
            continue;
        }
        tests.push(test(options, data, (best, seed), &|| stop.load(Ordering::Relaxed)).map_err(failure)?);
        study
            .set_attr(TESTED, &serde_json::to_value(&tests)?)
            .map_err(study_failure)?;
    }
    tests.truncate(args.final_seeds);
    Ok(tests)
}
