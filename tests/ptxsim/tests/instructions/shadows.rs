//! Races between threads, and the counts of traffic.

use tilelab_ptxsim::{Arg, Kind, Launch, Machine, Module, Options, Stats};

/// A kernel over 4096 bytes of written global memory; %r1 is the thread, %r2 the block, %x1 the array, `room` shared memory.
fn run(body: &str, blocks: u32, threads: u32) -> Result<Stats, Kind> {
    let text = format!(
        ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 data) {{
        .reg .pred %p, %q; .reg .b32 %r<12>; .reg .b64 %x<9>; .reg .b16 %h<4>; .shared .align 16 .b8 room[8192];
        ld.param.u64 %x1, [data];\nmov.u32 %r1, %tid.x;\nmov.u32 %r2, %ctaid.x;
        {body}\nret;\n}}"
    );
    let module = Module::parse(&text).unwrap();
    let mut stats = Stats::default();
    for seed in 0..4 {
        let mut machine = Machine::new(Options {
            seed,
            ..Options::default()
        });
        let data = machine.upload(&vec![7u32; 1024]);
        let args: [Arg; 1] = [data.into()];
        let launch = Launch::new([blocks, 1, 1], [threads, 1, 1]);
        stats = machine
            .launch(&module, "k", launch, &args)
            .map_err(|finding| finding.kind)?;
    }
    Ok(stats)
}

fn kind(body: &str, blocks: u32, threads: u32) -> Option<Kind> {
    run(body, blocks, threads).err()
}

#[test]
fn races_are_found_byte_by_byte() {
    let race = Some(Kind::Race);
    // Two lanes, two warps, two blocks.
    assert_eq!(kind("st.global.b32 [%x1], %r1;", 1, 2), race);
    assert_eq!(
        kind(
            "shr.u32 %r3, %r1, 5;\nand.b32 %r4, %r1, 31;\nsetp.eq.u32 %p, %r4, 0;\n@%p st.global.b32 [%x1], %r3;",
            1,
            64
        ),
        race
    );
    assert_eq!(kind("st.global.b32 [%x1], %r2;", 2, 1), race);
    // A read and a write, whichever comes first.
    assert_eq!(
        kind(
            "setp.eq.u32 %p, %r2, 0;\n@%p st.global.b32 [%x1], 1;\n@!%p ld.global.b32 %r3, [%x1];",
            2,
            1
        ),
        race
    );
    // Neighbouring bytes of one word are no race; the same byte is one.
    let bytes = "cvt.u64.u32 %x2, %r1;\nadd.s64 %x2, %x1, %x2;\ncvt.u16.u32 %h1, %r1;\n";
    assert_eq!(kind(&format!("{bytes}st.global.b8 [%x2], %h1;"), 1, 64), None);
    assert_eq!(
        kind(
            &format!("{bytes}st.global.b8 [%x2], %h1;\nst.global.b8 [%x2+1], %h1;"),
            1,
            64
        ),
        race
    );
    // Reads by all are none, nor are atomics.
    assert_eq!(kind("ld.global.b32 %r3, [%x1];", 3, 64), None);
    assert_eq!(kind("red.global.add.u32 [%x1], 1;", 3, 64), None);
    assert_eq!(
        kind("red.global.add.u32 [%x1], 1;\nld.global.b32 %r3, [%x1];", 2, 1),
        race
    );
}

