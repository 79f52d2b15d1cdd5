//! The steps in turns, and their table.

use std::hint::black_box;
use std::time::Instant;

use crate::Step;
use crate::problem::Problem;

/// Least time of a sample, seconds.
const SAMPLE_S: f64 = 0.01;

/// Steps of the FMA-peak loop in one probe: a few hundred microseconds.
const PROBE_STEPS: usize = 100_000;

/// One step's figures.
struct Rung {
    name: &'static str,
    /// By the median sample.
    gflops: f64,
    /// By the fastest sample and the fastest probe.
    percent: f64,
    /// Median over rounds of the time of the step before over its own; none for the first.
    gain: Option<f64>,
}

/// The figures of all steps, and what they were measured on.
pub struct Rungs {
    rungs: Vec<Rung>,
    conditions: String,
}

/// Checks every step, then times them in turns: up the list in one round, down in the next.
///
/// # Errors
/// When a step's answer is wrong; its name stands first.
pub fn time(problem: &Problem, steps: &[Step], rounds: usize) -> Result<Rungs, Box<dyn std::error::Error>> {
    let mut c = vec![f32::NAN; problem.m * problem.n];
    let answer = problem.answer()?;
    let mut calls = Vec::new();
    for step in steps {
        c.fill(f32::NAN);
        (step.run)(problem, &mut c);
        let error = problem.error_over_bound(&c, &answer);
        if error.is_nan() || error > 1.0 {
            return Err(format!("{}: its error is {error} times the bound; not timed", step.name).into());
        }
        let mut needed = 1u32;
        while sample(problem, step, &mut c, needed) * f64::from(needed) < SAMPLE_S {
            needed *= 2;
        }
        calls.push(needed);
    }
    // One list a step, an entry a round.
    let mut times = vec![Vec::new(); steps.len()];
    let mut peak = 0.0f64;
    for round in 0..rounds {
        let mut turns: Vec<usize> = (0..steps.len()).collect();
        if round % 2 == 1 {
            turns.reverse();
        }
        for at in turns {
            peak = peak.max(probe(problem));
            times[at].push(sample(problem, &steps[at], &mut c, calls[at]));
        }
    }
    let ratio = |at: usize| times[at - 1].iter().zip(&times[at]).map(|(before, own)| before / own);
    let rung = |(at, step): (usize, &Step)| {
        let fastest = times[at].iter().copied().fold(f64::INFINITY, f64::min);
        Rung {
            name: step.name,
            gflops: problem.flops() / median(times[at].clone()) / 1e9,
            percent: 100.0 * problem.flops() / fastest / 1e9 / peak,
            gain: (at > 0).then(|| median(ratio(at).collect())),
        }
    };
    Ok(Rungs {
        rungs: steps.iter().enumerate().map(rung).collect(),
        conditions: format!(
            "{}, {}, one thread, {} x {} x {} in f32, FMA peak {peak:.1} GFLOP/s, {rounds} rounds",
            cpu(),
            problem.ctx.gemm_kernel_id::<f32>(),
            problem.m,
            problem.n,
            problem.k,
        ),
    })
}

/// Seconds of one call.
fn sample(problem: &Problem, step: &Step, c: &mut [f32], calls: u32) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        (step.run)(black_box(problem), c);
        black_box(&mut *c);
    }
    start.elapsed().as_secs_f64() / f64::from(calls)
}

/// GFLOP/s of FMAs on registers alone.
fn probe(problem: &Problem) -> f64 {
    let start = Instant::now();
    let flops = problem.ctx.fma_flops::<f32>(PROBE_STEPS);
    flops as f64 / start.elapsed().as_secs_f64() / 1e9
}

/// The middle one, or the mean of the two.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        (values[middle - 1] + values[middle]) / 2.0
    }
}

/// What the system calls the CPU.
fn cpu() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let name = field("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    match (field("cpu family"), field("model\t")) {
        (Some(family), Some(model)) => format!("{name} (family {family}, model {model})"),
        _ => name,
    }
}

impl Rung {
    fn cells(&self) -> [String; 4] {
        [
            self.name.to_owned(),
            format!("{:.2}", self.gflops),
            format!("{:.1}", self.percent),
            self.gain.map_or(String::new(), |gain| format!("{gain:.2}x")),
        ]
    }
}

/// Heads of the columns.
const HEADS: [&str; 4] = ["step", "GFLOP/s", "% of FMA peak", "gain"];

impl Rungs {
    /// For a terminal.
    pub fn text(&self) -> String {
        let line = |[name, rate, percent, gain]: [String; 4]| format!("{name:<25}{rate:>9}{percent:>15}{gain:>9}\n");
        let rows: String = self.rungs.iter().map(|rung| line(rung.cells())).collect();
        format!("{}\n\n{}{rows}", self.conditions, line(HEADS.map(str::to_owned)))
    }

    /// For docs/gemm.md.
    pub fn markdown(&self) -> String {
        let row = |cells: [String; 4]| format!("| {} |\n", cells.join(" | "));
        let rows: String = self.rungs.iter().map(|rung| row(rung.cells())).collect();
        format!(
            "{}.\n\n{}|---|--:|--:|--:|\n{rows}",
            self.conditions,
            row(HEADS.map(str::to_owned))
        )
    }
}
