//! Bugs of the host that no kernel shows: each is a small program over unmodified cudarc, once right and once with the bug in it. The right
//! one must give the right numbers in every order of the streams; the bug must be found.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "a test may panic, and calls the driver as it is"
)]
#![cfg(target_os = "linux")]

mod support;

use cudarc::driver::{result, sys};
use support::{Outcome, TASK, child};
use tilelab_kernels::cuda::{Buffer, Call, Event, Gpu, Pinned, Slice, Stream, elementwise};

const SEEDS: u64 = 8;
/// Elements of each program's array.
const LEN: usize = 64;

/// A program with the stand-in's orders of every seed.
fn in_every_order(task: &str) -> Vec<Outcome> {
    let run = |seed: u64| child("programs", task, &[("FAKECUDA_SEED", seed.to_string())]);
    (0..SEEDS).map(run).collect()
}

fn always(task: &str, result: &str) {
    for (seed, outcome) in in_every_order(task).into_iter().enumerate() {
        assert_eq!(
            outcome.result.as_deref(),
            Some(result),
            "{task}, seed {seed}: {}",
            outcome.complaints
        );
    }
}

/// Seeds in which the program gave another result than the right one, or none.
fn found(task: &str, right: &str) -> Vec<Outcome> {
    let wrong = |outcome: &Outcome| outcome.result.as_deref() != Some(right);
    in_every_order(task).into_iter().filter(wrong).collect()
}

#[test]
fn a_wait_for_an_event_that_is_missing() {
    always("copy, wait, compute", "30");
    let found = found("copy, compute", "30");
    // The product of what was there before, then overwritten.
    assert!(
        found.iter().any(|outcome| outcome.result.as_deref() == Some("10")),
        "no order showed it: {found:?}"
    );
}

