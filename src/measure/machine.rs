//! Facts of the machine, as it claims them. A virtual machine claims odd things (an L3 of half a gigabyte): they are
//! shown, never judged. What cannot be read is empty or `None`, and nothing here fails.

use std::fmt;
use std::path::Path;

use sha2::{Digest, Sha256};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use super::{Cache, Machine};

impl Machine {
    /// Looks at this machine. `isas` are the ids of those that kernels can run on here, fastest first.
    ///
    /// Linux tells everything; macOS and Windows give no caches, and family, model and hypervisor only on x86-64.
    pub fn detect(isas: Vec<String>) -> Self {
        Self::detect_in(Path::new("/"), isas)
    }

    /// [`Machine::detect`] with `/proc` and `/sys` below `root`, so that tests can damage them.
    fn detect_in(root: &Path, isas: Vec<String>) -> Self {
        let cpuinfo = read(root, "proc/cpuinfo");
        let wanted = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(wanted).ok();
        let brand = || Some(system.as_ref()?.cpus().first()?.brand().trim().to_owned());
        let kernel = System::kernel_version().unwrap_or_default();
        let os = System::long_os_version().unwrap_or_else(|_| std::env::consts::OS.to_owned());
        let cores = num_cpus::get_physical();
        Self {
            cpu: field(&cpuinfo, "model name")
                .map(str::to_owned)
                .or_else(brand)
                .unwrap_or_default(),
            family_model_stepping: family_model_stepping(&cpuinfo).or_else(cpuid::family_model_stepping),
            cores,
            // Looks at affinity and cgroup quotas, which the count of CPUs does not.
            cpus: std::thread::available_parallelism().map_or(cores, Into::into),
            isas,
            caches: caches(&root.join("sys/devices/system/cpu/cpu0/cache")),
            memory_bytes: system.as_ref().map_or(0, System::total_memory),
            os: format!("{os} {kernel}").trim().to_owned(),
            hypervisor: hypervisor(root, &cpuinfo),
        }
    }

    /// Short stable name of this identity, 12 hexadecimal digits: two records compare only if it is the same.
    ///
    /// Leaves out `cpus`, which affinity changes from run to run, and counts memory in whole GiB, since kernels
    /// reserve a little more or less of it.
    pub fn id(&self) -> String {
        let memory_gib = (self.memory_bytes as f64 / (1u64 << 30) as f64).round();
        // Debug of plain strings and integers: derived from the record's fields, the same on every platform.
        let facts = (
            &self.cpu,
            self.family_model_stepping,
            self.cores,
            &self.isas,
            &self.caches,
        );
        let text = format!("{facts:?} {memory_gib} {:?} {:?}", self.os, self.hypervisor);
        Sha256::digest(text.as_bytes())
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// One line for a terminal: CPU, cores, memory, caches, ISAs, hypervisor.
impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = if self.cpu.is_empty() { "unknown CPU" } else { &self.cpu };
        write!(f, "{cpu}, {} cores, {} CPUs usable", self.cores, self.cpus)?;
        for cache in &self.caches {
            let kind = if cache.kind == "data" { "d" } else { "" };
            write!(f, ", L{}{kind} {}", cache.level, super::text::binary_bytes(cache.bytes))?;
        }
        write!(f, ", {} memory", super::text::binary_bytes(self.memory_bytes))?;
        if !self.isas.is_empty() {
            write!(f, ", {}", self.isas.join(" "))?;
        }
        self.hypervisor
            .as_ref()
            .map_or(Ok(()), |name| write!(f, ", under {name}"))
    }
}

/// A file's text without the white space around it; empty if it is missing or not text.
fn read(root: &Path, file: &str) -> String {
    std::fs::read_to_string(root.join(file))
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

/// First value of `key` in `/proc/cpuinfo`'s "key : value" lines.
fn field<'a>(cpuinfo: &'a str, key: &str) -> Option<&'a str> {
    let mut pairs = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    pairs
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim())
        .filter(|value| !value.is_empty())
}

fn family_model_stepping(cpuinfo: &str) -> Option<(u32, u32, u32)> {
    let number = |key| field(cpuinfo, key)?.parse().ok();
    Some((number("cpu family")?, number("model")?, number("stepping")?))
}

