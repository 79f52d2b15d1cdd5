//! CPUs, caches, pages and hypervisor, from sysfs, `/proc` and CPUID. What is missing or odd is shown with its reason,
//! and nothing here fails: a virtual machine may claim anything.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{cpuid, pin};
use crate::measure::{ClaimedCache, Cpu, Fact, Machine, Topology};

/// Files below a root: the system's, or a tree that a test damaged.
struct Tree {
    root: PathBuf,
}

impl Tree {
    /// A file's text without the white space round it, or one line that says why not.
    fn text(&self, file: &str) -> Result<String, String> {
        let path = self.root.join(file);
        let text = fs::read_to_string(&path).map_err(|error| format!("/{file}: {error}"))?;
        let text = text.trim();
        if text.is_empty() {
            Err(format!("/{file} is empty"))
        } else {
            Ok(text.to_owned())
        }
    }

    fn parsed<T>(&self, file: &str, parse: impl FnOnce(&str) -> Option<T>) -> Fact<T> {
        match self.text(file) {
            Ok(text) => match parse(&text) {
                Some(value) => Fact::known(value, format!("/{file}")),
                None => Fact::unknown(format!("/{file} says {:?}", text.chars().take(40).collect::<String>())),
            },
            Err(why) => Fact::unknown(why),
        }
    }

    fn number(&self, file: &str) -> Option<usize> {
        self.text(file).ok()?.parse().ok()
    }
}

/// This machine's.
pub fn read(machine: &Machine) -> Topology {
    let mut topology = read_in(Path::new("/"), &pin::allowed(), machine);
    if let Some(first) = topology.cpus.first() {
        // CPUID answers for the CPU that runs it.
        let claimed = pin::on_cpu(first.cpu, cpuid::data_caches).0;
        for cache in &mut topology.caches {
            let bytes = claimed.iter().find(|(level, _)| *level == cache.level);
            cache.cpuid_bytes = Fact::of(bytes.map(|(_, bytes)| *bytes), "CPUID", "CPUID tells no such cache");
        }
    }
    let refused = topology.cpus.iter().find_map(|cpu| pin::on_cpu(cpu.cpu, || ()).1.err());
    topology.pinning = match refused {
        None if topology.cpus.is_empty() => Fact::unknown("the system does not tell which CPUs may be used"),
        None => Fact::known(true, "getcpu on a thread pinned to each CPU"),
        Some(why) => Fact::known(false, why),
    };
    topology
}

/// The same from the files below `root`, for the CPUs of `allowed`.
pub fn read_in(root: &Path, allowed: &[usize], machine: &Machine) -> Topology {
    let tree = Tree { root: root.to_owned() };
    let cpus: Vec<Cpu> = allowed.iter().map(|&cpu| one_cpu(&tree, cpu, allowed)).collect();
    let distinct = |what: &str, key: &dyn Fn(&Cpu) -> Option<(usize, usize)>| {
        let keys: Option<BTreeSet<_>> = cpus.iter().map(key).collect();
        let count = keys.map(|keys| keys.len()).filter(|&count| count > 0);
        Fact::of(
            count,
            "sysfs, usable CPUs only",
            &format!("sysfs tells no {what} for every CPU"),
        )
    };
    let hypervisor = match &machine.hypervisor {
        Some(name) => Fact::known(name.clone(), "CPUID, /sys/hypervisor or DMI"),
        None => Fact::known("none".to_owned(), "no sign of one in CPUID or DMI"),
    };
    Topology {
        online: tree.parsed("sys/devices/system/cpu/online", |text| {
            list(text).map(|cpus| cpus.len())
        }),
        sockets: distinct("socket", &|cpu| Some((cpu.package?, 0))),
        cores: distinct("core", &|cpu| Some((cpu.package?, cpu.core?))),
        nodes: distinct("NUMA node", &|cpu| Some((cpu.node?, 0))),
        caches: cpus.first().map_or_else(Vec::new, |cpu| caches(&tree, cpu.cpu)),
        tlbs: {
            let tlbs = cpuid::data_tlbs();
            Fact::of(
                Some(tlbs).filter(|tlbs| !tlbs.is_empty()),
                "CPUID",
                "CPUID tells no TLB",
            )
        },
        page_bytes: page_bytes(),
        huge_pages: tree.parsed("sys/kernel/mm/transparent_hugepage/enabled", |text| {
            let chosen = text.split_whitespace().find_map(|word| word.strip_prefix('['))?;
            Some(chosen.trim_end_matches(']').to_owned())
        }),
        isas: cpuid::features(),
        hypervisor,
        pinning: Fact::unknown("not tried"),
        cpus,
    }
}

