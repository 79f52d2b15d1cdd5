//! `tilelab predict`: a saved model says about images what it said when it was evaluated, whatever file they come in.
#![allow(clippy::unwrap_used)] // A test may panic.

mod support;

use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use support::cli::{folder, run, text};

const IMAGES: &str = "data/t10k-images-idx3-ubyte";
const LABELS: &str = "data/t10k-labels-idx1-ubyte";

fn lines(folder: &Path, args: &[&str]) -> Vec<Value> {
    let output = run(folder, &[args, &["--json"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn logits(line: &Value) -> Vec<f64> {
    line["logits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_f64().unwrap())
        .collect()
}

/// A model that knows most of the 20 test images, saved in `saved`; its table.
fn trained(folder: &Path) -> Vec<Value> {
    let train = [
        "train",
        "--layers",
        "784,32,10",
        "--batch",
        "8",
        "--lr",
        "0.05",
        "--init",
        "normal:0.05",
    ];
    lines(
        folder,
        &[
            &train[..],
            &["--epochs", "100", "--checkpoint", "saved", "--threads", "1"],
        ]
        .concat(),
    )
}

#[test]
fn the_best_checkpoint_says_what_its_evaluation_said() {
    let folder = folder();
    let table = trained(folder.path());
    let rows = table.iter().filter(|line| line.get("event").is_none());
    let best = rows.min_by(|a, b| {
        a["test_loss"]
            .as_f64()
            .unwrap()
            .total_cmp(&b["test_loss"].as_f64().unwrap())
    });
    let accuracy = best.unwrap()["test_acc"].as_f64().unwrap();
    assert!(accuracy > 0.15, "{accuracy}: nothing was learned");
    let said = lines(folder.path(), &["predict", "saved", IMAGES, "--labels", LABELS]);
    let (done, images) = said.split_last().unwrap();
    assert_eq!((images.len(), done["rows"].as_u64()), (20, Some(20)));
    assert_eq!(done["right"].as_f64().unwrap() / 20.0, accuracy);
    for image in images {
        let (logits, class) = (logits(image), image["class"].as_u64().unwrap() as usize);
        assert!(logits.iter().all(|x| *x <= logits[class]));
        let sum: f64 = logits.iter().map(|x| (x - logits[class]).exp()).sum();
        assert!((image["share"].as_f64().unwrap() - 1.0 / sum).abs() <= 1e-12);
        assert_eq!(
            image["label"].as_u64().unwrap() as usize,
            image["row"].as_u64().unwrap() as usize % 10
        );
    }
    // Every device says the same; sums of 784 terms in f32 differ in their order.
    for device in ["baseline", "reference"] {
        let other = lines(folder.path(), &["predict", "saved", IMAGES, "--device", device]);
        for (a, b) in images.iter().zip(&other) {
            for (a, b) in logits(a).iter().zip(logits(b)) {
                assert!((a - b).abs() <= 1e-4 * (1.0 + b.abs()), "{device}: {a} is not {b}");
            }
        }
    }
    // As text: a table and how many are right.
    let output = run(folder.path(), &["predict", "saved", IMAGES, "--labels", LABELS]);
    let out = text(&output.stdout);
    assert_eq!(out.lines().count(), 1 + 1 + 20 + 1);
    assert!(
        out.contains("Trouser") && out.lines().last().unwrap().contains("of 20 right"),
        "{out}"
    );
}

fn png(path: &Path, pixels: &[u8], size: (u32, u32)) {
    let mut encoder = png::Encoder::new(std::fs::File::create(path).unwrap(), size.0, size.1);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(pixels).unwrap();
}

#[test]
fn a_png_is_what_its_pixels_are() {
    let folder = folder();
    trained(folder.path());
    let idx = std::fs::read(folder.path().join(IMAGES)).unwrap();
    let third = &idx[16 + 3 * 784..16 + 4 * 784];
    png(&folder.path().join("3.png"), third, (28, 28));
    let inverted: Vec<u8> = third.iter().map(|pixel| 255 - pixel).collect();
    png(&folder.path().join("dark.png"), &inverted, (28, 28));
    let rows = lines(folder.path(), &["predict", "saved", IMAGES]);
    let one = lines(folder.path(), &["predict", "saved", "3.png"]);
    let dark = lines(folder.path(), &["predict", "saved", "dark.png", "--invert"]);
    assert_eq!((one.len(), logits(&one[0])), (2, logits(&dark[0])));
    // Another number of rows may go through another kernel.
    for (a, b) in logits(&one[0]).iter().zip(logits(&rows[3])) {
        assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{a} is not {b}");
    }
}

/// A file as PyTorch writes it says nothing about activations. 2 - 2 - 2, so that all of it can be done by hand.
#[test]
fn a_model_of_pytorchs_is_read() {
    let folder = folder();
    let bytes = |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|x| x.to_le_bytes()).collect() };
    let tensors = [
        ("0.weight", vec![2, 2], bytes(&[255.0, 0.0, -255.0, 0.0])),
        ("0.bias", vec![2], bytes(&[1.0, 0.0])),
        ("2.weight", vec![2, 2], bytes(&[1.0, 2.0, -1.0, 0.5])),
        ("2.bias", vec![2], bytes(&[0.25, 0.5])),
    ];
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| (*name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    std::fs::write(
        folder.path().join("torch.safetensors"),
        safetensors::serialize(views, None).unwrap(),
    )
    .unwrap();
    png(&folder.path().join("2.png"), &[2, 5], (2, 1));
    let output = run(folder.path(), &["predict", "torch.safetensors", "2.png"]);
    let line = text(&output.stderr);
    assert_eq!((output.status.code(), line.lines().count()), (Some(2), 1), "{line}");
    assert!(line.contains("--activation"), "{line}");
    for (activation, expected) in [
        // z = (2 + 1, -2): h = (3, 0) or z itself, o = (h1 + 2 h2 + 0.25, -h1 + h2 / 2 + 0.5)
        ("relu", [3.25, -2.5]),
        ("identity", [-0.75, -3.5]),
    ] {
        let said = lines(
            folder.path(),
            &["predict", "torch.safetensors", "2.png", "--activation", activation],
        );
        for (got, want) in logits(&said[0]).iter().zip(expected) {
            assert!((got - want).abs() <= 1e-5, "{activation}: {got} is not {want}");
        }
    }
}

#[test]
fn what_cannot_be_predicted_is_one_line() {
    let folder = folder();
    trained(folder.path());
    let at = |name: &str| folder.path().join(name);
    png(&at("small.png"), &[0; 100], (10, 10));
    std::fs::create_dir(at("empty")).unwrap();
    std::fs::write(at("cut.png"), &std::fs::read(at("small.png")).unwrap()[..40]).unwrap();
    for (args, named) in [
        (&["none", IMAGES][..], &["none", "cannot be read"][..]),
        (&["empty", IMAGES], &["empty", "checkpoints"]),
        (&[IMAGES, IMAGES], &[IMAGES, "safetensors"]),
        (&["saved", "none.png"], &["none.png", "cannot be read"]),
        (&["saved", "small.png"], &["small.png", "10 x 10", "784"]),
        (&["saved", "cut.png"], &["cut.png", "PNG"]),
        (&["saved", "saved/lock"], &["saved/lock", "IDX"]),
        (&["saved", LABELS], &[LABELS, "784"]),
        (&["saved", IMAGES, "--labels", IMAGES], &[IMAGES, "20 images"]),
        (&["saved", IMAGES, "--device", "cuda:99"], &["cuda:99: "]),
    ] {
        let output = run(folder.path(), &[&["predict"], args].concat());
        let line = text(&output.stderr);
        assert_eq!(
            (output.status.code(), line.lines().count()),
            (Some(2), 1),
            "{args:?}: {line}"
        );
        assert!(
            named.iter().all(|name| line.contains(name)),
            "{line} does not name {named:?}"
        );
    }
}
