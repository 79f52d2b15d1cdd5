//! `tilelab compare`: two records, or two executables launched in turns.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::Usage;
use crate::compare::{self, Launches, Row, Verdict};
use crate::measure::{Body, Progress, Record, Table};
use crate::report;

/// What the user typed.
#[derive(clap::Args)]
pub struct Args {
    /// A record (reports/raw/*.json) or an executable of Tilelab: what is compared with
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The same kind of thing: what is judged
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// What counts as the same: 0.05 is 5 percent. Without it 0.05 for records, which are one launch each, 0.02 for executables
    #[arg(long, value_parser = super::values::zero_or_above)]
    margin: Option<f64>,
    /// Launches of each executable; 6 give an interval of 95 percent
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=1000))]
    launches: u32,
    /// Exit with 1 if anything is slower
    #[arg(long)]
    deny_slower: bool,
    /// Print one JSON object a line: each figure, then a summary
    #[arg(long)]
    json: bool,
    /// For executables: what both are asked to measure, such as -- bench gemm --shapes 1024
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// What a file is.
enum Side {
    Record(Box<Record>),
    Executable,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let (rows, notes) = match (side(&args.old)?, side(&args.new)?) {
        (Side::Record(old), Side::Record(new)) => records(args, &old, &new)?,
        (Side::Executable, Side::Executable) => (executables(args)?, Vec::new()),
        _ => {
            let (old, new) = (args.old.display(), args.new.display());
            return Err(Usage(format!(
                "{old} and {new}: one is a record, the other an executable; name two of a kind"
            ))
            .into());
        }
    };
    tell(args, &rows, &notes)?;
    let slower = rows.iter().filter(|row| row.verdict == Verdict::Slower).count();
    if args.deny_slower && slower > 0 {
        bail!("{slower} of {} figures are slower", rows.len());
    }
    Ok(())
}

fn side(path: &Path) -> anyhow::Result<Side> {
    let shown = path.display();
    let start = {
        use std::io::Read as _;
        let mut start = Vec::new();
        let file = std::fs::File::open(path).map_err(|error| Usage(format!("{shown}: {error}")))?;
        file.take(4096)
            .read_to_end(&mut start)
            .map_err(|error| Usage(format!("{shown}: {error}")))?;
        start
    };
    if start.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') {
        let record = report::read(path).map_err(|why| Usage(format!("{shown}: {why}")))?;
        return Ok(Side::Record(Box::new(record)));
    }
    if executable(path) {
        return Ok(Side::Executable);
    }
    Err(Usage(format!(
        "{shown}: neither a record (reports/raw/*.json) nor an executable; a revision is compared once it is built, each in a worktree of its own"
    ))
    .into())
}

#[cfg(unix)]
fn executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|file| file.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn executable(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "exe")
}

fn records(args: &Args, old: &Record, new: &Record) -> anyhow::Result<(Vec<Row>, Vec<String>)> {
    if !args.command.is_empty() {
        return Err(Usage("a command behind -- goes with two executables, not with records".to_owned()).into());
    }
    let rows = compare::records(old, new, args.margin.unwrap_or(0.05));
    if rows.is_empty() {
        let (a, b) = (args.old.display(), args.new.display());
        let (first, second) = (&old.name, &new.name);
        return Err(Usage(format!(
            "{a} ({first}) and {b} ({second}) have no figure in common; compare two records of one kind"
        ))
        .into());
    }
    let mut notes = Vec::new();
    if old.machine != new.machine {
        notes.push(format!("another machine: {} and {}", old.machine, new.machine));
    }
    if let (Some(a), Some(b)) = (card(old), card(new))
        && a != b
    {
        notes.push(format!("another card: {a} and {b}"));
    }
    if old.quick != new.quick {
        notes.push("one of the two was quick, with fewer samples and smaller sizes".to_owned());
    }
    if old.build != new.build {
        let build = |record: &Record| format!("{} {}", record.build.version, record.build.commit);
        notes.push(format!("another build: {} and {}", build(old), build(new)));
    }
    Ok((rows, notes))
}

/// The card that a record probed.
fn card(record: &Record) -> Option<&str> {
    match &record.body {
        Body::Probe(found) => found.gpu.value.as_ref().map(|gpu| gpu.card.name.as_str()),
        _ => None,
    }
}

fn executables(args: &Args) -> anyhow::Result<Vec<Row>> {
    if args.command.is_empty() {
        return Err(
            Usage("two executables need something to measure, such as -- bench gemm --shapes 1024".to_owned()).into(),
        );
    }
    let scratch = std::env::temp_dir().join(format!("tilelab-compare-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).with_context(|| format!("can't make {}", scratch.display()))?;
    let mut progress = Progress::new(2 * u64::from(args.launches), "launches");
    let launches = Launches {
        command: &args.command,
        count: args.launches as usize,
        margin: args.margin.unwrap_or(0.02),
        scratch: &scratch,
    };
    let rows = compare::executables(&args.old, &args.new, &launches, |done| progress.set(done as u64));
    // It holds copies alone; what stays behind costs a little room in the system's temporary folder.
    let _ = std::fs::remove_dir_all(&scratch);
    rows
}

fn tell(args: &Args, rows: &[Row], notes: &[String]) -> anyhow::Result<()> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows {
        *counts.entry(row.verdict.name()).or_default() += 1;
    }
    if args.json {
        let mut text = String::new();
        for row in rows {
            text += &format!("{}\n", serde_json::to_string(row)?);
        }
        text += &format!(
            "{}\n",
            serde_json::json!({"event": "done", "figures": rows.len(), "verdicts": counts, "notes": notes})
        );
        return super::print(&text);
    }
    let mut table = Table::new(&["", "old", "new", "unit", "ratio", "interval", "verdict"]);
    for row in rows {
        let (low, high) = row.interval;
        table.row(vec![
            row.name.clone(),
            format!("{:.3}", row.old),
            format!("{:.3}", row.new),
            row.unit.to_owned(),
            format!("{:.3}", row.ratio),
            format!("{low:.3} .. {high:.3}"),
            row.verdict.name().to_owned(),
        ]);
    }
    let summary: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let mut text = table.render();
    text += "ratio: how many times as fast the new one is; how many times as large where neither is better\n";
    for note in notes {
        text += &format!("note: {note}\n");
    }
    super::print(&format!("{text}{}\n", summary.join(", ")))
}
