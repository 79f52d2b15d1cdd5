//! The stand-in refuses what a card refuses, each with the error that the driver gives.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "a test may panic, and calls the driver as it is"
)]
#![cfg(target_os = "linux")]

mod support;

use std::ffi::{CString, c_void};

use cudarc::driver::sys::CUresult::{
    CUDA_ERROR_INVALID_PTX as INVALID_PTX, CUDA_ERROR_INVALID_VALUE as INVALID_VALUE,
    CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES as OUT_OF_RESOURCES,
};
use cudarc::driver::{DriverError, result, sys};
use support::{TASK, child};
use tilelab_kernels::cuda::{Gpu, ptx};

const X_MOST: u32 = i32::MAX as u32;

/// Runs the checks below as a child whose card has this capability.
fn on_card(task: &str, capability: &str) {
    let outcome = child("checks", task, &[("FAKECUDA_CAPABILITY", capability.to_owned())]);
    assert_eq!(outcome.result.as_deref(), Some("as a card"), "{}", outcome.complaints);
}

#[test]
fn grids_and_blocks() {
    on_card("geometry", "86");
}

#[test]
fn shared_memory_beyond_48_kib_must_be_asked_for() {
    for capability in ["75", "80", "86", "90", "120"] {
        on_card("shared memory", capability);
    }
}

#[test]
fn registers_times_threads() {
    on_card("registers", "86");
}

#[test]
fn checks() {
    let Ok(task) = std::env::var(TASK) else { return };
    let gpu = Gpu::open(0).unwrap();
    gpu.synchronize().unwrap();
    match task.as_str() {
        "geometry" => geometry(),
        "shared memory" => shared_memory(gpu.facts().capability),
        "registers" => registers(),
        other => panic!("no checks {other}"),
    }
    println!("result: as a card");
}

fn load(text: &str) -> Result<sys::CUmodule, DriverError> {
    let text = CString::new(text).unwrap();
    let mut module = std::ptr::null_mut();
    let image = text.as_ptr().cast();
    // SAFETY: the text ends with a zero byte, and there are no options.
    unsafe { sys::cuModuleLoadDataEx(&raw mut module, image, 0, std::ptr::null_mut(), std::ptr::null_mut()) }
        .result()?;
    Ok(module)
}

fn function(text: &str, name: &str) -> sys::CUfunction {
    // SAFETY: the module is loaded in the current context.
    unsafe { result::module::get_function(load(text).unwrap(), CString::new(name).unwrap()) }.unwrap()
}

/// What a launch without parameters gives; nothing runs before somebody waits, and nobody does.
fn launch(function: sys::CUfunction, grid: [u32; 3], block: [u32; 3], shared_bytes: u32) -> Result<(), sys::CUresult> {
    let stream = result::stream::create(result::stream::StreamKind::NonBlocking).unwrap();
    let (grid, block) = ((grid[0], grid[1], grid[2]), (block[0], block[1], block[2]));
    let mut zeros = [0u64; 32];
    let mut pointers: Vec<*mut c_void> = zeros.iter_mut().map(|zero| (&raw mut *zero).cast()).collect();
    // SAFETY: the kernels below have at most 32 parameters of at most 8 bytes.
    unsafe { result::launch_kernel(function, grid, block, shared_bytes, stream, &mut pointers) }
        .map_err(|error| error.0)
}

/// A kernel that does nothing, with these directives and this body before its end.
fn kernel(directives: &str, body: &str) -> String {
    format!(".version 8.0\n.target sm_75\n.address_size 64\n.visible .entry k()\n{directives}\n{{\n{body}\nret;\n}}")
}

