//! A card's attributes as its driver tells them.

use tilelab_kernels::cuda::GpuFacts;

use crate::measure::{ClaimedCache, Fact, GpuCard};

/// Where attributes come from.
const SOURCE: &str = "the driver's attributes";

/// Every attribute; those of 0 without a value.
pub fn claimed(facts: &GpuFacts) -> GpuCard {
    let version = facts.driver_version;
    let number = |value: u32, what: &str| known(u64::from(value), what).map(|_| value);
    let mhz = |khz: u32, what: &str| known(u64::from(khz), what).map(|&khz| khz as f64 / 1e3);
    let memory_clock_mhz = mhz(facts.memory_clock_khz, "the memory's clock");
    let bus_width_bits = number(facts.memory_bus_bits, "the bus's width");
    let peak = [memory_clock_mhz.value.is_some(), bus_width_bits.value.is_some()];
    GpuCard {
        name: facts.name.clone(),
        capability: format!("{}.{}", facts.capability / 10, facts.capability % 10),
        driver: format!("{}.{}", version / 1000, version % 1000 / 10),
        multiprocessors: number(facts.multiprocessors, "the number of multiprocessors"),
        clock_mhz: mhz(facts.clock_khz, "the clock"),
        memory_clock_mhz,
        bus_width_bits,
        l1_bytes: Fact::of(
            l1_kib(facts.capability).map(|kib| kib << 10),
            "the CUDA programming guide, by compute capability; shared memory is a part of it",
            "the driver tells none, and this program knows no card of this compute capability",
        ),
        l2_bytes: known(u64::from(facts.l2_bytes), "the second-level cache"),
        memory_bytes: known(facts.memory_bytes, "the memory's size"),
        peak_gbps: Fact::of(
            (peak == [true; 2]).then(|| facts.peak_gb_per_s()),
            "2 x the memory's clock x the bus's width / 8",
            "it needs the memory's clock and the bus's width, and the driver does not tell both",
        ),
    }
}

fn known(value: u64, what: &str) -> Fact<u64> {
    Fact::of(
        (value > 0).then_some(value),
        SOURCE,
        &format!("the driver tells 0 for {what}"),
    )
}

/// First-level cache and shared memory of a multiprocessor, KiB: CUDA C++ Programming Guide, "Compute Capabilities".
fn l1_kib(capability: u32) -> Option<u64> {
    match capability {
        75 => Some(96),
        80 | 87 => Some(192),
        86 | 89 | 120 | 121 => Some(128),
        90 | 100 | 103 => Some(256),
        _ => None,
    }
}

/// The two caches, as the finder of levels takes them.
pub fn caches(card: &GpuCard) -> Vec<ClaimedCache> {
    let cache = |level, kind: &str, bytes: &Fact<u64>| {
        let untold = "the driver does not tell";
        ClaimedCache {
            level,
            kind: kind.to_owned(),
            bytes: bytes.clone(),
            line_bytes: Fact::unknown(untold),
            ways: Fact::unknown(untold),
            shared_by: Fact::unknown("CPUs have no part in it"),
            cpuid_bytes: Fact::unknown("CPUID knows no card"),
        }
    };
    vec![cache(1, "data", &card.l1_bytes), cache(2, "unified", &card.l2_bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> GpuFacts {
        GpuFacts {
            name: "a card".to_owned(),
            capability: 86,
            multiprocessors: 82,
            clock_khz: 1_695_000,
            memory_clock_khz: 9_751_000,
            memory_bus_bits: 384,
            l2_bytes: 6 << 20,
            memory_bytes: 24 << 30,
            driver_version: 12_040,
        }
    }

    #[test]
    fn attributes_give_the_theoretical_bandwidth() {
        let card = claimed(&facts());
        assert_eq!((card.capability.as_str(), card.driver.as_str()), ("8.6", "12.4"));
        // 9751 MHz, 384 bits: the 936 GB/s of this card's data sheet.
        assert!((card.peak_gbps.value.unwrap() - 936.1).abs() < 0.1);
        assert_eq!(card.l1_bytes.value, Some(128 << 10));
        let levels: Vec<u32> = caches(&card).iter().map(|cache| cache.level).collect();
        assert_eq!(levels, [1, 2]);
    }

    #[test]
    fn what_is_0_is_unknown_and_what_needs_it_too() {
        let card = claimed(&GpuFacts {
            capability: 199,
            memory_clock_khz: 0,
            l2_bytes: 0,
            ..facts()
        });
        assert!(card.memory_clock_mhz.value.is_none() && card.memory_clock_mhz.source.contains("tells 0"));
        assert!(card.l2_bytes.value.is_none() && card.l1_bytes.value.is_none());
        assert!(card.peak_gbps.value.is_none() && card.peak_gbps.source.contains("clock"));
        assert_eq!(card.bus_width_bits.value, Some(384));
    }
}
