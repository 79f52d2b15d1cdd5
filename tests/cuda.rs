//! The device cuda:N without a GPU: what a user sees where there is no driver or a bad one, and training and self-test over a
//! stand-in libcuda that executes the launches in a PTX interpreter.
#![allow(clippy::unwrap_used)] // A test may panic.
#![cfg(all(feature = "cuda", target_os = "linux"))]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use support::cli::{command, folder, text};
use support::stand_in::{driver, stand_in, with};
use tempfile::TempDir;
use tilelab::data::fashion_mnist::Part;
use tilelab::data::idx::Idx;

/// One line on stderr, exit code 2.
fn refused(output: &Output, says: &str) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(says) && stderr.lines().count() == 1, "{stderr}");
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
}

const COMMANDS: [&[&str]; 6] = [
    &["train", "--device", "cuda:0", "--layers", "784,4,10"],
    &["self-test", "--device", "cuda:0"],
    &["probe", "--device", "cuda:0"],
    &["bench", "gemm", "--device", "cuda:0"],
    &["bench", "elementwise", "--device", "cuda:0"],
    &["bench", "update", "--device", "cuda:0"],
];

#[test]
fn without_a_driver_there_is_one_line() {
    let (folder, empty) = (folder(), tempfile::tempdir().unwrap());
    if ["libcuda.so", "libcuda.so.1"].iter().any(|name| has_library(name)) {
        println!("skipped: this machine has a CUDA driver");
        return;
    }
    for args in COMMANDS {
        refused(
            &with(empty.path(), command(folder.path(), args)),
            "no CUDA driver found",
        );
    }
}

fn has_library(name: &str) -> bool {
    let known = Command::new("/sbin/ldconfig").arg("-p").output();
    known.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(name))
}

#[test]
fn a_bad_driver_is_told_in_one_line() {
    let folder = folder();
    let text = folder.path().join("no-library");
    std::fs::write(&text, "not an ELF file").unwrap();
    let broken = driver(&text);
    refused(
        &with(broken.path(), command(folder.path(), COMMANDS[0])),
        "no CUDA driver found",
    );
    // A library that is none of the driver's.
    let other = std::env::current_exe()
        .unwrap()
        .parent()
        .unwrap()
        .join("libtilelab_fakecuda.so");
    let mut bytes = std::fs::read(other).unwrap();
    // It keeps its format, but one of the names that it exports is another.
    let name = b"cuGraphLaunch\0";
    let places: Vec<usize> = (0..bytes.len() - name.len())
        .filter(|&i| &bytes[i..i + name.len()] == name)
        .collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|place| bytes[place] = b'x');
    let damaged = folder.path().join("damaged");
    std::fs::write(&damaged, bytes).unwrap();
    let partial = driver(&damaged);
    refused(
        &with(partial.path(), command(folder.path(), COMMANDS[0])),
        "lacks cuGraphLaunch",
    );

    let old = stand_in();
    let mut train = command(folder.path(), COMMANDS[0]);
    train.env("FAKECUDA_VERSION", "11080");
    refused(&with(old.path(), train), "knows CUDA 11.8; 12.0 is needed");
    let mut train = command(folder.path(), COMMANDS[0]);
    train.env("FAKECUDA_CAPABILITY", "70");
    refused(
        &with(old.path(), train),
        "compute capability 7.0; 7.5 (Turing) is needed",
    );
    let train = command(folder.path(), &["train", "--device", "cuda:3", "--layers", "784,4,10"]);
    refused(&with(old.path(), train), "there is no cuda:3");
}

/// The figures of each epoch.
fn losses(output: &Output) -> Vec<[f64; 4]> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .filter(|line| !line["epoch"].is_null() && line["event"].is_null())
        .map(|line| ["train_loss", "test_loss", "train_acc", "test_acc"].map(|key| line[key].as_f64().unwrap()))
        .collect()
}

/// The first `train` images to train on, 100 to test on, of those that come with the program.
fn real_images(train: u32) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    for part in Part::ALL {
        let name = part.file_name();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("assets/fashion-mnist/{name}.gz"));
        let all = Idx::parse(&std::fs::read(path).unwrap()).unwrap();
        let rows = if name.starts_with("train") { train } else { 100 };
        std::fs::write(data.join(name), all.head(rows).encode()).unwrap();
    }
    folder
}

