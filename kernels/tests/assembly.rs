//! (i) The hot loop of every AVX2 and AVX-512 micro-kernel, read from the assembly of a release build made here: MR x NV
//! FMAs a step, no stack traffic, no call.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "assembly/listing.rs"]
mod listing;

use std::path::Path;
use std::process::Command;

use listing::{Function, functions};
use tilelab_kernels::gemm::MicroKernel;
use tilelab_kernels::{Float, Isa};

/// The forms of a micro-kernel in the order of their numbers, and the steps of k in one turn of the hot loop.
const FORMS: [(&str, usize); 3] = [("packed", 4), ("unit", 4), ("strided", 1)];

/// Assembly of all micro-kernels: what the release profile makes of the library, with names that can be read, and
/// without link-time optimization, which would leave the last passes to the linker.
fn assembly() -> String {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("assembly");
    let output = Command::new(env!("CARGO"))
        .args([
            "rustc",
            "--release",
            "--config=profile.release.lto='off'",
            "--lib",
            "--offline",
            "--quiet",
            "--manifest-path",
        ])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&dir)
        .args([
            "--",
            "--emit=asm",
            "-Csymbol-mangling-version=v0",
            "-Cllvm-args=-x86-asm-syntax=intel",
        ])
        // What the caller builds tests with (a sanitizer, say) is not what users run.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listings = std::fs::read_dir(dir.join("release/deps"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let newest = listings
        .filter(|path| path.extension().is_some_and(|extension| extension == "s"))
        .max_by_key(|path| path.metadata().unwrap().modified().unwrap());
    std::fs::read_to_string(newest.expect("rustc wrote an assembly listing")).unwrap()
}

/// ISA, element type, MR, NV and form of a micro-kernel.
type Key = (String, String, usize, usize, usize);

/// The key in a mangled name: `..5table4avx2fKj6_Kj2_Kh1_E..` is `table::avx2::<f32, 6, 2, 1>`. A constant that
/// stood in the name before is written `KB`, its place in base 62, `_` (RFC 2603).
fn key(name: &str) -> Option<Key> {
    let symbol = name.strip_prefix("_R")?;
    let start = symbol.find("4gemm5table")? + "4gemm5table".len();
    let rest = symbol[start..].trim_start_matches(|c: char| c.is_ascii_digit());
    let isa = ["avx2", "avx512"]
        .into_iter()
        .find(|isa| rest.starts_with(&format!("{isa}f")) || rest.starts_with(&format!("{isa}d")))?;
    let (element, mut rest) = rest[isa.len()..].split_at(1);
    let mut constants = [0; 3];
    for constant in &mut constants {
        let (value, after) = rest.strip_prefix('K')?.split_once('_')?;
        let literal = match value.strip_prefix('B') {
            Some(place) => symbol.get(base_62(place)?..)?.split_once('_')?.0,
            None => value,
        };
        *constant = usize::from_str_radix(&literal[1..], 16).ok()?;
        rest = after;
    }
    let element = if element == "f" { "f32" } else { "f64" };
    Some((
        isa.to_owned(),
        element.to_owned(),
        constants[0],
        constants[1],
        constants[2],
    ))
}

/// `_` alone is 0, `0_` is 1, and so on.
fn base_62(digits: &str) -> Option<usize> {
    if digits.is_empty() {
        return Some(0);
    }
    let digit = |c: char| match c {
        'a'..='z' => Some(c as usize - 'a' as usize + 10),
        'A'..='Z' => Some(c as usize - 'A' as usize + 36),
        _ => c.to_digit(10).map(|d| d as usize),
    };
    digits
        .chars()
        .try_fold(0, |sum, c| Some(sum * 62 + digit(c)?))
        .map(|n: usize| n + 1)
}

/// What is wrong with the loops of a kernel with `tile` = MR * NV accumulators and `steps` steps in a turn of its hot
/// loop, which may be there more than once (with a prefetch and without). What is left of k, and the last rows of a B that is read
/// where it lies, go by whole steps, fewer in a turn.
fn complaints(function: &Function, tile: usize, steps: usize) -> Vec<String> {
    let (mut complaints, mut hot) = (Vec::new(), 0);
    for body in function.loops() {
        if body.fmas() == 0 || body.writes_results() {
            continue;
        }
        if body.fmas() == steps * tile {
            hot += 1;
        } else if !body.fmas().is_multiple_of(tile) || body.fmas() > steps * tile {
            complaints.push(format!(
                "a loop of {} FMAs, not whole steps of {tile}, {steps} at most",
                body.fmas()
            ));
        }
        complaints.extend(body.offences());
    }
    if hot == 0 {
        complaints.push(format!("no loop of {steps} x {tile} FMAs"));
    }
    complaints
}

fn check<T: Float>(found: &[(Key, Function)], kernel: &MicroKernel<T>, bad: &mut Vec<String>) {
    for (form, (name, steps)) in FORMS.into_iter().enumerate() {
        let (isa, element) = (kernel.isa.id().to_owned(), T::NAME.to_owned());
        let key = (isa, element, kernel.mr, kernel.nv, form);
        let id = format!("{} ({name})", kernel.id());
        match found.iter().find(|(found, _)| *found == key) {
            Some((_, function)) => {
                let complaints = complaints(function, kernel.mr * kernel.nv, steps);
                if !complaints.is_empty() {
                    bad.push(format!("{id}: {}", complaints.join("; ")));
                }
            }
            None => bad.push(format!("{id}: not in the assembly")),
        }
    }
}

