//! What the CPU itself tells: caches, data TLBs, instruction sets. Empty where there is no CPUID.

/// Level and bytes of the data and unified caches.
#[cfg(target_arch = "x86_64")]
pub fn data_caches() -> Vec<(u32, u64)> {
    use raw_cpuid::{CacheType, CpuId};
    let Some(caches) = CpuId::new().get_cache_parameters() else {
        return Vec::new();
    };
    caches
        .filter(|cache| matches!(cache.cache_type(), CacheType::Data | CacheType::Unified))
        .map(|cache| {
            let parts = [
                cache.associativity(),
                cache.physical_line_partitions(),
                cache.coherency_line_size(),
                cache.sets(),
            ];
            // A hypervisor may give anything; the product must not wrap.
            let bytes = parts
                .iter()
                .fold(1u64, |bytes, &part| bytes.saturating_mul(part as u64));
            (u32::from(cache.level()), bytes)
        })
        .collect()
}

/// Data TLBs in words: Intel's leaf 0x18, AMD's leaves 0x8000_0005 and 6.
#[cfg(target_arch = "x86_64")]
pub fn data_tlbs() -> Vec<String> {
    use raw_cpuid::{CpuId, DatType};
    let cpuid = CpuId::new();
    let mut tlbs = Vec::new();
    if let Some(leaves) = cpuid.get_deterministic_address_translation_info() {
        for leaf in leaves.filter(|leaf| matches!(leaf.cache_type(), DatType::DataTLB | DatType::UnifiedTLB)) {
            let pages = [
                (leaf.has_4k_entries(), "4 KiB"),
                (leaf.has_2mb_entries(), "2 MiB"),
                (leaf.has_4mb_entries(), "4 MiB"),
                (leaf.has_1gb_entries(), "1 GiB"),
            ];
            let pages: Vec<&str> = pages.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
            let entries = u64::from(leaf.ways()) * u64::from(leaf.sets());
            tlbs.push(format!(
                "L{} data TLB, {} pages: {entries} entries",
                leaf.cache_level(),
                pages.join(" and ")
            ));
        }
    }
    let mut tell = |level: u32, pages: &str, entries: u64| {
        if entries > 0 {
            tlbs.push(format!("L{level} data TLB, {pages} pages: {entries} entries"));
        }
    };
    if let Some(l1) = cpuid.get_l1_cache_and_tlb_info() {
        tell(1, "4 KiB", l1.dtlb_4k_size().into());
        tell(1, "2 MiB", l1.dtlb_2m_4m_size().into());
    }
    if let Some(l2) = cpuid.get_l2_l3_cache_and_tlb_info() {
        tell(2, "4 KiB", l2.dtlb_4k_size().into());
        tell(2, "2 MiB", l2.dtlb_2m_4m_size().into());
    }
    tlbs
}

/// Instruction sets that matter to kernels and stores.
#[cfg(target_arch = "x86_64")]
pub fn features() -> Vec<String> {
    // What the system lets a program use, not what the CPU could.
    let found = [
        ("sse2", true),
        ("avx", is_x86_feature_detected!("avx")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512bw", is_x86_feature_detected!("avx512bw")),
        ("avx512vl", is_x86_feature_detected!("avx512vl")),
        ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
        ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
        (
            "erms",
            raw_cpuid::CpuId::new()
                .get_extended_feature_info()
                .is_some_and(|info| info.has_rep_movsb_stosb()),
        ),
    ];
    found
        .iter()
        .filter(|(_, has)| *has)
        .map(|(name, _)| (*name).to_owned())
        .collect()
}

/// No CPUID here.
#[cfg(not(target_arch = "x86_64"))]
pub fn data_caches() -> Vec<(u32, u64)> {
    Vec::new()
}

/// No CPUID here.
#[cfg(not(target_arch = "x86_64"))]
pub fn data_tlbs() -> Vec<String> {
    Vec::new()
}

/// The architecture alone.
#[cfg(not(target_arch = "x86_64"))]
pub fn features() -> Vec<String> {
    vec![std::env::consts::ARCH.to_owned()]
}
