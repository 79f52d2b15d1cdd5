//! A warm step allocates nothing, on any thread.
#![allow(clippy::unwrap_used)] // A test may panic.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use tilelab::device::{Batch, Device, ProgramId, Set};
use tilelab::mlp::{Init, Model, Optimizer};
use tilelab::program::lower::{Lowering, weights_name};
use tilelab::program::{Element, StepArgs, fuse};
use tilelab_kernels::{Activation, Threads};

/// The system's allocator, with every request counted.
struct Counting;

static REQUESTS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        REQUESTS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, data: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        REQUESTS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: as above.
        unsafe { System.realloc(data, layout, size) }
    }

    unsafe fn dealloc(&self, data: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(data, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn requests(work: impl FnOnce()) -> usize {
    let before = REQUESTS.load(Ordering::SeqCst);
    work();
    REQUESTS.load(Ordering::SeqCst) - before
}

/// One test in this binary: the counter sees every thread of the process.
#[test]
fn a_warm_step_allocates_nothing() {
    assert!(
        requests(|| drop(std::hint::black_box(vec![1u8]))) > 0,
        "the counter counts"
    );
    for (widths, rows) in [(&[784, 256, 10][..], 256), (&[20, 64, 2], 16), (&[33, 47, 29, 5], 31)] {
        for threads in [1, 2] {
            check(widths, rows, threads);
        }
    }
}

fn check(widths: &[usize], rows: usize, threads: usize) {
    let model = Model::new(widths, Activation::Relu).unwrap();
    let bytes: Vec<u8> = (0..rows * widths[0]).map(|i| (i * 31 % 256) as u8).collect();
    let labels: Vec<u8> = (0..rows).map(|i| (i % model.classes()) as u8).collect();
    let sets = [Set::new(&bytes, &labels, widths[0]).unwrap()];
    let lowering = Lowering {
        model: &model,
        float: Element::F32,
        rows,
        byte_scale: 1.0 / 255.0,
    };
    let plain = lowering.step(Optimizer::Sgd).unwrap();
    let accumulated = lowering.gradients().unwrap();
    let programs = [fuse(&plain).unwrap(), plain, lowering.evaluate().unwrap(), accumulated];
    let mut session = Device::Cpu
        .open(&programs, &sets, Threads::new(threads).unwrap())
        .unwrap();
    for l in 1..=model.depth() {
        let layer = model.layer(l);
        session
            .write(
                &weights_name(l),
                &Init::default().weights(1, l, (layer.inputs, layer.outputs)),
            )
            .unwrap();
    }
    let order: Vec<u32> = (0..rows as u32).rev().collect();
    let args = StepArgs {
        lr: 0.1,
        inverse_rows: 1.0 / rows as f64,
        accumulate: 1.0,
        ..StepArgs::default()
    };
    for (id, program) in programs.iter().enumerate() {
        let batch = Batch::of_set(program, &sets, 0, &order).unwrap();
        session.run(ProgramId(id), &batch, &args);
        let mut steps = || {
            requests(|| {
                for _ in 0..3 {
                    let batch = Batch::of_set(program, &sets, 0, &order).unwrap();
                    session.run(ProgramId(id), &batch, &args);
                    // A short batch needs less of everything.
                    let batch = Batch::of_set(program, &sets, 0, &order[..rows / 2]).unwrap();
                    session.run(ProgramId(id), &batch, &args);
                }
            })
        };
        // A worker thread that the system starts late allocates once as it starts, whatever runs; a step that allocates does
        // so every time.
        let warm = (0..3).map(|_| steps()).min().unwrap();
        assert_eq!(warm, 0, "{widths:?}, {} number {id}, {threads} threads", program.name());
    }
    assert!(session.metrics().unwrap().get("loss_sum") > 0.0, "it did work");
}
