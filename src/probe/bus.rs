//! Width and theoretical bandwidth of the memory bus, from the firmware's table of memory devices (SMBIOS type 17,
//! DMTF DSP0134).
//!
//! ```text
//! GB/s = sum over filled channels of Data Width / 8 * Configured Speed
//! ```
//! Data Width, not Total Width, which counts ECC's bits. Configured Speed, not the nameplate's. The table names no
//! channels: they are inferred from what is printed beside the sockets, and where that names none they stay unknown. Two
//! modules on one channel take turns, so their widths are not added.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use smbioslib::{
    MemoryDeviceType, MemorySize, MemorySizeExtended, MemorySpeed, MemorySpeedExtended, SMBiosData, SMBiosMemoryDevice,
};

use crate::measure::{Bus, Fact, MemoryDevice};

/// The kernel's copy of the table.
const TABLE: &str = "sys/firmware/dmi/tables/DMI";

/// The bus of the machine below `root`. `hypervisor`: somebody else may have written the table.
pub fn read_in(root: &Path, hypervisor: Option<&str>) -> Bus {
    let mut bus = match fs::read(root.join(TABLE)) {
        Ok(table) => parse(table),
        Err(error) => {
            let hidden = match error.kind() {
                std::io::ErrorKind::PermissionDenied => "only root may read it".to_owned(),
                std::io::ErrorKind::NotFound => match hypervisor {
                    Some(name) => format!("{name} gives this machine none"),
                    None => "this system has none".to_owned(),
                },
                _ => error.to_string(),
            };
            unknown(&format!("/{TABLE}: {hidden}"))
        }
    };
    if let (Some(name), true) = (hypervisor, bus.devices.value.is_some()) {
        bus.notes
            .push(format!("{name} wrote this table; it need not be the host's"));
    }
    bus
}

fn unknown(why: &str) -> Bus {
    Bus {
        devices: Fact::unknown(why),
        channels: Fact::unknown(why),
        width_bits: Fact::unknown(why),
        peak_gbps: Fact::unknown(why),
        least_width_bits: Fact::unknown("give the memory's speed with --dram, such as --dram 3200"),
        notes: Vec::new(),
    }
}

