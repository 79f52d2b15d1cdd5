//! Where a step's rows come from. A batch is checked when it is built, so that running a program cannot fail.

use tilelab_kernels::Float;

use super::DeviceError;
use crate::data::{Split, Values};
use crate::program::Program;

/// Numbers of a set, row-major.
#[derive(Debug, Clone, Copy)]
pub(super) enum SetValues<'a> {
    /// Multiplied by a program's scale.
    Bytes(&'a [u8]),
    /// Taken as they are.
    Reals(&'a [f32]),
}

/// Rows that a session keeps at hand: bytes or real numbers, and labels, as the data set has them.
#[derive(Debug, Clone, Copy)]
pub struct Set<'a> {
    pub(super) values: SetValues<'a>,
    pub(super) labels: &'a [u8],
    pub(super) columns: usize,
    largest_label: u8,
}

impl<'a> Set<'a> {
    /// `labels.len()` rows of `columns` bytes each, one after the other in `values`.
    ///
    /// # Errors
    /// When the lengths do not fit together, or there is no row.
    pub fn new(values: &'a [u8], labels: &'a [u8], columns: usize) -> Result<Self, DeviceError> {
        Self::checked(SetValues::Bytes(values), values.len(), labels, columns)
    }

    /// The same of real numbers.
    ///
    /// # Errors
    /// As [`Set::new`].
    pub fn of_reals(values: &'a [f32], labels: &'a [u8], columns: usize) -> Result<Self, DeviceError> {
        Self::checked(SetValues::Reals(values), values.len(), labels, columns)
    }

    /// The rows of a split.
    ///
    /// # Errors
    /// As [`Set::new`].
    pub fn of_split(split: &'a Split) -> Result<Self, DeviceError> {
        match &split.values {
            Values::Bytes(bytes) => Self::new(bytes, &split.labels, split.columns),
            Values::Reals(reals) => Self::of_reals(reals, &split.labels, split.columns),
        }
    }

    fn checked(values: SetValues<'a>, count: usize, labels: &'a [u8], columns: usize) -> Result<Self, DeviceError> {
        match labels.iter().max() {
            Some(&largest_label) if labels.len().checked_mul(columns) == Some(count) => Ok(Self {
                values,
                labels,
                columns,
                largest_label,
            }),
            _ => Err(DeviceError::Set {
                values: count,
                labels: labels.len(),
                columns,
            }),
        }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// Some rows' numbers, row-major, bytes multiplied by `byte_scale`; and their labels.
    pub fn gathered<T: Float>(&self, rows: &[u32], byte_scale: f64) -> (Vec<T>, Vec<u8>) {
        let scale = T::from_f64(byte_scale);
        let mut values = Vec::with_capacity(rows.len() * self.columns);
        for &row in rows {
            let part = row as usize * self.columns..(row as usize + 1) * self.columns;
            match self.values {
                SetValues::Bytes(bytes) => {
                    values.extend(bytes[part].iter().map(|&x| T::from_f64(f64::from(x)).times(scale)));
                }
                SetValues::Reals(reals) => values.extend(reals[part].iter().map(|&x| T::from_f64(f64::from(x)))),
            }
        }
        (values, rows.iter().map(|&row| self.labels[row as usize]).collect())
    }

    /// Hands over all values and labels as bytes, in pieces, to fingerprint them.
    pub fn for_each_byte(&self, mut take: impl FnMut(&[u8])) {
        match self.values {
            SetValues::Bytes(bytes) => take(bytes),
            SetValues::Reals(reals) => reals.iter().for_each(|x| take(&x.to_le_bytes())),
        }
        take(self.labels);
    }

    /// The largest label: a model needs more classes than this.
    pub fn largest_label(&self) -> u8 {
        self.largest_label
    }
}

/// The rows of one step.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    pub(super) source: Source<'a>,
    pub(super) rows: usize,
    pub(super) checked: Checked,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'a> {
    /// Rows of set `set` of the session.
    Rows { set: usize, rows: &'a [u32] },
    /// Rows as they are, row-major.
    Slices { values: &'a [f32], labels: &'a [u8] },
}

/// What a batch was checked against; a program with the same three takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) classes: usize,
}

impl Checked {
    pub(super) fn of(program: &Program) -> Self {
        Self {
            rows: program.rows(),
            columns: program.columns(),
            classes: program.classes(),
        }
    }
}

impl<'a> Batch<'a> {
    /// The rows `rows` of `sets[set]`, where `sets` are those that the session was opened with.
    ///
    /// # Errors
    /// No rows or more than the program takes, rows of another width, a row outside the set, or a set with a label that is
    /// no class of the program.
    pub fn of_set(program: &Program, sets: &[Set<'_>], set: usize, rows: &'a [u32]) -> Result<Self, DeviceError> {
        let Some(from) = sets.get(set) else {
            return Err(DeviceError::Row {
                row: set,
                rows: sets.len(),
            });
        };
        let checked = checked(program, rows.len(), from.columns)?;
        label(program, Some(from.largest_label))?;
        // Over numbers and not over references: eight at a time.
        let largest = rows.iter().fold(0, |largest, &row| row.max(largest)) as usize;
        if largest >= from.rows() {
            return Err(DeviceError::Row {
                row: largest,
                rows: from.rows(),
            });
        }
        Ok(Self {
            source: Source::Rows { set, rows },
            rows: rows.len(),
            checked,
        })
    }

    /// `labels.len()` rows of real numbers, row-major in `values`; they are taken as they are.
    ///
    /// # Errors
    /// No rows or more than the program takes, rows of another width, or a label that is no class of the program.
    pub fn of_slices(program: &Program, values: &'a [f32], labels: &'a [u8]) -> Result<Self, DeviceError> {
        let rows = labels.len();
        let columns = values
            .len()
            .checked_div(rows)
            .filter(|columns| columns * rows == values.len());
        let columns = columns.ok_or(DeviceError::Set {
            values: values.len(),
            labels: rows,
            columns: program.columns(),
        })?;
        let checked = checked(program, rows, columns)?;
        label(program, labels.iter().max().copied())?;
        Ok(Self {
            source: Source::Slices { values, labels },
            rows,
            checked,
        })
    }

    /// Its rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
}

fn checked(program: &Program, rows: usize, columns: usize) -> Result<Checked, DeviceError> {
    let name = || program.name().to_owned();
    let checked = Checked::of(program);
    if rows == 0 || rows > checked.rows {
        return Err(DeviceError::Rows {
            program: name(),
            got: rows,
            limit: checked.rows,
        });
    }
    if checked.columns != 0 && columns != checked.columns {
        return Err(DeviceError::Columns {
            program: name(),
            got: columns,
            expected: checked.columns,
        });
    }
    Ok(checked)
}

fn label(program: &Program, largest: Option<u8>) -> Result<(), DeviceError> {
    match largest {
        Some(label) if usize::from(label) >= program.classes() => Err(DeviceError::Label {
            program: program.name().to_owned(),
            label,
            last: program.classes() - 1,
        }),
        _ => Ok(()),
    }
}
