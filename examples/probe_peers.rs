//! The probe's loops beside C functions of a library (`benches/probe.sh` builds it): slices of at most 3 ms in turns, a
//! control (ours beside ours) in every round, a slice with a context switch drops its round.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use libloading::{Library, Symbol};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tilelab::measure::{Ordered, Table};
use tilelab::probe::chain::{Chain, Order};
use tilelab::probe::memory::{Mapping, Pages};
use tilelab::probe::pin;
use tilelab::probe::slices::{Meeting, slice};
use tilelab::probe::stream::{Arrays, FACTOR, MULTIPLE, Op};
use tilelab_kernels::Isa;

type Chase = unsafe extern "C" fn(*const u64, usize) -> *const u64;
type Stream = unsafe extern "C" fn(*const f64, *const f64, *mut f64, f64, usize);

/// Time of a slice, below the 3 ms that a comparison allows.
const SLICE: Duration = Duration::from_millis(1);

/// Times of one round: ours, the peer's, ours again; dropped if any of them was switched.
type Round = Option<[f64; 3]>;

/// One thread's round: times, and whether it kept its CPU.
type Turns = [(f64, bool); 3];

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let library = args
        .next()
        .context("usage: probe_peers LIBRARY [--short] [--streams]")?;
    let args: Vec<String> = args.collect();
    let short = args.iter().any(|arg| arg == "--short");
    // SAFETY: the library is the user's own, built from benches/probe/peers.c; it has no initialisers.
    let library = unsafe { Library::new(&library) }.with_context(|| format!("can't load {library}"))?;
    let cpus = pin::allowed();
    ensure!(!cpus.is_empty(), "the system does not tell which CPUs may be used");
    let mut table = Table::new(&["", "C over ours", "control", "bar", "rounds", "verdict"]);
    if !args.iter().any(|arg| arg == "--streams") {
        latencies(&library, cpus[0], short, &mut table)?;
    }
    for threads in [1, 2] {
        if cpus.len() >= threads {
            streams(&library, &cpus[..threads], short, &mut table)?;
        }
    }
    print!("{}", table.render());
    println!("C over ours: time of C over time of ours, median of the rounds; above 1, ours is faster");
    Ok(())
}

/// A row: the ratio must lie between `low` and `high`, and so must the control's.
fn judge(table: &mut Table, name: String, rounds: &[Round], (low, high): (f64, f64)) -> anyhow::Result<()> {
    let kept: Vec<[f64; 3]> = rounds.iter().copied().flatten().collect();
    if kept.is_empty() {
        table.row(vec![
            name,
            "-".into(),
            "-".into(),
            "-".into(),
            "0".into(),
            "every round was disturbed".into(),
        ]);
        return Ok(());
    }
    let median =
        |ratio: fn(&[f64; 3]) -> f64| Ordered::new(&kept.iter().map(ratio).collect::<Vec<_>>()).map(|all| all.median());
    let (ratio, control) = (median(|t| t[1] / t[0])?, median(|t| t[2] / t[0])?);
    let holds = |ratio: f64| (low..=high).contains(&ratio);
    let verdict = match (holds(control), holds(ratio)) {
        (false, _) => "not decidable here",
        (true, true) => "met",
        (true, false) => "MISSED",
    };
    let bar = if high.is_finite() {
        format!("{low:.2} .. {high:.2}")
    } else {
        format!(">= {low:.2}")
    };
    table.row(vec![
        name,
        format!("{ratio:.3}"),
        format!("{control:.3}"),
        bar,
        kept.len().to_string(),
        verdict.to_owned(),
    ]);
    Ok(())
}

/// Runs ours, the peer, ours again in an order that turns with the round; the times in the order of [`Round`].
fn round(number: usize, mut turn: impl FnMut(bool) -> (f64, bool)) -> Round {
    let mut times = [0.0; 3];
    let mut quiet = true;
    for place in 0..3 {
        let who = (number + if number.is_multiple_of(2) { place } else { 3 - place }) % 3;
        let (ns, kept) = turn(who == 1);
        times[who] = ns;
        quiet &= kept;
    }
    quiet.then_some(times)
}

fn latencies(library: &Library, cpu: usize, short: bool, table: &mut Table) -> anyhow::Result<()> {
    // SAFETY: `chase` of peers.c has this type.
    let chase: Symbol<'_, Chase> = unsafe { library.get(b"chase") }.context("the library has no chase")?;
    let (allocations, rounds) = if short { (2, 60) } else { (5, 160) };
    for (bytes, tolerance) in [(16 << 10, 0.03), (256 << 10, 0.1), (8 << 20, 0.1), (256 << 20, 0.1)] {
        let (all, pinned) = pin::on_cpu(cpu, || -> anyhow::Result<Vec<Round>> {
            let mut all = Vec::new();
            for allocation in 0..allocations {
                let mut memory = Mapping::new(bytes, Pages::Small).map_err(anyhow::Error::msg)?;
                memory.words().fill(0);
                let mut rng = ChaCha8Rng::seed_from_u64(allocation);
                let mut chain = Chain::new(memory.words(), bytes / 64, 8, 0, Order::Random, &mut rng);
                chain.walk(2 * chain.words().min(1 << 20));
                let start = Instant::now();
                chain.walk(8192);
                let steps = (SLICE.as_nanos() as f64 / (start.elapsed().as_nanos() as f64 / 8192.0)) as usize;
                let steps = steps.next_multiple_of(16);
                let mut peer = chain.place();
                all.extend((0..rounds).map(|number| {
                    round(number, |is_peer| {
                        if is_peer {
                            // SAFETY: `peer` is a word of the chain's cycle, whose memory lives as long as the chain.
                            slice(|| peer = std::hint::black_box(unsafe { chase(peer, steps) }))
                        } else {
                            slice(|| chain.walk(steps))
                        }
                    })
                }));
            }
            Ok(all)
        });
        pinned.map_err(anyhow::Error::msg)?;
        let name = format!("latency, {} KiB", bytes >> 10);
        judge(table, name, &all?, (1.0 - tolerance, 1.0 + tolerance))?;
    }
    Ok(())
}

