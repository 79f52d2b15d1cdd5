//! Instructions in which lanes or warps meet: shuffles, votes, matches, reductions, barriers, and who may not miss them.

use tilelab_ptxsim::{Arg, Finding, Kind, Launch, Machine, Module, Options};

use crate::evaluate::{evaluate, kernel, try_evaluate};

/// One result for each lane of a full warp; %a is the lane, %b is lane * 10.
fn warp(body: &str, d_bits: u32) -> Vec<u64> {
    let rows: Vec<[u64; 2]> = (0..32).map(|lane| [lane, lane * 10]).collect();
    evaluate(body, d_bits, [32, 32], &rows)
}

#[test]
fn shuffles_with_clamp_and_segments() {
    // (mode, b, c) and the source of a lane: the manual's pseudo code, worked out by hand for each.
    type Source = fn(u64) -> (u64, bool);
    let cases: [(&str, &str, Source); 9] = [
        (
            "up",
            "1, 0",
            |lane| if lane > 0 { (lane - 1, true) } else { (0, false) },
        ),
        (
            "down",
            "1, 31",
            |lane| if lane < 31 { (lane + 1, true) } else { (31, false) },
        ),
        ("down", "40, 31", |lane| {
            if lane + 8 <= 31 {
                (lane + 8, true)
            } else {
                (lane, false)
            }
        }),
        ("bfly", "1, 31", |lane| (lane ^ 1, true)),
        ("bfly", "16, 31", |lane| (lane ^ 16, true)),
        ("idx", "5, 31", |_| (5, true)),
        // Segments of eight lanes: the mask 0x18 stands in bits 8 to 12.
        ("idx", "3, 0x181f", |lane| (lane & 24 | 3, true)),
        ("up", "2, 0x1800", |lane| {
            if lane % 8 >= 2 { (lane - 2, true) } else { (lane, false) }
        }),
        ("down", "2, 0x181f", |lane| {
            if lane % 8 < 6 { (lane + 2, true) } else { (lane, false) }
        }),
    ];
    for (mode, operands, source) in cases {
        let shuffle = format!("shfl.sync.{mode}.b32 %d|%p, %b, {operands}, -1;");
        let values = warp(&shuffle, 32);
        let valid = warp(&shuffle.replace("%d", "%r3"), 1);
        for lane in 0..32 {
            let (from, inside) = source(lane);
            assert_eq!(values[lane as usize], from * 10, "{shuffle} in lane {lane}");
            assert_eq!(valid[lane as usize], u64::from(inside), "{shuffle} in lane {lane}");
        }
    }
}

#[test]
fn votes() {
    let vote = |mode: &str, bound: u32| {
        warp(
            &format!("setp.lt.u32 %q, %a, {bound};\nvote.sync.{mode}.pred %p, %q, -1;"),
            1,
        )
    };
    for (mode, none, some, all) in [("all", 0, 0, 1), ("any", 0, 1, 1), ("uni", 1, 0, 1)] {
        for (bound, wanted) in [(0, none), (7, some), (32, all)] {
            assert_eq!(vote(mode, bound), [wanted; 32], "{mode} of {bound}");
        }
    }
    let ballot = "setp.lt.u32 %q, %a, 7;\nvote.sync.ballot.b32 %d, %q, -1;";
    assert_eq!(warp(ballot, 32), [0x7f; 32]);
    assert_eq!(warp(&ballot.replace("%q, -1", "!%q, -1"), 32), [0xffff_ff80; 32]);
    // By the lanes of a branch alone.
    let half = "setp.ge.u32 %p, %a, 16;\nmov.u32 %d, 0;\n@%p bra $past;\nvote.sync.ballot.b32 %d, !%p, 0xffff;\n$past:";
    assert_eq!(warp(half, 32)[3], 0xffff);
    assert_eq!(warp("activemask.b32 %d;", 32), [0xffff_ffff; 32]);
}

