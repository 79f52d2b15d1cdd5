//! What a card refuses of a launch, by the tables of the CUDA programming guide ("Technical specifications per compute capability").

use tilelab_ptxsim::{Kernel, Launch, Module};

use crate::card::{Code, INVALID_VALUE, OUT_OF_RESOURCES, setting};

/// Shared memory that a block may have without asking.
pub(crate) const SHARED_BYTES: usize = 48 << 10;
/// Registers of a multiprocessor, and the most that one block may have.
pub(crate) const REGISTERS: u32 = 1 << 16;

/// 10 * major + minor of the card.
pub(crate) fn capability() -> usize {
    setting("FAKECUDA_CAPABILITY", 86)
}

/// Shared memory that a block may have when its function asks for it.
pub(crate) fn shared_bytes_opt_in() -> usize {
    let kib = match capability() {
        75 => 64,
        80 | 87 => 163,
        86 | 89 | 120 => 99,
        90 | 100.. => 227,
        _ => 48,
    };
    kib << 10
}

/// Registers of a thread: what the assembler took (`kernels/ptx/budgets.json`) where it is a kernel of ours, else the estimate from the
/// live ranges of its PTX.
fn registers(kernel: &Kernel) -> u32 {
    const BUDGETS: &str = include_str!("../../../kernels/ptx/budgets.json");
    let line = BUDGETS
        .lines()
        .find_map(|line| line.trim().strip_prefix(&format!("\"{}\": [", kernel.name)));
    let budget = line.and_then(|rest| rest.split(',').next()?.parse().ok());
    budget.unwrap_or(kernel.live_registers)
}

/// The registers that a block takes: 256 at a time for each warp.
fn block_registers(kernel: &Kernel, threads: u32) -> u32 {
    threads.div_ceil(32) * (registers(kernel) * 32).next_multiple_of(256)
}

/// The module, if none of its kernels declares more shared memory than a block may have without asking.
pub(crate) fn within_static_shared(module: Module) -> Result<Module, String> {
    match module.kernels.iter().find(|kernel| kernel.shared_bytes > SHARED_BYTES) {
        None => Ok(module),
        Some(kernel) => {
            let (name, bytes) = (&kernel.name, kernel.shared_bytes);
            Err(format!(
                "{name} uses too much shared data ({bytes:#x} bytes, {SHARED_BYTES:#x} max)"
            ))
        }
    }
}

/// The error for a launch that no card takes, and why. `opt_in`: dynamic shared memory that the function has asked for.
pub(crate) fn refusal(kernel: &Kernel, launch: &Launch, opt_in: usize) -> Option<(Code, String)> {
    let [x, y, z] = launch.grid;
    if launch.grid.contains(&0) || x > i32::MAX as u32 || y.max(z) > 65_535 {
        let detail = format!("a grid of {x} x {y} x {z} blocks: 1 to 2147483647 along x, 65535 along y and z");
        return Some((INVALID_VALUE, detail));
    }
    let [x, y, z] = launch.block;
    let threads = [x, y, z].iter().map(|&part| u64::from(part)).product::<u64>();
    if threads == 0 || threads > 1024 || z > 64 {
        let detail = format!("a block of {x} x {y} x {z} threads: 1 to 1024, at most 64 along z");
        return Some((INVALID_VALUE, detail));
    }
    if kernel.max_threads != 0 && threads > u64::from(kernel.max_threads) {
        let detail = format!("{threads} threads, its .maxntid allows {}", kernel.max_threads);
        return Some((INVALID_VALUE, detail));
    }
    let (fixed, dynamic) = (kernel.shared_bytes, launch.shared_bytes as usize);
    if dynamic > opt_in.max(SHARED_BYTES.saturating_sub(fixed)) {
        let detail =
            format!("{fixed} + {dynamic} bytes of shared memory: beyond {SHARED_BYTES} the function must ask for them");
        return Some((INVALID_VALUE, detail));
    }
    let registers = block_registers(kernel, threads as u32);
    (registers > REGISTERS).then(|| {
        let detail = format!("{registers} registers for {threads} threads, a block may have {REGISTERS}");
        (OUT_OF_RESOURCES, detail)
    })
}