fn compare(data: &Path, driver: &Path, args: &[&str], environment: &[(&str, &str)]) {
    let fixed = ["train", "--json", "--threads", "1", "--seed", "5"];
    let on = |device: &str| {
        let mut train = command(data, &[&fixed, args, &["--device", device]].concat());
        train.envs(environment.iter().copied());
        losses(&with(driver, train))
    };
    let (cpu, cuda) = (on("cpu"), on("cuda:0"));
    assert!(!cpu.is_empty() && cpu.len() == cuda.len());
    for (cpu, cuda) in cpu.iter().zip(&cuda) {
        for (i, (cpu, cuda)) in cpu.iter().zip(cuda).enumerate() {
            // An accuracy may differ by an image or two whose logits are close.
            let bound = if i < 2 { 1e-5 } else { 2.5 / 100.0 };
            assert!(
                (cpu - cuda).abs() <= bound,
                "{args:?}: {cpu} on the cpu, {cuda} on cuda:0"
            );
        }
    }
}

#[test]
fn training_on_real_images_follows_the_cpu() {
    let (data, driver) = (real_images(512), stand_in());
    // Five steps, the last of another size.
    compare(
        data.path(),
        driver.path(),
        &["--layers", "784,32,10", "--batch", "110", "--epochs", "1"],
        &[],
    );
}

#[test]
fn every_option_of_training_follows_the_cpu() {
    let (data, driver) = (folder(), stand_in());
    let small = ["--layers", "784,6,10", "--batch", "16", "--epochs", "2"];
    let all = |more: &[&'static str]| [&small, more].concat();
    for (args, seed) in [
        (
            all(&[
                "--activation",
                "gelu",
                "--optimizer",
                "adam",
                "--lr",
                "0.01",
                "--dropout",
                "0.3",
            ]),
            "1",
        ),
        (
            all(&[
                "--activation",
                "tanh",
                "--optimizer",
                "nesterov:0.9",
                "--l2",
                "0.01",
                "--clip",
                "1",
            ]),
            "2",
        ),
        (all(&["--batch-norm", "--activation", "relu"]), "3"),
        (all(&["--activation", "prelu:0.25", "--accumulate", "2"]), "4"),
        (
            all(&["--activation", "swish:1", "--learn-beta", "--loss", "cross-entropy:0.1"]),
            "5",
        ),
        (all(&["--loss", "mse", "--activation", "sigmoid"]), "6"),
    ] {
        compare(data.path(), driver.path(), &args, &[("FAKECUDA_SEED", seed)]);
    }
    // A card for Turing's kernels, and one whose memory holds the model's buffers and not the set to train on.
    compare(data.path(), driver.path(), &small, &[("FAKECUDA_CAPABILITY", "75")]);
    let narrow = [
        "--layers",
        "784,2,10",
        "--batch",
        "20",
        "--epochs",
        "1",
        "--overfit-batches",
        "4",
    ];
    let data = real_images(3800);
    compare(data.path(), driver.path(), &narrow, &[("FAKECUDA_BYTES", "5900000")]);
}

#[test]
fn self_test_passes_and_writes_its_file() {
    let (folder, driver) = (folder(), stand_in());
    for capability in ["75", "86"] {
        let file: PathBuf = folder.path().join("checks.json");
        let mut test = command(
            folder.path(),
            &["self-test", "--device", "cuda:0", "--output", "checks.json"],
        );
        test.env("FAKECUDA_CAPABILITY", capability);
        let output = with(driver.path(), test);
        let stdout = text(&output.stdout);
        assert!(output.status.success(), "{stdout}{}", text(&output.stderr));
        let written: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let checks = written["checks"].as_array().unwrap();
        assert!(
            checks
                .iter()
                .all(|check| check["passed"] == true && check["cases"].as_u64() > Some(0))
        );
        let tensor = checks.iter().any(|check| check["kernel"] == "gemm_tf32");
        assert_eq!(tensor, capability == "86", "{stdout}");
    }
}

/// The session itself as if its author had forgotten a call: right in every order of the streams with it, found without.
#[test]
fn a_forgotten_wait_of_the_session_is_found() {
    let (data, driver) = (real_images(64), stand_in());
    let train = |device: &str, seed: u32, forgotten: &str| {
        let mut train = command(
            data.path(),
            &[
                "train",
                "--json",
                "--threads",
                "1",
                "--seed",
                "5",
                "--layers",
                "784,2,10",
                "--batch",
                "16",
                "--epochs",
                "1",
                "--lr",
                "1",
                "--device",
                device,
            ],
        );
        train
            .env("FAKECUDA_SEED", seed.to_string())
            .env("FAKECUDA_FORGET", forgotten);
        with(driver.path(), train)
    };
    let right = losses(&train("cpu", 0, ""))[0];
    let is_right = |output: &Output| {
        output.status.success()
            && losses(output)[0]
                .iter()
                .zip(right)
                .all(|(got, right)| (got - right).abs() <= 1e-5)
    };
    for seed in 0..4 {
        assert!(is_right(&train("cuda:0", seed, "")), "seed {seed}");
    }
    // Without the first, a copy may come after the step that it is for; without the second, a block is filled again before its copy.
    for forgotten in ["cuStreamWaitEvent", "cuEventSynchronize"] {
        let found = (0..4)
            .filter(|&seed| !is_right(&train("cuda:0", seed, forgotten)))
            .count();
        println!("{forgotten}: found in {found} of 4 orders");
        assert!(found > 0, "{forgotten}");
    }
}

/// The cases of a bench on a stand-in of this capability.
fn benched(folder: &Path, driver: &Path, capability: &str, args: &[&str]) -> Vec<Value> {
    let args = [&["bench"], args, &["--device", "cuda:0", "--json", "--rounds", "1"]].concat();
    let mut bench = command(folder, &args);
    // So long that one call is a sample.
    bench
        .env("FAKECUDA_CAPABILITY", capability)
        .env("FAKECUDA_PIECE_US", "10000");
    let output = with(driver, bench);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    let lines = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["event"].is_null()).collect()
}

