//! What happens to a round from outside, read from `/proc` on Linux. Other systems tell nothing, and rounds are judged by
//! the probe alone.

use std::fs;
use std::path::{Path, PathBuf};

/// A round is dropped if the hypervisor took more than this share of the CPU time that was wanted. The kernel counts in
/// ticks of 10 ms, so that one tick drops any round below half a second: over many rounds, a fair sample of the steal.
const STEAL_LIMIT: f64 = 0.02;

/// A round is dropped if threads of ours that were preempted waited longer than this share of it. Kernel threads take
/// 10 to 50 us a few times a second, which is below it in a round of 5 ms; another process takes whole time slices.
const WAIT_LIMIT: f64 = 0.02;

/// What a preemption costs where the kernel does not tell, ns: a good part of a time slice.
const ASSUMED_WAIT_NS: u64 = 1_000_000;

/// What tells a contest about its surroundings: the system, or a test.
pub trait Environment {
    /// The counters now.
    fn read(&mut self) -> Reading;

    /// CPU time that all threads of a process have had, ns; `None` where the system does not tell.
    fn spent_ns(&mut self, process: u32) -> Option<u64>;
}

/// What the turns of contestants in other processes add to a round's account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Elsewhere {
    /// Waits of our own threads in those turns, ns: they gave way to the contestant, which is nobody's fault outside.
    pub excused_ns: u64,
    /// Time in which the contestants of one thread did not have their CPU, ns.
    pub waited_ns: u64,
}

/// Counters at one moment; only differences between two readings mean anything, but for the load.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// Ticks that the hypervisor took, and ticks wanted (used or taken), over the CPUs that this process may use.
    pub stolen_of_wanted: Option<(u64, u64)>,
    /// One entry a thread of this process.
    pub threads: Vec<Preempted>,
    /// One-minute load average.
    pub load: Option<f64>,
}

/// How often one thread lost its CPU, and how long it waited for one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Preempted {
    /// The thread's id.
    pub id: u64,
    /// Involuntary context switches.
    pub switches: u64,
    /// Time spent runnable without running, ns; `None` where the kernel keeps no schedstat.
    pub waited_ns: Option<u64>,
}

/// Share of the wanted CPU time that the hypervisor took between two readings; `None` if the system does not tell.
pub(super) fn steal(before: &Reading, after: &Reading) -> Option<f64> {
    let ((stolen_before, wanted_before), (stolen, wanted)) = (before.stolen_of_wanted?, after.stolen_of_wanted?);
    // Counters have been seen to fall; that is no steal.
    let (stolen, wanted) = (
        stolen.saturating_sub(stolen_before),
        wanted.saturating_sub(wanted_before),
    );
    Some(stolen as f64 / wanted.max(stolen).max(1) as f64)
}

/// Why a round of `elapsed_ns` must be dropped, as `reason: figure`; `None` if nothing outside disturbed it.
pub(super) fn disturbance(
    before: &Reading,
    after: &Reading,
    elapsed_ns: u64,
    threads: usize,
    elsewhere: Elsewhere,
) -> Option<String> {
    if let Some(steal) = steal(before, after).filter(|&share| share > STEAL_LIMIT) {
        return Some(format!("steal: {:.0} % of the CPU time", 100.0 * steal));
    }
    // With more threads than CPUs they take the CPU from one another, which is nobody's fault outside.
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let waited_ns = waited_ns(before, after).saturating_sub(elsewhere.excused_ns) + elsewhere.waited_ns;
    let waited = waited_ns as f64 / elapsed_ns.max(1) as f64;
    (threads <= cpus && waited > WAIT_LIMIT).then(|| format!("preempted: {:.0} % of the round", 100.0 * waited))
}

/// Time that preempted threads waited. A thread that was never preempted does not count: it waited because it slept and
/// woke, which is a contestant's own way to use its threads.
pub(super) fn waited_ns(before: &Reading, after: &Reading) -> u64 {
    let waits = after.threads.iter().map(|now| {
        let then = before
            .threads
            .iter()
            .find(|then| then.id == now.id)
            .copied()
            .unwrap_or_default();
        let switches = now.switches.saturating_sub(then.switches);
        match (now.waited_ns, then.waited_ns.unwrap_or(0)) {
            _ if switches == 0 => 0,
            (Some(now), then) => now.saturating_sub(then),
            (None, _) => switches * ASSUMED_WAIT_NS,
        }
    });
    waits.sum()
}

