//! A data set from a file of comma-separated values: a sample a line, numbers, the label last. A first line that does not begin
//! with a number is taken for headings. A fifth of the rows, drawn in a way that is always the same, is there to test with.

use std::path::Path;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{DataError, Dataset, Problem, Source, Split, Values};

/// Which rows are there to test with does not depend on a training run's seed.
const SEED: u64 = 5;

/// Reads the file.
///
/// # Errors
/// A file that is not there, lines of different lengths, cells that are no finite numbers, labels that are no whole numbers
/// from 0 to 255, or fewer than 2 rows.
pub fn load(path: &Path) -> Result<Dataset, DataError> {
    let bytes = std::fs::read(path).map_err(|error| blame(path, Problem::Io(error)))?;
    let rows = Table::parse(&bytes).and_then(Table::rows);
    let rows = rows.map_err(|problem| blame(path, Problem::Table(problem)))?;
    Ok(rows.dataset(path))
}

/// `problem` of the file at `path`.
pub(super) fn blame(path: &Path, problem: Problem) -> DataError {
    DataError {
        file: path.display().to_string(),
        problem,
        origin: Source::File(path.to_owned()),
    }
}

/// A data set that `path` holds in two parts.
pub(super) fn whole(path: &Path, shape: (usize, usize), train: Split, test: Split) -> Dataset {
    let labels = train.labels.iter().chain(&test.labels);
    Dataset {
        name: path
            .file_name()
            .map_or("table".into(), |name| name.to_string_lossy().into_owned()),
        source: Source::File(path.to_owned()),
        shape,
        classes: labels.max().map_or(0, |&label| usize::from(label) + 1),
        train,
        test,
    }
}

/// At least two rows and their labels, not yet parted.
pub(super) struct Rows {
    /// Height and width of a row's picture; the height is 1 where a row is no picture.
    pub(super) shape: (usize, usize),
    /// The rows.
    pub(super) split: Split,
}

impl Rows {
    /// A fifth of the rows, at least one, is there to test with.
    pub(super) fn dataset(&self, path: &Path) -> Dataset {
        let mut train: Vec<usize> = (0..self.split.rows).collect();
        train.shuffle(&mut ChaCha8Rng::seed_from_u64(SEED));
        let mut test = train.split_off(train.len() - (train.len() / 5).max(1));
        train.sort_unstable();
        test.sort_unstable();
        whole(path, self.shape, self.take(&train), self.take(&test))
    }

    fn take(&self, rows: &[usize]) -> Split {
        let columns = self.split.columns;
        Split {
            values: self.split.values.take(rows, columns),
            rows: rows.len(),
            columns,
            labels: rows.iter().map(|&row| self.split.labels[row]).collect(),
        }
    }
}

/// A label. Some programs write whole numbers as 1.0.
pub(super) fn label(value: f64) -> Option<u8> {
    (value.fract() == 0.0 && (0.0..=255.0).contains(&value)).then_some(value as u8)
}

struct Table {
    columns: usize,
    values: Vec<f32>,
    labels: Vec<u8>,
}

impl Table {
    /// What is wrong is told with its line, counted from 1.
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .trim(csv::Trim::All)
            .from_reader(bytes);
        let mut table = Self {
            columns: 0,
            values: Vec::new(),
            labels: Vec::new(),
        };
        let mut record = csv::StringRecord::new();
        let mut first = true;
        while reader.read_record(&mut record).map_err(|error| wrong(&error))? {
            let line = record.position().map_or(0, csv::Position::line);
            let headings = std::mem::take(&mut first) && record.get(0).is_some_and(|cell| cell.parse::<f32>().is_err());
            if !headings {
                table.row(&record).map_err(|problem| format!("line {line} {problem}"))?;
            }
        }
        Ok(table)
    }

    fn rows(self) -> Result<Rows, String> {
        let rows = self.labels.len();
        if rows < 2 {
            return Err(format!(
                "holds {rows} rows; some to train on and some to test with are needed"
            ));
        }
        let (columns, labels) = (self.columns, self.labels);
        let values = Values::Reals(self.values);
        Ok(Rows {
            shape: (1, columns),
            split: Split {
                values,
                rows,
                columns,
                labels,
            },
        })
    }

    fn row(&mut self, record: &csv::StringRecord) -> Result<(), String> {
        let columns = record.len() - 1;
        if columns == 0 {
            return Err("has one cell; a row has numbers and then a label".to_owned());
        }
        self.columns = columns;
        for (column, cell) in record.iter().take(columns).enumerate() {
            let value = cell.parse().ok().filter(|x: &f32| x.is_finite());
            self.values
                .push(value.ok_or_else(|| format!("has {cell:?} in column {}, no finite number", column + 1))?);
        }
        let cell = &record[columns];
        let label = cell.parse().ok().and_then(label);
        self.labels
            .push(label.ok_or_else(|| format!("has the label {cell:?}, no whole number from 0 to 255"))?);
        Ok(())
    }
}

fn wrong(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            format!("line {line} has {len} cells, the first has {expected_len}")
        }
        csv::ErrorKind::Utf8 { pos, .. } => {
            format!("line {} is no text", pos.as_ref().map_or(0, csv::Position::line))
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(usize, Vec<f32>, Vec<u8>), String> {
        let split = Table::parse(text.as_bytes())?.rows()?.split;
        let Values::Reals(values) = split.values else {
            panic!("bytes")
        };
        Ok((split.columns, values, split.labels))
    }

    #[test]
    fn rows_headings_and_spaces() {
        let expected = (2, vec![1.0, -0.5, 2e-3, 4.0], vec![0, 255]);
        for text in ["1,-0.5,0\n2e-3,4,255\n", "a,b,label\r\n1, -0.5 ,0\r\n\"2e-3\",4,255.0"] {
            assert_eq!(parsed(text).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, told) in [
            ("", "holds 0 rows"),
            ("a,b\n1,2\n", "holds 1 rows"),
            ("1,2\n3,4,5\n", "line 2 has 3 cells, the first has 2"),
            ("1,2\nx,4\n", "line 2 has \"x\" in column 1"),
            ("1,2\nnan,4\n", "line 2 has \"nan\""),
            ("1,2\n1e99,4\n", "line 2 has \"1e99\""),
            ("1,2\n1,-1\n", "line 2 has the label \"-1\""),
            ("1,2\n1,2.5\n", "label \"2.5\""),
            ("1,2\n1,256\n", "label \"256\""),
            ("1\n2\n", "line 1 has one cell"),
        ] {
            let got = parsed(text).unwrap_err();
            assert!(got.contains(told), "{text:?}: {got}");
        }
        assert!(Table::parse(b"1,2\n\xff,3\n").is_err());
    }
}
