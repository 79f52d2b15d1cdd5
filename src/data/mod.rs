//! Data to train on: images and labels, kept as bytes where they came as bytes (pixels are scaled where they are used).

use std::fmt;
use std::path::PathBuf;

mod error;
pub mod fashion_mnist;
pub mod idx;
pub mod lookup;
pub mod npy;
pub mod png;
pub mod synthetic;
pub mod table;

pub use error::{DataError, Problem};
pub use lookup::Places;

/// A data set: what to train on and what to test with.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Name that people know it by, such as `Fashion-MNIST`.
    pub name: String,
    /// Where it came from.
    pub source: Source,
    /// Height and width of one image in pixels.
    pub shape: (usize, usize),
    /// Number of classes; every label is below it.
    pub classes: usize,
    /// What a model learns from.
    pub train: Split,
    /// What it is judged by.
    pub test: Split,
}

impl Dataset {
    /// Numbers in one row: the width of a model's input.
    pub fn columns(&self) -> usize {
        self.train.columns
    }

    /// One line for records: name, place and size, such as
    /// `Fashion-MNIST: Debian package dataset-fashion-mnist, /usr/share/datasets/fashion-mnist, 60,000 + 10,000 images`.
    pub fn describe(&self) -> String {
        let (train, test) = (grouped(self.train.rows), grouped(self.test.rows));
        let what = match self.train.values {
            Values::Bytes(_) => "images",
            Values::Reals(_) => "rows",
        };
        format!("{}: {}, {train} + {test} {what}", self.name, self.source)
    }
}

/// The numbers of a split, row-major: as they came.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Pixels, 0 to 255; a model sees them as 0 to 1.
    Bytes(Vec<u8>),
    /// Numbers that a model sees as they are.
    Reals(Vec<f32>),
}

impl Values {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Reals(reals) => reals.len(),
        }
    }

    /// The numbers of these rows of `columns` numbers, in this order.
    ///
    /// # Panics
    /// If a row is not there.
    pub fn take(&self, rows: &[usize], columns: usize) -> Self {
        fn picked<T: Copy>(from: &[T], rows: &[usize], columns: usize) -> Vec<T> {
            let rows = rows.iter().flat_map(|row| &from[row * columns..][..columns]);
            rows.copied().collect()
        }
        match self {
            Self::Bytes(bytes) => Self::Bytes(picked(bytes, rows, columns)),
            Self::Reals(reals) => Self::Reals(picked(reals, rows, columns)),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Rows as a row-major matrix, one image or sample a row, and the label of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// `rows * columns` numbers.
    pub values: Values,
    /// Number of images or samples.
    pub rows: usize,
    /// Numbers in one row.
    pub columns: usize,
    /// `rows` labels, each below [`Dataset::classes`].
    pub labels: Vec<u8>,
}

impl Split {
    /// Pixels of image `row`; none where the values are no bytes.
    ///
    /// # Panics
    /// If `row` is not below `rows`.
    pub fn image(&self, row: usize) -> &[u8] {
        match &self.values {
            Values::Bytes(bytes) => &bytes[row * self.columns..][..self.columns],
            Values::Reals(_) => &[],
        }
    }

    /// How many rows carry each label, for `classes` labels; a label outside is not counted.
    pub fn histogram(&self, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        for &label in &self.labels {
            if let Some(count) = counts.get_mut(usize::from(label)) {
                *count += 1;
            }
        }
        counts
    }
}

/// Where data came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The folder that the user named with `--data`.
    Option(PathBuf),
    /// The folder that `$TILELAB_DATA` names.
    Environment(PathBuf),
    /// The folder of Debian's package `dataset-fashion-mnist`.
    Debian(PathBuf),
    /// The user's cache folder.
    Cache(PathBuf),
    /// The copy embedded in the program.
    Embedded,
    /// A file of rows that the user named with `--data`.
    File(PathBuf),
    /// Drawn by the program.
    Drawn,
}

impl Source {
    /// Short name for tables and JSON.
    pub fn id(&self) -> &'static str {
        match self {
            Self::Option(_) => "--data",
            Self::Environment(_) => "$TILELAB_DATA",
            Self::Debian(_) => "debian",
            Self::Cache(_) => "cache",
            Self::Embedded => "embedded",
            Self::File(_) => "file",
            Self::Drawn => "drawn",
        }
    }

    /// The folder, if it is one.
    pub fn folder(&self) -> Option<&PathBuf> {
        match self {
            Self::Option(folder) | Self::Environment(folder) | Self::Debian(folder) | Self::Cache(folder) => {
                Some(folder)
            }
            Self::Embedded | Self::File(_) | Self::Drawn => None,
        }
    }

    /// What a user can do when the data there are bad.
    pub fn way_out(&self) -> &'static str {
        match self {
            Self::Option(_) => "give --data a folder with the four Fashion-MNIST files, or leave it out",
            Self::Environment(_) => "point TILELAB_DATA at a folder with the four Fashion-MNIST files, or unset it",
            Self::Debian(_) => "reinstall the package dataset-fashion-mnist, or name another folder with --data",
            Self::Cache(_) => "delete that cache folder, or name another folder with --data",
            Self::Embedded => "build Tilelab again, or name a folder with --data",
            Self::File(_) => "`tilelab train --help` says at --data what it may hold",
            Self::Drawn => "name a folder with --data",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(folder) => write!(out, "folder {} (--data)", folder.display()),
            Self::Environment(folder) => write!(out, "folder {} ($TILELAB_DATA)", folder.display()),
            Self::Debian(folder) => write!(out, "Debian package dataset-fashion-mnist, {}", folder.display()),
            Self::Cache(folder) => write!(out, "cache folder {}", folder.display()),
            Self::Embedded => write!(out, "copy embedded in the program"),
            Self::File(path) => write!(out, "file {}", path.display()),
            Self::Drawn => write!(out, "drawn by the program"),
        }
    }
}

/// A count with a comma every three digits: `60,000`.
pub(crate) fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
