//! A study: its plan, its trials, and which trial comes next.
//!
//! Trials run in parallel, and yet the same plan gives the same study: trial k begins when all trials up to k - jobs have
//! finished, and its sampler and its pruner see those alone, in whatever order the others end. With one job that is every
//! trial before it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::clock::now_s;
use super::grid::Grid;
use super::journal::{Journal, JournalError, Lines, Opened, Replayed};
use super::pruner::Pruner;
use super::sampler::{Asked, Sampler};
use super::space::{Configuration, Space};
use super::trial::{DIVERGED, Direction, FAILURE, STARTED, State, Trial};

/// Attribute of the study: its plan.
const PLAN: &str = "tilelab";
/// Attribute of a trial: which of the jobs ran it.
pub const WORKER: &str = "worker";

/// What decides a study, and is kept in its file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Parameters.
    pub space: Space,
    /// What is looked for.
    pub direction: Direction,
    /// Who suggests.
    pub sampler: Sampler,
    /// Values of a continuum that a grid visits.
    pub grid_points: usize,
    /// Who stops trials.
    pub pruner: Pruner,
    /// Fixes what samplers draw.
    pub seed: u64,
    /// Trials at once.
    pub jobs: usize,
    /// What a trial is, in words of whoever runs it: name and value.
    pub objective: BTreeMap<String, String>,
}

/// A study that can't be gone on with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StudyError {
    /// Its file.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Its plan. One line that names the way out.
    #[error("{0}")]
    Plan(String),
}

/// How a trial ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// With this value; one that is not finite counts as diverged.
    Complete(f64),
    /// Its curve was not good enough.
    Pruned,
    /// Without a finite value, and it would again.
    Diverged(String),
    /// For a reason that another attempt may not meet.
    Failed(String),
    /// The search was stopped: the trial is left as it is, and done again when the search goes on.
    Stopped,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Run this trial.
    Start(Task),
    /// Some other trial must end first.
    Wait,
    /// Nothing is left to begin.
    Done,
}

/// A trial to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its number.
    pub number: usize,
    /// What to try.
    pub configuration: Configuration,
    /// It and its pruner see the trials below this number.
    pub visible: usize,
}

/// A study.
#[derive(Debug)]
pub struct Study {
    plan: Plan,
    grid: Option<Grid>,
    /// `None` for a study that is not kept.
    journal: Option<Journal>,
    replayed: Replayed,
    /// What this process runs.
    running: BTreeSet<usize>,
    /// How often this process has repeated each trial that failed.
    repeated: BTreeMap<usize, usize>,
}

impl Study {
    /// A study in memory alone.
    ///
    /// # Errors
    /// A grid with too many cells.
    pub fn in_memory(plan: Plan) -> Result<Self, StudyError> {
        let grid = grid(&plan)?;
        Ok(Self::new(plan, grid, None, Replayed::default()))
    }

    /// The study of this file, begun or gone on with; and what the user should know about that.
    ///
    /// # Errors
    /// A file that can't be read or written, or that holds a study of another plan.
    pub fn open(path: &Path, plan: Plan) -> Result<(Self, Vec<String>), StudyError> {
        let grid = grid(&plan)?;
        let Opened {
            journal,
            replayed,
            warning,
        } = Journal::open(path)?;
        let mut notes: Vec<String> = warning.into_iter().collect();
        // One that was killed before its first trial has nothing to lose.
        let empty =
            replayed.user.is_empty() && replayed.trials.is_empty() && replayed.direction == Some(plan.direction);
        if replayed.name.is_some() && !empty {
            let jobs = compatible(&replayed, &plan).map_err(|why| {
                StudyError::Plan(format!(
                    "the study {} {why}; name another file with --study",
                    path.display()
                ))
            })?;
            if jobs != plan.jobs {
                notes.push(format!(
                    "the study was begun with --jobs {jobs}: with --jobs {} it goes on in another way",
                    plan.jobs
                ));
            }
        }
        let name = path
            .file_stem()
            .map_or("study".to_owned(), |stem| stem.to_string_lossy().into_owned());
        let mut study = Self::new(plan, grid, Some(journal), replayed);
        let mut lines = Lines::default();
        if study.replayed.name.is_none() {
            lines.study(&name, study.plan.direction);
        }
        if study.replayed.user.get(PLAN) != Some(&study.plan_json()) {
            lines.study_attr(PLAN, &study.plan_json());
        }
        study.write(lines)?;
        Ok((study, notes))
    }

