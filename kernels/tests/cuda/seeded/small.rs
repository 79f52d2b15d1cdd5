//! Bugs that ours have no place for, in kernels of a few lines.

use tilelab_ptxsim::{Arg, Finding, Kind, Launch, Machine, Module, Options};

/// A kernel of a few lines over one array; `threads` in one block.
fn own(body: &str, threads: u32, floats: usize) -> Result<(), Finding> {
    let text = format!(
        ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry own(.param .u64 data) {{
        .reg .pred %p<4>; .reg .b64 %rd<8>; .reg .b32 %r<12>; .reg .f32 %f<8>;
        .shared .align 4 .b8 room[256];
        ld.param.u64 %rd1, [data];\nmov.u32 %r1, %tid.x;\nmul.wide.u32 %rd2, %r1, 4;\nadd.s64 %rd3, %rd1, %rd2;
        {body}\nret;\n}}"
    );
    let module = Module::parse(&text).unwrap();
    for seed in 0..4 {
        let options = Options {
            seed,
            ..Options::default()
        };
        let mut machine = Machine::new(options);
        let data = machine.upload(&vec![1.25f32; floats]);
        let args: [Arg; 1] = [data.into()];
        machine.launch(&module, "own", Launch::new([1, 1, 1], [threads, 1, 1]), &args)?;
    }
    Ok(())
}

fn kind(body: &str, threads: u32, floats: usize) -> Option<Kind> {
    own(body, threads, floats).err().map(|finding| finding.kind)
}

#[test]
fn bugs_that_ours_have_no_place_for() {
    let sum = "ld.global.f32 %f1, [%rd1];\nadd.f32 %f1, %f1, 0f3F800000;\nst.global.f32 [%rd1], %f1;";
    assert_eq!(kind(sum, 64, 4), Some(Kind::Race), "a sum without atomics");
    assert_eq!(
        kind("red.global.add.f32 [%rd1], 0f3F800000;", 64, 4),
        None,
        "the same with them"
    );
    assert_eq!(
        kind("mov.f32 %f1, 0f00000000;\nst.global.f32 [%rd3], %f1;", 65, 64),
        Some(Kind::OutOfBounds),
        "a store past the end"
    );
    let divergent = "setp.lt.u32 %p1, %r1, 16;\n@%p1 bra $past;\nbar.sync 0;\n$past:";
    assert_eq!(
        kind(divergent, 64, 4),
        Some(Kind::DivergentBarrier),
        "divergence before a barrier"
    );
    assert_eq!(
        kind("ld.global.v4.f32 {%f1, %f2, %f3, %f4}, [%rd1+4];", 1, 8),
        Some(Kind::Misaligned),
        "an unaligned vector"
    );
    let unwritten = "mov.u32 %r2, room;\nld.shared.f32 %f1, [%r2];\nst.global.f32 [%rd3], %f1;";
    assert_eq!(
        kind(unwritten, 1, 4),
        Some(Kind::Unwritten),
        "a read of memory nobody wrote"
    );
    let overflow = "mul.lo.u32 %r2, %r1, 2000000000;\nmul.wide.u32 %rd4, %r2, 4;\nadd.s64 %rd4, %rd1, %rd4;\nld.global.f32 %f1, [%rd4];";
    assert_eq!(
        kind(overflow, 4, 4),
        Some(Kind::OutOfBounds),
        "an index that overflows 32 bits"
    );
    let exchange = "mov.u32 %r2, room;\nshl.b32 %r3, %r1, 2;\nadd.u32 %r4, %r2, %r3;\nst.shared.u32 [%r4], %r1;\n{sync}\nxor.b32 %r5, %r3, 4;\nadd.u32 %r5, %r2, %r5;\nld.shared.u32 %r6, [%r5];\nst.global.u32 [%rd3], %r6;";
    let with = |sync: &str| exchange.replace("{sync}", sync);
    assert!(
        matches!(kind(&with(""), 32, 32), Some(Kind::Race | Kind::Unwritten)),
        "a missing __syncwarp"
    );
    assert_eq!(kind(&with("bar.warp.sync -1;"), 32, 32), None, "the same with it");
    let inactive = "setp.ge.u32 %p1, %r1, 16;\n@%p1 bra $past;\nshfl.sync.down.b32 %r2, %r1, 16, 31, -1;\n$past:";
    assert_eq!(
        kind(inactive, 32, 4),
        Some(Kind::InactiveLane),
        "a shuffle from an inactive lane"
    );
}

#[test]
fn a_tf32_operand_that_was_never_rounded() {
    let raw = ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry raw(.param .u64 data) {
        .reg .b64 %rd<3>; .reg .b32 %r<8>; .reg .f32 %f<8>;
        ld.param.u64 %rd1, [data];\nld.global.u32 %r1, [%rd1];\nmov.f32 %f1, 0f00000000;
        mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%f2, %f3, %f4, %f5}, {%r1, %r1, %r1, %r1}, {%r1, %r1}, {%f1, %f1, %f1, %f1};
        ret;\n}";
    let module = Module::parse(raw).unwrap();
    let run = |x: f32| {
        let mut machine = Machine::new(Options::default());
        let data = machine.upload(&[x]);
        machine.launch(&module, "raw", Launch::new([1, 1, 1], [32, 1, 1]), &[data.into()])
    };
    assert_eq!(run(0.1).unwrap_err().kind, Kind::NotTf32);
    assert!(run(0.5).is_ok());
}
