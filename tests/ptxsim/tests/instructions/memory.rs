//! Loads, stores, atomics, asynchronous copies, ldmatrix: what they move, and what they may not touch.

use tilelab_ptxsim::{Kind, Options};

use crate::evaluate::{check, evaluate, f, i, kernel, try_evaluate};

/// The finding that a body ends with for one thread whose %a is 0 and whose %in lies in an array of 8 bytes.
fn kind(body: &str) -> Option<Kind> {
    let done = try_evaluate(
        &kernel(&format!("mov.u32 %d, 0;\n{body}"), 32, &[32]),
        &[[0]],
        Options::default(),
    );
    done.err().map(|finding| finding.kind)
}

#[test]
fn narrow_loads_extend_by_their_sign() {
    let x = [[0xf1e2_83c4]];
    for (ty, at, wanted) in [
        ("u8", 1, 0x83),
        ("s8", 1, i(-125)),
        ("u16", 2, 0xf1e2),
        ("s16", 2, i(-3614)),
        ("b8", 0, 0xc4),
    ] {
        assert_eq!(
            evaluate(&format!("ld.global.{ty} %d, [%in+{at}];"), 32, [64], &x),
            [wanted],
            "{ty}"
        );
    }
    assert_eq!(
        evaluate("ld.global.s32 %d, [%in];", 64, [64], &[[0xffff_fffe]]),
        [u64::MAX - 1]
    );
    // A store takes the low bits.
    let body = "mov.u32 %r3, room;\nst.shared.b32 [%r3], %a;\nst.shared.b8 [%r3+1], %b;\nld.shared.b32 %d, [%r3];";
    check(body, 32, [32, 32], &[([0x1111_1111, 0xffff_ff22], 0x1111_2211)]);
}

#[test]
fn vectors() {
    let body = "mov.u32 %r3, room;\nshl.b32 %r4, %t, 4;\nadd.u32 %r3, %r3, %r4;
        st.shared.v4.b32 [%r3], {%a, %b, %c, 9};\nld.shared.v2.b32 {%r5, %r6}, [%r3+8];\nld.shared.v4.b32 {_, %r7, _, _}, [%r3];
        mad.lo.u32 %d, %r5, 100, %r6;\nmad.lo.u32 %d, %r7, 10000, %d;";
    check(body, 32, [32, 32, 32], &[([1, 2, 3], 20_309), ([4, 5, 6], 50_609)]);
    check(
        "ld.global.v2.b64 {%x1, %x2}, [%in];\nsub.s64 %d, %x2, %x1;",
        64,
        [64, 64],
        &[([10, 30], 20)],
    );
    check(
        "ld.global.v4.u16 {%h1, %h2, %h3, %h4}, [%in];\ncvt.u32.u16 %d, %h3;",
        32,
        [64],
        &[([0x4444_3333_2222_1111], 0x3333)],
    );
    check(
        "mov.b64 {%r3, %r4}, %a;\nmov.b64 %d, {%r4, %r3};",
        64,
        [64],
        &[([0x1111_1111_2222_2222], 0x2222_2222_1111_1111)],
    );
    check(
        "mov.b32 {%h1, %h2}, %a;\nmov.b32 %d, {%h2, %h1};",
        32,
        [32],
        &[([0x1111_2222], 0x2222_1111)],
    );
}

#[test]
fn generic_addresses_find_their_memory() {
    let body = "mov.u64 %x1, room;\ncvta.shared.u64 %x2, %x1;\nst.b32 [%x2+4], %a;\nld.shared.b32 %d, [%x1+4];";
    check(body, 32, [32], &[([77], 77)]);
    check("ld.b32 %d, [%in];", 32, [32], &[([78], 78)]);
    let local = ".local .align 4 .b8 own[64];\nmov.u64 %x1, own;\nst.local.b32 [%x1+8], %a;\nld.local.b32 %d, [%x1+8];";
    let rows: Vec<[u64; 1]> = (0..32).map(|lane| [lane]).collect();
    assert_eq!(evaluate(local, 32, [32], &rows), (0..32).collect::<Vec<_>>());
}

