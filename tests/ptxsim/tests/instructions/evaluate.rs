//! Runs a line of PTX over rows of operands, one thread a row.

use tilelab_ptxsim::{Arg, Finding, Launch, Machine, Module, Options};

/// The kernel `k(in, out)` whose thread i has row i of `in` in %a, %b, %c (of so many bits) and leaves %d in `out`; a result of 1 bit is
/// the predicate %p. Further registers are there for the body: %q (predicate), %r<9>, %h<9>, %x<9> of 32, 16 and 64 bits, 64 bytes `room`.
pub fn kernel(body: &str, d_bits: u32, bits: &[u32]) -> Module {
    let names = ["%a", "%b", "%c"];
    let mut text = String::from(
        ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 in, .param .u64 out) {
        .reg .pred %p, %q; .reg .b16 %h<9>; .reg .b32 %r<9>, %t; .reg .b64 %x<9>, %in, %out, %w;
        .shared .align 16 .b8 room[1024];
        ld.param.u64 %in, [in];\nld.param.u64 %out, [out];
        mov.u32 %t, %ctaid.x;\nmov.u32 %r1, %ntid.x;\nmov.u32 %r2, %tid.x;\nmad.lo.u32 %t, %t, %r1, %r2;\n",
    );
    text += &format!("mul.wide.u32 %w, %t, {};\nadd.s64 %in, %in, %w;\n", 8 * bits.len());
    text += "mul.wide.u32 %w, %t, 8;\nadd.s64 %out, %out, %w;\n";
    for (i, (&bits, name)) in bits.iter().zip(names).enumerate() {
        text += &format!(".reg .b{bits} {name};\nld.global.b{bits} {name}, [%in+{}];\n", 8 * i);
    }
    match d_bits {
        1 => text += &format!("{body}\nselp.b64 %w, 1, 0, %p;\n"),
        64 => text += &format!(".reg .b64 %d;\n{body}\nmov.b64 %w, %d;\n"),
        _ => text += &format!(".reg .b{d_bits} %d;\n{body}\ncvt.u64.u{d_bits} %w, %d;\n"),
    }
    text += "st.global.b64 [%out], %w;\nret;\n}";
    Module::parse(&text).unwrap_or_else(|error| panic!("{body}: {error}"))
}

/// Results of a body for each row of operands, in blocks of up to 32 threads.
pub fn try_evaluate<const N: usize>(module: &Module, rows: &[[u64; N]], options: Options) -> Result<Vec<u64>, Finding> {
    let mut machine = Machine::new(options);
    let operands = machine.upload(&rows.concat());
    let out = machine.alloc(rows.len() as u64 * 8);
    let args: [Arg; 2] = [operands.into(), out.into()];
    let threads = (1..=32)
        .rev()
        .find(|threads| rows.len().is_multiple_of(*threads))
        .unwrap();
    let launch = Launch::new([(rows.len() / threads) as u32, 1, 1], [threads as u32, 1, 1]);
    machine.launch(module, "k", launch, &args)?;
    machine.download(out, rows.len())
}

/// The same; a finding fails the test.
pub fn evaluate<const N: usize>(body: &str, d_bits: u32, bits: [u32; N], rows: &[[u64; N]]) -> Vec<u64> {
    let done = try_evaluate(&kernel(body, d_bits, &bits), rows, Options::default());
    done.unwrap_or_else(|finding| panic!("{body}: {finding}"))
}

/// Holds a body against a table of operands and results.
#[track_caller]
pub fn check<const N: usize>(body: &str, d_bits: u32, bits: [u32; N], table: &[([u64; N], u64)]) {
    let rows: Vec<[u64; N]> = table.iter().map(|row| row.0).collect();
    for (got, (operands, wanted)) in evaluate(body, d_bits, bits, &rows).into_iter().zip(table) {
        assert_eq!(got, *wanted, "{body} of {operands:#x?} is {got:#x}, {wanted:#x} wanted");
    }
}

/// Bits of an f32.
pub fn f(x: f32) -> u64 {
    u64::from(x.to_bits())
}

/// Bits of an i32.
pub fn i(x: i32) -> u64 {
    u64::from(x as u32)
}

/// The NaN that arithmetic gives.
pub const NAN: u64 = 0x7fff_ffff;