/// The running system.
#[derive(Debug, Clone)]
pub struct System {
    root: PathBuf,
    /// Names of the CPUs that this process may use, as `/proc/stat` spells them; empty if unknown: all count.
    cpus: Vec<String>,
}

impl System {
    /// This system. Reads which CPUs the process may use once, so set affinity before.
    pub fn new() -> Self {
        Self::at(Path::new("/"))
    }

    fn at(root: &Path) -> Self {
        let status = fs::read_to_string(root.join("proc/self/status")).unwrap_or_default();
        let list = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
            .unwrap_or_default();
        let parts = list.trim().split(',').filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some(first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?)
        });
        Self {
            root: root.to_owned(),
            cpus: parts.flatten().map(|cpu| format!("cpu{cpu}")).collect(),
        }
    }

    fn text(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.root.join(file)).ok()
    }

    fn stolen_of_wanted(&self) -> Option<(u64, u64)> {
        let stat = self.text("proc/stat")?;
        let mut sums = None;
        for line in stat.lines() {
            let mut words = line.split_ascii_whitespace();
            let name = words.next().unwrap_or_default();
            let counts = if self.cpus.is_empty() {
                name == "cpu"
            } else {
                self.cpus.iter().any(|cpu| cpu == name)
            };
            if counts {
                // user nice system idle iowait irq softirq steal; guest time is part of user.
                let ticks: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
                let &[user, nice, system, _, _, irq, softirq, steal, ..] = ticks.as_slice() else {
                    return None;
                };
                let (stolen, wanted) = sums.unwrap_or((0, 0));
                sums = Some((stolen + steal, wanted + user + nice + system + irq + softirq + steal));
            }
        }
        sums
    }

    /// The threads of a process, `self` or a number.
    fn tasks(&self, process: &str) -> impl Iterator<Item = fs::DirEntry> + use<> {
        let tasks = fs::read_dir(self.root.join("proc").join(process).join("task"));
        tasks.into_iter().flatten().flatten()
    }

    /// A thread may end while it is looked at; it is left out then.
    fn threads(&self) -> Vec<Preempted> {
        let thread = |task: fs::DirEntry| {
            let status = fs::read_to_string(task.path().join("status")).ok()?;
            let switches = status
                .lines()
                .find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"))?;
            Some(Preempted {
                id: task.file_name().to_str()?.parse().ok()?,
                switches: switches.trim().parse().ok()?,
                waited_ns: schedstat(&task, 1),
            })
        };
        self.tasks("self").filter_map(thread).collect()
    }
}

/// A word of a thread's schedstat, ns: 0 is the time on a CPU, 1 the time that it was runnable without one.
fn schedstat(task: &fs::DirEntry, word: usize) -> Option<u64> {
    let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
    text.split_ascii_whitespace().nth(word)?.parse().ok()
}

impl Default for System {
    fn default() -> Self {
        Self::new()
    }
}

impl Environment for System {
    fn read(&mut self) -> Reading {
        let load = self
            .text("proc/loadavg")
            .and_then(|text| text.split(' ').next()?.parse().ok());
        let load = load.filter(|load: &f64| load.is_finite());
        Reading {
            stolen_of_wanted: self.stolen_of_wanted(),
            threads: self.threads(),
            load,
        }
    }