/// Memory holds `old`; the atomic's result and what it leaves there.
fn atomic(op: &str, bits: u32, old: u64, b: u64, new: u64) {
    let body = |result: &str| {
        format!("mov.u32 %r3, room;\nst.shared.b{bits} [%r3], %a;\natom.shared.{op} %d, [%r3], %b;\n{result}")
    };
    check(&body(""), bits, [bits, bits], &[([old, b], old)]);
    check(
        &body(&format!("ld.shared.b{bits} %d, [%r3];")),
        bits,
        [bits, bits],
        &[([old, b], new)],
    );
}

#[test]
fn atomics() {
    atomic("add.u32", 32, 0xffff_ffff, 2, 1);
    atomic("add.u64", 64, u64::MAX, 2, 1);
    atomic("add.f32", 32, f(1.5), f(2.0), f(3.5));
    atomic("add.f64", 64, 1.5f64.to_bits(), 2f64.to_bits(), 3.5f64.to_bits());
    atomic("min.s32", 32, 3, i(-4), i(-4));
    atomic("min.u32", 32, 3, i(-4), 3);
    atomic("max.s32", 32, 3, i(-4), 3);
    atomic("max.u64", 64, 3, u64::MAX, u64::MAX);
    atomic("and.b32", 32, 0xff00, 0x0ff0, 0x0f00);
    atomic("or.b32", 32, 0xff00, 0x0ff0, 0xfff0);
    atomic("xor.b64", 64, 0xff00, 0x0ff0, 0xf0f0);
    atomic("exch.b32", 32, 5, 6, 6);
    // Up to the bound, then 0; down from the bound, which is also where too much goes.
    atomic("inc.u32", 32, 5, 6, 6);
    atomic("inc.u32", 32, 6, 6, 0);
    atomic("dec.u32", 32, 0, 6, 6);
    atomic("dec.u32", 32, 9, 6, 6);
    atomic("dec.u32", 32, 3, 6, 2);
    let cas = "mov.u32 %r3, room;\nst.shared.b32 [%r3], %a;\natom.shared.cas.b32 %r4, [%r3], %b, %c;\nld.shared.b32 %d, [%r3];";
    check(cas, 32, [32, 32, 32], &[([5, 5, 9], 9)]);
    check(cas, 32, [32, 32, 32], &[([5, 4, 9], 5)]);
    // All lanes at once, each once.
    let sum = "mov.u32 %r3, room;\nsetp.eq.u32 %p, %t, 0;\n@%p st.shared.u32 [%r3], 0;\nbar.warp.sync -1;
        red.shared.add.u32 [%r3], %a;\nbar.warp.sync -1;\nld.shared.u32 %d, [%r3];";
    let rows: Vec<[u64; 1]> = (0..32).map(|lane| [lane]).collect();
    assert_eq!(evaluate(sum, 32, [32], &rows), [496; 32]);
}

#[test]
fn asynchronous_copies() {
    let copy = |size: &str, waits: &str| {
        format!(
            "mov.u32 %r3, room;\ncp.async.ca.shared.global [%r3], [%in], 8{size};\n{waits}\nld.shared.b64 %d, [%r3];"
        )
    };
    let wait = "cp.async.commit_group;\ncp.async.wait_group 0;";
    let x = 0x8877_6655_4433_2211;
    check(&copy("", wait), 64, [64], &[([x], x)]);
    check(&copy("", "cp.async.wait_all;"), 64, [64], &[([x], x)]);
    // What is not read is zero.
    check(&copy(", 3", wait), 64, [64], &[([x], 0x33_2211)]);
    check(&copy(", 0", wait), 64, [64], &[([x], 0)]);
    let fails = |body: &str| {
        try_evaluate(&kernel(body, 64, &[64]), &[[x]], Options::default())
            .unwrap_err()
            .kind
    };
    assert_eq!(fails(&copy("", "")), Kind::CopyInFlight);
    // wait_group knows only what was committed.
    assert_eq!(fails(&copy("", "cp.async.wait_group 0;")), Kind::CopyInFlight);
    assert_eq!(fails(&copy("", "cp.async.commit_group;")), Kind::CopyInFlight);
    assert_eq!(
        fails(&copy("", "cp.async.commit_group;\ncp.async.wait_group 1;")),
        Kind::CopyInFlight
    );
    // Of two groups the first is there, the second is not.
    let second = "cp.async.commit_group;\ncp.async.ca.shared.global [%r3+8], [%in], 8;\ncp.async.commit_group;\ncp.async.wait_group 1;";
    check(&copy("", second), 64, [64], &[([x], x)]);
    assert_eq!(
        fails(&copy("", second).replace("%d, [%r3]", "%d, [%r3+8]")),
        Kind::CopyInFlight
    );
    // Its source may not change under way.
    assert_eq!(
        fails(&copy("", &format!("st.global.b64 [%in], 5;\n{wait}"))),
        Kind::CopyInFlight
    );
    assert_eq!(fails(&copy("", wait).replace("[%in]", "[%in+4]")), Kind::Misaligned);
    assert_eq!(fails(&copy("", wait).replace("[%in]", "[%in+8]")), Kind::OutOfBounds);
}