/// Data and unified caches, from the first level up. A cache without a level, kind or size is left out.
fn caches(folder: &Path) -> Vec<Cache> {
    let mut found: Vec<Cache> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("index"))
        .filter_map(|entry| cache(&entry.path()))
        .collect();
    found.sort_by(|a, b| (a.level, &a.kind).cmp(&(b.level, &b.kind)));
    found
}

fn cache(folder: &Path) -> Option<Cache> {
    let kind = read(folder, "type").to_lowercase();
    if kind != "data" && kind != "unified" {
        return None;
    }
    let count = |file| read(folder, file).parse::<u32>().ok().filter(|&n| n > 0);
    Some(Cache {
        level: count("level")?,
        kind,
        bytes: size(&read(folder, "size"))?,
        line_bytes: count("coherency_line_size").unwrap_or(0),
        ways: count("ways_of_associativity"),
        shared_by: cpu_list(&read(folder, "shared_cpu_list")),
    })
}

/// `48K`, `2048K`, `32M` or plain bytes.
fn size(text: &str) -> Option<u64> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'K' => (&text[..text.len() - 1], 1 << 10),
        b'M' => (&text[..text.len() - 1], 1 << 20),
        b'G' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit).filter(|&bytes| bytes > 0)
}

/// How many CPUs a list such as `0-3,8` names; `None` if any part of it is no number or runs backwards.
fn cpu_list(text: &str) -> Option<u32> {
    let mut count = 0u32;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        count = count.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    Some(count)
}

/// The hypervisor's name: what the kernel says, else CPUID's signature, else the product's name in DMI.
fn hypervisor(root: &Path, cpuinfo: &str) -> Option<String> {
    let told = read(root, "sys/hypervisor/type");
    if !told.is_empty() {
        return Some(told);
    }
    let flagged = field(cpuinfo, "flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor"));
    let product = format!(
        "{} {}",
        read(root, "sys/class/dmi/id/sys_vendor"),
        read(root, "sys/class/dmi/id/product_name")
    );
    // Without the flag (arm64 has none) a product counts only if its name gives it away: metal has DMI names too.
    let telling = ["QEMU", "KVM", "VMware", "VirtualBox", "Virtual Machine", "Parallels"];
    if flagged || telling.iter().any(|name| product.contains(name)) {
        let names = [
            cpuid::hypervisor().unwrap_or_default(),
            product.trim().to_owned(),
            "unnamed".to_owned(),
        ];
        return names.into_iter().find(|name| !name.is_empty());
    }
    // Elsewhere than on Linux there is no cpuinfo to flag it.
    cpuinfo.is_empty().then(cpuid::hypervisor).flatten()
}

/// What the CPU itself tells.
#[cfg(target_arch = "x86_64")]
mod cpuid {
    use std::arch::x86_64::__cpuid;

    /// Leaf 1 as Intel and AMD define display family and model.
    pub fn family_model_stepping() -> Option<(u32, u32, u32)> {
        let eax = __cpuid(1).eax;
        let (family, model) = ((eax >> 8) & 0xf, (eax >> 4) & 0xf);
        let extended_family = if family == 0xf { (eax >> 20) & 0xff } else { 0 };
        let extended_model = if family == 0x6 || family == 0xf {
            (eax >> 16) & 0xf
        } else {
            0
        };
        Some((family + extended_family, extended_model << 4 | model, eax & 0xf))
    }

    /// The signature at 0x40000000, such as `KVM`. Only valid, and only asked, where leaf 1 says there is one.
    pub fn hypervisor() -> Option<String> {
        if __cpuid(1).ecx >> 31 == 0 {
            return None;
        }
        let leaf = __cpuid(0x4000_0000);
        let bytes: Vec<u8> = [leaf.ebx, leaf.ecx, leaf.edx]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        let text: String = bytes
            .iter()
            .map(|&b| b as char)
            .filter(char::is_ascii_graphic)
            .collect();
        match text.as_str() {
            "" => None,
            "KVMKVMKVM" => Some("KVM".to_owned()),
            "MicrosoftHv" => Some("Hyper-V".to_owned()),
            "VMwareVMware" => Some("VMware".to_owned()),
            "XenVMMXenVMM" => Some("Xen".to_owned()),
            _ => Some(text),
        }
    }
}

/// Other CPUs have no such instruction.
#[cfg(not(target_arch = "x86_64"))]
mod cpuid {
    pub fn family_model_stepping() -> Option<(u32, u32, u32)> {
        None
    }

    pub fn hypervisor() -> Option<String> {
        None
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
