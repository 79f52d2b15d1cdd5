//! Tables put together from the fields of the specification: what the dumps of `bus_dumps_tests.rs` do not have.

use super::*;
use rand::{RngExt, SeedableRng};

/// Fields of one memory device that matter.
struct Device<'a> {
    locator: &'a str,
    bank: &'a str,
    kind: u8,
    mib: u32,
    data: u16,
    total: u16,
    rated: u16,
    configured: u16,
    /// Bytes of the formatted section: what the firmware's SMBIOS version has.
    length: u8,
}

const DDR4: u8 = 0x1a;
const DDR5: u8 = 0x22;
const LPDDR5: u8 = 0x23;

impl Default for Device<'_> {
    fn default() -> Self {
        Self {
            locator: "DIMM_A1",
            bank: "",
            kind: DDR4,
            mib: 16384,
            data: 64,
            total: 64,
            rated: 3200,
            configured: 3200,
            length: 0x54,
        }
    }
}

/// One structure of type 17 after DSP0134, table 75: little-endian fields at their offsets, then the texts.
fn structure(handle: u16, device: &Device<'_>) -> Vec<u8> {
    let mut bytes = vec![0u8; 0x5c];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, &[17, device.length]);
    put(2, &handle.to_le_bytes());
    put(6, &0xfffeu16.to_le_bytes());
    put(8, &device.total.to_le_bytes());
    put(10, &device.data.to_le_bytes());
    let extended = device.mib >= 0x7fff;
    put(12, &(if extended { 0x7fff } else { device.mib as u16 }).to_le_bytes());
    put(0x1c, &(if extended { device.mib } else { 0 }).to_le_bytes());
    put(0x0e, &[9]);
    put(0x10, &[1, 2, device.kind]);
    put(0x15, &device.rated.to_le_bytes());
    put(0x20, &device.configured.to_le_bytes());
    bytes.truncate(device.length.into());
    for text in [device.locator, if device.bank.is_empty() { "?" } else { device.bank }] {
        bytes.extend(text.bytes().chain([0]));
    }
    bytes.push(0);
    bytes
}

