//! The memory system.

use crate::measure::{Probe, Record};

use super::{Section, Tone, Verdict, outline};

/// A probe.
pub fn section(record: &Record, found: &Probe) -> Section {
    outline(record, Verdict::new(Tone::Plain, found.gpu.to_string()))
}
