//! Data sets from NumPy's files. An `.npy` is a table, a row a sample and the label last. An `.npz` holds `x_train`, `y_train`,
//! `x_test` and `y_test`, as Keras writes MNIST, or `x` and `y`, of which a fifth is there to test with. The first dimension of an
//! array counts its rows; what follows is one row. Bytes stay bytes, 0 to 255, and are seen as 0 to 1; all other numbers are
//! seen as they are.

use std::io::{Cursor, Read as _};
use std::path::Path;

use ndarray::{ArrayD, ArrayViewD};
use ndarray_npy::{ReadNpyExt, ReadableElement, ViewElement, ViewNpyError, ViewNpyExt};
use zip::ZipArchive;

use super::table::{Rows, blame, label, whole};
use super::{DataError, Dataset, Problem, Split, Values};

/// Whether a file is called like one of these.
pub fn is(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "npy" || extension == "npz")
}

/// Reads the file.
///
/// # Errors
/// A file that is not there or is damaged, arrays of other names or shapes, or of numbers that are not finite, or labels that
/// are no whole numbers from 0 to 255.
pub fn load(path: &Path) -> Result<Dataset, DataError> {
    let bytes = std::fs::read(path).map_err(|error| blame(path, Problem::Io(error)))?;
    let loaded = if path.extension().is_some_and(|extension| extension == "npy") {
        Array::parse(&bytes)
            .and_then(Array::table)
            .map(|rows| rows.dataset(path))
    } else {
        archive(&bytes, path)
    };
    loaded.map_err(|problem| blame(path, Problem::Table(problem)))
}

fn archive(bytes: &[u8], path: &Path) -> Result<Dataset, String> {
    let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(|error| format!("is no .npz ({error})"))?;
    let mut arrays = Vec::new();
    for index in 0..zip.len() {
        let mut file = zip.by_index(index).map_err(|error| format!("is damaged ({error})"))?;
        let name = file.name().trim_end_matches(".npy").to_owned();
        // What nobody asks for is not unpacked: it may be of any type.
        if !["x", "y", "x_train", "y_train", "x_test", "y_test"].contains(&name.as_str()) {
            continue;
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|error| format!("is damaged at {name} ({error})"))?;
        arrays.push((name, bytes));
    }
    let has = |name: &str| arrays.iter().any(|(known, _)| known == name);
    let array = |name: &str| {
        let found = arrays.iter().find(|(known, _)| known == name);
        let (_, bytes) = found.ok_or_else(|| format!("has no array {name}"))?;
        Array::parse(bytes).map_err(|problem| format!("has an array {name} that {problem}"))
    };
    if has("x_train") {
        let train = labelled(array("x_train")?, array("y_train")?)?;
        let test = labelled(array("x_test")?, array("y_test")?)?;
        if train.split.columns != test.split.columns {
            let (train, test) = (train.split.columns, test.split.columns);
            return Err(format!(
                "has rows of {train} numbers in x_train and of {test} in x_test"
            ));
        }
        return Ok(whole(path, train.shape, train.split, test.split));
    }
    if !has("x") {
        return Err("has neither x_train, y_train, x_test, y_test nor x and y".to_owned());
    }
    let rows = labelled(array("x")?, array("y")?)?;
    if rows.split.rows < 2 {
        return Err("holds 1 row; some to train on and some to test with are needed".to_owned());
    }
    Ok(rows.dataset(path))
}

/// Numbers of any type, in their logical order.
struct Array {
    shape: Vec<usize>,
    numbers: Numbers,
}

enum Numbers {
    Bytes(Vec<u8>),
    Others(Vec<f64>),
}

impl Array {
    /// From the bytes of an `.npy` file.
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let tries = [
            read::<u8>,
            read::<f32>,
            read::<f64>,
            read::<i64>,
            read::<i32>,
            read::<u32>,
            read::<u64>,
            read::<i16>,
            read::<u16>,
            read::<i8>,
            read::<bool>,
        ];
        for read in tries {
            if let Some(array) = read(bytes)? {
                return Ok(array);
            }
        }
        Err("holds numbers of a type that is not read; save it with .astype(\"<f4\")".to_owned())
    }

    /// Samples with the label last.
    fn table(self) -> Result<Rows, String> {
        let [rows, width] = self.shape[..] else {
            return Err(format!("is an array of {:?}; a table has two dimensions", self.shape));
        };
        if rows < 2 || width < 2 {
            return Err(format!(
                "is a table of {rows} x {width}; two rows and two columns are the least"
            ));
        }
        let cells = self.numbers.into_reals();
        let (mut values, mut labels) = (Vec::with_capacity(cells.len()), Vec::with_capacity(rows));
        for row in cells.chunks_exact(width) {
            values.extend_from_slice(&row[..width - 1]);
            labels.push(row[width - 1]);
        }
        let x = Self {
            shape: vec![rows, width - 1],
            numbers: Numbers::Others(values),
        };
        let y = Self {
            shape: vec![rows],
            numbers: Numbers::Others(labels),
        };
        labelled(x, y)
    }
}