/// A BIOS structure, the devices, and the end of the table.
fn table(devices: &[Device<'_>]) -> Vec<u8> {
    let mut table = vec![0, 4, 0, 0, 0, 0];
    for (handle, device) in devices.iter().enumerate() {
        table.extend(structure(0x1100 + handle as u16, device));
    }
    table.extend([127, 4, 0xff, 0xfe, 0, 0]);
    table
}

fn of(devices: &[Device<'_>]) -> (Option<usize>, Option<u64>, Option<f64>, Vec<String>) {
    let bus = parse(table(devices));
    (bus.channels.value, bus.width_bits.value, bus.peak_gbps.value, bus.notes)
}

#[test]
fn ecc_bits_do_not_carry_data_and_empty_sockets_do_not_count() {
    // A server of one socket: registered ECC on four of eight channels.
    let names = ["A1", "B1", "C1", "D1", "A2", "B2", "C2", "D2"];
    let devices: Vec<Device<'_>> = names
        .iter()
        .map(|locator| Device {
            locator,
            total: 72,
            rated: 3200,
            configured: 2933,
            mib: if locator.ends_with('1') { 65536 } else { 0 },
            ..Device::default()
        })
        .collect();
    let (channels, width, gbps, notes) = of(&devices);
    assert_eq!((channels, width), (Some(4), Some(256)));
    assert!(
        (gbps.unwrap() - 4.0 * 8.0 * 2.933).abs() < 1e-9,
        "configured, not rated: {gbps:?}"
    );
    assert!(
        notes.iter().any(|note| note.contains("ECC")) && notes.iter().any(|note| note.contains("2933")),
        "{notes:?}"
    );
    let bus = parse(table(&devices));
    assert_eq!(
        bus.devices.value.unwrap()[0].bytes.value,
        Some(64 << 30),
        "sizes above 32 GiB are in the extended field"
    );
}

#[test]
fn two_modules_on_one_channel_are_not_added() {
    let names = ["ChannelA-DIMM0", "ChannelA-DIMM1", "ChannelB-DIMM0", "ChannelB-DIMM1"];
    let devices: Vec<Device<'_>> = names
        .iter()
        .map(|locator| Device {
            locator,
            bank: "BANK 0",
            ..Device::default()
        })
        .collect();
    assert_eq!((of(&devices).0, of(&devices).1), (Some(2), Some(128)));
    let slower: Vec<Device<'_>> = names
        .iter()
        .map(|locator| Device {
            locator,
            configured: if locator.ends_with('1') { 2400 } else { 3200 },
            ..Device::default()
        })
        .collect();
    assert!((of(&slower).2.unwrap() - 2.0 * 8.0 * 2.4).abs() < 1e-9);
}

#[test]
fn sockets_and_controllers_keep_their_channels_apart() {
    for (locators, channels) in [
        (["P0 CHANNEL A", "P0 CHANNEL B", "P1 CHANNEL A", "P1 CHANNEL B"], 4),
        (
            [
                "P0_Node0_Channel0_Dimm0",
                "P0_Node0_Channel0_Dimm1",
                "P0_Node1_Channel0_Dimm0",
                "P0_Node0_Channel1_Dimm0",
            ],
            3,
        ),
        (["P1-DIMMA1", "P1-DIMMA2", "P2-DIMMA1", "P2-DIMMB1"], 3),
        (["CPU1_DIMM_A1", "CPU1_DIMM_B1", "CPU2_DIMM_A1", "CPU2_DIMM_A2"], 3),
        (
            [
                "Controller0-ChannelA",
                "Controller0-ChannelB",
                "Controller1-ChannelA",
                "Controller1-ChannelB",
            ],
            4,
        ),
    ] {
        let devices: Vec<Device<'_>> = locators
            .iter()
            .map(|locator| Device {
                locator,
                ..Device::default()
            })
            .collect();
        assert_eq!(of(&devices).0, Some(channels), "{locators:?}");
        // The same text in the bank, where AMD's firmware has it.
        let devices: Vec<Device<'_>> = locators
            .iter()
            .map(|bank| Device {
                locator: "DIMM 0",
                bank,
                ..Device::default()
            })
            .collect();
        assert_eq!(
            of(&devices).0,
            if locators[0].contains("DIMM") {
                of(&devices).0
            } else {
                Some(channels)
            },
            "{locators:?}"
        );
    }
    // Texts that name no channel: unknown, not guessed.
    for locator in ["PROC 1 DIMM 3", "DIMM 0", "", "Onboard", "SODIMM", "ÄÖ1"] {
        let (channels, width, gbps, _) = of(&[Device {
            locator,
            ..Device::default()
        }]);
        assert_eq!((channels, width, gbps), (None, None, None), "{locator}");
    }
}

#[test]
fn ddr5_subchannels_and_lpddr() {
    let ddr5 = |locator, data, total| Device {
        locator,
        kind: DDR5,
        data,
        total,
        rated: 5600,
        configured: 4800,
        ..Device::default()
    };
    let (channels, width, gbps, notes) = of(&[ddr5("DIMM_A1", 64, 80), ddr5("DIMM_B1", 64, 80)]);
    assert_eq!((channels, width), (Some(2), Some(128)));
    assert!(
        (gbps.unwrap() - 76.8).abs() < 1e-9 && notes.iter().any(|note| note.contains("subchannels of 32")),
        "{notes:?}"
    );
    let (_, width, _, notes) = of(&[ddr5("DIMM_A1", 32, 40)]);
    assert!(
        width == Some(32) && notes.iter().any(|note| note.contains("not doubled")),
        "{notes:?}"
    );
    // Soldered: eight channels of 16 bits.
    let names: Vec<String> = (0..2)
        .flat_map(|c| ["A", "B", "C", "D"].map(|d| format!("Controller{c}-Channel{d}")))
        .collect();
    let devices: Vec<Device<'_>> = names
        .iter()
        .map(|locator| Device {
            locator,
            kind: LPDDR5,
            data: 16,
            total: 16,
            mib: 2048,
            rated: 6400,
            configured: 6400,
            ..Device::default()
        })
        .collect();
    let (channels, width, gbps, _) = of(&devices);
    assert_eq!((channels, width), (Some(8), Some(128)));
    assert!((gbps.unwrap() - 102.4).abs() < 1e-9);
}

#[test]
fn what_a_table_does_not_tell_is_unknown() {
    let unknown = |device: Device<'_>| parse(table(&[device]));
    // SMBIOS 2.3 ends before the configured speed.
    let old = unknown(Device {
        length: 0x1b,
        ..Device::default()
    });
    assert_eq!((old.width_bits.value, old.peak_gbps.value), (Some(64), None));
    assert!(old.peak_gbps.source.contains("nameplate"));
    // A virtual machine's: widths and speeds unknown.
    let qemu = unknown(Device {
        kind: 0x07,
        data: 0xffff,
        total: 0xffff,
        rated: 0,
        configured: 0,
        ..Device::default()
    });
    assert!(qemu.width_bits.value.is_none() && qemu.width_bits.source.contains("Data Width"));
    // Firmware flash listed as a device, and a module for check bits alone.
    let (channels, width, _, _) = of(&[
        Device::default(),
        Device {
            locator: "SYSTEM ROM",
            kind: 0x09,
            data: 8,
            total: 8,
            ..Device::default()
        },
        Device {
            locator: "DIMM_E1",
            data: 0,
            total: 8,
            ..Device::default()
        },
    ]);
    assert_eq!((channels, width), (Some(1), Some(64)));
    assert!(parse(vec![]).width_bits.source.contains("empty"));
    assert!(parse(table(&[])).devices.source.contains("names no memory device"));
}

#[test]
fn damaged_tables_never_panic() {
    let whole = table(&[
        Device::default(),
        Device {
            locator: "DIMM_B1",
            bank: "BANK 1",
            ..Device::default()
        },
    ]);
    for end in 0..whole.len() {
        parse(whole[..end].to_vec());
    }
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
    for _ in 0..20_000 {
        let mut damaged = whole.clone();
        for _ in 0..rng.random_range(1..8) {
            let at = rng.random_range(0..damaged.len());
            damaged[at] = rng.random();
        }
        let bus = parse(damaged);
        assert!(bus.peak_gbps.value.is_none_or(f64::is_finite));
    }
}

#[test]
fn a_missing_table_says_who_hides_it() {
    let root = tempfile::tempdir().unwrap();
    let bare = read_in(root.path(), None);
    assert!(bare.width_bits.value.is_none() && bare.width_bits.source.contains("this system has none"));
    assert!(
        read_in(root.path(), Some("KVM"))
            .devices
            .source
            .contains("KVM gives this machine none")
    );
    let path = root.path().join(TABLE);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, table(&[Device::default()])).unwrap();
    let bus = read_in(root.path(), Some("KVM"));
    assert!(bus.width_bits.value == Some(64) && bus.notes.iter().any(|note| note.contains("KVM wrote")));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(
        read_in(root.path(), None).devices.value.is_none(),
        "a folder in its place"
    );
}

#[test]
fn a_lower_bound_is_only_that() {
    // 40 GB/s at 3200 MT/s need 100 bits.
    let least = least_width(40.0, 3200);
    assert!(least.value == Some(100) && least.source.contains("lower bound"));
    assert!(least_width(0.0, 3200).value.is_none() && least_width(f64::NAN, 3200).value.is_none());
}
