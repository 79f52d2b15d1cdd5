//! Checkpoints as a user meets them: signals, a full disk, SIGKILL, damaged and foreign files. What was saved is never lost,
//! and what goes on ends as a run that was never stopped.
#![allow(clippy::unwrap_used)] // A test may panic.
#![cfg(unix)]

mod support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use serde_json::Value;
use support::cli::{command, folder, run, text};

const TRAIN: [&str; 11] = [
    "train",
    "--layers",
    "784,12,10",
    "--batch",
    "7",
    "--threads",
    "1",
    "--json",
    "--checkpoint",
    "saved",
    "--epochs",
];

fn args<'a>(epochs: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&TRAIN[..], &[epochs], more].concat()
}

/// The rows of the table but for the time they took.
fn table(output: &Output) -> Vec<Value> {
    let lines = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut rows: Vec<Value> = lines.filter(|line| line.get("event").is_none()).collect();
    for row in &mut rows {
        let row = row.as_object_mut().unwrap();
        row.remove("seconds").unwrap();
        row.remove("samples_per_s").unwrap();
    }
    rows
}

fn steps(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("saved")).map_or(Vec::new(), |entries| {
        entries.map(|entry| entry.unwrap().path()).collect()
    });
    let is_step = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("step-");
    let mut steps: Vec<PathBuf> = entries.into_iter().filter(is_step).collect();
    steps.sort();
    steps
}

/// The model of the last checkpoint, as bytes.
fn model(folder: &Path) -> Vec<u8> {
    std::fs::read(steps(folder).last().unwrap().join("model.safetensors")).unwrap()
}

fn refused(output: &Output, code: i32, named: &[&str]) {
    let line = text(&output.stderr);
    assert_eq!((output.status.code(), line.lines().count()), (Some(code), 1), "{line}");
    assert!(
        named.iter().all(|name| line.contains(name)),
        "{line} does not name {named:?}"
    );
}

fn finished(output: &Output) {
    assert!(output.status.success(), "{}", text(&output.stderr));
}

fn send(signal: &str, process: u32) {
    let sent = Command::new("kill")
        .args([signal, &process.to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

#[test]
fn a_signal_saves_and_says_how_to_go_on() {
    let (whole, parts) = (folder(), folder());
    let unbroken = run(whole.path(), &args("60", &[]));
    finished(&unbroken);
    let mut interrupted = 0;
    for (signal, more) in [("-INT", &[][..]), ("-TERM", &["--resume"])] {
        let mut child = command(parts.path(), &args("60", more))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // One more row than the part before told.
        for _ in 0..=more.len() {
            lines.next().unwrap().unwrap();
        }
        send(signal, child.id());
        lines.for_each(|line| drop(line.unwrap()));
        let output = child.wait_with_output().unwrap();
        if output.status.success() {
            // It was done before the signal came.
            continue;
        }
        interrupted += 1;
        refused(
            &output,
            130,
            &[
                "interrupted in epoch",
                "saved in saved/step-",
                "go on with: tilelab train --layers 784,12,10",
            ],
        );
        assert!(text(&output.stderr).trim_end().ends_with("--resume"));
    }
    assert!(interrupted > 0, "60 epochs are over before a signal arrives");
    let resumed = run(parts.path(), &args("60", &["--resume"]));
    finished(&resumed);
    assert_eq!(table(&resumed), table(&unbroken));
    assert!(model(parts.path()) == model(whole.path()));
}

/// A batch that takes seconds: the first signal waits for it, the second does not.
#[test]
fn a_second_signal_ends_at_once() {
    let folder = folder();
    let slow = [
        "train",
        "--layers",
        "784,12000,10",
        "--batch",
        "60",
        "--device",
        "reference",
        "--checkpoint",
        "saved",
    ];
    let mut child = command(folder.path(), &slow)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The heading of the table comes right before the first batch.
    while !lines.next().unwrap().unwrap().starts_with("epoch") {}
    std::thread::sleep(Duration::from_millis(50));
    send("-INT", child.id());
    std::thread::sleep(Duration::from_millis(50));
    assert!(child.try_wait().unwrap().is_none(), "the first waits for the batch");
    send("-INT", child.id());
    let sent = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(sent.elapsed() < Duration::from_secs(1), "{:?}", sent.elapsed());
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(130), ""));
    assert_eq!(steps(folder.path()), Vec::<PathBuf>::new());
}

/// Ends a run at moments that are random to the microsecond while it saves behind every batch. TILELAB_KILLS sets how often;
/// `ci/deep/kill` asks for more.
#[test]
fn killed_at_any_moment_it_goes_on_from_a_whole_checkpoint() {
    let kills: usize = std::env::var("TILELAB_KILLS").map_or(6, |kills| kills.parse().unwrap());
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(u64::from(std::process::id()));
    let (whole, parts) = (folder(), folder());
    let epochs = (4 * kills).to_string();
    let unbroken = run(whole.path(), &args(&epochs, &[]));
    finished(&unbroken);
    let (mut more, mut killed, mut in_saving) = (vec!["--save-every", "1", "--keep-last", "2"], 0, 0);
    while killed < kills {
        let mut command = command(parts.path(), &args(&epochs, &more));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(random.random_range(5_000..60_000)));
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        if output.status.success() {
            break;
        }
        assert_eq!(output.status.code(), None, "{}", text(&output.stderr));
        killed += 1;
        if parts.path().join("saved").is_dir() && !more.contains(&"--resume") {
            more.push("--resume");
        }
        in_saving += usize::from(saving_broke_off(parts.path()));
    }
    assert!(killed == kills, "{epochs} epochs are over after {killed} kills");
    println!("killed {killed} times, {in_saving} of them while it saved");
    let resumed = run(parts.path(), &args(&epochs, &more));
    finished(&resumed);
    assert_eq!(table(&resumed), table(&unbroken));
    assert!(model(parts.path()) == model(whole.path()));
}

