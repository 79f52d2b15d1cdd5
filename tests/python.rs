//! A checkpoint as Python finds it: the `safetensors` package and NumPy load it, its names are PyTorch's, and its logits are ours.
#![allow(clippy::unwrap_used)] // A test may panic.

mod support;

use std::process::Command;

use rand::{RngExt, SeedableRng};
use serde_json::Value;
use support::cli::{folder, run, text};

const IMAGES: usize = 1000;

#[test]
fn a_checkpoint_is_pytorchs_and_says_the_same_there() {
    let python = std::env::var("TILELAB_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let there = Command::new(&python).args(["-c", "import numpy, safetensors"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        assert!(
            std::env::var_os("TILELAB_REQUIRE_ALL").is_none(),
            "needs Python with numpy and safetensors (TILELAB_PYTHON names the interpreter)"
        );
        return println!("skipped: needs Python with numpy and safetensors");
    }
    let folder = folder();
    let train = "train --layers 784,24,12,10 --batch-norm --activation prelu --dropout 0.1 --init he-normal --batch 8 --epochs 5 \
                 --threads 1 --checkpoint saved";
    let output = run(folder.path(), &train.split_whitespace().collect::<Vec<_>>());
    assert!(output.status.success(), "{}", text(&output.stderr));
    // Images as IDX: 0, 0, unsigned bytes, 3 dimensions; then the sizes.
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(5);
    let pixels: Vec<u8> = (0..IMAGES * 784).map(|_| random.random()).collect();
    let header = [0x803u32, IMAGES as u32, 28, 28].map(u32::to_be_bytes).concat();
    std::fs::write(folder.path().join("images"), &pixels).unwrap();
    std::fs::write(folder.path().join("images.idx"), [header, pixels].concat()).unwrap();
    let output = run(folder.path(), &["predict", "saved", "images.idx", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let model = folder.path().join(lines.last().unwrap()["model"].as_str().unwrap());
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let output = Command::new(&python)
        .args([golden.join("load.py"), model, golden.join("state_dict.json")])
        .arg(folder.path().join("images"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let wanted: Vec<Vec<f64>> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((wanted.len(), lines.len()), (IMAGES, IMAGES + 1));
    for (line, wanted) in lines.iter().zip(&wanted) {
        let size = wanted.iter().fold(1.0f64, |size, x| size.max(x.abs()));
        for (got, wanted) in line["logits"].as_array().unwrap().iter().zip(wanted) {
            let difference = (got.as_f64().unwrap() - wanted).abs();
            // f32 against f64 through three sums of at most 784 terms.
            assert!(difference <= 1e-4 * size, "{got}, not {wanted}");
        }
    }
}
