//! Memory devices of real machines (tests/smbios/README.md names them and what they were made from).

use super::*;

macro_rules! dump {
    ($name:literal) => {
        parse(include_bytes!(concat!("../../tests/smbios/", $name, ".bin")).to_vec())
    };
}

/// Channels, bits and GB/s.
fn answer(bus: &Bus) -> (Option<usize>, Option<u64>, Option<f64>) {
    (bus.channels.value, bus.width_bits.value, bus.peak_gbps.value)
}

#[track_caller]
fn holds(bus: &Bus, channels: usize, bits: u64, mts: f64) {
    let (found, width, gbps) = answer(bus);
    assert_eq!((found, width), (Some(channels), Some(bits)));
    let expected = bits as f64 / 8.0 * mts / 1e3;
    assert!((gbps.unwrap() - expected).abs() < 1e-9, "{gbps:?}, {expected}");
}

#[test]
fn laptops_of_two_channels() {
    holds(&dump!("asus-ux307la"), 2, 128, 1600.0);
    holds(&dump!("lenovo-thinkpad-t480"), 2, 128, 2400.0);
    let surface = dump!("microsoft-surface-laptop-3");
    holds(&surface, 2, 128, 2400.0);
    let kind = |bus: &Bus| bus.devices.value.as_ref().unwrap()[0].kind.clone();
    assert_eq!(
        (kind(&dump!("asus-ux307la")), kind(&surface)),
        ("LPDDR3".to_owned(), "DDR4".to_owned())
    );
    let t480 = dump!("lenovo-thinkpad-t480").devices.value.unwrap();
    let sizes: Vec<_> = t480.iter().map(|device| device.bytes.value).collect();
    assert_eq!(sizes, [Some(8 << 30), Some(16 << 30)]);
}

#[test]
fn two_modules_a_channel() {
    holds(&dump!("msi-ms-7816"), 2, 128, 1600.0);
    holds(&dump!("gigabyte-x399"), 4, 256, 2933.0);
}

#[test]
fn a_server_of_two_sockets_with_ecc() {
    let bus = dump!("supermicro-x9dbl");
    holds(&bus, 6, 384, 1333.0);
    assert!(
        bus.notes
            .iter()
            .any(|note| note.starts_with("6 modules have check bits")),
        "{:?}",
        bus.notes
    );
    let device = &bus.devices.value.as_ref().unwrap()[0];
    assert_eq!((device.data_bits.value, device.total_bits.value), (Some(64), Some(72)));
}

#[test]
fn what_a_table_does_not_tell_is_unknown() {
    // No text names a channel, and SMBIOS 2.6 has no configured speed.
    let bus = dump!("lenovo-thinkpad-w510");
    assert_eq!(answer(&bus), (None, None, None));
    assert_eq!(bus.devices.value.as_ref().unwrap()[0].rated_mts.value, Some(1334));
    // A0 to A3 are four sockets of one letter: no channel has four.
    let bus = dump!("gigabyte-ga-ma74gmt-s2");
    assert_eq!(answer(&bus), (None, None, None));
    assert!(bus.channels.source.contains("one channel"), "{}", bus.channels.source);
    // A hypervisor's table: 128 sockets, one of them filled.
    let bus = dump!("vmware");
    assert_eq!(answer(&bus), (None, None, None));
    let devices = bus.devices.value.unwrap();
    let filled = devices.iter().filter(|device| device.bytes.value != Some(0)).count();
    assert_eq!((devices.len(), filled), (128, 1));
}
