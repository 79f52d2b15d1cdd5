//! Claimed caches beside the knees of the curve.

use super::knees;
use crate::measure::{ClaimedCache, Curve, Fact, Knee, Level, Ordered};

/// A knee within this many octaves of the claim is the claimed cache's.
const NEAR: f64 = 1.5;

/// "Within one step": the found size is between half and twice the claimed one.
const STEP: f64 = 1.0;

/// The curve that tells caches best: 2 MiB pages where the kernel granted them, since neither address translation nor the
/// pages' places in the cache are in it; else the walk within the TLB's reach.
pub fn clearest(curves: &[Curve]) -> Option<&Curve> {
    let named = |name: &str| {
        curves
            .iter()
            .find(|curve| curve.name == name && !curve.points.is_empty())
    };
    let huge = named("pages-2m").filter(|curve| {
        let largest = curve.points.last().map_or(u64::MAX, |point| point.size);
        curve.huge_bytes.value.is_some_and(|bytes| bytes * 10 >= largest * 9)
    });
    huge.or_else(|| named("tlb-reach"))
}

/// One entry a claimed cache, from the first level up; the last one takes the largest rise that is left, wherever it is.
pub fn compare(caches: &[ClaimedCache], curves: &[Curve], hypervisor: bool, seed: u64) -> Vec<Level> {
    let sharing = if hypervisor {
        "shared with other guests or partitioned by the host"
    } else {
        "other cores share it"
    };
    clearest(curves).map_or_else(Vec::new, |curve| against(caches, curve, sharing, seed))
}

/// The same beside one curve. `sharing`: why the last cache may be smaller than claimed.
pub fn against(caches: &[ClaimedCache], curve: &Curve, sharing: &str, seed: u64) -> Vec<Level> {
    let mut left: Vec<Knee> = curve.knees.clone();
    let by_sweep = sweeps(curve, seed);
    let mut levels = Vec::new();
    for (number, cache) in caches.iter().enumerate() {
        let last = number + 1 == caches.len() && caches.len() > 1;
        let taken = take(&mut left, cache.bytes.value, last);
        let sweeps: Vec<f64> = taken.as_ref().map_or_else(Vec::new, |knee| {
            by_sweep.iter().filter_map(|knees| same(knees, knee, last)).collect()
        });
        if let Some(knee) = &taken {
            // Knees below are no cache of a higher level.
            left.retain(|other| other.size > knee.size);
        }
        let verdict = verdict(cache.bytes.value, taken.as_ref(), &sweeps, last, sharing);
        levels.push(Level {
            level: cache.level,
            claimed_bytes: cache.bytes.clone(),
            hit_ns: Fact::of(
                taken.as_ref().and_then(|knee| hit(curve, levels.last(), knee.size)),
                &curve.name,
                "no size of the curve lies in this cache alone",
            ),
            found: match taken {
                Some(knee) => Fact::known(knee, format!("the curve {}", curve.name)),
                None => Fact::unknown(format!("the curve {} has no knee near it", curve.name)),
            },
            by_sweep: sweeps,
            verdict,
        });
    }
    levels
}

fn octaves(a: f64, b: f64) -> f64 {
    (a / b).log2()
}

/// Takes a knee out of those left.
fn take(left: &mut Vec<Knee>, claimed: Option<u64>, last: bool) -> Option<Knee> {
    let claimed = claimed.map(|bytes| bytes as f64);
    let place = if last {
        // A last cache may be partitioned or shared: the highest rise is its, but not one far beyond the claim.
        let possible = |knee: &Knee| claimed.is_none_or(|claimed| octaves(knee.size, claimed) < NEAR);
        let rise = |knee: &Knee| knee.after_ns - knee.before_ns;
        let highest = left.iter().enumerate().filter(|(_, knee)| possible(knee));
        highest.max_by(|a, b| rise(a.1).total_cmp(&rise(b.1)))?.0
    } else {
        let claimed = claimed?;
        let distance = |knee: &Knee| octaves(knee.size, claimed).abs();
        let near = left.iter().enumerate().filter(|(_, knee)| distance(knee) < NEAR);
        near.min_by(|a, b| distance(a.1).total_cmp(&distance(b.1)))?.0
    };
    Some(left.remove(place))
}

