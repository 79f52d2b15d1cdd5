//! Where a batch's rows are when a step runs: in a set on the card, or in the step's block.

use tilelab_kernels::cuda::{Buffer, CudaError, Gpu, Slice};

use super::step::Layout;
use crate::device::batch::{Set, SetValues, Source};
use crate::device::{Batch, DeviceError};

/// A set, and its copy on the card if it fits there.
pub(super) struct Resident<'a> {
    set: Set<'a>,
    /// Values and labels.
    card: Option<(Buffer, Buffer)>,
}

impl Resident<'_> {
    /// Bytes on the card.
    pub(super) fn bytes(&self) -> usize {
        self.card
            .as_ref()
            .map_or(0, |(values, labels)| values.bytes() + labels.bytes())
    }
}

/// Half of what is free is for the sets, the rest for buffers.
fn fits(bytes: usize, free: usize) -> bool {
    bytes <= free / 2
}

/// Copies each set to the card while there is room.
pub(super) fn place<'a>(gpu: &Gpu, sets: &[Set<'a>]) -> Result<Vec<Resident<'a>>, DeviceError> {
    let place = |set: &Set<'a>| {
        let values = match set.values {
            SetValues::Bytes(bytes) => bytes.len(),
            SetValues::Reals(reals) => size_of_val(reals),
        };
        let card = if fits(values + set.labels.len(), gpu.free_bytes()?) {
            Some(copy(gpu, set, values)?)
        } else {
            None
        };
        Ok(Resident { set: *set, card })
    };
    sets.iter().map(place).collect()
}

fn copy(gpu: &Gpu, set: &Set<'_>, bytes: usize) -> Result<(Buffer, Buffer), CudaError> {
    let mut values = Buffer::new(gpu, bytes)?;
    match set.values {
        SetValues::Bytes(from) => values.write(0, from)?,
        SetValues::Reals(reals) => {
            let mut at = 0;
            for part in reals.chunks(1 << 20) {
                let part: Vec<u8> = part.iter().flat_map(|x| x.to_le_bytes()).collect();
                values.write(at, &part)?;
                at += part.len();
            }
        }
    }
    let mut labels = Buffer::new(gpu, set.labels.len())?;
    labels.write(0, set.labels)?;
    Ok((values, labels))
}

/// Where a step finds its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum RowSource {
    /// On the card, in this set, by indices in the block.
    Set(usize),
    /// In the block, as bytes.
    Bytes,
    /// In the block, as real numbers.
    Reals,
}

impl RowSource {
    /// All that a step may have.
    pub(super) fn all(sets: &[Resident<'_>]) -> Vec<Self> {
        let resident = (0..sets.len()).filter(|&set| sets[set].card.is_some()).map(Self::Set);
        resident.chain([Self::Bytes, Self::Reals]).collect()
    }
}

/// Writes a batch's rows into the block; where they are to be found, and how many bytes of the block count.
pub(super) fn fill(sets: &[Resident<'_>], batch: &Batch<'_>, layout: &Layout, block: &mut [u8]) -> (RowSource, usize) {
    match batch.source {
        Source::Rows { set, rows } if sets[set].card.is_some() => {
            let to = block[layout.indices..].chunks_exact_mut(4);
            to.zip(rows)
                .for_each(|(to, row)| to.copy_from_slice(&row.to_le_bytes()));
            (RowSource::Set(set), layout.labels)
        }
        Source::Rows { set, rows } => {
            let Set {
                values,
                labels,
                columns,
                ..
            } = sets[set].set;
            for (to, &row) in block[layout.labels..].iter_mut().zip(rows) {
                *to = labels[row as usize];
            }
            let row = |row: u32| row as usize * columns..(row as usize + 1) * columns;
            let to = &mut block[layout.values..];
            match values {
                SetValues::Bytes(bytes) => {
                    for (to, &i) in to.chunks_exact_mut(columns).zip(rows) {
                        to.copy_from_slice(&bytes[row(i)]);
                    }
                    (RowSource::Bytes, layout.values + rows.len() * columns)
                }
                SetValues::Reals(reals) => {
                    for (to, &i) in to.chunks_exact_mut(columns * 4).zip(rows) {
                        put(to, &reals[row(i)]);
                    }
                    (RowSource::Reals, layout.values + rows.len() * columns * 4)
                }
            }
        }
        Source::Slices { values, labels } => {
            block[layout.labels..][..labels.len()].copy_from_slice(labels);
            // A program that loads no rows has no room for them.
            let room = (block.len() - layout.values) / 4;
            let values = if values.len() <= room { values } else { &[] };
            put(&mut block[layout.values..], values);
            (RowSource::Reals, layout.values + values.len() * 4)
        }
    }
}

fn put(to: &mut [u8], values: &[f32]) {
    to.chunks_exact_mut(4)
        .zip(values)
        .for_each(|(to, x)| to.copy_from_slice(&x.to_le_bytes()));
}

/// Numbers of rows on the card.
pub(super) enum CardValues {
    Bytes(Slice<u8>),
    Reals(Slice<f32>),
}

/// What a lowering needs to know of the rows.
pub(super) struct Rows<'s, 'a> {
    pub(super) source: RowSource,
    pub(super) sets: &'s [Resident<'a>],
    pub(super) block: &'s Buffer,
}

impl Rows<'_, '_> {
    /// Indices of `rows` rows, unless the rows themselves lie in the block.
    pub(super) fn indices(&self, layout: &Layout, rows: usize) -> Option<Slice<u32>> {
        matches!(self.source, RowSource::Set(_)).then(|| self.block.slice(layout.indices, rows))
    }

    /// The numbers that the indices point into, or the rows themselves.
    pub(super) fn values(&self, layout: &Layout, elements: usize) -> CardValues {
        match self.source {
            RowSource::Bytes => CardValues::Bytes(self.block.slice(layout.values, elements)),
            RowSource::Reals => CardValues::Reals(self.block.slice(layout.values, elements)),
            RowSource::Set(set) => match &self.sets[set] {
                Resident {
                    set,
                    card: Some((values, _)),
                } => match set.values {
                    SetValues::Bytes(bytes) => CardValues::Bytes(values.slice(0, bytes.len())),
                    SetValues::Reals(reals) => CardValues::Reals(values.slice(0, reals.len())),
                },
                Resident { card: None, .. } => unreachable!("a source is a set on the card"),
            },
        }
    }

    /// Labels, as above.
    pub(super) fn labels(&self, layout: &Layout, rows: usize) -> Slice<u8> {
        match self.source {
            RowSource::Set(set) => match &self.sets[set].card {
                Some((_, labels)) => labels.slice(0, labels.bytes()),
                None => unreachable!("a source is a set on the card"),
            },
            RowSource::Bytes | RowSource::Reals => self.block.slice(layout.labels, rows),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_may_take_half_of_what_is_free() {
        assert!(fits(50, 100) && fits(0, 0));
        assert!(!fits(51, 100));
    }
}
