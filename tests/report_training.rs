//! The report of a training run shows what the record holds of the test set: confusion, classes, calibration, the worst mistakes.
#![allow(clippy::unwrap_used)] // A test may panic.

mod support;

use support::records::{record, training};
use tilelab::measure::{Body, Calibration, CalibrationBin, ClassFigures, Classification, Mistaken, Thumbnail, base64};
use tilelab::report::render;

fn classification(picture: Option<Thumbnail>) -> Classification {
    let figures = |rows, precision, recall, f1| ClassFigures {
        rows,
        precision,
        recall,
        f1,
    };
    Classification {
        names: vec!["Bag".to_owned(), "Coat <b>".to_owned(), "2".to_owned()],
        confusion: vec![vec![90, 10, 0], vec![1234, 4321, 0], vec![0, 0, 0]],
        classes: vec![
            figures(100, Some(0.067), Some(0.9), Some(0.125)),
            figures(5555, Some(0.998), Some(0.778), Some(0.874)),
            figures(0, None, None, None),
        ],
        macro_f1: Some(0.4995),
        calibration: Some(Calibration {
            bins: vec![
                CalibrationBin {
                    rows: 10,
                    confidence: 0.55,
                    right: 0.4,
                },
                CalibrationBin {
                    rows: 90,
                    confidence: 0.97,
                    right: 0.9,
                },
            ],
            error: 0.0789,
        }),
        worst: vec![Mistaken {
            row: 4711,
            label: 1,
            said: 0,
            loss: 9.25,
            confidence: Some(0.9876),
            picture,
        }],
    }
}

fn page(picture: Option<Thumbnail>) -> String {
    let mut training = training();
    training.classification = Some(classification(picture));
    render(&[record("train-test", "Training", Body::Training(training))], &[])
}

#[test]
fn everything_that_is_known_of_the_test_set_is_shown() {
    let png = base64(b"\x89PNG");
    let picture = Thumbnail {
        width: 28,
        height: 20,
        png: png.clone(),
    };
    let page = page(Some(picture));
    for shown in [
        "1,234",
        "4,321",
        "Coat &lt;b&gt;",
        "the mean of F1 is",
        "expected calibration error is",
        "taken for Bag",
        "img-src data:",
    ] {
        assert!(page.contains(shown), "{shown}");
    }
    assert!(page.contains("width=\"56\" height=\"40\" alt=\"Coat &lt;b&gt;, taken for Bag"));
    assert!(page.contains(&format!("src=\"data:image/png;base64,{png}\"")));
    // 4,321 of 5,555 are right: the root of the share, of eight shades; marked, since it lies on the diagonal.
    assert!(
        page.contains("<td class=\"number h7 right\">4,321</td>"),
        "the diagonal"
    );
    assert!(page.contains("<td class=\"number h4\">1,234</td>"), "beside it");
}

#[test]
fn rows_that_are_no_pictures_stand_in_a_table() {
    let page = page(None);
    assert!(!page.contains("<img") && page.contains("4711") && page.contains("9.2500"));
}

/// What a record says of a picture stays inside its attribute.
#[test]
fn a_picture_is_nothing_but_a_picture() {
    let page = page(Some(Thumbnail {
        width: 1,
        height: 1,
        png: "\" onerror=\"alert(1)".to_owned(),
    }));
    assert!(!page.contains("\" onerror=") && page.contains("&quot; onerror=&quot;"));
}
