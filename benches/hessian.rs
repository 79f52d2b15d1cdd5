//! Criterion over second derivatives, every case of `tilelab bench hessian`. For the person at the keyboard; verdicts come from there, where
//! contestants take turns.
#![allow(missing_docs, clippy::unwrap_used)] // criterion's macros write public functions; a bench may panic

use std::cell::RefCell;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tilelab::bench::hessian::{Problem, cases, lineup};
use tilelab_kernels::Threads;

fn derivatives(c: &mut Criterion) {
    eprintln!("hessian: about two minutes");
    let trouble = RefCell::new(None);
    for case in cases() {
        let problem = Problem::of(&case).unwrap();
        let lineup = lineup(&problem, &[], Threads::one(), &trouble).unwrap();
        let mut group = c.benchmark_group(lineup.name.clone());
        for mut contestant in lineup.contestants {
            let error = contestant.error_over_bound();
            assert!(error <= 1.0, "{} by {}: a wrong answer", case.name(), contestant.name());
            group.bench_function(BenchmarkId::from_parameter(contestant.name().to_owned()), |b| {
                b.iter_custom(|calls| {
                    let start = Instant::now();
                    contestant.call(calls);
                    start.elapsed()
                });
            });
        }
    }
    assert!(trouble.borrow().is_none(), "{trouble:?}");
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = derivatives
}
criterion_main!(benches);
