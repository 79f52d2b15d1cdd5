//! The estimate of a kernel's registers from its live ranges.

use tilelab_ptxsim::Module;

fn registers(body: &str) -> u32 {
    let text = format!(
        ".version 8.0\n.target sm_75\n.address_size 64\n.visible .entry k(.param .u64 out) {{
        .reg .pred %p; .reg .b32 %r<9>; .reg .b64 %x<4>;\nld.param.u64 %x1, [out];\n{body}\nret;\n}}"
    );
    Module::parse(&text).unwrap().kernels[0].live_registers
}

#[test]
fn what_is_live_at_once_counts() {
    // The address has two registers and lives to the end.
    let store = "st.global.u32 [%x1], %r1;";
    assert_eq!(registers(&format!("mov.u32 %r1, 1;\n{store}")), 3);
    assert_eq!(
        registers(&format!(
            "mov.u32 %r1, 1;\nmov.u32 %r2, 2;\nadd.u32 %r1, %r1, %r2;\n{store}"
        )),
        4
    );
    // One after the other they share a register; a value that nobody reads needs none.
    assert_eq!(
        registers(&format!(
            "mov.u32 %r1, 1;\n{store}\nmov.u32 %r1, 2;\n{store}\nmov.u32 %r5, 5;"
        )),
        3
    );
    // A predicate has a file of its own; a write under a guard keeps the old value alive.
    assert_eq!(
        registers(&format!(
            "mov.u32 %r1, 1;\nsetp.eq.u32 %p, 1, 2;\n@%p mov.u32 %r1, 2;\n{store}"
        )),
        3
    );
    assert_eq!(
        registers(&format!(
            "mov.u32 %r1, 1;\nmov.u32 %r2, 3;\n@%p mov.u32 %r1, %r2;\n{store}"
        )),
        4
    );
}

#[test]
fn a_loop_keeps_what_its_next_round_reads() {
    let body = "mov.u32 %r1, 0;\nmov.u32 %r2, 7;\n$again:\nadd.u32 %r3, %r1, %r2;\nadd.u32 %r1, %r3, 1;
        setp.lt.u32 %p, %r1, 99;\n@%p bra $again;\nst.global.u32 [%x1], %r1;";
    // %r2 is read again in the next round: with %r1 or %r3 and the address, four.
    assert_eq!(registers(body), 4);
}
