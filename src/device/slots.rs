//! The buffers of a session in this process's memory, one arena a type.
//!
//! Buffers are slots: an operation takes its outputs out (an empty vector stays behind), borrows its inputs, and puts the
//! outputs back. So one operation can hold several of them at once without a copy, a cell or an allocation.

use tilelab_kernels::Float;

use super::{DeviceError, Held};
use crate::program::{Buffer, Element, Extent, Program, Role, Shape};

/// Where a buffer lies: an index into the arena of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) index: usize,
    pub(super) shape: Shape,
}

/// What is known of a name.
#[derive(Debug, Clone)]
struct Entry {
    name: String,
    place: Place,
    element: Element,
    role: Role,
}

/// All buffers of a session.
#[derive(Debug, Default)]
pub(super) struct Slots<T> {
    /// A few dozen: looking through them costs less than hashing, and their memory can be told.
    names: Vec<Entry>,
    pub(super) reals: Vec<Vec<T>>,
    pub(super) bytes: Vec<Vec<u8>>,
    pub(super) indices: Vec<Vec<u32>>,
    pub(super) metrics: Vec<f64>,
}

impl<T: Float> Slots<T> {
    /// Bytes that [`Slots::add`] would allocate for the program's new or grown buffers, with room for one host copy
    /// of the largest of them in f64, which reading and writing it takes.
    pub(super) fn needs(&self, program: &Program) -> u128 {
        let (mut sum, mut largest) = (0, 0);
        for buffer in program.buffers() {
            let elements = buffer.shape.elements(program.rows()).unwrap_or(usize::MAX);
            let size = if is_real(buffer) {
                size_of::<T>()
            } else {
                buffer.element.bytes()
            };
            let missing = elements.saturating_sub(self.room_for(buffer));
            sum += missing as u128 * size as u128;
            largest = largest.max(missing as u128 * 8);
        }
        sum + largest
    }

    /// Elements that the slot of this name has room for.
    fn room_for(&self, buffer: &Buffer) -> usize {
        match self.entry(&buffer.name) {
            None => 0,
            Some(entry) => {
                let index = entry.place.index;
                match entry.element {
                    _ if entry.role == Role::Metric => 1,
                    Element::F32 | Element::F64 => self.reals[index].len(),
                    Element::U8 => self.bytes[index].len(),
                    Element::U32 => self.indices[index].len(),
                }
            }
        }
    }

    /// A place for each buffer of the program, by its [`crate::program::BufferId`]. A slot of equal name is shared, and
    /// grown where this program's batches are larger.
    pub(super) fn add(&mut self, program: &Program) -> Result<Vec<Place>, DeviceError> {
        for buffer in program.buffers() {
            self.fits(program, buffer)?;
        }
        Ok(program
            .buffers()
            .iter()
            .map(|buffer| self.place(buffer, program.rows()))
            .collect())
    }

    fn fits(&self, program: &Program, buffer: &Buffer) -> Result<(), DeviceError> {
        let Some(there) = self.entry(&buffer.name) else {
            return Ok(());
        };
        let same = (there.place.shape, there.element, there.role == Role::Metric);
        if same == (buffer.shape, buffer.element, buffer.role == Role::Metric) {
            return Ok(());
        }
        Err(DeviceError::Conflict {
            program: program.name().to_owned(),
            buffer: buffer.name.clone(),
            got: format!("{} {}", buffer.shape, buffer.element),
            there: format!("{} {}", there.place.shape, there.element),
        })
    }

    fn place(&mut self, buffer: &Buffer, rows: usize) -> Place {
        // Program::new has seen that it fits a usize.
        let elements = buffer.shape.elements(rows).unwrap_or(usize::MAX);
        let known = self.entry(&buffer.name).map(|entry| entry.place.index);
        let index = match buffer.element {
            _ if buffer.role == Role::Metric => known.unwrap_or_else(|| {
                self.metrics.push(0.0);
                self.metrics.len() - 1
            }),
            Element::F32 | Element::F64 => room(&mut self.reals, known, elements),
            Element::U8 => room(&mut self.bytes, known, elements),
            Element::U32 => room(&mut self.indices, known, elements),
        };
        let place = Place {
            index,
            shape: buffer.shape,
        };
        if known.is_none() {
            self.names.push(Entry {
                name: buffer.name.clone(),
                place,
                element: buffer.element,
                role: buffer.role,
            });
        }
        place
    }

