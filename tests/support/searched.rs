//! A search as a record: thirty trials on a function with a known optimum, some pruned, one failed.

use std::sync::atomic::AtomicBool;

use tilelab::measure::Search;
use tilelab::search::recorded::{Setting, searched};
use tilelab::search::surrogate::Surrogate;
use tilelab::search::training::Tested;
use tilelab::search::{Direction, Flow, Limits, Outcome, Plan, Pruner, Sampler, Study, optimize};

pub fn search() -> Search {
    let plan = Plan {
        space: Surrogate::space(),
        direction: Direction::Maximize,
        sampler: Sampler::Tpe,
        grid_points: 3,
        pruner: Pruner::Median { warmup: 1 },
        seed: 1,
        jobs: 2,
        objective: Default::default(),
    };
    let mut study = Study::in_memory(plan).unwrap();
    let limits = Limits {
        trials: 30,
        retries: 1,
        timeout: None,
    };
    let stop = AtomicBool::new(false);
    let accuracy = |loss: f64| 0.9 - 0.05 * loss;
    optimize(&mut study, limits, &stop, &mut |_, _| {}, &|run| {
        if run.task.number == 4 {
            return Outcome::Failed("the disk is <full> & \"read-only\"".to_owned());
        }
        let loss = Surrogate::Smooth.loss(&run.task.configuration);
        for epoch in 1..=6 {
            if run.report(epoch, accuracy(loss + 2.0 / epoch as f64)) == Flow::Prune && epoch < 6 {
                return Outcome::Pruned;
            }
        }
        Outcome::Complete(accuracy(loss))
    })
    .unwrap();
    let best = study.best().unwrap();
    let tested = |seed| Tested {
        trial: best.number,
        seed,
        accuracy: 0.891,
        loss: 0.31,
    };
    let tests = [tested(1), tested(2)];
    let setting = Setting {
        study: "reports/study.jsonl".to_owned(),
        measure: "accuracy".to_owned(),
        data: "Fashion-MNIST: copy embedded in the program".to_owned(),
        rows: (50_000, 10_000),
        fixed: vec![("--init".to_owned(), "he-normal".to_owned())],
        best_command: "tilelab train --layers 784,256,10 --lr 0.05".to_owned(),
    };
    searched(&study, setting, &tests)
}
