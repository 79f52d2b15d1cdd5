//! Latency by working set: chases over 1 KiB to beyond the last cache, on three kinds of pages and walks, in sweeps up and
//! down. At each size the curves take turns, so that they can be compared with one another.

use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::chain::{Chain, Order};
use super::knees;
use super::memory::{Mapping, Pages};
use super::slices::Clockwork;
use crate::measure::{Curve, CurvePoint, Fact, Visit};

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Effort {
    /// Sizes an octave.
    pub per_octave: u32,
    /// Sweeps over all sizes.
    pub sweeps: u32,
    /// Slices a visit.
    pub slices: usize,
    /// Time of a slice.
    pub slice: Duration,
    /// Most time to warm a size up.
    pub warm: Duration,
    /// No sweep begins that would end later than this.
    pub budget: Duration,
    /// Also a curve that visits every fourth line.
    pub wide_stride: bool,
}

impl Effort {
    /// For a first look.
    pub fn quick() -> Self {
        Self {
            per_octave: 3,
            sweeps: 2,
            slices: 3,
            slice: Duration::from_micros(500),
            warm: Duration::from_millis(4),
            budget: Duration::from_secs(5),
            wide_stride: false,
        }
    }

    /// For figures to keep.
    pub fn full() -> Self {
        Self {
            per_octave: 4,
            sweeps: 4,
            slices: 7,
            slice: Duration::from_millis(1),
            warm: Duration::from_millis(20),
            budget: Duration::from_secs(75),
            wide_stride: true,
        }
    }
}

/// The smallest working set.
pub const LEAST: usize = 1 << 10;

/// The largest working set: four times the last cache, 256 MiB at least, and as much as may be used.
pub fn most(last_cache: u64, max_bytes: u64) -> usize {
    let wanted = (4 * last_cache).clamp(256 << 20, 8 << 30);
    // Two buffers: one on 4 KiB pages, one on 2 MiB pages.
    wanted.min(max_bytes / 2).max(1 << 20) as usize
}

/// Working sets from [`LEAST`] to `most`, `per_octave` in each octave, multiples of 256.
pub fn sizes(most: usize, per_octave: u32) -> Vec<usize> {
    let octaves = (most as f64 / LEAST as f64).log2();
    let steps = (octaves * f64::from(per_octave)).round() as u32;
    let mut sizes: Vec<usize> = (0..=steps)
        .map(|step| LEAST as f64 * (f64::from(step) / f64::from(per_octave)).exp2())
        .map(|bytes| ((bytes / 256.0).round() as usize * 256).min(most))
        .collect();
    sizes.dedup();
    sizes
}

/// Sweeps over [`sizes`], upwards and downwards in turn, each with its number: none but the first begins that would end beyond `budget`.
pub fn sweeps(most: usize, per_octave: u32, count: u32, budget: Duration) -> impl Iterator<Item = (u32, Vec<usize>)> {
    let begun = Instant::now();
    let (mut last, mut longest) = (begun, Duration::ZERO);
    (0..count).map_while(move |sweep| {
        longest = longest.max(last.elapsed());
        last = Instant::now();
        if sweep > 0 && begun.elapsed() + longest > budget {
            return None;
        }
        let mut sizes = sizes(most, per_octave);
        if sweep % 2 == 1 {
            sizes.reverse();
        }
        Some((sweep, sizes))
    })
}

/// What a curve walks.
struct Kind {
    name: &'static str,
    title: &'static str,
    stride: usize,
    order: Order,
    pages: Pages,
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "tlb-reach",
        title: "within TLB reach",
        stride: 64,
        order: Order::Windows,
        pages: Pages::Small,
    },
    Kind {
        name: "pages-4k",
        title: "random, 4 KiB pages",
        stride: 64,
        order: Order::Random,
        pages: Pages::Small,
    },
    Kind {
        name: "pages-2m",
        title: "random, 2 MiB pages",
        stride: 64,
        order: Order::Random,
        pages: Pages::Huge,
    },
    Kind {
        name: "stride-256",
        title: "random, every fourth line, 2 MiB pages",
        stride: 256,
        order: Order::Random,
        pages: Pages::Huge,
    },
];

/// The curves. On a stop those that have points are kept.
///
/// # Errors
/// One line, if there is no memory.
pub fn curves(
    clock: &mut Clockwork<'_>,
    most: usize,
    effort: &Effort,
    seed: u64,
    mut progress: impl FnMut(f64),
) -> Result<Vec<Curve>, String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut small = Mapping::new(most, Pages::Small)?;
    let mut huge = Mapping::new(most, Pages::Huge)?;
    // Both are touched by the thread that measures.
    small.words().fill(0);
    huge.words().fill(0);
    let (small_pages, huge_pages) = (small.huge_bytes(), huge.huge_bytes());
    let kinds: Vec<&Kind> = KINDS
        .iter()
        .filter(|kind| kind.stride == 64 || effort.wide_stride)
        .collect();
    let mut visits: Vec<Vec<Visit>> = kinds.iter().map(|_| Vec::new()).collect();
    for (sweep, sizes) in sweeps(most, effort.per_octave, effort.sweeps, effort.budget) {
        for (place, &bytes) in sizes.iter().enumerate() {
            for (kind, visits) in kinds.iter().zip(&mut visits) {
                if clock.stopped() {
                    break;
                }
                let memory = match kind.pages {
                    Pages::Small => small.words(),
                    Pages::Huge => huge.words(),
                };
                let mut chain = Chain::new(
                    memory,
                    (bytes / kind.stride).max(1),
                    kind.stride / 8,
                    0,
                    kind.order,
                    &mut rng,
                );
                visits.push(visit(clock, &mut chain, bytes as u64, sweep, effort));
            }
            progress((f64::from(sweep) + (place + 1) as f64 / sizes.len() as f64) / f64::from(effort.sweeps));
        }
    }
    let pages = |pages: Pages| match pages {
        Pages::Small => small_pages.clone(),
        Pages::Huge => huge_pages.clone(),
    };
    let done = kinds
        .iter()
        .zip(visits)
        .map(|(kind, visits)| curve(kind.name, kind.title, kind.stride, pages(kind.pages), visits, seed));
    Ok(done.collect())
}