#[test]
fn matches_and_reductions() {
    let by_three = "rem.u32 %r3, %a, 3;\n";
    let equal = warp(&format!("{by_three}match.any.sync.b32 %d, %r3, -1;"), 32);
    assert_eq!(equal[..3], [0x4924_9249, 0x9249_2492, 0x2492_4924]);
    assert_eq!(
        warp("mov.u32 %r3, 9;\nmatch.all.sync.b32 %d|%p, %r3, -1;", 32),
        [0xffff_ffff; 32]
    );
    assert_eq!(warp("match.all.sync.b32 %r3|%p, %a, -1;", 1), [0; 32]);
    assert_eq!(warp("redux.sync.add.u32 %d, %a, -1;", 32), [496; 32]);
    assert_eq!(
        warp("sub.s32 %r3, %a, 5;\nredux.sync.min.s32 %d, %r3, -1;", 32),
        [0xffff_fffb; 32]
    );
    assert_eq!(
        warp("sub.s32 %r3, %a, 5;\nredux.sync.max.u32 %d, %r3, -1;", 32),
        [0xffff_ffff; 32]
    );
    assert_eq!(warp("redux.sync.or.b32 %d, %a, -1;", 32), [31; 32]);
    assert_eq!(warp("redux.sync.xor.b32 %d, %a, -1;", 32), [0; 32]);
}

#[test]
fn special_registers() {
    assert_eq!(warp("mov.u32 %d, %laneid;", 32), (0..32).collect::<Vec<_>>());
    for (name, mask) in [
        ("eq", (|lane| 1 << lane) as fn(u32) -> u32),
        ("lt", |lane| (1 << lane) - 1),
        ("le", |lane| ((1u64 << (lane + 1)) - 1) as u32),
        ("gt", |lane| !(((1u64 << (lane + 1)) - 1) as u32)),
        ("ge", |lane| !((1 << lane) - 1)),
    ] {
        let masks = warp(&format!("mov.u32 %d, %lanemask_{name};"), 32);
        assert!(
            (0..32).all(|lane| masks[lane as usize] == u64::from(mask(lane))),
            "{name}"
        );
    }
}

/// A kernel over an array of words, `threads` in one block, under several orders.
fn block(body: &str, threads: u32) -> Result<Vec<u32>, Finding> {
    let text = format!(
        ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 data) {{
        .reg .pred %p, %q; .reg .b32 %r<9>, %t; .reg .b64 %x<9>; .shared .align 4 .b8 room[1024];
        ld.param.u64 %x1, [data];\nmov.u32 %t, %tid.x;\nmul.wide.u32 %x2, %t, 4;\nadd.s64 %x2, %x1, %x2;
        shl.b32 %r8, %t, 2;\n{body}\nret;\n}}"
    );
    let module = Module::parse(&text).unwrap();
    let mut last = Vec::new();
    for seed in 0..4 {
        let mut machine = Machine::new(Options {
            seed,
            ..Options::default()
        });
        let data = machine.upload(&vec![7u32; threads as usize]);
        let args: [Arg; 1] = [data.into()];
        machine.launch(&module, "k", Launch::new([1, 1, 1], [threads, 1, 1]), &args)?;
        last = machine.download(data, threads as usize)?;
    }
    Ok(last)
}

fn kind(body: &str, threads: u32) -> Option<Kind> {
    block(body, threads).err().map(|finding| finding.kind)
}

