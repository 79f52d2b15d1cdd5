//! `--data` takes CSV, `.npy`, `.npz` and the notebook's synthetic set: the same numbers give the same run, whatever file they came
//! in, and what is wrong with a file is one line.
#![allow(clippy::unwrap_used)] // A test may panic.

mod support;

use std::io::Write as _;
use std::path::Path;

use ndarray::{Array1, Array2, Array3, ShapeBuilder as _};
use serde_json::Value;
use support::cli::{folder, run, text};

/// 40 rows of 3 numbers; the label says whether they sum to more than 1.
fn rows() -> (Vec<f32>, Vec<u8>) {
    let values: Vec<f32> = (0..120u32).map(|i| (i * 37 % 64) as f32 / 64.0).collect();
    let labels = values.chunks(3).map(|row| u8::from(row.iter().sum::<f32>() > 1.0));
    let labels = labels.collect();
    (values, labels)
}

fn npy(array: &impl ndarray_npy::WriteNpyExt) -> Vec<u8> {
    let mut bytes = Vec::new();
    array.write_npy(&mut bytes).unwrap();
    bytes
}

fn npz(path: &Path, arrays: &[(&str, Vec<u8>)]) {
    let mut zip = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    for (name, bytes) in arrays {
        let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
        zip.start_file(format!("{name}.npy"), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

/// The first epochs of a run on `data`, without what depends on the clock; the line of text if it failed.
fn epochs(folder: &Path, data: &str, layers: &str) -> Result<Vec<Value>, String> {
    let args = [
        "train",
        "--data",
        data,
        "--layers",
        layers,
        "--epochs",
        "3",
        "--batch",
        "8",
        "--json",
        "--threads",
        "1",
    ];
    let output = run(folder, &args);
    if output.status.code() == Some(2) {
        assert_eq!(text(&output.stderr).lines().count(), 1, "{}", text(&output.stderr));
        return Err(text(&output.stderr).to_owned());
    }
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut lines: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for line in &mut lines {
        for key in ["seconds", "samples_per_s", "elapsed_s", "data", "record"] {
            line.as_object_mut().unwrap().remove(key);
        }
    }
    Ok(lines)
}

#[test]
fn the_same_numbers_give_the_same_run() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let (values, labels) = rows();
    let mut csv = "a,b,c,label\n".to_owned();
    for (row, label) in values.chunks(3).zip(&labels) {
        csv += &format!("{},{},{},{label}\n", row[0], row[1], row[2]);
    }
    std::fs::write(at("rows.csv"), csv).unwrap();
    let cell = |i: usize, j: usize| {
        if j < 3 {
            f64::from(values[i * 3 + j])
        } else {
            f64::from(labels[i])
        }
    };
    std::fs::write(
        at("rows.npy"),
        npy(&Array2::from_shape_fn((40, 4), |(i, j)| cell(i, j))),
    )
    .unwrap();
    // Column-major, as NumPy writes what was transposed.
    std::fs::write(
        at("columns.npy"),
        npy(&Array2::from_shape_fn((40, 4).f(), |(i, j)| cell(i, j))),
    )
    .unwrap();
    let x = Array2::from_shape_vec((40, 3), values.clone()).unwrap();
    let y: Array1<i64> = labels.iter().map(|&label| i64::from(label)).collect();
    npz(
        &at("rows.npz"),
        &[("x", npy(&x)), ("y", npy(&y)), ("other", b"junk".to_vec())],
    );

    let expected = epochs(folder.path(), "rows.csv", "3,5,2").unwrap();
    assert_eq!(
        (&expected[3]["train_rows"], &expected[3]["test_rows"]),
        (&32.into(), &8.into())
    );
    for name in ["rows.npy", "columns.npy", "rows.npz"] {
        assert_eq!(epochs(folder.path(), name, "3,5,2").unwrap(), expected, "{name}");
    }
}

/// Keras' mnist.npz: bytes in three dimensions, in four arrays.
#[test]
fn images_in_an_npz_are_those_of_idx() {
    let folder = folder();
    let images = |rows: usize| Array3::from_shape_fn((rows, 28, 28), |(row, ..)| (row % 10 * 25) as u8);
    let labels = |rows: usize| (0..rows).map(|row| (row % 10) as u8).collect::<Array1<u8>>();
    npz(
        &folder.path().join("mnist.npz"),
        &[
            ("x_train", npy(&images(60))),
            ("y_train", npy(&labels(60))),
            ("x_test", npy(&images(20))),
            ("y_test", npy(&labels(20))),
        ],
    );
    assert_eq!(
        epochs(folder.path(), "mnist.npz", "784,8,10").unwrap(),
        epochs(folder.path(), "data", "784,8,10").unwrap()
    );
}

#[test]
fn the_notebooks_sums_are_learned() {
    let folder = folder();
    let args = [
        "train",
        "--data",
        "sums",
        "--layers",
        "20,32,2",
        "--init",
        "normal:0.3",
        "--lr",
        "0.05",
        "--batch",
        "64",
    ];
    let output = run(folder.path(), &[&args[..], &["--json"]].concat());
    let last: Value = serde_json::from_str(text(&output.stdout).lines().last().unwrap()).unwrap();
    assert_eq!((&last["train_rows"], &last["test_rows"]), (&8000.into(), &2000.into()));
    assert!(last["test_acc"].as_f64().unwrap() > 0.9, "{last}");
}

#[test]
fn what_is_wrong_with_a_file_is_one_line() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let (values, labels) = rows();
    let x = npy(&Array2::from_shape_vec((40, 3), values.clone()).unwrap());
    let y = npy(&Array1::from(labels.clone()));
    let mut infinite = Array2::from_shape_vec((40, 3), values).unwrap();
    infinite[[7, 1]] = f32::INFINITY;
    std::fs::write(at("a.csv"), "1,2,0\n1,2\n").unwrap();
    std::fs::write(at("b.npy"), &x[..x.len() - 1]).unwrap();
    std::fs::write(at("c.npy"), &y).unwrap();
    // A header that promises a terabyte.
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (90000000000, 3), }";
    let mut promise = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    promise.extend(format!("{header:<117}\n").bytes());
    promise.extend(&x[128..]);
    std::fs::write(at("d.npy"), promise).unwrap();
    npz(&at("e.npz"), &[("x", x.clone())]);
    npz(
        &at("f.npz"),
        &[("x", x.clone()), ("y", npy(&Array1::from(labels[1..].to_vec())))],
    );
    npz(&at("g.npz"), &[("x", npy(&infinite)), ("y", y)]);
    npz(&at("h.npz"), &[("x", x), ("y", npy(&Array1::from(vec![0.5f64; 40])))]);
    npz(&at("i.npz"), &[("images", b"junk".to_vec())]);
    std::fs::write(at("j.npz"), "no zip").unwrap();
    for (name, said) in [
        ("a.csv", "line 2 has 2 cells, the first has 3"),
        ("b.npy", "is no .npy file that can be read"),
        ("c.npy", "a table has two dimensions"),
        ("d.npy", "is no .npy file that can be read"),
        ("e.npz", "has no array y"),
        ("f.npz", "holds labels of the shape [39] for 40 rows"),
        ("g.npz", "has inf in row 7"),
        ("h.npz", "has the label 0.5 in row 0"),
        ("i.npz", "has neither x_train"),
        ("j.npz", "is no .npz"),
        ("none.npy", "cannot be read"),
    ] {
        let line = epochs(folder.path(), name, "3,2").unwrap_err();
        assert!(
            line.contains(name) && line.contains(said) && line.contains("--data"),
            "{line}"
        );
    }
}