/// A curve with its knees and its plateau.
pub fn curve(name: &str, title: &str, stride: usize, huge_bytes: Fact<u64>, visits: Vec<Visit>, seed: u64) -> Curve {
    let findings = knees::find(&visits, seed);
    Curve {
        name: name.to_owned(),
        title: title.to_owned(),
        stride_bytes: stride as u64,
        huge_bytes,
        visits,
        plateau_ns: plateau(&findings.points),
        points: findings.points,
        knees: findings.knees,
    }
}

/// Warm-up, calibration, slices.
pub fn visit(clock: &mut Clockwork<'_>, chain: &mut Chain<'_>, size: u64, sweep: u32, effort: &Effort) -> Visit {
    let steps = warm(chain, effort);
    let (slices, dropped) = clock.slices(effort.slices, || chain.walk(steps));
    Visit {
        size,
        sweep,
        at_s: clock.at_s(),
        ns: slices.into_iter().map(|ns| ns / steps as f64).collect(),
        dropped,
    }
}

/// Walks once round, or as far as the time goes, and tells how many steps a slice takes.
fn warm(chain: &mut Chain<'_>, effort: &Effort) -> usize {
    const BURST: usize = 4096;
    let begun = Instant::now();
    let mut walked = 0;
    let mut burst = Duration::ZERO;
    // Two laps at least for short cycles: the first brings them in.
    while walked < 2 * BURST || (walked < chain.words() && begun.elapsed() < effort.warm) {
        let start = Instant::now();
        chain.walk(BURST);
        burst = start.elapsed();
        walked += BURST;
    }
    let ns = (burst.as_nanos() as f64 / BURST as f64).max(0.1);
    ((effort.slice.as_nanos() as f64 / ns) as usize)
        .clamp(256, 1 << 24)
        .next_multiple_of(16)
}

/// Latency of the last octave, if it is flat: its first and last points differ by less than 8 percent.
fn plateau(points: &[CurvePoint]) -> Fact<f64> {
    const FLAT: f64 = 1.08;
    let Some(last) = points.last() else {
        return Fact::unknown("nothing was measured");
    };
    let octave: Vec<&CurvePoint> = points.iter().filter(|point| point.size * 2 >= last.size).collect();
    let (low, high) = octave.iter().fold((f64::INFINITY, 0.0f64), |(low, high), point| {
        (low.min(point.ns), high.max(point.ns))
    });
    if octave.len() < 2 {
        Fact::unknown("too few sizes at the end")
    } else if high / low < FLAT {
        Fact::known(last.ns, "the last octave is flat")
    } else {
        Fact::unknown(format!(
            "not flat: {:.0} % between the sizes of the last octave",
            100.0 * (high / low - 1.0)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn sizes_rise_from_the_first_to_the_last() {
        let all = sizes(256 << 20, 4);
        assert_eq!((all[0], all.len(), all[all.len() - 1]), (1 << 10, 73, 256 << 20));
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]) && all.iter().all(|bytes| bytes % 256 == 0));
        assert_eq!(most(32 << 20, u64::MAX), 256 << 20);
        assert_eq!(most(128 << 20, u64::MAX), 512 << 20);
        assert_eq!(
            most(u64::MAX / 8, 1 << 30),
            512 << 20,
            "an absurd claim is bounded by the memory there is"
        );
        assert_eq!(most(0, 0), 1 << 20);
    }

    #[test]
    fn a_small_sweep_gives_every_curve_and_more_memory_takes_longer() {
        let stop = AtomicBool::new(false);
        let mut clock = Clockwork::new(Instant::now(), &stop);
        let mut last = 0.0;
        let curves = curves(
            &mut clock,
            16 << 20,
            &Effort {
                per_octave: 1,
                ..Effort::quick()
            },
            1,
            |share| last = share,
        )
        .unwrap();
        assert_eq!((curves.len(), last), (3, 1.0));
        for curve in &curves {
            assert_eq!(curve.points.len(), 15, "{}", curve.name);
            let (first, last) = (curve.points[1].ns, curve.points[14].ns);
            assert!(
                (0.2..50.0).contains(&first) && last > 1.5 * first,
                "{}: {first} {last}",
                curve.name
            );
        }
    }

    #[test]
    fn a_stop_keeps_what_was_measured() {
        let stop = AtomicBool::new(true);
        let mut clock = Clockwork::new(Instant::now(), &stop);
        let curves = curves(&mut clock, 1 << 20, &Effort::quick(), 1, |_| ()).unwrap();
        assert!(
            curves
                .iter()
                .all(|curve| curve.points.is_empty() && curve.plateau_ns.value.is_none())
        );
    }

    #[test]
    fn a_plateau_must_be_flat() {
        let point = |size, ns| CurvePoint {
            size,
            ns,
            interval_ns: (ns, ns),
        };
        let flat = [point(1 << 20, 50.0), point(3 << 19, 100.0), point(1 << 21, 103.0)];
        assert!(plateau(&flat[1..]).value == Some(103.0));
        assert!(plateau(&flat).source.contains("106 %"), "{}", plateau(&flat).source);
        assert!(plateau(&[]).value.is_none() && plateau(&flat[..1]).value.is_none());
    }
}