/// Contestants of a case; each was right, and was timed.
fn contestants(case: &Value) -> Vec<&str> {
    let results = case["results"].as_array().unwrap();
    for result in results {
        assert!(result["error_over_bound"].as_f64().unwrap() <= 1.0, "{case}");
        assert!(result["median_ns"].as_f64().unwrap() >= 1e6, "{case}");
    }
    results
        .iter()
        .map(|result| result["contestant"].as_str().unwrap())
        .collect()
}

#[test]
fn products_are_timed_by_events_beside_cublas_where_there_is_one() {
    let (folder, driver) = (folder(), stand_in());
    let cases = benched(folder.path(), driver.path(), "75", &["gemm", "--shapes", "7x9x5"]);
    let all = contestants(&cases[0]);
    assert!(all.len() == 6 && all.contains(&"sgemm_warps"), "{all:?}");
    // The stand-in under the other name as well: the same file, so that it is one card.
    let [libcuda, libcublas] = ["libcuda.so", "libcublas.so.12"].map(|name| driver.path().join(name));
    std::fs::hard_link(libcuda, libcublas).unwrap();
    let shapes = ["gemm", "--shapes", "9x6x5:ta,5x6x7:tb"];
    for case in benched(folder.path(), driver.path(), "86", &shapes) {
        let all = contestants(&case);
        assert!(all.contains(&"gemm_tf32x3"), "{all:?}");
        assert_eq!(all[11..], ["cublas", "cublas-tf32"]);
    }
    let other = ["bench", "gemm", "--device", "cuda:0", "--blas", "libc.so.6"];
    refused(
        &with(driver.path(), command(folder.path(), &other)),
        "libc.so.6: has no cublasCreate_v2",
    );
}

#[test]
fn arrays_are_timed_by_events_beside_a_copy() {
    let (folder, driver) = (folder(), stand_in());
    for (what, cases) in [("elementwise", 9), ("update", 3)] {
        let told = benched(folder.path(), driver.path(), "86", &[what, "--side", "20"]);
        assert_eq!(told.len(), cases);
        for case in &told {
            let name = case["name"].as_str().unwrap();
            assert_eq!(contestants(case), [name.split(' ').next().unwrap(), "copy"]);
        }
    }
}
