//! Two executables launched in turns, A B B A A B ..., each leaving its records in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::figures::{Figure, figures};
use super::judge::{Row, Verdict, speed};
use crate::measure::paired_ratio;
use crate::report;

/// What is launched, and how often.
#[derive(Debug, Clone)]
pub struct Launches<'a> {
    /// What both are asked to do, such as `bench gemm --shapes 1024`; `--out` is put behind it.
    pub command: &'a [String],
    /// Launches of each.
    pub count: usize,
    /// What counts as the same: 0.02 is 2 percent.
    pub margin: f64,
    /// Folder that takes the records, and is removed.
    pub scratch: &'a Path,
}

/// Every figure that each launch of both left behind.
///
/// # Errors
/// A launch that fails, or leaves no figures.
pub fn executables(
    old: &Path,
    new: &Path,
    launches: &Launches<'_>,
    mut done: impl FnMut(usize),
) -> anyhow::Result<Vec<Row>> {
    let mut pairs: Vec<(Vec<Figure>, Vec<Figure>)> = Vec::new();
    for pair in 0..launches.count {
        // Mirrored: what one leaves in the caches and the clock is charged to both alike.
        let first_is_old = pair % 2 == 0;
        let (first, second) = if first_is_old { (old, new) } else { (new, old) };
        let a = launch(first, launches)?;
        done(2 * pair + 1);
        let b = launch(second, launches)?;
        done(2 * pair + 2);
        pairs.push(if first_is_old { (a, b) } else { (b, a) });
    }
    let Some((first, _)) = pairs.first() else {
        return Ok(Vec::new());
    };
    Ok(first
        .iter()
        .filter_map(|figure| row(figure, &pairs, launches.margin))
        .collect())
}

/// The figure's row, if every launch has it.
fn row(figure: &Figure, pairs: &[(Vec<Figure>, Vec<Figure>)], margin: f64) -> Option<Row> {
    let value = |figures: &[Figure]| {
        let same = figures.iter().find(|other| other.name == figure.name);
        same.map(|other| other.value)
    };
    let old: Vec<f64> = pairs.iter().map(|(old, _)| value(old)).collect::<Option<_>>()?;
    let new: Vec<f64> = pairs.iter().map(|(_, new)| value(new)).collect::<Option<_>>()?;
    let speeds: Vec<f64> = old
        .iter()
        .zip(&new)
        .map(|(&old, &new)| speed(figure.better, old, new))
        .collect();
    let (ratio, interval) = paired_ratio(&speeds, &vec![1.0; speeds.len()]).ok()?;
    let interval = (interval.low, interval.high);
    let median = |values: &[f64]| crate::measure::Ordered::new(values).map(|ordered| ordered.median());
    Some(Row {
        name: figure.name.clone(),
        unit: figure.unit,
        old: median(&old).ok()?,
        new: median(&new).ok()?,
        ratio,
        interval,
        verdict: Verdict::of(figure.better, interval, margin, 0.0),
    })
}

/// Runs one of them once; its figures, each with its record's name in front.
fn launch(executable: &Path, launches: &Launches<'_>) -> anyhow::Result<Vec<Figure>> {
    let out = launches.scratch.join("reports");
    if out.exists() {
        std::fs::remove_dir_all(&out).with_context(|| format!("can't clear {}", out.display()))?;
    }
    // A bare name would be looked for in PATH.
    let path: PathBuf = executable
        .canonicalize()
        .with_context(|| format!("can't run {}", executable.display()))?;
    let ended = Command::new(&path)
        .args(launches.command)
        .arg("--out")
        .arg(&out)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("can't run {}", executable.display()))?;
    if !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stderr);
        let why = said
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .unwrap_or("it said nothing");
        bail!(
            "{} {} failed ({}): {why}",
            executable.display(),
            launches.command.join(" "),
            ended.status
        );
    }
    let (records, problems) = report::load(&out.join("raw"));
    let mut all = Vec::new();
    for record in &records {
        for mut figure in figures(record) {
            if records.len() > 1 {
                figure.name = format!("{}: {}", record.name, figure.name);
            }
            all.push(figure);
        }
    }
    if all.is_empty() {
        let why = problems
            .first()
            .map_or_else(String::new, |problem| format!(": {problem}"));
        bail!(
            "{} {} left no record with figures{why}; name a command that measures, such as bench gemm --shapes 1024",
            executable.display(),
            launches.command.join(" ")
        );
    }
    Ok(all)
}
