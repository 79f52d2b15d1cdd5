//! Criterion over the products of a card, timed by its events. For the person at the keyboard; `tilelab bench gemm --device cuda:0` takes turns and
//! checks more.
#![allow(missing_docs, clippy::unwrap_used)] // criterion's macros write public functions; a bench may panic

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tilelab::bench::Trouble;
use tilelab::bench::cuda::{Track, gemm};
use tilelab::bench::gemm::Operands;
use tilelab::cli::shapes::Shape;
use tilelab::measure::Lineup;

/// Sides of cubes: a power of two, off it, and one that fills any card.
const SIDES: [usize; 3] = [1024, 1025, 4096];

fn products(c: &mut Criterion) {
    let mut track = match Track::open(0) {
        Ok(track) => track,
        Err(why) => return eprintln!("skipped: needs a GPU ({why})"),
    };
    eprintln!("cuda: about two minutes");
    for side in SIDES {
        let operands = Operands::new(Shape::cube(side), 1);
        let trouble = Trouble::default();
        let Lineup { name, contestants, .. } = gemm::lineup(&mut track, &operands, &[], &trouble).unwrap();
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(operands.shape().flops() as u64));
        for mut contestant in contestants {
            assert!(
                contestant.error_over_bound() <= 1.0,
                "{}: a wrong answer",
                contestant.name()
            );
            let id = BenchmarkId::from_parameter(contestant.name());
            group.bench_function(id, |b| {
                b.iter_custom(|calls| Duration::from_nanos(contestant.call(calls).unwrap()));
            });
        }
        group.finish();
        assert_eq!(trouble.into_inner(), None);
        track.clear().unwrap();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = products
}
criterion_main!(benches);