#[test]
fn matrices_of_16_bits() {
    // Row r, column c of the matrix holds 8 r + c; lane l gets elements 2 (l % 4) and the next of row l / 4, or transposed.
    let rows: Vec<[u64; 1]> = (0..32).map(|lane| [lane]).collect();
    let fill = "mov.u32 %r3, room;\nshl.b32 %r4, %a, 2;\nadd.u32 %r4, %r3, %r4;\nshl.b32 %r5, %a, 1;\nadd.u32 %r6, %r5, 1;\nshl.b32 %r6, %r6, 16;
        or.b32 %r5, %r5, %r6;\nst.shared.b32 [%r4], %r5;\nbar.warp.sync -1;\nand.b32 %r5, %a, 7;\nshl.b32 %r5, %r5, 4;\nadd.u32 %r5, %r3, %r5;\n";
    let plain = evaluate(
        &format!("{fill}ldmatrix.sync.aligned.m8n8.x1.shared.b16 {{%d}}, [%r5];"),
        32,
        [32],
        &rows,
    );
    let generic = format!(
        "{fill}cvt.u64.u32 %x1, %r5;\ncvta.shared.u64 %x1, %x1;\nldmatrix.sync.aligned.m8n8.x1.b16 {{%d}}, [%x1];"
    );
    assert_eq!(evaluate(&generic, 32, [32], &rows), plain);
    let turned = evaluate(
        &format!("{fill}ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {{%d}}, [%r5];"),
        32,
        [32],
        &rows,
    );
    for lane in 0..32u64 {
        let (row, column) = (lane / 4, lane % 4 * 2);
        assert_eq!(
            plain[lane as usize],
            (8 * row + column) | ((8 * row + column + 1) << 16),
            "lane {lane}"
        );
        assert_eq!(
            turned[lane as usize],
            (8 * column + row) | ((8 * (column + 1) + row) << 16),
            "lane {lane}"
        );
    }
}

#[test]
fn what_may_not_be_touched() {
    assert_eq!(kind("ld.global.b32 %d, [%in+8];"), Some(Kind::OutOfBounds));
    assert_eq!(kind("ld.global.b32 %d, [%in+-4];"), Some(Kind::OutOfBounds));
    assert_eq!(
        kind("mov.u64 %x1, 0;\nld.global.b32 %d, [%x1];"),
        Some(Kind::OutOfBounds)
    );
    assert_eq!(kind("ld.global.b32 %d, [%in+2];"), Some(Kind::Misaligned));
    assert_eq!(kind("ld.global.v2.b32 {%d, %r3}, [%in+4];"), Some(Kind::Misaligned));
    assert_eq!(kind("ld.global.b32 %d, [%out];"), Some(Kind::Unwritten));
    let room = "mov.u32 %r3, room;\n";
    assert_eq!(
        kind(&format!("{room}ld.shared.b32 %d, [%r3+1024];")),
        Some(Kind::OutOfBounds)
    );
    assert_eq!(kind(&format!("{room}ld.shared.b32 %d, [%r3];")), Some(Kind::Unwritten));
    assert_eq!(
        kind(&format!("{room}st.shared.b8 [%r3], 1;\nld.shared.b32 %d, [%r3];")),
        Some(Kind::Unwritten)
    );
    assert_eq!(
        kind(".local .align 4 .b8 own[8];\nmov.u64 %x1, own;\nld.local.b32 %d, [%x1];"),
        Some(Kind::Unwritten)
    );
    assert_eq!(kind("ld.global.nc.b32 %d, [%in];"), None);
    assert_eq!(
        kind("st.global.b32 [%in], 5;\nld.global.nc.b32 %d, [%in];"),
        Some(Kind::Race),
        "a write seen through the read-only path"
    );
    assert_eq!(kind("trap;"), Some(Kind::Trap));
}