#[test]
fn barriers_order_and_reduce() {
    // Each thread reads what the thread 64 further on wrote.
    let exchange = "st.shared.u32 [%r8], %t;\nbar.sync 0;\nxor.b32 %r1, %r8, 256;\nld.shared.u32 %r2, [%r1];\nst.global.u32 [%x2], %r2;";
    let got = block(exchange, 128).unwrap();
    assert!((0..128).all(|t| got[t as usize] == t ^ 64));
    assert_eq!(
        kind(&exchange.replace("bar.sync 0;", ""), 128).map(|kind| matches!(kind, Kind::Race | Kind::Unwritten)),
        Some(true)
    );
    let few = "setp.lt.u32 %q, %t, 40;\n";
    let popc = block(
        &format!("{few}bar.red.popc.u32 %r2, 0, %q;\nst.global.u32 [%x2], %r2;"),
        96,
    )
    .unwrap();
    assert_eq!(popc, vec![40; 96]);
    for (mode, wanted) in [("and", 0), ("or", 1)] {
        let body = format!("{few}bar.red.{mode}.pred %p, 0, %q;\nselp.u32 %r2, 1, 0, %p;\nst.global.u32 [%x2], %r2;");
        assert_eq!(block(&body, 96).unwrap(), vec![wanted; 96], "{mode}");
    }
    // Two warps of four at a barrier of their own.
    let pair = "setp.ge.u32 %p, %t, 64;\n@%p bra $past;\nbar.sync 1, 64;\n$past:\nst.global.u32 [%x2], %t;";
    assert_eq!(block(pair, 128).unwrap()[100], 100);
    // The first warp writes and only arrives; the second waits for it.
    let arrive = "st.shared.u32 [%r8], %t;\nsetp.ge.u32 %p, %t, 32;\n@%p bra $wait;\nbar.arrive 1, 64;\nbra $past;\n$wait:\nbar.sync 1, 64;\nxor.b32 %r1, %r8, 128;\nld.shared.u32 %r2, [%r1];\nst.global.u32 [%x2], %r2;\n$past:";
    assert_eq!(block(arrive, 64).unwrap()[40], 8);
}

#[test]
fn who_misses_a_meeting_is_found() {
    assert_eq!(
        kind("setp.lt.u32 %p, %t, 16;\n@%p bra $past;\nbar.sync 0;\n$past:", 64),
        Some(Kind::DivergentBarrier)
    );
    assert_eq!(
        kind("setp.lt.u32 %p, %t, 32;\n@%p bra $past;\nbar.sync 0;\n$past:", 64),
        Some(Kind::DivergentBarrier)
    );
    assert_eq!(
        kind(
            "setp.lt.u32 %p, %t, 32;\n@%p bra $a;\nbar.sync 0;\nbra $b;\n$a:\nbar.sync 1;\n$b:",
            64
        ),
        Some(Kind::DivergentBarrier)
    );
    assert_eq!(kind("bar.sync 0, 40;", 64), Some(Kind::DivergentBarrier));
    assert_eq!(kind("bar.sync 16;", 64), Some(Kind::DivergentBarrier));
    let part = "setp.ge.u32 %p, %t, 16;\n@%p bra $past;\n{it}\n$past:";
    for it in [
        "vote.sync.any.pred %q, %p, -1;",
        "bar.warp.sync -1;",
        "shfl.sync.idx.b32 %r1, %t, 0, 31, -1;",
    ] {
        assert_eq!(kind(&part.replace("{it}", it), 32), Some(Kind::InactiveLane), "{it}");
        assert_eq!(
            kind(&part.replace("{it}", &it.replace("-1", "0xffff")), 32),
            None,
            "{it}"
        );
    }
    // A lane outside its own mask, and a source that takes no part.
    assert_eq!(
        kind("shfl.sync.idx.b32 %r1, %t, 0, 31, 0xffff;", 32),
        Some(Kind::InactiveLane)
    );
    let from_absent = part.replace("{it}", "shfl.sync.idx.b32 %r1, %t, 20, 31, 0xffff;");
    assert_eq!(kind(&from_absent, 32), Some(Kind::InactiveLane));
}

#[test]
fn nothing_unknown_is_skipped() {
    let refused = |line: &str| {
        let text = format!(
            ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k() {{ .reg .b32 %r<4>;\n{line}\n}}"
        );
        Module::parse(&text)
            .err()
            .unwrap_or_else(|| panic!("{line} was taken"))
            .to_string()
    };
    assert!(refused("vset.s32.u32.eq %r1, %r2, %r3;").contains("vset"));
    assert!(refused("add.wild.s32 %r1, %r2, %r3;").contains("wild"));
    assert!(refused("add.s32 %r1, %r2, %nobody;").contains("%nobody"));
    assert!(refused("shfl.idx.b32 %r1, %r2, 0, 31;").contains(".sync"));
    let endless = kernel("$again:\nbra $again;", 32, &[32]);
    let options = Options {
        max_instructions: 10_000,
        ..Options::default()
    };
    assert_eq!(try_evaluate(&endless, &[[0]], options).unwrap_err().kind, Kind::Endless);
}
