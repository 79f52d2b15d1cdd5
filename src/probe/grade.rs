//! How far a run can be trusted: steal, load, and slices that were disturbed.

use super::slices::Clockwork;
use crate::measure::{Environment, Fact, Grade, Probe, Reading, System};

/// The system's counters before the first stage.
pub struct Before {
    system: System,
    reading: Reading,
}

/// Above these a run is fair; above five times these, poor.
const STEAL: f64 = 0.01;
const DROPPED: f64 = 0.05;

/// No run yet.
pub fn none() -> Grade {
    let why = "not measured";
    Grade {
        grade: "poor".to_owned(),
        reasons: vec![why.to_owned()],
        steal: Fact::unknown(why),
        load_before: Fact::unknown(why),
        load_after: Fact::unknown(why),
        slices_dropped: 0.0,
    }
}

impl Before {
    /// Reads them now.
    pub fn read() -> Self {
        let mut system = System::new();
        let reading = system.read();
        Self { system, reading }
    }

    /// The grade, from what changed since.
    pub fn grade(mut self, clock: &Clockwork<'_>, found: &Probe) -> Grade {
        let after = self.system.read();
        let steal = self
            .reading
            .stolen_of_wanted
            .zip(after.stolen_of_wanted)
            .map(|(before, after)| {
                let (stolen, wanted) = (after.0.saturating_sub(before.0), after.1.saturating_sub(before.1));
                stolen as f64 / wanted.max(stolen).max(1) as f64
            });
        let dropped = clock.dropped as f64 / clock.timed.max(1) as f64;
        let cpus = found.topology.cpus.len().max(1) as f64;
        let told = |load: Option<f64>| Fact::of(load, "/proc/loadavg", "the system does not tell");
        judge(
            Grade {
                steal: Fact::of(steal, "/proc/stat", "the system does not tell"),
                load_before: told(self.reading.load),
                load_after: told(after.load),
                slices_dropped: dropped,
                ..none()
            },
            cpus,
            found.topology.pinning.value,
        )
    }
}

/// Good, unless something speaks against it.
fn judge(mut grade: Grade, cpus: f64, pinned: Option<bool>) -> Grade {
    let mut worst: f64 = 0.0;
    let mut reasons = Vec::new();
    let mut weigh = |times: f64, why: String| {
        if times > 1.0 {
            worst = worst.max(times);
            reasons.push(why);
        }
    };
    if let Some(steal) = grade.steal.value {
        weigh(
            steal / STEAL,
            format!("the hypervisor took {:.1} % of the CPU time", 100.0 * steal),
        );
    }
    weigh(
        grade.slices_dropped / DROPPED,
        format!(
            "{:.0} % of the slices were disturbed and dropped",
            100.0 * grade.slices_dropped
        ),
    );
    if let Some(load) = grade.load_before.value {
        // A load of half the CPUs leaves room for one pinned thread, no more.
        weigh(
            load / (0.5 * cpus),
            format!("the load average was {load:.1} before it began"),
        );
    }
    if pinned != Some(true) {
        weigh(2.0, "threads could not be pinned".to_owned());
    }
    let name = match worst {
        worst if worst > 5.0 => "poor",
        worst if worst > 1.0 => "fair",
        _ => "good",
    };
    grade.grade = name.to_owned();
    grade.reasons = reasons;
    grade
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_disturbs_is_named() {
        let run = |steal: f64, load: f64, slices_dropped: f64, pinned: Option<bool>| {
            let grade = Grade {
                steal: Fact::known(steal, "test"),
                load_before: Fact::known(load, "test"),
                slices_dropped,
                ..none()
            };
            judge(grade, 4.0, pinned)
        };
        let told = |grade: &Grade| (grade.grade.clone(), grade.reasons.len());
        assert_eq!(told(&run(0.0, 0.5, 0.01, Some(true))), ("good".to_owned(), 0));
        assert_eq!(told(&run(0.02, 0.5, 0.01, Some(true))), ("fair".to_owned(), 1));
        assert_eq!(told(&run(0.2, 3.0, 0.4, Some(true))), ("poor".to_owned(), 3));
        assert_eq!(told(&run(0.0, 0.0, 0.0, Some(false))), ("fair".to_owned(), 1));
        assert_eq!(told(&run(0.0, 0.0, 0.0, None)), ("fair".to_owned(), 1));
    }
}