#[test]
fn what_orders_accesses() {
    let write = "mul.wide.u32 %x2, %r1, 4;\nadd.s64 %x2, %x1, %x2;\nst.global.b32 [%x2], %r1;\n";
    let read = "xor.b32 %r3, %r1, {n};\nmul.wide.u32 %x3, %r3, 4;\nadd.s64 %x3, %x1, %x3;\nld.global.b32 %r4, [%x3];\n";
    let other = |n: u32| read.replace("{n}", &n.to_string());
    // A barrier of the block, or of the warp for its lanes alone; a shuffle orders nothing.
    assert_eq!(kind(&format!("{write}bar.sync 0;\n{}", other(64)), 1, 128), None);
    assert_eq!(kind(&format!("{write}bar.warp.sync -1;\n{}", other(1)), 1, 128), None);
    assert_eq!(
        kind(&format!("{write}bar.warp.sync -1;\n{}", other(64)), 1, 128),
        Some(Kind::Race)
    );
    assert_eq!(
        kind(
            &format!("{write}shfl.sync.idx.b32 %r5, %r1, 0, 31, -1;\n{}", other(1)),
            1,
            32
        ),
        Some(Kind::Race)
    );
    // A thread sees its own writes.
    assert_eq!(kind(&format!("{write}{}", other(0)), 1, 128), None);
}

#[test]
fn a_third_reader_and_an_earlier_atomic_are_remembered() {
    // Three warps read a word; the third meets the second alone, and writes.
    let three = "ld.shared.b32 %r3, [room];\nsetp.lt.u32 %p, %r1, 32;\n@%p bra $past;\nbar.sync 1, 64;\nsetp.ne.u32 %p, %r1, {writer};\n@%p bra $past;
        st.shared.b32 [room], 5;\n$past:";
    let fill = "setp.eq.u32 %q, %r1, 0;\n@%q st.shared.b32 [room], 7;\nbar.sync 0;\n";
    for writer in ["32", "64"] {
        let body = format!("{fill}{}", three.replace("{writer}", writer));
        assert_eq!(kind(&body, 1, 96), Some(Kind::Race), "writer {writer}");
        let all = body.replace("@%p bra $past;\nbar.sync 1, 64;", "bar.sync 0;");
        assert_eq!(kind(&all, 1, 96), None, "writer {writer}");
    }
    // Two warps add; the third is ordered behind the second alone, and reads.
    let add = "setp.lt.u32 %p, %r1, 64;\nand.b32 %r4, %r1, 31;\nsetp.eq.u32 %q, %r4, 0;\nand.pred %q, %p, %q;\n@%q atom.shared.add.u32 %r3, [room], 1;
        setp.lt.u32 %p, %r1, 32;\n@%p bra $past;\nbar.sync 1, 64;\nsetp.eq.u32 %q, %r1, 64;\n@%q ld.shared.b32 %r3, [room];\n$past:";
    assert_eq!(kind(&format!("{fill}{add}"), 1, 96), Some(Kind::Race));
}

#[test]
fn the_last_block_reads_what_all_have_published() {
    // Each block writes its part, fences, and counts itself; who counts last reads all parts.
    let count = "mul.wide.u32 %x2, %r2, 4;\nadd.s64 %x2, %x1, %x2;\nst.global.b32 [%x2], %r2;\n{fence}\natom.global.add.u32 %r3, [%x1+1024], 1;
        setp.ne.u32 %p, %r3, 10;\n@%p bra $past;\n{fence}\nld.global.b32 %r4, [%x1];\nld.global.b32 %r5, [%x1+4];\n$past:";
    // The array holds 7 everywhere: the last of four blocks sees 10.
    assert_eq!(kind(&count.replace("{fence}", "membar.gl;"), 4, 1), None);
    assert_eq!(kind(&count.replace("{fence}", ""), 4, 1), Some(Kind::Race));
    // What comes after the fence is not published.
    let late = count.replacen(
        "st.global.b32 [%x2], %r2;\n{fence}",
        "{fence}\nst.global.b32 [%x2], %r2;",
        1,
    );
    assert_eq!(kind(&late.replace("{fence}", "membar.gl;"), 4, 1), Some(Kind::Race));
    // What one warp learned another knows of behind a barrier.
    let two_warps = "mul.wide.u32 %x2, %r2, 4;\nadd.s64 %x2, %x1, %x2;\nsetp.ne.u32 %p, %r1, 0;\n@%p bra $wait;
        st.global.b32 [%x2], %r2;\nmembar.gl;\natom.global.add.u32 %r3, [%x1+1024], 1;\nst.shared.b32 [room], %r3;\n$wait:\nbar.sync 0;
        setp.ne.u32 %q, %r1, 32;\n@%q bra $past;\nld.shared.b32 %r3, [room];\nsetp.ne.u32 %p, %r3, 8;\n@%p bra $past;
        ld.global.b32 %r4, [%x1];\nld.global.b32 %r5, [%x1+4];\n$past:";
    assert_eq!(kind(two_warps, 2, 64), None);
}