fn one_cpu(tree: &Tree, cpu: usize, allowed: &[usize]) -> Cpu {
    let folder = format!("sys/devices/system/cpu/cpu{cpu}");
    let siblings = tree
        .text(&format!("{folder}/topology/thread_siblings_list"))
        .ok()
        .and_then(|text| list(&text))
        .unwrap_or_default();
    let nodes = fs::read_dir(tree.root.join(&folder)).into_iter().flatten().flatten();
    let node = nodes.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("node")?.parse().ok());
    Cpu {
        cpu,
        core: tree.number(&format!("{folder}/topology/core_id")),
        package: tree.number(&format!("{folder}/topology/physical_package_id")),
        node: node.min(),
        siblings: siblings
            .into_iter()
            .filter(|other| *other != cpu && allowed.contains(other))
            .collect(),
    }
}

/// Data and unified caches. One without a level or kind cannot be named, and is left out; a size may be unknown.
fn caches(tree: &Tree, cpu: usize) -> Vec<ClaimedCache> {
    let folder = format!("sys/devices/system/cpu/cpu{cpu}/cache");
    let mut found: Vec<ClaimedCache> = (0..16)
        .filter_map(|index| {
            let file = |name: &str| format!("{folder}/index{index}/{name}");
            let kind = tree.text(&file("type")).ok()?.to_lowercase();
            if kind != "data" && kind != "unified" {
                return None;
            }
            let count = |text: &str| text.parse::<u32>().ok().filter(|&n| n > 0);
            Some(ClaimedCache {
                level: tree
                    .text(&file("level"))
                    .ok()?
                    .parse()
                    .ok()
                    .filter(|level| (1..=9).contains(level))?,
                kind,
                bytes: tree.parsed(&file("size"), size),
                line_bytes: tree.parsed(&file("coherency_line_size"), count),
                ways: tree.parsed(&file("ways_of_associativity"), count),
                shared_by: tree.parsed(&file("shared_cpu_list"), list),
                cpuid_bytes: Fact::unknown("not asked"),
            })
        })
        .collect();
    found.sort_by(|a, b| (a.level, &a.kind).cmp(&(b.level, &b.kind)));
    found
}

#[cfg(target_os = "linux")]
fn page_bytes() -> Fact<u64> {
    let bytes = procfs_page_bytes();
    Fact::of(bytes, "smaps of this process", "smaps tells no page size")
}

/// Kernel page size from this process's own map; no call into libc for one number.
#[cfg(target_os = "linux")]
fn procfs_page_bytes() -> Option<u64> {
    let smaps = fs::read_to_string("/proc/self/smaps").ok()?;
    let line = smaps.lines().find_map(|line| line.strip_prefix("KernelPageSize:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(not(target_os = "linux"))]
fn page_bytes() -> Fact<u64> {
    Fact::unknown("read on Linux only")
}

/// `48K`, `32M`, `1G` or plain bytes.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['K', 'M', 'G']);
    let unit = match text.get(digits.len()..)? {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit).filter(|&bytes| bytes > 0)
}

/// CPUs of a list such as `0-3,8`; `None` if a part is no number, runs backwards or is absurd.
pub fn list(text: &str) -> Option<Vec<usize>> {
    let mut cpus = BTreeSet::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if last < first || last >= 1 << 16 {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus.into_iter().collect())
}

#[cfg(test)]
#[path = "topology_tests.rs"]
mod tests;