    fn spent_ns(&mut self, process: u32) -> Option<u64> {
        let spent = self.tasks(&process.to_string()).filter_map(|task| schedstat(&task, 0));
        spent.reduce(|sum, ns| sum + ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(files: &[(&str, &str)]) -> (tempfile::TempDir, System) {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = root.path().join("proc").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let system = System::at(root.path());
        (root, system)
    }

    const STAT: &str =
        "cpu  300 0 30 900 5 0 3 40 7 0\ncpu0 100 0 10 300 5 0 1 10 7 0\ncpu1 200 0 20 600 0 0 2 30 0 0\n";

    #[test]
    fn only_cpus_that_we_may_use_count() {
        for (allowed, expected) in [
            ("1", (30, 252)),
            ("0-1", (40, 373)),
            ("none", (40, 373)),
            ("0,1", (40, 373)),
        ] {
            let status = format!("Cpus_allowed_list:\t{allowed}\n");
            let (_root, mut system) = system(&[("stat", STAT), ("self/status", &status), ("loadavg", "0.25 1 1\n")]);
            let reading = system.read();
            assert_eq!(
                (reading.stolen_of_wanted, reading.load),
                (Some(expected), Some(0.25)),
                "{allowed}"
            );
        }
    }

    #[test]
    fn a_process_has_spent_what_its_threads_have() {
        let (_root, mut system) = system(&[
            ("42/task/42/schedstat", "700 5 1\n"),
            ("42/task/43/schedstat", "50 9 1\n"),
            ("42/task/44/schedstat", "?"),
        ]);
        assert_eq!((system.spent_ns(42), system.spent_ns(43)), (Some(750), None));
    }

    #[test]
    fn damaged_files_tell_nothing() {
        for stat in ["", "cpu 1 2 3", "cpu a b c d e f g h", "cpu"] {
            let (_root, mut system) = system(&[("stat", stat), ("loadavg", "nan"), ("self/task/x/status", "?")]);
            assert_eq!(system.read(), Reading::default(), "{stat:?}");
        }
    }

    #[test]
    fn steal_is_a_share_of_what_was_wanted() {
        let reading = |stolen, wanted| Reading {
            stolen_of_wanted: Some((stolen, wanted)),
            ..Reading::default()
        };
        assert_eq!(steal(&reading(10, 100), &reading(15, 150)), Some(0.1));
        assert_eq!(steal(&reading(10, 100), &reading(10, 100)), Some(0.0));
        assert_eq!(steal(&reading(10, 100), &reading(3, 50)), Some(0.0));
        assert_eq!(steal(&Reading::default(), &reading(3, 50)), None);
        let told = disturbance(&reading(10, 100), &reading(15, 150), 1, 1, Elsewhere::default());
        assert_eq!(told.as_deref(), Some("steal: 10 % of the CPU time"));
    }

    #[test]
    fn only_preempted_threads_count_as_waiting() {
        let thread = |id, switches, waited_ns| Preempted {
            id,
            switches,
            waited_ns,
        };
        let none = Elsewhere::default();
        let before = Reading {
            threads: vec![thread(1, 5, Some(100)), thread(2, 0, Some(50))],
            ..Reading::default()
        };
        let blip = Reading {
            threads: vec![thread(1, 6, Some(20_100)), thread(2, 0, Some(9_000_000))],
            ..Reading::default()
        };
        assert_eq!(waited_ns(&before, &blip), 20_000);
        assert_eq!(disturbance(&before, &blip, 4_000_000, 1, none), None);
        let slice = Reading {
            threads: vec![thread(1, 6, Some(3_000_100))],
            ..Reading::default()
        };
        assert_eq!(
            disturbance(&before, &slice, 20_000_000, 1, none).as_deref(),
            Some("preempted: 15 % of the round")
        );
        assert_eq!(
            disturbance(&before, &slice, 20_000_000, 100_000, none),
            None,
            "more threads than CPUs"
        );
        let gave_way = Elsewhere {
            excused_ns: 3_000_000,
            waited_ns: 0,
        };
        assert_eq!(
            disturbance(&before, &slice, 20_000_000, 1, gave_way),
            None,
            "it gave way to a contestant"
        );
        let held_up = Elsewhere {
            waited_ns: 1_000_000,
            ..gave_way
        };
        assert_eq!(
            disturbance(&before, &slice, 20_000_000, 1, held_up).as_deref(),
            Some("preempted: 5 % of the round")
        );
        let untold = Reading {
            threads: vec![thread(1, 7, None)],
            ..Reading::default()
        };
        assert_eq!(waited_ns(&before, &untold), 2 * ASSUMED_WAIT_NS);
    }
}