fn streams(library: &Library, cpus: &[usize], short: bool, table: &mut Table) -> anyhow::Result<()> {
    // Where the pages of an allocation lie favours one loop or the other by a few percent.
    let (allocations, rounds) = if short { (2, 30) } else { (5, 60) };
    for op in [Op::Copy, Op::Scale, Op::Add, Op::Triad] {
        for non_temporal in [false, true] {
            let symbol = format!("{}_{}", op.name(), if non_temporal { "nt" } else { "c" });
            // SAFETY: the streams of peers.c have this type.
            let peer: Symbol<'_, Stream> =
                unsafe { library.get(symbol.as_bytes()) }.with_context(|| format!("the library has no {symbol}"))?;
            let peer = *peer;
            let mut all: Vec<Round> = Vec::new();
            for _ in 0..allocations {
                let meeting = Meeting::new(cpus.len());
                let parts: Vec<anyhow::Result<Vec<Turns>>> = std::thread::scope(|scope| {
                    let threads: Vec<_> = cpus
                        .iter()
                        .map(|&cpu| {
                            let meeting = &meeting;
                            scope.spawn(move || one_thread(cpu, (op, non_temporal, peer), rounds, meeting))
                        })
                        .collect();
                    threads
                        .into_iter()
                        .map(|thread| thread.join().unwrap_or_else(|_| bail!("a thread panicked")))
                        .collect()
                });
                let parts = parts.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
                all.extend((0..rounds).map(|number| {
                    // The slowest thread's time is the slice's; all of them must have kept their CPUs.
                    let slowest = |who: usize| parts.iter().map(|part| part[number][who].0).fold(0.0, f64::max);
                    let quiet = parts.iter().all(|part| part[number].iter().all(|turn| turn.1));
                    quiet.then(|| [slowest(0), slowest(1), slowest(2)])
                }));
            }
            let stores = if non_temporal { ", non-temporal" } else { "" };
            let name = format!(
                "{}{stores}, {} thread{}",
                op.name(),
                cpus.len(),
                if cpus.len() == 1 { "" } else { "s" }
            );
            judge(table, name, &all, (0.95, f64::INFINITY))?;
        }
    }
    Ok(())
}

/// One thread's times, ours, the peer's, ours again, round by round. Its arrays are 128 MiB each on one thread and less on
/// more; a slice goes on where the last one ended, so that it finds DRAM.
fn one_thread(
    cpu: usize,
    (op, non_temporal, peer): (Op, bool, Stream),
    rounds: usize,
    meeting: &Meeting,
) -> anyhow::Result<Vec<Turns>> {
    const ARRAY: usize = 128 << 20;
    const PART: usize = (512 << 10) / MULTIPLE * MULTIPLE;
    let pinned = pin::pin(cpu);
    let mut memory = Mapping::new(3 * ARRAY + 4096, Pages::Huge).map_err(anyhow::Error::msg)?;
    let mut arrays = Arrays::new(memory.words());
    pinned.map_err(anyhow::Error::msg)?;
    let isa = Isa::selected()?;
    // The answers are compared before anything is timed.
    arrays.run(op, non_temporal, isa, 0, PART);
    let (x, y, z) = arrays.parts();
    let ours = z[..PART].to_vec();
    z.fill(-1.0);
    // SAFETY: PART elements lie behind each pointer, aligned to 64 bytes, and do not overlap.
    unsafe { peer(x.as_ptr(), y.as_ptr(), z.as_mut_ptr(), FACTOR, PART) };
    ensure!(
        z[..PART] == ours && z[PART] == -1.0,
        "{}: the peer computes something else",
        op.name()
    );
    let mut from = 0;
    let mut times = Vec::with_capacity(rounds);
    for number in 0..rounds {
        let mut row = [(0.0, true); 3];
        for place in 0..3 {
            let who = (number + if number.is_multiple_of(2) { place } else { 3 - place }) % 3;
            from = if from + 2 * PART > arrays.len() { 0 } else { from + PART };
            meeting.wait();
            row[who] = if who == 1 {
                let (x, y, z) = arrays.parts();
                let (x, y) = (x[from..from + PART].as_ptr(), y[from..from + PART].as_ptr());
                let z = z[from..from + PART].as_mut_ptr();
                // SAFETY: PART elements lie behind each pointer, aligned to 64 bytes, and do not overlap.
                slice(|| unsafe { peer(x, y, z, FACTOR, PART) })
            } else {
                slice(|| {
                    arrays.run(op, non_temporal, isa, from, PART);
                })
            };
        }
        times.push(row);
    }
    Ok(times)
}