    fn new(plan: Plan, grid: Option<Grid>, journal: Option<Journal>, mut replayed: Replayed) -> Self {
        if journal.is_none() {
            replayed.name = Some(String::new());
        }
        Self {
            plan,
            grid,
            journal,
            replayed,
            running: BTreeSet::new(),
            repeated: BTreeMap::new(),
        }
    }

    fn plan_json(&self) -> Json {
        // Numbers, names and maps with string keys: that always is JSON.
        serde_json::to_value(&self.plan).unwrap_or_default()
    }

    /// What decides it.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Its trials, by number.
    pub fn trials(&self) -> &[Trial] {
        &self.replayed.trials
    }

    /// Its best trial so far.
    pub fn best(&self) -> Option<&Trial> {
        super::trial::best(self.trials(), self.plan.direction)
    }

    /// Cells of its grid, if it has one.
    pub fn cells(&self) -> Option<usize> {
        self.grid.as_ref().map(Grid::len)
    }

    /// An attribute of the study.
    pub fn attr(&self, name: &str) -> Option<&Json> {
        self.replayed.user.get(name)
    }

    /// Sets one.
    ///
    /// # Errors
    /// [`JournalError::Write`].
    pub fn set_attr(&mut self, name: &str, value: &Json) -> Result<(), StudyError> {
        let mut lines = Lines::default();
        lines.study_attr(name, value);
        self.write(lines)
    }

    /// Every change goes through here: to the disk first, then to what is known.
    fn write(&mut self, lines: Lines) -> Result<(), StudyError> {
        if let Some(journal) = &mut self.journal {
            journal.append(&lines)?;
        }
        for line in lines.iter() {
            if let Err(why) = self.replayed.apply(line) {
                unreachable!("a line of ours is one of a journal: {why}");
            }
        }
        Ok(())
    }

    /// Puts configurations in front of what the sampler suggests; parameters that they leave open are suggested. One that the
    /// study has been given before is not taken again. Returns how many were taken.
    ///
    /// # Errors
    /// A parameter or value that the space does not have, or a write that fails.
    pub fn enqueue(&mut self, given: &[Configuration]) -> Result<usize, StudyError> {
        let mut lines = Lines::default();
        let mut taken: Vec<&Configuration> = Vec::new();
        let before: Vec<Configuration> = self.trials().iter().map(Trial::fixed).collect();
        for configuration in given {
            for (name, value) in configuration {
                let parameter = self.plan.space.get(name);
                if parameter.is_none_or(|parameter| parameter.domain.place(value).is_none()) {
                    let names: Vec<&str> = self.plan.space.parameters().iter().map(|each| &*each.name).collect();
                    return Err(StudyError::Plan(match parameter {
                        None => format!(
                            "--enqueue {name}: the space has no such parameter; it has {}",
                            names.join(", ")
                        ),
                        Some(_) => format!("--enqueue {name}={value}: that value is not in the space"),
                    }));
                }
            }
            if !before.contains(configuration) && !taken.contains(&configuration) {
                lines.waiting(configuration, None);
                taken.push(configuration);
            }
        }
        let count = taken.len();
        self.write(lines)?;
        Ok(count)
    }

    /// How many trials there are to be, repeated ones aside, when `wanted` are asked for: a grid has no more than its cells.
    fn target(&self, wanted: usize) -> usize {
        let given = self
            .trials()
            .iter()
            .filter(|trial| trial.retry_of().is_none() && !trial.fixed().is_empty());
        self.cells().map_or(wanted, |cells| wanted.min(cells + given.count()))
    }

