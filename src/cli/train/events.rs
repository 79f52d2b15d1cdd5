//! `--tensorboard`: the figures of each epoch as TensorBoard's event file.
//!
//! The file is a list of records, each `length (u64) | crc(length) | data | crc(data)`, little-endian, with CRC-32C masked as below; the data is
//! a protocol buffer `Event`:
//! ```text
//! 1: wall_time (double)   2: step (int64)   3: file_version (string, first record)   5: Summary { 1: Value { 1: tag, 2: simple_value (float) } }
//! ```
//! The file has one name, and a run that goes on tells its earlier epochs again: the steps are those of a run that was never stopped.
//!
//! References: TensorFlow, `core/lib/io/record_writer.h` and `core/util/event.proto`.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::files::kept;
use crate::measure::Epoch;

const FILE: &str = "events.out.tfevents.0000000000.tilelab";

/// The file.
pub(super) struct Events {
    path: PathBuf,
    file: File,
}

impl Events {
    /// In `folder`, which is made where it is missing. What was in the file stays until [`Events::begin`].
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join(FILE);
        let file = kept(&path)?;
        Ok(Self { path, file })
    }

    /// The version, and nothing else.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        let mut version = event(0);
        bytes(&mut version, 3, b"brain.Event:2");
        self.write(&version)
    }

    /// The figures of one epoch; its number is the step.
    pub(super) fn epoch(&mut self, epoch: &Epoch) -> io::Result<()> {
        let figures = [
            ("loss/train", Some(epoch.train_loss)),
            ("loss/test", Some(epoch.test_loss)),
            ("loss/validation", epoch.validation_loss),
            ("accuracy/train", Some(epoch.train_acc)),
            ("accuracy/test", Some(epoch.test_acc)),
            ("accuracy/validation", epoch.validation_acc),
            ("samples_per_s", Some(epoch.samples_per_s)),
        ];
        let mut summary = Vec::new();
        for (tag, figure) in figures {
            let Some(figure) = figure else { continue };
            let mut value = Vec::new();
            bytes(&mut value, 1, tag.as_bytes());
            value.push(2 << 3 | 5);
            value.extend((figure as f32).to_le_bytes());
            bytes(&mut summary, 1, &value);
        }
        let mut event = event(epoch.epoch as u64);
        bytes(&mut event, 5, &summary);
        self.write(&event)
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        let mut record = length.to_vec();
        record.extend(masked_crc(&length).to_le_bytes());
        record.extend(data);
        record.extend(masked_crc(data).to_le_bytes());
        self.file.write_all(&record)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// The beginning of an event: wall time and step.
fn event(step: u64) -> Vec<u8> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let mut event = vec![1 << 3 | 1];
    event.extend(now.map_or(0.0, |now| now.as_secs_f64()).to_le_bytes());
    event.push(2 << 3);
    varint(&mut event, step);
    event
}

/// A field of bytes.
fn bytes(to: &mut Vec<u8>, field: u8, data: &[u8]) {
    to.push(field << 3 | 2);
    varint(to, data.len() as u64);
    to.extend(data);
}

/// Seven bits a byte, the lowest first.
fn varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// A CRC of data that holds CRCs would be weak, so it is turned and shifted.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_and_the_crc_are_those_of_the_formats() {
        let mut out = Vec::new();
        for value in [0, 127, 128, 300, u64::MAX] {
            varint(&mut out, value);
        }
        assert_eq!(out[..6], [0, 127, 128, 1, 172, 2]);
        assert_eq!(out.len(), 16);
        // RFC 3720, B.4: CRC-32C of 32 zeros.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        // The length of TensorBoard's own first record, 24 bytes: its files begin 18 00 00 00 00 00 00 00 a3 7f 4b 22.
        assert_eq!(masked_crc(&24u64.to_le_bytes()), 0x224b_7fa3);
    }
}