#[test]
fn a_pinned_buffer_that_is_used_again_too_early() {
    always("pinned, wait, pinned", "1 2");
    let found = found("pinned, pinned", "1 2");
    assert_eq!(found.len() as u64, SEEDS, "some orders hid it");
    for outcome in found {
        assert!(
            outcome.complaints.contains("the host wrote memory from which a copy"),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_pinned_buffer_that_is_freed_too_early() {
    let found = found("pinned, free", "1");
    assert_eq!(found.len() as u64, SEEDS);
    assert!(
        found[0]
            .complaints
            .contains("the host freed memory from or to which a copy"),
        "{:?}",
        found[0]
    );
}

#[test]
fn memory_that_is_read_before_the_copy_to_it_is_done() {
    always("download, wait", "1");
    let found = found("download", "1");
    assert_eq!(found.len() as u64, SEEDS, "nothing is copied before somebody waits");
}

/// Copies within the card and both ways, and the time between events: not before both are reached, and never backwards.
#[test]
fn events_tell_whether_they_are_reached_and_the_time_between() {
    always("events", "not recorded, not reached, 5.0 us, 7");
}

#[test]
fn a_scalar_that_is_frozen_into_a_graph() {
    always("scalar in a cell", "2 6 24");
    always("scalar by value, a graph each", "48 32 16");
    for (task, right, wrong) in [
        ("scalar in a cell of the capture", "2 6 24", "2 4 8"),
        ("scalar by value, one graph", "48 32 16", "48 48 48"),
    ] {
        let found = found(task, right);
        assert_eq!(found.len() as u64, SEEDS, "{task}");
        assert_eq!(found[0].result.as_deref(), Some(wrong), "{task}");
    }
}

#[test]
fn a_wrong_launch_is_reported_by_a_later_call() {
    let outcome = child("programs", "past the end", &[]);
    assert_eq!(outcome.result, None);
    for part in ["OutOfBounds in scale", "CUDA_ERROR_LAUNCH_FAILED"] {
        assert!(outcome.complaints.contains(part), "{outcome:?}");
    }
}

#[test]
fn programs() {
    let Ok(task) = std::env::var(TASK) else { return };
    let gpu = Gpu::open(0).unwrap();
    let result = match task.as_str() {
        "copy, wait, compute" => two_streams(&gpu, true).to_string(),
        "copy, compute" => two_streams(&gpu, false).to_string(),
        "pinned, wait, pinned" => pinned_twice(&gpu, true),
        "pinned, pinned" => pinned_twice(&gpu, false),
        "pinned, free" => pinned_freed(&gpu).to_string(),
        "download, wait" => downloaded(&gpu, true).to_string(),
        "download" => downloaded(&gpu, false).to_string(),
        "events" => events(&gpu),
        "scalar in a cell" => scalar_in_a_cell(&gpu, true),
        "scalar in a cell of the capture" => scalar_in_a_cell(&gpu, false),
        "scalar by value, a graph each" => scalar_by_value(&gpu, true),
        "scalar by value, one graph" => scalar_by_value(&gpu, false),
        "past the end" => past_the_end(&gpu).to_string(),
        other => panic!("no program {other}"),
    };
    println!("result: {result}");
}

fn floats(value: f32, len: usize) -> Vec<u8> {
    value.to_le_bytes().repeat(len)
}

fn filled(gpu: &Gpu, value: f32) -> Buffer {
    let mut buffer = Buffer::new(gpu, LEN * 4).unwrap();
    buffer.write(0, &floats(value, LEN)).unwrap();
    buffer
}

/// The one value that all elements have.
fn value(buffer: &Buffer) -> f32 {
    let mut bytes = vec![0; LEN * 4];
    buffer.read(0, &mut bytes).unwrap();
    let values: Vec<f32> = bytes
        .chunks_exact(4)
        .map(|x| f32::from_le_bytes(x.try_into().unwrap()))
        .collect();
    assert!(values.iter().all(|x| x == &values[0]), "{values:?}");
    values[0]
}

/// An upload on one stream, x = by x on another.
fn two_streams(gpu: &Gpu, waits: bool) -> f32 {
    let (copy, compute) = (Stream::new(gpu).unwrap(), Stream::new(gpu).unwrap());
    let (x, by) = (filled(gpu, 1.0), filled(gpu, 3.0));
    let mut host = Pinned::new(gpu, LEN * 4).unwrap();
    host.bytes_mut().unwrap().copy_from_slice(&floats(10.0, LEN));
    host.upload(&copy, x.slice(0, LEN * 4), LEN * 4).unwrap();
    if waits {
        compute.wait(host.copied()).unwrap();
    }
    compute
        .launch(&elementwise::scale(by.slice(0, 1), x.slice(0, LEN)).unwrap())
        .unwrap();
    gpu.synchronize().unwrap();
    value(&x)
}

/// Pinned memory by the driver's own calls.
fn pinned(len: usize) -> &'static mut [u8] {
    // SAFETY: as many bytes are allocated; the child ends before anybody could miss them.
    unsafe { std::slice::from_raw_parts_mut(result::malloc_host(len, 0).unwrap().cast(), len) }
}

fn raw_stream(gpu: &Gpu) -> sys::CUstream {
    // The context is made current by any call.
    gpu.synchronize().unwrap();
    result::stream::create(result::stream::StreamKind::NonBlocking).unwrap()
}

/// Two uploads from one pinned buffer, to two arrays.
fn pinned_twice(gpu: &Gpu, waits: bool) -> String {
    let (stream, host) = (raw_stream(gpu), pinned(LEN * 4));
    let (a, b) = (filled(gpu, 0.0), filled(gpu, 0.0));
    for (to, x) in [(&a, 1.0), (&b, 2.0)] {
        host.copy_from_slice(&floats(x, LEN));
        let to: Slice<u8> = to.slice(0, LEN * 4);
        // SAFETY: the ranges are within their buffers.
        unsafe { result::memcpy_htod_async(to.address(), host, stream) }.unwrap();
        if waits {
            // SAFETY: the stream is alive.
            unsafe { result::stream::synchronize(stream) }.unwrap();
        }
    }
    gpu.synchronize().unwrap();
    format!("{} {}", value(&a), value(&b))
}

fn pinned_freed(gpu: &Gpu) -> f32 {
    let (stream, host) = (raw_stream(gpu), pinned(LEN * 4));
    host.copy_from_slice(&floats(1.0, LEN));
    let a = filled(gpu, 0.0);
    // SAFETY: the ranges are within their buffers; that the host's is freed before the copy is the bug.
    unsafe {
        result::memcpy_htod_async(a.slice::<u8>(0, LEN * 4).address(), host, stream).unwrap();
        result::free_host(host.as_mut_ptr().cast()).unwrap();
    }
    gpu.synchronize().unwrap();
    value(&a)
}

/// A download into pinned memory that holds something else.
fn downloaded(gpu: &Gpu, waits: bool) -> f32 {
    let (stream, host) = (raw_stream(gpu), pinned(LEN * 4));
    host.fill(0);
    let a = filled(gpu, 1.0);
    // SAFETY: the ranges are within their buffers; that the host's is read before the copy is done is the bug.
    unsafe {
        result::memcpy_dtoh_async(host, a.slice::<u8>(0, LEN * 4).address(), stream).unwrap();
        if waits {
            result::stream::synchronize(stream).unwrap();
        }
    }
    f32::from_le_bytes(host[..4].try_into().unwrap())
}

/// Up three times, within the card, down: what lies between two events is five pieces of work, the second event among them.
fn events(gpu: &Gpu) -> String {
    let stream = Stream::new(gpu).unwrap();
    let (a, b) = (filled(gpu, 0.0), filled(gpu, 0.0));
    let (mut up, mut down) = (Pinned::new(gpu, LEN * 4).unwrap(), Pinned::new(gpu, LEN * 4).unwrap());
    up.bytes_mut().unwrap().copy_from_slice(&floats(7.0, LEN));
    let (begin, end) = (Event::new(gpu).unwrap(), Event::new(gpu).unwrap());
    let mut told = Vec::new();
    let code = end.elapsed_ns(&begin).unwrap_err().to_string();
    told.push(
        if code.contains("INVALID_HANDLE") {
            "not recorded"
        } else {
            "?"
        }
        .to_owned(),
    );
    begin.record(&stream).unwrap();
    // Three copies and the event of the pinned memory itself.
    up.upload_times(&stream, a.slice(0, LEN * 4), LEN * 4, 3).unwrap();
    end.record(&stream).unwrap();
    stream.copy(a.slice(0, LEN * 4), b.slice(0, LEN * 4)).unwrap();
    down.download_times(&stream, b.slice(0, LEN * 4), LEN * 4, 2).unwrap();
    let code = end.elapsed_ns(&begin).unwrap_err().to_string();
    let early = !begin.is_reached().unwrap() && code.contains("NOT_READY");
    told.push(if early { "not reached" } else { "?" }.to_owned());
    let got = down.bytes_mut().unwrap()[..4].try_into().unwrap();
    assert!(begin.is_reached().unwrap() && end.is_reached().unwrap());
    told.push(format!("{:.1} us", end.elapsed_ns(&begin).unwrap() / 1e3));
    told.push(f32::from_le_bytes(got).to_string());
    told.join(", ")
}

/// x = by x three times with by = 2, 3, 4, replayed; `by` lies in a cell that each step writes, or in one that only the capture wrote.
fn scalar_in_a_cell(gpu: &Gpu, of_the_step: bool) -> String {
    let stream = Stream::new(gpu).unwrap();
    let (x, mut cell, of_the_capture) = (filled(gpu, 1.0), filled(gpu, 2.0), filled(gpu, 2.0));
    let by = if of_the_step { &cell } else { &of_the_capture };
    let call = elementwise::scale(by.slice(0, 1), x.slice(0, LEN)).unwrap();
    gpu.prepare(&call).unwrap();
    let graph = stream.capture(|stream| stream.launch(&call)).unwrap();
    let mut seen = Vec::new();
    for by in [2.0, 3.0, 4.0] {
        cell.write(0, &floats(by, 1)).unwrap();
        stream.replay(&graph).unwrap();
        stream.synchronize().unwrap();
        seen.push(value(&x).to_string());
    }
    seen.join(" ")
}

/// How many of 0..64 are above a threshold that grows; it is an argument, and so a part of the graph.
fn scalar_by_value(gpu: &Gpu, captured_anew: bool) -> String {
    let stream = Stream::new(gpu).unwrap();
    let mut x = Buffer::new(gpu, LEN * 4).unwrap();
    x.write(0, &(0..LEN).flat_map(|i| (i as f32).to_le_bytes()).collect::<Vec<u8>>())
        .unwrap();
    let out = Buffer::new(gpu, LEN * 4).unwrap();
    let call = |threshold| elementwise::above(x.slice(0, LEN), threshold, out.slice(0, LEN)).unwrap();
    gpu.prepare(&call(0.0)).unwrap();
    let capture = |threshold| stream.capture(|stream| stream.launch(&call(threshold))).unwrap();
    let first = capture(15.5);
    let mut seen = Vec::new();
    for threshold in [15.5, 31.5, 47.5] {
        let anew = captured_anew.then(|| capture(threshold));
        stream.replay(anew.as_ref().unwrap_or(&first)).unwrap();
        stream.synchronize().unwrap();
        let mut marks = vec![0; LEN * 4];
        out.read(0, &mut marks).unwrap();
        seen.push(marks.chunks_exact(4).filter(|mark| mark[0] == 1).count().to_string());
    }
    seen.join(" ")
}

/// A launch that takes its array for twice as long as it is.
fn past_the_end(gpu: &Gpu) -> f32 {
    let (x, by) = (filled(gpu, 1.0), filled(gpu, 3.0));
    let slice = x.slice::<f32>(0, LEN);
    let long = Slice::<f32>::new(slice.address(), 2 * LEN);
    let call: Call = elementwise::scale(by.slice(0, 1), long).unwrap();
    let stream = Stream::new(gpu).unwrap();
    stream.launch(&call).unwrap();
    stream.synchronize().unwrap();
    value(&x)
}