/// Knees of each sweep by itself.
fn sweeps(curve: &Curve, seed: u64) -> Vec<Vec<Knee>> {
    let last = curve.visits.iter().map(|visit| visit.sweep).max().unwrap_or(0);
    let of = |sweep: u32| {
        let visits: Vec<_> = curve
            .visits
            .iter()
            .filter(|visit| visit.sweep == sweep)
            .cloned()
            .collect();
        knees::find(&visits, seed).knees
    };
    (0..=last).map(of).collect()
}

/// The size in another sweep of what was found over all of them.
fn same(knees: &[Knee], found: &Knee, last: bool) -> Option<f64> {
    let reach = if last { 3.0 } else { NEAR };
    let near = knees.iter().filter(|knee| octaves(knee.size, found.size).abs() < reach);
    let rise = |knee: &Knee| knee.after_ns - knee.before_ns;
    if last {
        near.max_by(|a, b| rise(a).total_cmp(&rise(b))).map(|knee| knee.size)
    } else {
        let distance = |knee: &Knee| octaves(knee.size, found.size).abs();
        near.min_by(|a, b| distance(a).total_cmp(&distance(b)))
            .map(|knee| knee.size)
    }
}

/// Median latency of sizes that this cache holds and the one below does not.
fn hit(curve: &Curve, below: Option<&Level>, size: f64) -> Option<f64> {
    let floor = below
        .and_then(|below| Some(below.found.value.as_ref()?.size))
        .unwrap_or(0.0);
    // The upper half of the range, where few loads still hit the cache below.
    let low = if floor > 0.0 { (floor * size).sqrt() } else { 0.0 };
    let inside = curve
        .points
        .iter()
        .filter(|point| (point.size as f64) > low && (point.size as f64) < 0.95 * size);
    Some(
        Ordered::new(&inside.map(|point| point.ns).collect::<Vec<_>>())
            .ok()?
            .median(),
    )
}

fn verdict(claimed: Option<u64>, found: Option<&Knee>, sweeps: &[f64], last: bool, sharing: &str) -> String {
    let Some(found) = found else {
        return match claimed {
            Some(_) if last => "not seen: no rise in the curve is its end".to_owned(),
            Some(_) => "not seen: the curve does not rise near its size".to_owned(),
            None => "neither claimed nor seen".to_owned(),
        };
    };
    let (low, high) = sweeps.iter().fold((f64::INFINITY, 0.0f64), |(low, high), size| {
        (low.min(*size), high.max(*size))
    });
    if last && sweeps.len() > 1 && octaves(high, low) > STEP {
        return format!(
            "effective size varies {} .. {} from sweep to sweep",
            mib(low),
            mib(high)
        );
    }
    let Some(claimed) = claimed.map(|bytes| bytes as f64) else {
        return "found, not claimed".to_owned();
    };
    let off = octaves(found.size, claimed);
    if off.abs() <= STEP {
        "as claimed, within a factor of two".to_owned()
    } else if off < 0.0 && last {
        format!("effective {}: {sharing}", mib(found.size))
    } else if off < 0.0 {
        format!("behaves as {}, less than claimed", mib(found.size))
    } else {
        format!("behaves as {}, more than claimed", mib(found.size))
    }
}