/// Whether a process ended in the middle of saving.
fn saving_broke_off(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder.join("saved"));
    entries.is_ok_and(|mut entries| entries.any(|e| e.unwrap().file_name().to_string_lossy().starts_with('.')))
}

/// A limit on the size of files stands for a full disk: the system refuses in the middle of a write.
#[test]
fn a_full_disk_loses_nothing() {
    let (whole, parts) = (folder(), folder());
    let unbroken = run(whole.path(), &args("6", &[]));
    finished(&unbroken);
    finished(&run(parts.path(), &args("3", &[])));
    let before = (steps(parts.path()), model(parts.path()));
    let limited = |kib: &str| {
        let program = env!("CARGO_BIN_EXE_tilelab");
        let script = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" \"$@\"");
        let mut shell = Command::new("bash");
        shell.args(["-c", &script, program]).args(args("6", &["--resume"]));
        shell
            .current_dir(parts.path())
            .env("TILELAB_DATA", parts.path().join("data"))
            .output()
            .unwrap()
    };
    for kib in ["0", "1", "16"] {
        let output = limited(kib);
        refused(
            &output,
            1,
            &["can't save a checkpoint", "saved/step-", "is still there", "--resume"],
        );
        assert_eq!((steps(parts.path()), model(parts.path())), before);
        assert!(!saving_broke_off(parts.path()), "what was half written is gone");
    }
    let resumed = run(parts.path(), &args("6", &["--resume"]));
    finished(&resumed);
    assert_eq!(table(&resumed), table(&unbroken));
    assert!(model(parts.path()) == model(whole.path()));
}

#[test]
fn damaged_and_foreign_files_are_one_line() {
    let folder = folder();
    finished(&run(folder.path(), &args("2", &[])));
    let last = steps(folder.path()).pop().unwrap();
    let resume = || run(folder.path(), &args("3", &["--resume"]));
    for file in ["model.safetensors", "state.safetensors"] {
        let path = last.join(file);
        let whole = std::fs::read(&path).unwrap();
        for bad in [
            Vec::new(),
            whole[..whole.len() / 2].to_vec(),
            whole[..whole.len() - 1].to_vec(),
            b"\x89PNG\r\n\x1a\n and so on".to_vec(),
            vec![0xff; 64],
        ] {
            std::fs::write(&path, bad).unwrap();
            refused(&resume(), 2, &[file, "; remove saved/step-", "to go on from step-"]);
        }
        std::fs::write(&path, &whole).unwrap();
    }
    // The model of another step with this step's state.
    let (other, path) = (
        steps(folder.path())[0].join("model.safetensors"),
        last.join("model.safetensors"),
    );
    std::fs::copy(other, &path).unwrap();
    refused(
        &resume(),
        2,
        &[
            "model.safetensors",
            "is not the file that state.safetensors was saved with",
        ],
    );
    std::fs::remove_file(&path).unwrap();
    refused(&resume(), 2, &["model.safetensors", "cannot be read"]);
    // The way out that the line names.
    std::fs::remove_dir_all(&last).unwrap();
    finished(&resume());
}

#[test]
fn what_does_not_go_on_says_why() {
    let folder = folder();
    refused(
        &run(folder.path(), &args("2", &["--resume"])),
        2,
        &["saved", "no such folder"],
    );
    finished(&run(folder.path(), &args("2", &[])));
    refused(
        &run(folder.path(), &args("2", &[])),
        2,
        &["saved: there are checkpoints", "--resume"],
    );
    for (more, named) in [
        (&["--lr", "0.2"][..], &["had --lr 0.1, this one has --lr 0.2"][..]),
        (&["--l2", "0.5"], &["had --l2 0, this one has --l2 0.5"]),
        (&["--seed", "9"], &["--seed 1", "--seed 9"]),
        (&["--device", "baseline"], &["--device cpu", "--device baseline"]),
    ] {
        refused(
            &run(folder.path(), &args("3", &[&["--resume"], more].concat())),
            2,
            named,
        );
    }
    std::fs::write(folder.path().join("data/t10k-labels-idx1-ubyte"), {
        let mut labels = std::fs::read(folder.path().join("data/t10k-labels-idx1-ubyte")).unwrap();
        *labels.last_mut().unwrap() ^= 1;
        labels
    })
    .unwrap();
    refused(
        &run(folder.path(), &args("3", &["--resume"])),
        2,
        &["data with the SHA-256"],
    );
    refused(&run(folder.path(), &["train", "--resume"]), 2, &["--checkpoint"]);
    refused(
        &run(folder.path(), &["train", "--save-every", "3"]),
        2,
        &["--checkpoint"],
    );
    std::fs::write(folder.path().join("file"), "").unwrap();
    refused(
        &run(folder.path(), &["train", "--checkpoint", "file"]),
        2,
        &["file: can't hold checkpoints"],
    );
}

#[test]
fn two_runs_do_not_share_a_folder() {
    let folder = folder();
    let mut first = command(folder.path(), &args("1000000", &[]))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(first.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    for more in [&[][..], &["--resume"]] {
        refused(
            &run(folder.path(), &args("2", more)),
            2,
            &["saved: another run saves its checkpoints there"],
        );
    }
    first.kill().unwrap();
    first.wait().unwrap();
    // The system takes the lock back, whatever became of the process.
    let resumed = run(folder.path(), &args("1", &["--resume"]));
    finished(&resumed);
}
