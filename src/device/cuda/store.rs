//! The buffers of a session on a card.

use tilelab_kernels::cuda::{Buffer, CudaError, Gpu, Slice};

use crate::device::{DeviceError, Held};
use crate::program::{BufferId, Element, Extent, Program, Role, Shape};

/// One buffer by its name.
struct Entry {
    name: String,
    shape: Shape,
    element: Element,
    role: Role,
    card: Buffer,
}

/// All buffers, and room for sums on their way.
pub(super) struct Store {
    entries: Vec<Entry>,
    room: Buffer,
}

impl Store {
    pub(super) fn new(gpu: &Gpu) -> Result<Self, CudaError> {
        Ok(Self {
            entries: Vec::new(),
            room: Buffer::new(gpu, 0)?,
        })
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Bytes that [`Store::add`] would allocate for the program's new or grown buffers; a grown one is there twice for a moment.
    pub(super) fn needs(&self, program: &Program) -> usize {
        let missing = |buffer: &crate::program::Buffer| {
            let there = self.entry(&buffer.name).map_or(0, |entry| entry.card.bytes());
            let bytes = bytes_of(program, buffer);
            if bytes > there { bytes } else { 0 }
        };
        program
            .buffers()
            .iter()
            .map(missing)
            .fold(0, |sum: usize, bytes| sum.saturating_add(bytes))
    }

    /// Takes in the buffers of a program. New ones are 0, grown ones keep what they hold.
    pub(super) fn add(&mut self, gpu: &Gpu, program: &Program) -> Result<(), DeviceError> {
        for buffer in program.buffers() {
            if let Some(entry) = self.entry(&buffer.name)
                && (entry.shape, entry.element) != (buffer.shape, buffer.element)
            {
                return Err(DeviceError::Conflict {
                    program: program.name().to_owned(),
                    buffer: buffer.name.clone(),
                    got: format!("{} {}", buffer.shape, buffer.element),
                    there: format!("{} {}", entry.shape, entry.element),
                });
            }
        }
        for buffer in program.buffers() {
            let bytes = bytes_of(program, buffer);
            let known = self.entries.iter_mut().find(|entry| entry.name == buffer.name);
            match known {
                Some(entry) if entry.card.bytes() >= bytes => {}
                Some(entry) => {
                    let mut old = vec![0; bytes];
                    let held = entry.card.bytes();
                    entry.card.read(0, &mut old[..held])?;
                    entry.card = Buffer::new(gpu, bytes)?;
                    entry.card.write(0, &old)?;
                }
                None => {
                    let mut card = Buffer::new(gpu, bytes)?;
                    card.write(0, &vec![0; bytes])?;
                    self.entries.push(Entry {
                        name: buffer.name.clone(),
                        shape: buffer.shape,
                        element: buffer.element,
                        role: buffer.role,
                        card,
                    });
                }
            }
        }
        Ok(())
    }

    /// Sees to room for so many floats.
    pub(super) fn make_room(&mut self, gpu: &Gpu, floats: usize) -> Result<(), CudaError> {
        if self.room.bytes() < floats * 4 {
            self.room = Buffer::new(gpu, floats * 4)?;
        }
        Ok(())
    }

    /// The floats of [`Store::make_room`].
    pub(super) fn room(&self) -> Slice<f32> {
        self.room.slice(0, self.room.bytes() / 4)
    }

    /// A program's buffer in a batch of `rows` rows.
    pub(super) fn slice<T>(&self, program: &Program, id: BufferId, rows: usize) -> Slice<T> {
        let buffer = program.buffer(id);
        let elements = buffer.shape.elements(rows).unwrap_or(usize::MAX);
        match self.entry(&buffer.name) {
            Some(entry) => entry.card.slice(0, elements),
            None => unreachable!("{} was taken in with its program", buffer.name),
        }
    }

    /// As [`crate::device::Session::read`], for batches of `rows` rows.
    pub(super) fn read(&self, name: &str, rows: usize) -> Result<Vec<f64>, DeviceError> {
        let entry = self.entry(name).ok_or_else(|| DeviceError::Buffer(name.to_owned()))?;
        let size = entry.element.bytes();
        let mut bytes = vec![0; entry.shape.elements(rows).unwrap_or(usize::MAX) * size];
        entry.card.read(0, &mut bytes)?;
        Ok(bytes
            .chunks_exact(size)
            .map(|bytes| value(entry.element, bytes))
            .collect())
    }

    /// As [`crate::device::Session::write`].
    pub(super) fn write(&mut self, name: &str, values: &[f64]) -> Result<(), DeviceError> {
        let entry = self.entries.iter_mut().find(|entry| entry.name == name);
        let entry = entry.filter(|entry| matches!(entry.element, Element::F32 | Element::F64));
        let entry = entry.ok_or_else(|| DeviceError::Buffer(name.to_owned()))?;
        let room = entry.card.bytes() / entry.element.bytes();
        let fixed = matches!(entry.shape.rows, Extent::Fixed(_));
        let fits = if fixed {
            values.len() == room
        } else {
            values.len() <= room && values.len().is_multiple_of(entry.shape.cols)
        };
        if !fits {
            return Err(DeviceError::Length {
                buffer: name.to_owned(),
                expected: format!("{}{room}", if fixed { "" } else { "up to " }),
                got: values.len(),
            });
        }
        let bytes: Vec<u8> = match entry.element {
            Element::F64 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            _ => values.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect(),
        };
        Ok(entry.card.write(0, &bytes)?)
    }

    /// Every metric by name, in the order of their names; all begin at 0 again.
    pub(super) fn take_metrics(&mut self) -> Result<Vec<(String, f64)>, CudaError> {
        let mut taken = Vec::new();
        for entry in self.entries.iter_mut().filter(|entry| entry.role == Role::Metric) {
            let mut bytes = [0; 8];
            entry.card.read(0, &mut bytes)?;
            entry.card.write(0, &[0; 8])?;
            taken.push((entry.name.clone(), f64::from_le_bytes(bytes)));
        }
        taken.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(taken)
    }

    /// What is allocated on the card.
    pub(super) fn held(&self) -> Vec<Held> {
        let buffers = self.entries.iter();
        let mut held: Vec<Held> = buffers
            .map(|entry| Held::buffer(&entry.name, entry.card.bytes()))
            .collect();
        held.push(Held::overhead("room for sums over columns", self.room.bytes()));
        held
    }
}

/// Bytes of a buffer in the program's largest batch.
fn bytes_of(program: &Program, buffer: &crate::program::Buffer) -> usize {
    let elements = buffer.shape.elements(program.rows()).unwrap_or(usize::MAX);
    elements.saturating_mul(buffer.element.bytes())
}

fn value(element: Element, bytes: &[u8]) -> f64 {
    let mut low = [0; 8];
    low[..bytes.len()].copy_from_slice(bytes);
    let low = u64::from_le_bytes(low);
    match element {
        Element::F32 => f64::from(f32::from_bits(low as u32)),
        Element::F64 => f64::from_bits(low),
        Element::U8 | Element::U32 => low as f64,
    }
}
