//! Fashion-MNIST: where it is looked for, how its four files are read, and the copy embedded in the program.
//!
//! H. Xiao, K. Rasul, R. Vollgraf, *Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms*,
//! arXiv:1708.07747 (2017). 60,000 + 10,000 grey images of 28 x 28 pixels, 10 classes of equal size.

use std::borrow::Cow;
use std::fs;

use super::idx::Idx;
use super::lookup::{Places, find};
use super::{DataError, Dataset, Problem, Source, Split, Values};

/// Images to train on in the full set.
pub const TRAIN_ROWS: usize = 60_000;

/// Class names in label order.
pub const CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// Height and width of an image.
const SHAPE: (u32, u32) = (28, 28);

/// One of the four files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Images to train on.
    TrainImages,
    /// Their labels.
    TrainLabels,
    /// Images to test with.
    TestImages,
    /// Their labels.
    TestLabels,
}

impl Part {
    /// All four, in the order in which they are read.
    pub const ALL: [Self; 4] = [Self::TrainImages, Self::TrainLabels, Self::TestImages, Self::TestLabels];

    /// The file's name without `.gz`.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::TrainImages => "train-images-idx3-ubyte",
            Self::TrainLabels => "train-labels-idx1-ubyte",
            Self::TestImages => "t10k-images-idx3-ubyte",
            Self::TestLabels => "t10k-labels-idx1-ubyte",
        }
    }

    /// How many rows of it the embedded copy holds; `examples/fashion_mnist_subset.rs` takes them from the full set.
    pub fn embedded_rows(self) -> u32 {
        match self {
            Self::TrainImages | Self::TrainLabels => 10_000,
            Self::TestImages | Self::TestLabels => 2_000,
        }
    }

    /// The part in the embedded copy, gzip.
    fn embedded(self) -> &'static [u8] {
        match self {
            Self::TrainImages => include_bytes!("../../assets/fashion-mnist/train-images-idx3-ubyte.gz"),
            Self::TrainLabels => include_bytes!("../../assets/fashion-mnist/train-labels-idx1-ubyte.gz"),
            Self::TestImages => include_bytes!("../../assets/fashion-mnist/t10k-images-idx3-ubyte.gz"),
            Self::TestLabels => include_bytes!("../../assets/fashion-mnist/t10k-labels-idx1-ubyte.gz"),
        }
    }
}

/// The four files of a source, read whole and not yet decoded.
#[derive(Debug, Clone)]
pub struct Files {
    /// Where they come from.
    pub source: Source,
    /// In the order of [`Part::ALL`].
    pub files: [File; 4],
}

/// One file as it lies in its place.
#[derive(Debug, Clone)]
pub struct File {
    /// Path, or `embedded NAME`.
    pub name: String,
    /// Content, plain or gzip.
    pub bytes: Cow<'static, [u8]>,
}

impl Files {
    /// Reads the four files.
    ///
    /// # Errors
    /// A file that is missing or unreadable.
    pub fn read(source: Source) -> Result<Self, DataError> {
        let read = |part: Part| match source.folder() {
            None => {
                let name = format!("embedded {}.gz", part.file_name());
                Ok(File {
                    name,
                    bytes: Cow::Borrowed(part.embedded()),
                })
            }
            Some(folder) => find(folder, part)
                .and_then(|path| {
                    let name = path.display().to_string();
                    match fs::read(&path) {
                        Ok(bytes) => Ok(File {
                            name,
                            bytes: Cow::Owned(bytes),
                        }),
                        Err(error) => Err((name, Problem::Io(error))),
                    }
                })
                .map_err(|(file, problem)| DataError {
                    file,
                    problem,
                    origin: source.clone(),
                }),
        };
        let [a, b, c, d] = Part::ALL.map(read);
        let files = [a?, b?, c?, d?];
        Ok(Self { source, files })
    }

    /// Decodes one file.
    ///
    /// # Errors
    /// What is not IDX.
    pub fn idx(&self, part: Part) -> Result<Idx, DataError> {
        Idx::parse(&self.file(part).bytes).map_err(|error| self.blame(part, Problem::Idx(error)))
    }

    /// Decodes the files and checks them against each other.
    ///
    /// # Errors
    /// What is not IDX, a file in the place of another, images that are not 28 x 28, counts that differ, labels above 9.
    pub fn decode(self) -> Result<Dataset, DataError> {
        let train = self.split(Part::TrainImages, Part::TrainLabels)?;
        let test = self.split(Part::TestImages, Part::TestLabels)?;
        Ok(Dataset {
            name: "Fashion-MNIST".to_string(),
            source: self.source,
            shape: (SHAPE.0 as usize, SHAPE.1 as usize),
            classes: CLASSES.len(),
            train,
            test,
        })
    }

    fn split(&self, images_part: Part, labels_part: Part) -> Result<Split, DataError> {
        let images = self.idx(images_part)?;
        let &[_, height, width] = images.dimensions() else {
            let (expected, dimensions) = ("images (3 dimensions)", images.dimensions().to_vec());
            return Err(self.blame(images_part, Problem::Kind { expected, dimensions }));
        };
        if (height, width) != SHAPE {
            return Err(self.blame(
                images_part,
                Problem::ImageSize {
                    found: (height, width),
                    expected: SHAPE,
                },
            ));
        }
        let columns = height as usize * width as usize;
        let images = images.into_data();
        let rows = images.len() / columns;
        if rows == 0 {
            return Err(self.blame(images_part, Problem::Empty));
        }
        let labels = self.idx(labels_part)?;
        if labels.dimensions().len() != 1 {
            let (expected, dimensions) = ("labels (1 dimension)", labels.dimensions().to_vec());
            return Err(self.blame(labels_part, Problem::Kind { expected, dimensions }));
        }
        let labels = labels.into_data();
        if labels.len() != rows {
            let images_file = self.file(images_part).name.clone();
            return Err(self.blame(
                labels_part,
                Problem::Count {
                    labels: labels.len(),
                    images: rows,
                    images_file,
                },
            ));
        }
        if let Some((row, &label)) = labels
            .iter()
            .enumerate()
            .find(|&(_, &label)| usize::from(label) >= CLASSES.len())
        {
            return Err(self.blame(
                labels_part,
                Problem::Label {
                    row,
                    label,
                    classes: CLASSES.len(),
                },
            ));
        }
        Ok(Split {
            values: Values::Bytes(images),
            rows,
            columns,
            labels,
        })
    }

    /// One of the four.
    pub fn file(&self, part: Part) -> &File {
        &self.files[part as usize]
    }

    fn blame(&self, part: Part, problem: Problem) -> DataError {
        DataError {
            file: self.file(part).name.clone(),
            problem,
            origin: self.source.clone(),
        }
    }
}

/// Loads the best data at hand: the first of [`Places`] that has the files.
///
/// ```
/// use tilelab::data::{Places, fashion_mnist::load};
/// let embedded = load(&Places::default())?;
/// assert_eq!((embedded.train.rows, embedded.test.rows), (10_000, 2_000));
/// # Ok::<(), tilelab::data::DataError>(())
/// ```
///
/// # Errors
/// See [`Places::choose`] and [`Files::decode`].
pub fn load(places: &Places) -> Result<Dataset, DataError> {
    Files::read(places.choose()?)?.decode()
}