#[test]
fn hot_loops_hold_their_fmas_and_neither_stack_traffic_nor_calls() {
    if !cfg!(target_arch = "x86_64") {
        println!("skipped: needs x86-64");
        return;
    }
    let assembly = assembly();
    let found: Vec<_> = functions(&assembly, |name| key(name).is_some())
        .into_iter()
        .filter_map(|(name, function)| Some((key(name)?, function)))
        .collect();
    let (mut bad, mut kernels) = (Vec::new(), 0);
    for isa in [Isa::Avx2, Isa::Avx512] {
        for kernel in f32::KERNELS.iter().filter(|kernel| kernel.isa == isa) {
            check(&found, kernel, &mut bad);
            kernels += 1;
        }
        for kernel in f64::KERNELS.iter().filter(|kernel| kernel.isa == isa) {
            check(&found, kernel, &mut bad);
            kernels += 1;
        }
    }
    assert!(kernels >= 80, "the tables are empty");
    assert!(
        bad.is_empty(),
        "{} micro-kernels break the promise:\n{}",
        bad.len(),
        bad.join("\n")
    );
}

/// A loop over k of one step of a 1 x 2 tile, with a line of the case's own, four times over; then an epilogue's loop.
fn snippet(extra: &str, steps: usize) -> Function {
    let step = "vbroadcastss ymm2, dword ptr [rdi]\nvfmadd231ps ymm0, ymm2, ymmword ptr [rsi]\n\
                vfmadd231ps ymm1, ymm2, ymmword ptr [rsi + 32]\n";
    let text = format!(
        "push rbp\nmov rbp, qword ptr [rsp + 8]\n.LBB0_1:\n{}{extra}\nadd rsi, r10\ndec rax\njne .LBB0_1\n\
         .LBB0_2:\nvfmadd213ps ymm0, ymm3, ymm4\nvmovups ymmword ptr [rcx], ymm0\ndec rdx\njne .LBB0_2\npop rbp\nret",
        step.repeat(steps)
    );
    Function::parse(text.lines())
}

#[test]
fn the_reader_sees_spills_calls_and_missing_fmas() {
    assert_eq!(complaints(&snippet("", 4), 2, 4), [""; 0]);
    // rbp as a general register is no stack traffic; an address computed from rsp touches no memory.
    assert_eq!(
        complaints(&snippet("mov r8, qword ptr [rbp + 8]\nlea r9, [rip + 8]", 4), 2, 4),
        [""; 0]
    );
    for (extra, complaint) in [
        (
            "vmovups ymmword ptr [rsp + 64], ymm1",
            "stack traffic: vmovups ymmword ptr [rsp + 64], ymm1",
        ),
        (
            "vmovaps ymm7, ymmword ptr [rsp - 40]",
            "stack traffic: vmovaps ymm7, ymmword ptr [rsp - 40]",
        ),
        (
            "cmovb r11, qword ptr [rsp - 72]",
            "stack traffic: cmovb r11, qword ptr [rsp - 72]",
        ),
        ("push rax", "stack traffic: push rax"),
        ("call fma", "a call: call fma"),
        (
            "call qword ptr [rip + fmaf@GOTPCREL]",
            "a call: call qword ptr [rip + fmaf@GOTPCREL]",
        ),
    ] {
        assert_eq!(complaints(&snippet(extra, 4), 2, 4), [complaint]);
    }
    let framed = snippet("mov rbp, rsp\nvmovups ymm7, ymmword ptr [rbp - 32]", 4);
    assert_eq!(
        complaints(&framed, 2, 4),
        ["stack traffic: vmovups ymm7, ymmword ptr [rbp - 32]"]
    );
    assert_eq!(complaints(&snippet("", 3), 2, 4), ["no loop of 4 x 2 FMAs"]);
    assert_eq!(
        complaints(&snippet("", 5), 2, 4),
        [
            "a loop of 10 FMAs, not whole steps of 2, 4 at most",
            "no loop of 4 x 2 FMAs"
        ]
    );
    // Sums that go to memory in every step.
    assert_eq!(
        complaints(&snippet("vmovups ymmword ptr [r9], ymm1", 4), 2, 4),
        ["no loop of 4 x 2 FMAs"]
    );
}

#[test]
fn the_reader_understands_mangled_names_and_blocks_out_of_line() {
    let name = "_RINvNtNtCsdcdT1Kgo7J1_15tilelab_kernels4gemm5table6avx512fKje_Kj2_Kh2_ECs1c_4host";
    assert_eq!(key(name), Some(("avx512".into(), "f32".into(), 14, 2, 2)));
    let name = "_RINvNtNtCsdcdT1Kgo7J1_15tilelab_kernels4gemm5table4avx2dKj2_KBT_Kh0_ECs1c3GSxYNXFe_4host";
    assert_eq!(key(name), Some(("avx2".into(), "f64".into(), 2, 2, 0)));
    assert_eq!(key("_RNvCsdcdT1Kgo7J1_15tilelab_kernels4gemm"), None);
    // The loop's spill stands behind the function's return.
    let text = ".LBB0_1:\nvfmadd231ps ymm0, ymm1, ymm2\njb .LBB0_3\n.LBB0_2:\ndec rax\njne .LBB0_1\nret\n\
                .LBB0_3:\nvmovups ymmword ptr [rsp], ymm0\njmp .LBB0_2";
    let function = Function::parse(text.lines());
    let loops = function.loops();
    assert_eq!((loops.len(), loops[0].fmas(), loops[0].offences().len()), (1, 1, 1));
}
