//! `tilelab self-test`.

use anyhow::bail;
use tilelab_kernels::{Isa, Threads};

use super::Usage;
use crate::device::Device;
#[cfg(feature = "cuda")]
use crate::device::DeviceError;
use crate::measure::{SelfTest, Table};
use crate::self_test;

/// What the user typed.
#[derive(clap::Args)]
pub struct Args {
    /// What to check: cpu (every ISA that it has, or the one that TILELAB_ISA forces), or cuda:N
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// Write all checks to this file as JSON too
    #[arg(long, value_name = "FILE")]
    output: Option<std::path::PathBuf>,
    /// Threads that work on one operation; without it as many as there are CPUs
    #[arg(long, value_parser = super::values::threads, allow_hyphen_values = true)]
    threads: Option<Threads>,
    /// Print one JSON object a line: each check, then a summary
    #[arg(long)]
    json: bool,
}

/// The ISAs that a check of this machine goes through: the forced one, else all.
///
/// # Errors
/// When `TILELAB_ISA` names what this CPU lacks.
pub fn isas() -> anyhow::Result<Vec<Isa>> {
    let selected = Isa::selected().map_err(|error| Usage(error.to_string()))?;
    let forced = std::env::var_os("TILELAB_ISA").is_some_and(|name| !name.is_empty());
    Ok(if forced { vec![selected] } else { Isa::available() })
}

/// The checks of what `--device` names.
fn checks(args: &Args) -> anyhow::Result<SelfTest> {
    match args.device {
        Device::Cpu => self_test::run(&isas()?, args.threads.unwrap_or_else(Threads::all)),
        #[cfg(feature = "cuda")]
        Device::Cuda(ordinal) => {
            let device = args.device;
            let gpu = tilelab_kernels::cuda::Gpu::open(ordinal)
                .map_err(|error| Usage(DeviceError::Open { device, error }.to_string()))?;
            if !args.json {
                let facts = gpu.facts();
                println!("{}, sm_{}, CUDA {}", facts.name, facts.capability, facts.driver_version);
            }
            Ok(self_test::cuda::run(&gpu)?)
        }
        device => Err(Usage(format!(
            "--device {device}: no kernels of ours to check there; use cpu or cuda:N"
        ))
        .into()),
    }
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let done = checks(args)?;
    if let Some(path) = &args.output {
        let text = serde_json::to_string_pretty(&done)?;
        std::fs::write(path, text).map_err(|error| Usage(format!("can't write {}: {error}", path.display())))?;
    }
    let failed = done.checks.iter().filter(|check| !check.passed).count();
    if args.json {
        for check in &done.checks {
            println!("{}", serde_json::to_string(check)?);
        }
        println!(
            "{}",
            serde_json::json!({"event": "done", "checks": done.checks.len(), "failed": failed})
        );
    } else {
        print!("{}", table(&done));
        println!("{} of {} checks passed", done.checks.len() - failed, done.checks.len());
    }
    if failed > 0 {
        bail!("{failed} checks failed: a kernel gives wrong numbers on this machine");
    }
    Ok(())
}

fn table(done: &SelfTest) -> String {
    let mut table = Table::new(&["kernel", "ISA", "cases", "error / bound", ""]);
    for check in &done.checks {
        table.row(vec![
            check.kernel.clone(),
            check.isa.clone(),
            check.cases.to_string(),
            format!("{:.3}", check.error_over_bound),
            if check.passed { "ok" } else { "WRONG" }.to_owned(),
        ]);
    }
    table.render()
}
