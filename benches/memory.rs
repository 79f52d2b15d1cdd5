//! Criterion over the probe's loops: a dependent load, chains side by side, and streaming kernels, at sizes of each level.
#![allow(missing_docs, clippy::unwrap_used)] // criterion's macros write public functions; a bench may panic

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tilelab::probe::chain::{Chain, Order};
use tilelab::probe::memory::{Mapping, Pages};
use tilelab::probe::stream::{Arrays, Op};
use tilelab_kernels::Isa;

const SIZES: [usize; 4] = [16 << 10, 256 << 10, 4 << 20, 64 << 20];

fn latency(c: &mut Criterion) {
    eprintln!("memory: about a minute and a half");
    let mut group = c.benchmark_group("chase");
    for bytes in SIZES {
        let mut memory = Mapping::new(bytes, Pages::Huge).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut chain = Chain::new(memory.words(), bytes / 64, 8, 0, Order::Random, &mut rng);
        const STEPS: usize = 4096;
        group.throughput(Throughput::Elements(STEPS as u64));
        group.bench_function(BenchmarkId::new("one", bytes), |b| b.iter(|| chain.walk(STEPS)));
        group.bench_function(BenchmarkId::new("eight", bytes), |b| {
            b.iter(|| chain.walk_many::<8>(STEPS / 8))
        });
    }
}

fn bandwidth(c: &mut Criterion) {
    let mut group = c.benchmark_group("stream");
    let isa = Isa::selected().unwrap();
    for bytes in SIZES {
        let mut memory = Mapping::new(bytes, Pages::Huge).unwrap();
        let mut arrays = Arrays::new(memory.words());
        let len = arrays.len();
        for op in Op::ALL {
            group.throughput(Throughput::Bytes(op.bytes() * len as u64));
            for non_temporal in [false, true] {
                if non_temporal && op == Op::Read {
                    continue;
                }
                let name = format!("{}{}", op.name(), if non_temporal { "-non-temporal" } else { "" });
                // The answer is checked before it is timed.
                let sum = arrays.run(op, non_temporal, isa, 0, len);
                assert!(arrays.holds(op) && (op != Op::Read || sum == Arrays::sum(len)));
                group.bench_function(BenchmarkId::new(name, bytes), |b| {
                    b.iter(|| black_box(arrays.run(op, non_temporal, isa, 0, len)));
                });
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800));
    targets = latency, bandwidth
}
criterion_main!(benches);