    /// What to do now, when the study is to have `wanted` trials and each that failed is repeated up to `retries` times. A
    /// trial that is to start is written down as running; [`Study::end`] must follow.
    ///
    /// # Errors
    /// A write that fails.
    pub fn next(&mut self, wanted: usize, retries: usize, worker: usize) -> Result<Next, StudyError> {
        let trials = self.trials();
        let repeats = trials.iter().filter(|trial| trial.retry_of().is_some()).count();
        let open = trials
            .iter()
            .find(|trial| !trial.state.is_finished() && !self.running.contains(&trial.number));
        let mut number = open.map_or(trials.len(), |trial| trial.number);
        if number >= self.target(wanted).saturating_add(repeats) {
            // Those that failed are repeated when all else is done, one after the other.
            if !self.running.is_empty() {
                return Ok(Next::Wait);
            }
            let Some(failed) = self.to_repeat(retries) else {
                return Ok(Next::Done);
            };
            let mut lines = Lines::default();
            lines.waiting(&self.trials()[failed].configuration, Some(failed));
            self.write(lines)?;
            *self.repeated.entry(failed).or_default() += 1;
            number = self.trials().len() - 1;
        }
        let visible = (number + 1).saturating_sub(self.plan.jobs);
        if self.trials()[..visible].iter().any(|trial| !trial.state.is_finished()) {
            return Ok(Next::Wait);
        }
        match self.suggest(number, visible) {
            Some(configuration) => self.start(number, configuration, worker).map(|configuration| {
                Next::Start(Task {
                    number,
                    configuration,
                    visible,
                })
            }),
            None => Ok(Next::Done),
        }
    }

    /// The first trial that failed, whose repetitions failed too, and that may be repeated once more.
    fn to_repeat(&self, retries: usize) -> Option<usize> {
        let failed = self
            .trials()
            .iter()
            .filter(|trial| trial.may_be_retried() && trial.retry_of().is_none());
        let again = |number| {
            self.trials()
                .iter()
                .filter(move |trial| trial.retry_of() == Some(number))
        };
        let mut open = failed.filter(|trial| {
            let left = self.repeated.get(&trial.number).is_none_or(|&count| count < retries);
            left && retries > 0 && !trial.configuration.is_empty() && again(trial.number).all(Trial::may_be_retried)
        });
        open.next().map(|trial| trial.number)
    }

    fn suggest(&self, number: usize, visible: usize) -> Option<Configuration> {
        let trials = self.trials();
        // What a killed process had begun with, or what was given.
        let fixed = trials.get(number).map(|trial| match trial.state {
            State::Running => trial.configuration.clone(),
            _ => trial.fixed(),
        });
        let seen: Vec<_> = trials[..visible]
            .iter()
            .filter_map(|trial| trial.seen(self.plan.direction))
            .collect();
        let asked = Asked {
            trial: number,
            suggested: trials[..number].iter().filter(|trial| trial.fixed().is_empty()).count(),
            fixed: &fixed.unwrap_or_default(),
            seen: &seen,
        };
        self.plan
            .sampler
            .suggest(&self.plan.space, self.grid.as_ref(), self.plan.seed, asked)
    }

    fn start(
        &mut self,
        number: usize,
        configuration: Configuration,
        worker: usize,
    ) -> Result<Configuration, StudyError> {
        let (mut lines, now) = (Lines::default(), now_s());
        match self.trials().get(number).map(|trial| trial.state) {
            None => lines.trial(now),
            Some(State::Waiting) => lines.begins(number, now),
            // Begun by a process that was killed.
            Some(_) => {}
        }
        for parameter in self.plan.space.parameters() {
            if let Some(value) = configuration.get(&parameter.name) {
                lines.parameter(number, (&parameter.name, value), &parameter.domain);
            }
        }
        lines.attr(number, STARTED, now);
        lines.attr(number, WORKER, worker);
        self.write(lines)?;
        self.replayed.trials[number].curve.clear();
        self.running.insert(number);
        Ok(configuration)
    }