fn stats(body: &str) -> Stats {
    run(body, 1, 32).unwrap()
}

#[test]
fn sectors_of_global_memory() {
    let load = |bytes: u32, stride: u32| {
        let load = match bytes {
            16 => "ld.global.v4.b32 {%r3, %r4, %r5, %r6}, [%x2];",
            _ => "ld.global.b32 %r3, [%x2];",
        };
        stats(&format!(
            "mul.wide.u32 %x2, %r1, {stride};\nadd.s64 %x2, %x1, %x2;\n{load}"
        ))
    };
    // (bytes, stride): sectors touched, the least that hold the bytes, whether it counts as uncoalesced.
    for (bytes, stride, sectors, least, uncoalesced) in [
        (4, 4, 4, 4, 0),
        (16, 16, 16, 16, 0),
        (4, 8, 8, 4, 1),
        (4, 32, 32, 4, 1),
        (4, 128, 32, 4, 1),
        (4, 0, 1, 1, 0),
    ] {
        let counted = load(bytes, stride);
        let got = (
            counted.global_sectors,
            counted.global_sectors_ideal,
            counted.uncoalesced,
        );
        assert_eq!(got, (sectors, least, uncoalesced), "{bytes} bytes, {stride} apart");
        assert_eq!((counted.global_loads, counted.global_bytes), (1, 32 * u64::from(bytes)));
    }
}

#[test]
fn banks_of_shared_memory() {
    let store = |bytes: u32, stride: u32, lanes: &str| {
        let store = match bytes {
            16 => "st.shared.v4.b32 [%r3], {%r1, %r1, %r1, %r1};",
            8 => "st.shared.v2.b32 [%r3], {%r1, %r1};",
            _ => "st.shared.b32 [%r3], %r1;",
        };
        stats(&format!(
            "{lanes}\nmov.u32 %r4, room;\nmad.lo.u32 %r3, %r1, {stride}, %r4;\n@%p {store}"
        ))
    };
    let all = "setp.ge.u32 %p, %r1, 0;";
    for (bytes, stride, passes, conflicts) in [
        (4, 4, 1, 0),
        (4, 8, 2, 1),
        (4, 128, 32, 1),
        (4, 132, 1, 0),
        (8, 8, 2, 0),
        (8, 16, 4, 1),
        (16, 16, 4, 0),
        (16, 32, 8, 1),
        (16, 144, 4, 0),
        (16, 128, 32, 1),
    ] {
        let counted = store(bytes, stride, all);
        assert_eq!(
            (counted.shared_passes, counted.bank_conflicts),
            (passes, conflicts),
            "{bytes} bytes, {stride} apart"
        );
    }
    // Every fourth lane of 16 bytes: two of them in each quarter of the warp, whose 4 passes remain.
    let some = "and.b32 %r5, %r1, 3;\nsetp.eq.u32 %p, %r5, 0;";
    assert_eq!(store(16, 16, some).shared_passes, 4);
    // One word for all is one pass.
    let word = stats(
        "mov.u32 %r4, room;\nsetp.eq.u32 %p, %r1, 0;\n@%p st.shared.b32 [%r4], 1;\nbar.warp.sync -1;\nld.shared.b32 %r3, [%r4];",
    );
    assert_eq!(
        (word.shared_requests, word.shared_passes, word.bank_conflicts),
        (2, 2, 0)
    );
}
