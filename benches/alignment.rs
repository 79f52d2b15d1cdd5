//! Criterion over the size's remainder, the distance from row to row and the base address, at 512. For the person at the
//! keyboard; verdicts come from `tilelab bench alignment`, whose cases take turns.
#![allow(missing_docs, clippy::unwrap_used)] // criterion's macros write public functions; a bench may panic

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tilelab::bench::alignment::{Group, settings};
use tilelab::bench::gemm::Multiplier;
use tilelab_kernels::{Context, Isa, Threads};

const SIZE: usize = 512;

fn alignment(c: &mut Criterion) {
    eprintln!("alignment: about a minute");
    let context = Context::new(Isa::selected().unwrap(), Threads::one()).unwrap();
    for kind in Group::ALL {
        let mut group = c.benchmark_group(kind.name());
        for setting in settings(kind, SIZE, false, 1) {
            let operands = setting.operands();
            group.throughput(Throughput::Elements(operands.shape().flops() as u64));
            for mut player in [Multiplier::ours(&context), Multiplier::gemm_crate()] {
                let mut c = operands.c();
                player.run(operands, &mut c);
                assert!(
                    operands.error_over_bound(&c.dense()) <= 1.0,
                    "{}: a wrong answer",
                    player.id
                );
                let id = BenchmarkId::new(player.id.clone(), setting.name());
                group.bench_function(id, |b| b.iter(|| player.run(operands, &mut c)));
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = alignment
}
criterion_main!(benches);