    /// What a running trial saw at a step; whether its pruner stops it there.
    ///
    /// # Errors
    /// A write that fails.
    pub fn report(&mut self, task: &Task, step: usize, value: f64) -> Result<bool, StudyError> {
        let mut lines = Lines::default();
        lines.step(task.number, step, value);
        self.write(lines)?;
        let curve: Vec<f64> = self.trials()[task.number].curve.values().copied().collect();
        let seen = &self.trials()[..task.visible];
        Ok(self.plan.pruner.stops(&curve, self.plan.direction, seen))
    }

    /// How a running trial ended.
    ///
    /// # Errors
    /// A write that fails.
    pub fn end(&mut self, task: &Task, outcome: &Outcome) -> Result<(), StudyError> {
        self.running.remove(&task.number);
        let (mut lines, number) = (Lines::default(), task.number);
        let (state, value) = match outcome {
            Outcome::Stopped => return Ok(()),
            Outcome::Complete(value) if value.is_finite() => (State::Complete, Some(*value)),
            Outcome::Complete(value) => {
                lines.attr(number, DIVERGED, format!("its value is {value}"));
                (State::Failed, None)
            }
            // As Optuna does: the value of a pruned trial is the last that was seen.
            Outcome::Pruned => {
                let last = self.trials()[number].curve.values().next_back().copied();
                (State::Pruned, last.filter(|value| value.is_finite()))
            }
            Outcome::Diverged(why) => {
                lines.attr(number, DIVERGED, why.as_str());
                (State::Failed, None)
            }
            Outcome::Failed(why) => {
                lines.attr(number, FAILURE, why.as_str());
                (State::Failed, None)
            }
        };
        lines.end(number, state, value, now_s());
        self.write(lines)
    }
}

/// The cells of a plan that visits them.
fn grid(plan: &Plan) -> Result<Option<Grid>, StudyError> {
    match plan.sampler {
        Sampler::Grid => Grid::new(&plan.space, plan.grid_points, plan.seed)
            .map(Some)
            .map_err(StudyError::Plan),
        Sampler::Random | Sampler::Tpe => Ok(None),
    }
}

/// Whether a study in a file is one of this plan; the jobs it was begun with.
fn compatible(replayed: &Replayed, plan: &Plan) -> Result<usize, String> {
    let kept = replayed.user.get(PLAN).ok_or("was not begun by tilelab search")?;
    let kept: Plan = serde_json::from_value(kept.clone())
        .map_err(|error| format!("has a plan that this version does not read ({error})"))?;
    let differs = |what: &str, there: &dyn std::fmt::Display, here: &dyn std::fmt::Display| {
        Err(format!("was begun with {what} {there}, not {here}"))
    };
    if kept.sampler != plan.sampler {
        return differs("--sampler", &kept.sampler, &plan.sampler);
    }
    if kept.pruner != plan.pruner {
        return differs("--pruner", &kept.pruner, &plan.pruner);
    }
    if kept.seed != plan.seed {
        return differs("--seed", &kept.seed, &plan.seed);
    }
    for (name, here) in &plan.objective {
        let there = kept.objective.get(name).map_or("none", String::as_str);
        if there != here {
            return differs(name, &there, here);
        }
    }
    let names = |space: &Space| space.parameters().to_vec();
    let (there, here) = (names(&kept.space), names(&plan.space));
    let other = here.iter().find(|parameter| !there.contains(parameter));
    if let Some(parameter) = other.or_else(|| there.iter().find(|parameter| !here.contains(parameter))) {
        return Err(format!("was begun with another space: {} differs", parameter.name));
    }
    if kept.grid_points != plan.grid_points || kept.direction != plan.direction || kept.space != plan.space {
        return Err("was begun with another grid, direction or order of parameters".to_owned());
    }
    Ok(kept.jobs)
}