    /// As [`super::Session::read`], for batches of `rows` rows.
    pub(super) fn read(&self, name: &str, rows: usize) -> Result<Vec<f64>, DeviceError> {
        let entry = self.entry(name).ok_or_else(|| DeviceError::Buffer(name.to_owned()))?;
        let Place { index, shape } = entry.place;
        let elements = shape.elements(rows).unwrap_or(usize::MAX);
        Ok(match entry.element {
            _ if entry.role == Role::Metric => vec![self.metrics[index]],
            Element::F32 | Element::F64 => self.reals[index][..elements].iter().map(|x| x.to_f64()).collect(),
            Element::U8 => self.bytes[index][..elements].iter().map(|&x| f64::from(x)).collect(),
            Element::U32 => self.indices[index][..elements].iter().map(|&x| f64::from(x)).collect(),
        })
    }

    /// As [`super::Session::write`].
    pub(super) fn write(&mut self, name: &str, values: &[f64]) -> Result<(), DeviceError> {
        let entry = self.entry(name);
        let entry = entry.filter(|entry| matches!(entry.element, Element::F32 | Element::F64));
        let entry = entry.ok_or_else(|| DeviceError::Buffer(name.to_owned()))?;
        let Place { index, shape } = entry.place;
        if let (Role::Metric, [value]) = (entry.role, values) {
            self.metrics[index] = *value;
            return Ok(());
        }
        if entry.role == Role::Metric {
            return Err(DeviceError::Length {
                buffer: name.to_owned(),
                expected: "1".to_owned(),
                got: values.len(),
            });
        }
        let slot = &mut self.reals[index];
        let fits = match shape.rows {
            Extent::Fixed(_) => values.len() == slot.len(),
            Extent::Batch | Extent::Batches(_) => values.len() <= slot.len() && values.len().is_multiple_of(shape.cols),
        };
        if !fits {
            let expected = if !matches!(shape.rows, Extent::Fixed(_)) {
                "up to "
            } else {
                ""
            };
            let expected = format!("{expected}{}", slot.len());
            return Err(DeviceError::Length {
                buffer: name.to_owned(),
                expected,
                got: values.len(),
            });
        }
        slot.iter_mut()
            .zip(values)
            .for_each(|(to, &from)| *to = T::from_f64(from));
        Ok(())
    }

    /// Every metric by name, in the order of their names; all begin at 0 again.
    pub(super) fn take_metrics(&mut self) -> Vec<(String, f64)> {
        let metrics = self.names.iter().filter(|entry| entry.role == Role::Metric);
        let mut taken: Vec<_> = metrics
            .map(|entry| (entry.name.clone(), self.metrics[entry.place.index]))
            .collect();
        taken.sort_by(|a, b| a.0.cmp(&b.0));
        self.metrics.fill(0.0);
        taken
    }
}

impl<T> Slots<T> {
    fn entry(&self, name: &str) -> Option<&Entry> {
        self.names.iter().find(|entry| entry.name == name)
    }

    /// What is allocated: each buffer by its name, and the lists that find them.
    pub(super) fn held(&self) -> Vec<Held> {
        let mut held: Vec<Held> = self
            .names
            .iter()
            .map(|entry| {
                let index = entry.place.index;
                let bytes = match entry.element {
                    // All metrics lie in one vector; what is spare in it is counted with the lists.
                    _ if entry.role == Role::Metric => size_of::<f64>(),
                    Element::F32 | Element::F64 => vector_bytes(&self.reals[index]),
                    Element::U8 => vector_bytes(&self.bytes[index]),
                    Element::U32 => vector_bytes(&self.indices[index]),
                };
                Held::buffer(&entry.name, bytes)
            })
            .collect();
        let lists = vector_bytes(&self.reals) + vector_bytes(&self.bytes) + vector_bytes(&self.indices);
        let spare_metrics = vector_bytes(&self.metrics) - self.metrics.len() * size_of::<f64>();
        held.push(Held::overhead("lists of slots", lists + spare_metrics));
        let names: usize = self.names.iter().map(|entry| entry.name.capacity()).sum();
        held.push(Held::overhead("names of buffers", vector_bytes(&self.names) + names));
        held
    }
}

/// Bytes that a vector has allocated.
pub(super) fn vector_bytes<E>(vector: &Vec<E>) -> usize {
    vector.capacity() * size_of::<E>()
}

fn is_real(buffer: &Buffer) -> bool {
    matches!(buffer.element, Element::F32 | Element::F64) && buffer.role != Role::Metric
}

/// The slot at `known`, or a new one, with room for `elements`.
fn room<E: Copy + Default>(arena: &mut Vec<Vec<E>>, known: Option<usize>, elements: usize) -> usize {
    let index = known.unwrap_or_else(|| {
        arena.push(Vec::new());
        arena.len() - 1
    });
    let slot = &mut arena[index];
    if slot.len() < elements {
        // Not one element more than it takes: `resize` alone doubles.
        slot.reserve_exact(elements - slot.len());
        slot.resize(elements, E::default());
    }
    index
}
