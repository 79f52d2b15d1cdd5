//! Core to core: two pinned threads hand one cache line back and forth. One way is half of a round trip.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::pin;
use super::slices::Clockwork;
use crate::measure::{CorePair, Cores, Cpu, Ordered};

/// Round trips of a sample.
const TRIPS: u32 = 400;

/// A line of its own: neighbours are prefetched in pairs.
#[repr(align(128))]
struct Line(AtomicU32);

/// All pairs, or as many as the budget allows; the first CPU's pairs come first, then those farthest apart in number.
///
/// # Errors
/// One line, if there are no two CPUs.
pub fn matrix(
    clock: &mut Clockwork<'_>,
    cpus: &[Cpu],
    samples: usize,
    budget: Duration,
    mut progress: impl FnMut(f64),
) -> Result<Cores, String> {
    if cpus.len() < 2 {
        return Err("this process may use one CPU; a pair needs two".to_owned());
    }
    let pairs = order(cpus.len());
    let begun = Instant::now();
    let mut measured: Vec<CorePair> = Vec::new();
    for (number, &(a, b)) in pairs.iter().enumerate() {
        if clock.stopped() || (number > 0 && begun.elapsed() > budget) {
            break;
        }
        let (a, b) = (&cpus[a], &cpus[b]);
        let samples = hand_over(clock, (a.cpu, b.cpu), samples, budget.saturating_sub(begun.elapsed()))?;
        if let Ok(ordered) = Ordered::new(&samples) {
            measured.push(CorePair {
                a: a.cpu,
                b: b.cpu,
                smt: a.siblings.contains(&b.cpu),
                ns: ordered.median(),
                p10_ns: ordered.quantile(0.1),
                modes_ns: modes(&samples),
                samples,
            });
        }
        progress((number + 1) as f64 / pairs.len() as f64);
    }
    measured.sort_by_key(|pair| (pair.a, pair.b));
    if measured.is_empty() {
        return Err("no sample was left undisturbed".to_owned());
    }
    Ok(Cores {
        left_out: pairs.len() - measured.len(),
        pairs: measured,
    })
}

/// Pairs in the order of their worth.
fn order(count: usize) -> Vec<(usize, usize)> {
    let mut pairs: Vec<(usize, usize)> = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))).collect();
    pairs.sort_by_key(|&(a, b)| (a != 0, std::cmp::Reverse(b - a)));
    pairs
}

/// One-way nanoseconds, one a sample.
fn hand_over(
    clock: &mut Clockwork<'_>,
    (a, b): (usize, usize),
    samples: usize,
    budget: Duration,
) -> Result<Vec<f64>, String> {
    let (line, end) = (Line(AtomicU32::new(0)), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (line, end) = (&line, &end);
        let other = scope.spawn(move || {
            let pinned = pin::pin(b);
            // Odd values are ours to answer. The end is looked at now and then only: it is another line.
            let mut spins = 0u32;
            while pinned.is_ok() {
                let value = line.0.load(Ordering::Acquire);
                if value % 2 == 1 {
                    line.0.store(value.wrapping_add(1), Ordering::Release);
                    spins = 0;
                } else {
                    spins = spins.wrapping_add(1);
                    if spins.is_multiple_of(1024) && end.load(Ordering::Relaxed) {
                        break;
                    }
                }
                std::hint::spin_loop();
            }
            pinned
        });
        let asker = scope.spawn(move || {
            pin::pin(a)?;
            let begun = Instant::now();
            let mut kept = Vec::new();
            let mut last = 0u32;
            let mut answered = true;
            while kept.len() < samples + 1
                && answered
                && (kept.len() < 2 || begun.elapsed() < budget)
                && !clock.stopped()
            {
                let ns = clock.slice(|| {
                    for _ in 0..TRIPS {
                        line.0.store(last.wrapping_add(1), Ordering::Release);
                        last = last.wrapping_add(2);
                        answered = answer(&line.0, last);
                        if !answered {
                            break;
                        }
                    }
                });
                kept.extend(ns.filter(|_| answered).map(|ns| ns / f64::from(2 * TRIPS)));
                if begun.elapsed() > Duration::from_secs(2) {
                    break;
                }
            }
            end.store(true, Ordering::Relaxed);
            // The first warms both cores up.
            Ok(kept.split_off(kept.len().min(1)))
        });
        let (asked, other) = (asker.join(), other.join());
        let pinned = other.map_err(|_| "a thread panicked".to_owned())?;
        let kept = asked.map_err(|_| "a thread panicked".to_owned())?;
        pinned.and(kept)
    })
}

/// Waits for `value`, a second at most: the other thread may have found no CPU.
fn answer(line: &AtomicU32, value: u32) -> bool {
    let mut spins = 0u32;
    let mut begun = None;
    while line.load(Ordering::Acquire) != value {
        spins = spins.wrapping_add(1);
        if spins.is_multiple_of(1 << 16) && begun.get_or_insert_with(Instant::now).elapsed() > Duration::from_secs(1) {
            return false;
        }
        std::hint::spin_loop();
    }
    true
}

/// Centres of groups of samples: neighbours in order that are more than 25 percent apart begin a new one, and a group
/// holds a tenth of the samples at least.
fn modes(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut groups: Vec<Vec<f64>> = Vec::new();
    for value in sorted {
        match groups.last_mut() {
            Some(group) if value < 1.25 * group[group.len() - 1] => group.push(value),
            _ => groups.push(vec![value]),
        }
    }
    let large = groups.iter().filter(|group| group.len() * 10 >= samples.len());
    large.map(|group| group[group.len() / 2]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_comes_once_and_the_first_cpus_first() {
        let pairs = order(5);
        assert_eq!(pairs.len(), 10);
        assert_eq!(&pairs[..4], &[(0, 4), (0, 3), (0, 2), (0, 1)]);
        assert!(pairs.iter().all(|(a, b)| a < b));
        assert!(order(1).is_empty());
    }

    #[test]
    fn modes_are_groups() {
        assert_eq!(modes(&[50.0, 51.0, 52.0, 120.0, 121.0, 119.0]), [51.0, 120.0]);
        let mut one = vec![50.0; 30];
        one.push(500.0);
        assert_eq!(modes(&one), [50.0], "a single outlier is no mode");
        assert!(modes(&[]).is_empty());
    }

    #[test]
    fn a_line_is_handed_over() {
        let stop = AtomicBool::new(false);
        let mut clock = Clockwork::new(Instant::now(), &stop);
        let cpus: Vec<Cpu> = pin::allowed()
            .into_iter()
            .take(2)
            .map(|cpu| Cpu {
                cpu,
                core: None,
                package: None,
                node: None,
                siblings: vec![],
            })
            .collect();
        let one = matrix(
            &mut clock,
            &cpus[..1.min(cpus.len())],
            5,
            Duration::from_secs(1),
            |_| (),
        );
        assert!(one.is_err_and(|why| why.contains("one CPU")));
        if cpus.len() < 2 {
            return;
        }
        // A busy machine may leave no undisturbed sample; then it says so.
        match matrix(&mut clock, &cpus, 5, Duration::from_secs(2), |_| ()) {
            Ok(cores) => {
                assert!(cores.left_out == 0 && cores.pairs.len() == 1);
                let pair = &cores.pairs[0];
                assert!(
                    pair.ns > 1.0 && pair.p10_ns <= pair.ns && !pair.modes_ns.is_empty(),
                    "{pair:?}"
                );
            }
            Err(why) => assert!(why.contains("undisturbed"), "{why}"),
        }
    }
}