fn mib(bytes: f64) -> String {
    if bytes < 1024.0 * 1024.0 {
        format!("{:.0} KiB", bytes / 1024.0)
    } else {
        format!("{:.1} MiB", bytes / 1024.0 / 1024.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{CurvePoint, Visit};

    fn cache(level: u32, kib: u64) -> ClaimedCache {
        let unknown = "not asked";
        ClaimedCache {
            level,
            kind: "unified".to_owned(),
            bytes: Fact::known(kib << 10, "test"),
            line_bytes: Fact::unknown(unknown),
            ways: Fact::unknown(unknown),
            shared_by: Fact::unknown(unknown),
            cpuid_bytes: Fact::unknown(unknown),
        }
    }

    /// A curve with ends of caches at these sizes in KiB, each tripling the latency; one list a sweep.
    fn curve(sweeps: &[&[f64]]) -> Curve {
        let mut visits = Vec::new();
        for (sweep, ends) in (0..).zip(sweeps) {
            for step in 0..=72 {
                let size = 1024.0 * (f64::from(step) / 4.0).exp2();
                let beyond = ends
                    .iter()
                    .map(|kib| 1.0 + 2.0 * (1.0 - (kib * 1024.0 / size).powi(4)).max(0.0));
                let wobble = 1.0 + 0.004 * f64::from((step * 7 + sweep as i32 * 3) % 5 - 2);
                let ns = 1.5 * beyond.product::<f64>() * wobble;
                visits.push(Visit {
                    size: size as u64,
                    sweep,
                    at_s: 0.0,
                    ns: vec![ns; 3],
                    dropped: 0,
                });
            }
        }
        let findings = knees::find(&visits, 1);
        Curve {
            name: "pages-2m".to_owned(),
            title: String::new(),
            stride_bytes: 64,
            huge_bytes: Fact::known(1 << 30, "test"),
            points: findings.points,
            knees: findings.knees,
            plateau_ns: Fact::unknown(""),
            visits,
        }
    }

    #[test]
    fn what_is_claimed_is_found() {
        let made = curve(&[&[32.0, 1024.0, 16384.0][..]; 2]);
        let levels = compare(&[cache(1, 32), cache(2, 1024), cache(3, 16384)], &[made], false, 1);
        assert!(
            levels.iter().all(|level| level.verdict.starts_with("as claimed")),
            "{levels:?}"
        );
        let hits: Vec<f64> = levels.iter().map(|level| level.hit_ns.value.unwrap()).collect();
        assert!(
            (hits[0] - 1.5).abs() < 0.1 && (hits[1] - 4.5).abs() < 0.5 && (hits[2] - 13.5).abs() < 1.5,
            "{hits:?}"
        );
    }

    #[test]
    fn a_partitioned_l3_is_effective_and_a_moving_one_varies() {
        let caches = [cache(1, 32), cache(2, 512), cache(3, 32768)];
        let made = curve(&[&[32.0, 512.0, 4096.0][..]; 2]);
        let level = &compare(&caches, &[made], true, 1)[2];
        assert!(level.verdict.contains("partitioned by the host"), "{level:?}");
        let made = curve(&[&[32.0, 512.0, 3072.0], &[32.0, 512.0, 12288.0]]);
        let level = &compare(&caches, &[made], true, 1)[2];
        assert!(
            level.verdict.contains("varies") && level.by_sweep.len() == 2,
            "{level:?}"
        );
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let made = curve(&[&[32.0, 1024.0][..]; 2]);
        let caches = [cache(1, 32), cache(2, 1024), cache(3, 16384)];
        let level = &compare(&caches, &[made], false, 1)[2];
        assert!(
            level.found.value.is_none() && level.verdict.contains("not seen"),
            "{level:?}"
        );
        let flat = curve(&[&[][..]; 2]);
        assert!(
            compare(&caches, &[flat], false, 1)
                .iter()
                .all(|level| level.found.value.is_none())
        );
        assert!(compare(&caches, &[], false, 1).is_empty());
    }

    #[test]
    fn without_huge_pages_the_walk_within_reach_tells() {
        let mut huge = curve(&[&[32.0]]);
        huge.huge_bytes = Fact::known(0, "test");
        let mut small = huge.clone();
        small.name = "tlb-reach".to_owned();
        assert_eq!(clearest(&[huge.clone(), small.clone()]).unwrap().name, "tlb-reach");
        small.points = vec![CurvePoint {
            size: 1,
            ns: 1.0,
            interval_ns: (1.0, 1.0),
        }];
        huge.huge_bytes = Fact::known(1 << 30, "test");
        assert_eq!(clearest(&[small, huge]).unwrap().name, "pages-2m");
    }
}
