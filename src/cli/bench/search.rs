//! `tilelab bench search`.

use std::path::PathBuf;

use anyhow::Context as _;
use tilelab_kernels::Isa;

use crate::bench::{bars, search};
use crate::measure::{Body, Machine, Progress, Recording, Surrogates, Table};
use crate::report;
use crate::search::Sampler;
use crate::search::surrogate::Surrogate;

/// What the user typed behind `bench search`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Print the bars too: figure, threshold, and met or missed
    #[arg(long)]
    bars: bool,
    /// Searches of each sampler on each function, one a seed
    #[arg(long, value_name = "N", default_value = "100", value_parser = crate::cli::values::count)]
    seeds: usize,
    /// Searches of Optuna, which takes much longer
    #[arg(long, value_name = "N", default_value = "20", value_parser = crate::cli::values::count)]
    optuna_seeds: usize,
    /// The interpreter that has Optuna
    #[arg(long, default_value = "python3")]
    python: String,
    /// Folder of the report, whose raw/ takes the record
    #[arg(long, value_name = "DIR", default_value = "reports")]
    out: PathBuf,
    /// Print one JSON object a line: each figure or bar, then a summary
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let machine = Machine::detect(Isa::available().iter().map(|isa| isa.id().to_owned()).collect());
    let recording = Recording::start(
        "bench-search",
        "Samplers on functions with known optima",
        "Does a search that learns from its trials get nearer to the best than one that draws at random?",
        false,
    );
    let samplers = [Sampler::Tpe, Sampler::Random];
    let (mut optuna, notes) = match search::Optuna::start(&args.python) {
        Ok(optuna) => (Some(optuna), Vec::new()),
        Err(why) => (None, vec![why]),
    };
    let each = samplers.len() * args.seeds + optuna.as_ref().map_or(0, |_| args.optuna_seeds);
    let mut progress = Progress::new((Surrogate::ALL.len() * each) as u64, "searches");
    let mut found = Surrogates {
        regrets: Vec::new(),
        notes,
    };
    for surrogate in Surrogate::ALL {
        progress.label(surrogate.name());
        for sampler in samplers {
            let mut runs = Vec::new();
            for seed in 1..=args.seeds as u64 {
                runs.push(search::ours(surrogate, sampler, seed)?);
                progress.add(1);
            }
            found
                .regrets
                .extend(search::regrets(surrogate, &sampler.to_string(), &runs));
        }
        if let Some(optuna) = &mut optuna {
            let mut runs = Vec::new();
            for seed in 1..=args.optuna_seeds as u64 {
                runs.push(optuna.run(surrogate, seed).map_err(anyhow::Error::msg)?);
                progress.add(1);
            }
            let name = optuna.version.clone();
            found.regrets.extend(search::regrets(surrogate, &name, &runs));
        }
    }
    drop(progress);
    let judged = if args.bars { search::bars(&found) } else { Vec::new() };
    if args.json {
        for regret in &found.regrets {
            println!("{}", serde_json::to_string(regret)?);
        }
        for bar in &judged {
            println!("{}", serde_json::to_string(bar)?);
        }
    } else {
        println!("{}", table(&found));
        if args.bars {
            println!("{}", bars::table(&judged));
        }
    }
    let raw = args.out.join("raw");
    let record = recording.finish(&machine, Body::Surrogates(found));
    let file = report::save(&raw, &record).with_context(|| format!("can't write into {}", raw.display()))?;
    if args.json {
        println!(
            "{}",
            serde_json::json!({"event": "done", "record": file, "bars": judged.len()})
        );
    } else {
        println!("record: {}", file.display());
    }
    Ok(())
}

fn table(found: &Surrogates) -> String {
    let mut table = Table::new(&[
        "function, sampler",
        "trials",
        "searches",
        "median regret",
        "middle half",
    ]);
    for each in &found.regrets {
        table.row(vec![
            format!("{}, {}", each.surrogate, each.sampler),
            each.trials.to_string(),
            each.runs.to_string(),
            format!("{:.4}", each.regret.median),
            format!("{:.4} to {:.4}", each.regret.lower, each.regret.upper),
        ]);
    }
    let notes: String = found.notes.iter().map(|note| format!("{note}\n")).collect();
    table.render() + &notes
}