/// The bus of a raw table.
pub fn parse(table: Vec<u8>) -> Bus {
    if table.is_empty() {
        return unknown(&format!("/{TABLE} is empty"));
    }
    let bytes = table.len();
    let data = SMBiosData::from_vec_and_version(table, None);
    let devices: Vec<MemoryDevice> = data.map(|device: SMBiosMemoryDevice<'_>| one(&device)).collect();
    if devices.is_empty() {
        let structures = data.iter().count();
        return unknown(&format!(
            "the SMBIOS table ({bytes} bytes, {structures} structures) names no memory device"
        ));
    }
    let mut bus = unknown("");
    widths(&devices, &mut bus);
    bus.devices = Fact::known(devices, "SMBIOS type 17");
    bus
}

/// Channels, width and bandwidth of the filled sockets.
fn widths(devices: &[MemoryDevice], bus: &mut Bus) {
    let filled: Vec<&MemoryDevice> = devices.iter().filter(|device| carries_data(device)).collect();
    let mut channels: BTreeMap<&str, (u32, Option<u32>)> = BTreeMap::new();
    let mut missing = filled.is_empty().then(|| "no socket is known to be filled".to_owned());
    for device in &filled {
        let name = &device.locator;
        let (Some(channel), Some(bits)) = (&device.channel, device.data_bits.value) else {
            missing = Some(match device.channel {
                None => format!("the text of {name} ({}) names no channel", device.bank),
                Some(_) => format!("the Data Width of {name} is unknown"),
            });
            break;
        };
        let speed = device.configured_mts.value;
        let entry = channels.entry(channel).or_insert((bits, speed));
        // Modules on one channel take turns: the wider one counts, at the slower one's speed.
        *entry = (entry.0.max(bits), entry.1.zip(speed).map(|(a, b)| a.min(b)));
    }
    bus.notes.extend(notes(&filled));
    if missing.is_none() && channels.len() == 1 && sockets_of_a_channel(devices) > MOST_SOCKETS {
        let count = devices.len();
        missing = Some(format!(
            "the text beside {count} sockets names one channel, which has {MOST_SOCKETS} at most"
        ));
    }
    if let Some(why) = missing {
        bus.channels = Fact::unknown(why.clone());
        bus.width_bits = Fact::unknown(why.clone());
        bus.peak_gbps = Fact::unknown(why);
        return;
    }
    let source = "inferred from the locators' text";
    bus.channels = Fact::known(channels.len(), source);
    let bits = channels.values().map(|(bits, _)| u64::from(*bits)).sum();
    bus.width_bits = Fact::known(bits, format!("Data Width of one module a channel; channels {source}"));
    let rates: Option<Vec<f64>> = channels
        .values()
        .map(|(bits, speed)| Some(f64::from(*bits) / 8.0 * f64::from((*speed)?) / 1e3))
        .collect();
    bus.peak_gbps = match rates {
        Some(rates) => Fact::known(
            rates.iter().sum(),
            format!("Data Width times Configured Memory Speed; channels {source}"),
        ),
        None => Fact::unknown("a module's Configured Memory Speed is unknown; the nameplate's speed is no answer"),
    };
}

/// A channel has three sockets at most; boards that number all their sockets behind one letter name no channels.
const MOST_SOCKETS: usize = 3;

/// Sockets, filled or not, beside which the commonest channel is named.
fn sockets_of_a_channel(devices: &[MemoryDevice]) -> usize {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for channel in devices.iter().filter_map(|device| device.channel.as_deref()) {
        *counts.entry(channel).or_default() += 1;
    }
    counts.into_values().max().unwrap_or(0)
}

/// Filled, of memory that programs run in, and not for check bits alone.
fn carries_data(device: &MemoryDevice) -> bool {
    let filled = device.bytes.value != Some(0);
    filled && device.data_bits.value != Some(0) && !["flash", "ROM", "non-volatile"].contains(&device.kind.as_str())
}

fn notes(filled: &[&MemoryDevice]) -> Vec<String> {
    let mut notes = Vec::new();
    let ecc = |device: &&&MemoryDevice| device.total_bits.value > device.data_bits.value;
    let count = filled.iter().filter(ecc).count();
    if count > 0 {
        notes.push(format!(
            "{count} modules have check bits (ECC), which carry no data and are not counted"
        ));
    }
    if filled
        .iter()
        .any(|device| device.kind == "DDR5" && device.data_bits.value == Some(64))
    {
        notes.push("DDR5: a module's 64 bits are two subchannels of 32".to_owned());
    }
    if filled
        .iter()
        .any(|device| device.kind == "DDR5" && device.data_bits.value == Some(32))
    {
        notes.push("DDR5 with a Data Width of 32: one subchannel is told; it is not doubled by a guess".to_owned());
    }
    let speeds = |device: &&MemoryDevice| Some((device.configured_mts.value?, device.rated_mts.value?));
    if let Some((configured, rated)) = filled
        .iter()
        .filter_map(speeds)
        .find(|(configured, rated)| configured < rated)
    {
        notes.push(format!(
            "configured to {configured} MT/s, below the nameplate's {rated} MT/s"
        ));
    }
    notes
}

fn one(device: &SMBiosMemoryDevice<'_>) -> MemoryDevice {
    const SOURCE: &str = "SMBIOS type 17";
    // Texts may be missing, or hold bytes that are no text.
    let text = |text: smbioslib::SMBiosString| text.to_utf8_lossy().unwrap_or_default().trim().to_owned();
    let width = |bits: Option<u16>, name: &str| {
        let known = bits.filter(|&bits| bits != 0xffff).map(u32::from);
        Fact::of(known, SOURCE, &format!("{name} is not told"))
    };
    let (locator, bank) = (text(device.device_locator()), text(device.bank_locator()));
    let speed = |speed: Option<MemorySpeed>, extended: Option<MemorySpeedExtended>, name: &str| {
        let mts = match speed {
            Some(MemorySpeed::MTs(mts)) => Some(u32::from(mts)),
            Some(MemorySpeed::SeeExtendedSpeed) => match extended {
                Some(MemorySpeedExtended::MTs(mts)) => Some(mts),
                _ => None,
            },
            _ => None,
        };
        Fact::of(mts, SOURCE, &format!("{name} is not told"))
    };
    MemoryDevice {
        channel: channel(&locator).or_else(|| channel(&bank)),
        kind: kind(device),
        bytes: Fact::of(bytes(device), SOURCE, "Size is not told"),
        data_bits: width(device.data_width(), "Data Width"),
        total_bits: width(device.total_width(), "Total Width"),
        configured_mts: speed(
            device.configured_memory_speed(),
            device.extended_configured_memory_speed(),
            "Configured Memory Speed",
        ),
        rated_mts: speed(device.speed(), device.extended_speed(), "Speed"),
        locator,
        bank,
    }
}

fn bytes(device: &SMBiosMemoryDevice<'_>) -> Option<u64> {
    match device.size()? {
        MemorySize::NotInstalled => Some(0),
        MemorySize::Unknown => None,
        MemorySize::Kilobytes(kib) => Some(u64::from(kib) << 10),
        MemorySize::Megabytes(mib) => Some(u64::from(mib) << 20),
        MemorySize::SeeExtendedSize => match device.extended_size()? {
            MemorySizeExtended::Megabytes(mib) => Some(u64::from(mib) << 20),
            MemorySizeExtended::SeeSize => None,
        },
    }
}

fn kind(device: &SMBiosMemoryDevice<'_>) -> String {
    let Some(data) = device.memory_type() else {
        return "unknown".to_owned();
    };
    match data.value {
        MemoryDeviceType::Ddr3 => "DDR3",
        MemoryDeviceType::Ddr4 => "DDR4",
        MemoryDeviceType::Ddr5 => "DDR5",
        MemoryDeviceType::Lpddr3 => "LPDDR3",
        MemoryDeviceType::Lpddr4 => "LPDDR4",
        MemoryDeviceType::Lpddr5 => "LPDDR5",
        MemoryDeviceType::Hbm => "HBM",
        MemoryDeviceType::Hbm2 => "HBM2",
        MemoryDeviceType::Hbm3 => "HBM3",
        MemoryDeviceType::Mrdimm => "MRDIMM",
        MemoryDeviceType::Flash => "flash",
        MemoryDeviceType::Rom => "ROM",
        MemoryDeviceType::LogicalNonVolatileDevice => "non-volatile",
        MemoryDeviceType::Ram | MemoryDeviceType::Dram => "RAM",
        _ => return format!("type {:#04x}", data.raw),
    }
    .to_owned()
}

/// The channel that a text names: everything up to and with the channel's letter or number, since sockets and
/// controllers stand before it. `P0 CHANNEL A`, `Controller0-ChannelA-DIMM0`, `DIMM_A1`, `CPU1_DIMM_B2`, `A1`.
fn channel(text: &str) -> Option<String> {
    let upper = text.to_ascii_uppercase();
    if let Some(at) = upper.find("CHANNEL") {
        let rest = &upper[at + "CHANNEL".len()..];
        let mark = rest.trim_start_matches([' ', '-', '_', ':']);
        let mark: String = mark.chars().take_while(char::is_ascii_alphanumeric).collect();
        // `ChannelA-DIMM0` has one letter; `CHANNEL0DIMM1` a number.
        let digits: String = mark.chars().take_while(char::is_ascii_digit).collect();
        let mark = if digits.is_empty() {
            mark.chars().take(1).collect()
        } else {
            digits
        };
        return (!mark.is_empty()).then(|| format!("{}CHANNEL {mark}", &upper[..at]));
    }
    // A letter, then the slot's number, at the end: the letter is the channel.
    let stem = upper.trim_end_matches(|c: char| c.is_ascii_digit());
    let letter = stem.chars().last().filter(char::is_ascii_uppercase)?;
    let before = &stem[..stem.len() - 1];
    let named = before.is_empty() || before.ends_with("DIMM") || before.ends_with(['_', '-', ' ']);
    (stem.len() < upper.len() && named && letter.is_ascii_uppercase()).then(|| stem.to_owned())
}

/// The least width, in bits, that moves `gbps` GB/s at `mts` MT/s: a bus that wide or wider was there.
pub fn least_width(gbps: f64, mts: u32) -> Fact<u64> {
    let bits = gbps * 8e3 / f64::from(mts);
    if bits.is_finite() && bits >= 1.0 {
        Fact::known(
            bits as u64,
            format!(
                "{gbps:.1} GB/s measured, at the {mts} MT/s given; a lower bound: few cores do not fill a socket's channels"
            ),
        )
    } else {
        Fact::unknown("no bandwidth was measured in DRAM")
    }
}

#[cfg(test)]
#[path = "bus_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "bus_dumps_tests.rs"]
mod dumps_tests;
