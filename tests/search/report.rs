//! The section of a search: every chart is there, marks stand in their tables, texts stay texts, and the command can be copied.

use tilelab::measure::{Body, Quartiles, Regret, Surrogates};
use tilelab::report::render;

use crate::support::records::record;
use crate::support::searched::search;

#[test]
fn the_section_shows_what_the_search_learned() {
    let search = search();
    let importance = search.importance.clone().unwrap();
    assert_eq!(importance.left_out, ["units_l1", "units_l2", "momentum"]);
    assert!(importance.alone.windows(2).all(|pair| pair[0].1 >= pair[1].1));
    let page = render(
        &[record(
            "search-study",
            "A search",
            Body::Search(Box::new(search.clone())),
        )],
        &[],
    );
    for said in [
        "History of the best",
        "Learning curves",
        "All parameters at once",
        "Timeline",
        "lr: every complete trial",
        "together</",
        "What each parameter does alone",
        "What two do together",
        "tilelab train --layers 784,256,10 --lr 0.05",
        "89.10 %",
        "the disk is &lt;full",
        "repeats trial 4",
    ] {
        assert!(page.contains(said), "{said}");
    }
    assert!(!page.contains("<full>"), "a text became markup");
    let pruned = search.trials.iter().filter(|trial| trial.state == "pruned").count();
    assert!(pruned > 0 && page.contains(&format!("{pruned} pruned")));
    // Cells of the contour are as full as their band.
    assert!(page.contains("fill-opacity=\"0.20\"") && page.contains("fill-opacity=\"1.00\""));
    let json = serde_json::to_string(&search).unwrap();
    assert_eq!(serde_json::from_str::<tilelab::measure::Search>(&json).unwrap(), search);
}

#[test]
fn a_search_without_a_complete_trial_says_so() {
    let mut search = search();
    search.trials.iter_mut().for_each(|trial| trial.value = None);
    (search.best, search.importance) = (None, None);
    search.best_command.clear();
    let page = render(
        &[record("search-study", "A search", Body::Search(Box::new(search)))],
        &[],
    );
    assert!(page.contains("No trial is complete"));
}

#[test]
fn samplers_are_told_apart() {
    let regret = |sampler: &str, median: f64| Regret {
        surrogate: "smooth".to_owned(),
        sampler: sampler.to_owned(),
        trials: 60,
        runs: 100,
        regret: Quartiles {
            lower: median / 2.0,
            median,
            upper: 2.0 * median,
        },
    };
    let regrets = vec![regret("tpe", 0.14), regret("random", 0.32)];
    let found = Surrogates {
        regrets,
        notes: vec!["optuna: not installed".to_owned()],
    };
    let page = render(&[record("bench-search", "Samplers", Body::Surrogates(found))], &[]);
    assert!(page.contains("within 0.1400 of the optimum") && page.contains("optuna: not installed"));
}
