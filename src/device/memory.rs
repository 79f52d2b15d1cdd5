//! How much memory there is to take.

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// Bytes that this process may still take: what the system calls available, or what its control group leaves, if less.
/// `None` where the system does not tell.
pub fn available_bytes() -> Option<u64> {
    let what = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(what).ok()?;
    // Not `free_memory`: the group's use counts the page cache, which gives way.
    let group = system
        .cgroup_limits()
        .map_or(u64::MAX, |group| group.total_memory.saturating_sub(group.rss));
    Some(system.available_memory().min(group))
}
