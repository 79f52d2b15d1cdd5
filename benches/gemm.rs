//! Criterion over matrix products: squares, the shapes of an MLP, transposes. For the person at the keyboard; verdicts come from
//! `tilelab bench gemm`, whose contestants take turns.
#![allow(missing_docs, clippy::unwrap_used)] // criterion's macros write public functions; a bench may panic

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tilelab::bench::gemm::{Multiplier, Operands};
use tilelab::cli::shapes::Shapes;
use tilelab_kernels::{Context, Isa, Threads};

/// Ours on every ISA of this CPU that is worth it, and the `gemm` crate.
fn players() -> Vec<Multiplier<'static>> {
    let isas = Isa::available().into_iter().filter(|isa| *isa != Isa::Portable);
    let ours = isas.map(|isa| Multiplier::ours(&Context::new(isa, Threads::one()).unwrap()));
    ours.chain([Multiplier::gemm_crate()]).collect()
}

fn products(c: &mut Criterion, group: &str, shapes: &str) {
    let shapes: Shapes = shapes.parse().unwrap();
    let mut group = c.benchmark_group(group);
    for product in shapes.0 {
        let operands = Operands::<f32>::new(product, 1);
        group.throughput(Throughput::Elements(operands.shape().flops() as u64));
        for mut player in players() {
            let mut c = operands.c();
            player.run(&operands, &mut c);
            assert!(
                operands.error_over_bound(&c.dense()) <= 1.0,
                "{}: a wrong answer",
                player.id
            );
            let id = BenchmarkId::new(player.id.clone(), product.to_string());
            group.bench_function(id, |b| b.iter(|| player.run(&operands, &mut c)));
        }
    }
}

fn squares(c: &mut Criterion) {
    eprintln!("gemm: about a minute and a half");
    products(c, "squares", "64,128,256,512,1024");
}

fn mlp(c: &mut Criterion) {
    products(c, "mlp", "256x256x784,256x10x256,32x512x784,16x64x20,16x1x64");
}

fn transposes(c: &mut Criterion) {
    products(c, "transposes", "784x256x256:ta,256x784x256:tb,500:ta,500:tb");
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = squares, mlp, transposes
}
criterion_main!(benches);