impl Numbers {
    fn into_reals(self) -> Vec<f64> {
        match self {
            Self::Bytes(bytes) => bytes.into_iter().map(f64::from).collect(),
            Self::Others(reals) => reals,
        }
    }
}

/// A number as f64; whole ones beyond 2^53 are no pixels and no labels, so what they lose does not matter.
trait Number: Copy {
    /// Whether these are pixels.
    const IS_BYTE: bool = false;
    fn real(self) -> f64;
}

macro_rules! number {
    ($($type:ty),*) => {$(
        impl Number for $type {
            fn real(self) -> f64 {
                self as f64
            }
        }
    )*};
}
number!(i8, u16, i16, u32, i32, u64, i64, f32, f64);

impl Number for u8 {
    const IS_BYTE: bool = true;
    fn real(self) -> f64 {
        f64::from(self)
    }
}

impl Number for bool {
    fn real(self) -> f64 {
        f64::from(u8::from(self))
    }
}

/// None if the file holds numbers of another type.
fn read<T: Number + ReadableElement + ViewElement>(bytes: &[u8]) -> Result<Option<Array>, String> {
    // A view allocates nothing, so that a header that promises too much is found before memory is taken for it.
    let big = || "holds big-endian numbers; save it with .astype(\"<f4\")".to_owned();
    match ArrayViewD::<T>::view_npy(bytes).map(drop) {
        Ok(()) | Err(ViewNpyError::MisalignedData) => {}
        Err(ViewNpyError::WrongDescriptor(_)) => return Ok(None),
        Err(ViewNpyError::NonNativeEndian) => return Err(big()),
        Err(error) => return Err(format!("is no .npy file that can be read ({error})")),
    }
    let array = ArrayD::<T>::read_npy(bytes).map_err(|error| format!("is damaged ({error})"))?;
    let shape = array.shape().to_vec();
    let numbers: Vec<f64> = array.iter().map(|x| x.real()).collect();
    let numbers = if T::IS_BYTE {
        Numbers::Bytes(numbers.into_iter().map(|x| x as u8).collect())
    } else {
        Numbers::Others(numbers)
    };
    Ok(Some(Array { shape, numbers }))
}

/// Rows with their labels.
fn labelled(x: Array, y: Array) -> Result<Rows, String> {
    let rows = x.shape.first().copied().unwrap_or(0);
    let columns: usize = x.shape.iter().skip(1).product();
    if rows == 0 || columns == 0 {
        return Err(format!(
            "holds rows of the shape {:?}; it must have some of each",
            x.shape
        ));
    }
    let labels = match y.shape[..] {
        [count] | [count, 1] if count == rows => y.numbers.into_reals(),
        _ => return Err(format!("holds labels of the shape {:?} for {rows} rows", y.shape)),
    };
    let labels = labels.iter().enumerate().map(|(row, &value)| {
        label(value).ok_or_else(|| format!("has the label {value} in row {row}, no whole number from 0 to 255"))
    });
    let labels: Vec<u8> = labels.collect::<Result<_, String>>()?;
    let values = match x.numbers {
        Numbers::Bytes(bytes) => Values::Bytes(bytes),
        Numbers::Others(reals) => {
            let narrow: Vec<f32> = reals.iter().map(|&x| x as f32).collect();
            if let Some(at) = narrow.iter().position(|x| !x.is_finite()) {
                return Err(format!("has {} in row {}, no finite f32", reals[at], at / columns));
            }
            Values::Reals(narrow)
        }
    };
    let shape = match x.shape[..] {
        [_, height, width] => (height, width),
        _ => (1, columns),
    };
    Ok(Rows {
        shape,
        split: Split {
            values,
            rows,
            columns,
            labels,
        },
    })
}
