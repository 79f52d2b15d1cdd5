//! What can be wrong with data, said in one line: the file, the problem, the way out.

use super::Source;
use super::idx::IdxError;

/// Data that cannot be used. Prints as one line: file, problem, way out.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {problem}; {}", origin.way_out())]
pub struct DataError {
    /// The file or folder, as the user would find it.
    pub file: String,
    /// What is wrong with it.
    pub problem: Problem,
    /// Where the data came from, which decides the way out.
    pub origin: Source,
}

/// What is wrong with a file. The text continues "FILE: ".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The folder is not there, or is none.
    #[error("is not a folder")]
    NoFolder,
    /// The file is not there.
    #[error("no such file, with or without .gz")]
    Missing,
    /// A folder, device or pipe has the file's name.
    #[error("is not a regular file")]
    NotAFile,
    /// The system could not read it.
    #[error("cannot be read ({0})")]
    Io(std::io::Error),
    /// It is not an IDX array of bytes.
    #[error("{0}")]
    Idx(IdxError),
    /// It is no table of numbers and labels.
    #[error("{0}")]
    Table(String),
    /// It holds labels where images belong, or the reverse.
    #[error("should hold {expected}, but is an array of {}", shown(.dimensions))]
    Kind {
        /// `images (3 dimensions)` or `labels (1 dimension)`.
        expected: &'static str,
        /// What it has.
        dimensions: Vec<u32>,
    },
    /// The images have another size than the data set's.
    #[error("holds images of {} x {} pixels, where Fashion-MNIST has {} x {}", .found.0, .found.1, .expected.0, .expected.1)]
    ImageSize {
        /// Height and width found.
        found: (u32, u32),
        /// Height and width that belong there.
        expected: (u32, u32),
    },
    /// It holds no images or no labels.
    #[error("holds no rows")]
    Empty,
    /// Images and labels are not in step.
    #[error("holds {labels} labels for the {images} images in {images_file}")]
    Count {
        /// Labels in this file.
        labels: usize,
        /// Images in the other.
        images: usize,
        /// The other file.
        images_file: String,
    },
    /// A label outside the classes.
    #[error("row {row} (from 0) has label {label}, outside 0..={}", .classes - 1)]
    Label {
        /// First row that has one.
        row: usize,
        /// The label.
        label: u8,
        /// Number of classes.
        classes: usize,
    },
}

/// `[60000, 28, 28]` as `60000 x 28 x 28`.
fn shown(dimensions: &[u32]) -> String {
    dimensions.iter().map(u32::to_string).collect::<Vec<_>>().join(" x ")
}
