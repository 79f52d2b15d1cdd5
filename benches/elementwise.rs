//! Criterion over activations, softmax and losses on 1024 x 1024. For the person at the keyboard; verdicts come from
//! `tilelab bench elementwise`, whose contestants take turns.
#![allow(missing_docs, clippy::unwrap_used)] // criterion's macros write public functions; a bench may panic

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tilelab::bench::elementwise::{Function, Input};
use tilelab_kernels::{Context, Isa, Threads};

const SIDE: usize = 1024;

fn functions(c: &mut Criterion) {
    eprintln!("elementwise: about a minute");
    let input = Input::new(SIDE, SIDE, 1);
    let (mut y, mut losses) = (vec![0.0; input.len()], vec![0.0; SIDE]);
    for function in Function::ALL {
        let mut group = c.benchmark_group(function.name());
        group.throughput(Throughput::Bytes(8 * input.len() as u64));
        for isa in Isa::available() {
            let context = Context::new(isa, Threads::one()).unwrap();
            function.ours(&context, &input, &mut y, &mut losses);
            let error = function.error_over_bound(&input, &y, (0, 16));
            assert!(error <= 1.0, "{} on {isa}: a wrong answer", function.name());
            group.bench_function(BenchmarkId::from_parameter(isa), |b| {
                b.iter(|| function.ours(&context, &input, &mut y, &mut losses));
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = functions
}
criterion_main!(benches);
