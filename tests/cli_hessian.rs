//! `tilelab hessian` and `tilelab graph --hessian`, as a user runs them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use serde_json::Value;
use support::cli::{folder, run, text};

fn lines(output: &std::process::Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

const SMALL: [&str; 8] = [
    "--random",
    "--layers",
    "4,6,3",
    "--rows",
    "50",
    "--activation",
    "tanh",
    "--json",
];

#[test]
fn four_questions_about_one_matrix_agree() {
    let folder = folder();
    let ask = |what: &[&str]| lines(&run(folder.path(), &[&["hessian"], what, &SMALL].concat()));
    let dense = ask(&["dense", "--dtype", "f64", "--out", "h.npy"]);
    assert_eq!(
        (&dense[0]["parameters"], &dense[0]["method"]),
        (&Value::from(51), &Value::from("closed form"))
    );
    let trace = dense[0]["trace"].as_f64().unwrap();
    let largest = dense[0]["largest"].as_f64().unwrap();

    let npy = std::fs::read(folder.path().join("h.npy")).unwrap();
    assert!(npy.starts_with(b"\x93NUMPY") && npy.len() >= 51 * 51 * 8);
    let header = String::from_utf8_lossy(&npy[..100]).into_owned();
    assert!(header.contains("(51, 51)") && header.contains("<f8"), "{header}");

    let diagonal = ask(&["dense", "--diagonal", "--dtype", "f64"]);
    assert!((diagonal[0]["trace"].as_f64().unwrap() - trace).abs() < 1e-9);
    let eig = ask(&[
        "eig",
        "--largest",
        "2",
        "--smallest",
        "1",
        "--dtype",
        "f64",
        "--tolerance",
        "1e-6",
    ]);
    assert_eq!(eig.len(), 4, "three pairs and a summary");
    assert!((eig[0]["value"].as_f64().unwrap() - largest).abs() < 1e-6);
    let density = ask(&["density", "--probes", "3", "--steps", "10"]);
    let weights: f64 = density.iter().filter_map(|line| line["weight"].as_f64()).sum();
    assert!((weights - 3.0).abs() < 1e-9);
    for method in ["hutchinson", "hutch++", "xtrace"] {
        let estimate = &ask(&["trace", "--method", method])[0];
        let (value, error) = (
            estimate["value"].as_f64().unwrap(),
            estimate["standard_error"].as_f64().unwrap(),
        );
        assert!(
            (value - trace).abs() < 5.0 * error + 1e-5,
            "{method}: {value} +- {error}, it is {trace}"
        );
    }
}

#[test]
fn it_reads_as_a_table_and_takes_real_data() {
    let folder = folder();
    let shown = run(
        folder.path(),
        &[
            "hessian", "dense", "--layers", "784,3,10", "--of", "layer2", "--rows", "20",
        ],
    );
    let shown = text(&shown.stdout);
    assert!(
        shown.contains("W2[0,1]") && shown.contains("by closed form") && shown.contains("of 40 rows"),
        "{shown}"
    );
    let shown = run(
        folder.path(),
        &[
            "hessian",
            "eig",
            "--layers",
            "784,4,10",
            "--rows",
            "20",
            "--matrix",
            "fisher",
            "--threads",
            "1",
        ],
    );
    let shown = text(&shown.stdout);
    assert!(
        shown.contains("gauss-newton of 784-4-10") && shown.contains("residual"),
        "{shown}"
    );
}

#[test]
fn nonsense_is_one_line_with_a_way_out() {
    let folder = folder();
    for (args, said) in [
        (&["hessian", "dense"][..], "use `tilelab hessian eig`"),
        (&["hessian", "dense", "--layers", "784,9,10", "--max-mem", "1M"], "--of"),
        (&["hessian", "eig", "--of", "W9"], "no parameter is called `W9`"),
        (&["hessian", "eig", "--layers", "5,10"], "--random"),
        (&["hessian", "eig", "--largest", "0"], "ask for 1 to"),
        (&["hessian", "trace", "--products", "1"], "at least 4 products"),
        (
            &["hessian", "trace", "--method", "guess"],
            "hutchinson, hutch++, xtrace",
        ),
        (&["hessian", "eig", "--matrix", "hess"], "gauss-newton"),
        (
            &["hessian", "eig", "--batch-norm", "--norm", "batch", "--chunk", "7"],
            "--norm running",
        ),
        (&["hessian", "eig", "--device", "cuda:99"], "--device cpu"),
        (&["hessian"], "--help"),
        (&["graph", "--optimizer", "newton-cg"], "--hessian"),
    ] {
        let output = run(folder.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output.stderr));
        let line = text(&output.stderr);
        assert!(line.lines().count() == 1 && line.contains(said), "{args:?}: {line}");
    }
    let output = run(
        folder.path(),
        &[
            "hessian",
            "dense",
            "--random",
            "--layers",
            "2,2",
            "--rows",
            "5",
            "--out",
            "no/such/h.npy",
        ],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no/such/h.npy"));
}

/// A product's graph has the same operations whatever the widths are, and its flops grow with the parameters: a Hessian's with their square.
#[test]
fn the_graph_of_a_product_does_not_grow() {
    let folder = folder();
    let counted = |layers: &str| {
        let all = lines(&run(
            folder.path(),
            &["graph", "--hessian", "--layers", layers, "--batch", "100", "--json"],
        ));
        let tangent = all.iter().find(|line| line["program"] == "tangent").unwrap().clone();
        let done = all.last().unwrap().clone();
        (
            tangent["operations"].as_u64().unwrap(),
            done["parameters"].as_f64().unwrap(),
            done["hessian_flops"].as_f64().unwrap(),
        )
    };
    let (few, p, flops) = counted("50,50,50");
    let (many, more, more_flops) = counted("200,200,200");
    assert_eq!(few, many);
    let exponent = (more_flops / flops).ln() / (more / p).ln();
    assert!((exponent - 2.0).abs() < 0.05, "{exponent}");
    let dot = run(folder.path(), &["graph", "--hessian", "--layers", "4,3,2"]);
    let dot = text(&dot.stdout);
    assert!(
        dot.contains("label=\"tangent\"") && dot.contains("r_dW1") && dot.contains("products"),
        "{dot}"
    );
}