fn geometry() {
    let text = kernel("", "");
    let any = function(&text, "k");
    assert_eq!(launch(any, [X_MOST, 1, 1], [1, 1, 1], 0), Ok(()));
    assert_eq!(launch(any, [1, 65_535, 65_535], [1, 1, 1], 0), Ok(()));
    for grid in [[0, 1, 1], [1, 0, 1], [X_MOST + 1, 1, 1], [1, 65_536, 1], [1, 1, 65_536]] {
        assert_eq!(launch(any, grid, [1, 1, 1], 0), Err(INVALID_VALUE), "grid {grid:?}");
    }
    for block in [[1024, 1, 1], [16, 64, 1], [16, 1, 64]] {
        assert_eq!(launch(any, [1, 1, 1], block, 0), Ok(()), "block {block:?}");
    }
    for block in [[0, 1, 1], [1025, 1, 1], [32, 33, 1], [1, 1, 65]] {
        assert_eq!(launch(any, [1, 1, 1], block, 0), Err(INVALID_VALUE), "block {block:?}");
    }
    let text = kernel(".maxntid 128, 1, 1", "");
    let narrow = function(&text, "k");
    assert_eq!(launch(narrow, [1, 1, 1], [128, 1, 1], 0), Ok(()));
    assert_eq!(launch(narrow, [1, 1, 1], [129, 1, 1], 0), Err(INVALID_VALUE));
}

fn shared_memory(capability: u32) {
    const KIB: u32 = 1 << 10;
    let most = match capability {
        75 => 64,
        80 => 163,
        86 | 120 => 99,
        _ => 227,
    } * KIB;
    let text = kernel("", ".shared .align 4 .b8 room[1024];");
    let plain = function(&text, "k");
    let of = |function, dynamic| launch(function, [1, 1, 1], [32, 1, 1], dynamic);
    assert_eq!(of(plain, 47 * KIB), Ok(()));
    assert_eq!(of(plain, 47 * KIB + 4), Err(INVALID_VALUE));
    let ask = |bytes: u32| {
        let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // SAFETY: the function is loaded.
        let done = unsafe { result::function::set_function_attribute(plain, attribute, bytes as i32) };
        done.map_err(|error| error.0)
    };
    // The kernel's own KiB counts.
    assert_eq!(ask(most - KIB + 4), Err(INVALID_VALUE));
    assert_eq!(ask(most - KIB), Ok(()));
    assert_eq!(of(plain, most - KIB), Ok(()));
    assert_eq!(of(plain, most - KIB + 4), Err(INVALID_VALUE));
    assert_eq!(ask(50 * KIB), Ok(()));
    assert_eq!(of(plain, 50 * KIB + 4), Err(INVALID_VALUE));
    // What a kernel declares itself must do without.
    let text = kernel("", ".shared .align 4 .b8 room[49156];");
    assert_eq!(load(&text).unwrap_err().0, INVALID_PTX);
}

fn registers() {
    // 80 values that are live at once: 819 threads would have them.
    let names = |verb: fn(usize) -> String| (0..80).map(verb).collect::<Vec<_>>().join("\n");
    let body = format!(
        ".reg .b32 %r<81>;\n{}\n{}",
        names(|i| format!("mov.u32 %r{i}, %clock;")),
        names(|i| format!("st.volatile.shared.u32 [0], %r{i};"))
    );
    let text = kernel("", &body);
    let many = function(&text, "k");
    assert_eq!(launch(many, [1, 1, 1], [800, 1, 1], 0), Ok(()));
    assert_eq!(launch(many, [1, 1, 1], [1024, 1, 1], 0), Err(OUT_OF_RESOURCES));
    // One of ours, by what the assembler took; its own .maxntid is taken out.
    let entry = ptx::entry("gemm_tf32_nn").unwrap();
    let text = ptx::SOURCES[entry.source]
        .text
        .replace(".maxntid 256, 1, 1", "")
        .replace(".maxntid 128, 1, 1", "");
    let ours = function(&text, "gemm_tf32_nn");
    assert_eq!(launch(ours, [1, 1, 1], [384, 1, 1], 0), Ok(()));
    assert_eq!(launch(ours, [1, 1, 1], [512, 1, 1], 0), Err(OUT_OF_RESOURCES));
}
