//! Bugs put into the committed products.

use tilelab_kernels::cuda::gemm::{Finish, KERNELS, Matrix, gemm};
use tilelab_kernels::cuda::ptx;
use tilelab_ptxsim::{Kind, Module};

use super::{Outcome, broken, dense, factor, product, product_of, register_of, replace, statement};
use crate::sim::Sim;

#[test]
fn barriers_of_a_product() {
    // The first stands between filling a tile and using it, the second between using it and filling it again.
    for which in 0..2 {
        let outcome = product("sgemm_tiles", (20, 20, 40), |text| replace(text, "bar.sync", which, ""));
        assert!(
            matches!(outcome, Outcome::Found(Kind::Race | Kind::Unwritten)),
            "barrier {which}: {outcome:?}"
        );
    }
}

#[test]
fn asynchronous_copies() {
    let caught = |outcome| {
        matches!(
            outcome,
            Outcome::Found(Kind::Race | Kind::Unwritten | Kind::CopyInFlight)
        )
    };
    let shape = (70, 70, 100);
    let outcome = product("sgemm_async", shape, |text| {
        text.replace("cp.async.wait_group", "// cp.async.wait_group")
    });
    assert!(caught(outcome), "no wait: {outcome:?}");
    let outcome = product("sgemm_async", shape, |text| text.replace("bar.sync", "// bar.sync"));
    assert!(caught(outcome), "no barrier: {outcome:?}");
}

#[test]
fn fragments_of_a_tensor_core() {
    let swapped = product("gemm_tf32", (40, 40, 40), |text| {
        let at = text.find("mma.sync").unwrap();
        // The first operand in braces is D, the second A: its first two registers trade places.
        let a = at + text[at..].match_indices('{').nth(1).unwrap().0 + 1;
        let ends = a + text[a..].find('}').unwrap();
        let mut registers: Vec<&str> = text[a..ends].split(',').map(str::trim).collect();
        registers.swap(0, 1);
        format!("{}{}{}", &text[..a], registers.join(", "), &text[ends..])
    });
    assert_eq!(swapped, Outcome::WrongNumbers);
}

#[test]
fn columns_that_nobody_wrote() {
    let mut sim = Sim::new(1);
    let kernel = KERNELS.iter().find(|kernel| kernel.id == "sgemm_tiles").unwrap();
    let square = |sim: &mut Sim| factor(sim, &[1.0; 40 * 40], 40, 40);
    let (a, b) = (square(&mut sim), square(&mut sim));
    let (alpha, beta, c) = (sim.put(&[1.0f32]), sim.put(&[0.0f32]), sim.room::<f32>(40 * 40));
    let into = dense(c, 40, 40);
    let mut call = gemm(kernel, alpha, a, b, beta, into, Finish::default()).unwrap();
    call.blocks -= 1;
    sim.run(&call);
    let missing = sim.machine.download::<f32>(c.address(), c.len()).unwrap_err();
    assert_eq!(missing.kind, Kind::Unwritten);
}

/// The first statement of this opcode whose last operand is `last`.
fn ending<'t>(text: &'t str, opcode: &str, last: &str) -> &'t str {
    let count = text.matches(opcode).count();
    let mut all = (0..count).map(|which| statement(text, opcode, which));
    all.find(|statement| statement.ends_with(&format!(", {last};")))
        .unwrap()
}

/// A bug that the interpreter finds by one of these rules.
#[track_caller]
fn found(outcome: Outcome, rules: &[Kind]) {
    assert!(
        matches!(outcome, Outcome::Found(kind) if rules.contains(&kind)),
        "{outcome:?} where one of {rules:?} is wanted"
    );
}

#[test]
fn a_store_past_the_end() {
    // The column is no longer held against n.
    let outcome = product("sgemm_tiles", (20, 20, 16), |text| {
        let n = register_of(text, 1);
        let old = ending(text, "setp.lt.u32", n);
        text.replace(
            old,
            &old.replace("setp.lt", "setp.le").replace(&format!(", {n};"), ", -1;"),
        )
    });
    found(outcome, &[Kind::OutOfBounds, Kind::Race]);
}

#[test]
fn a_return_before_a_barrier() {
    // Threads whose row is past the end leave before the block meets.
    let outcome = product("sgemm_tiles", (20, 20, 16), |text| {
        let beyond = ending(text, "setp.ge.u32", register_of(text, 0));
        let predicate = beyond.split_whitespace().nth(1).unwrap().trim_end_matches(',');
        replace(text, "bar.sync", 0, &format!("@{predicate} exit;\nbar.sync 0;"))
    });
    found(outcome, &[Kind::DivergentBarrier]);
}

#[test]
fn an_unaligned_vector() {
    let outcome = product("sgemm_vectors", (128, 128, 16), |text| {
        let old = statement(text, "ld.global.v4.f32", 0);
        text.replacen(old, &old.replace("];", "+4];"), 1)
    });
    found(outcome, &[Kind::Misaligned]);
}

#[test]
fn a_tile_that_nobody_filled() {
    let outcome = product("sgemm_tiles", (20, 20, 16), |text| {
        replace(text, "st.shared.f32", 0, "")
    });
    found(outcome, &[Kind::Unwritten]);
}

#[test]
fn an_odd_count_of_tiles_of_k() {
    // A loop for pairs of tiles that forgets the last one.
    let in_pairs = |text: &str| {
        let k = register_of(text, 2);
        let old = ending(text, "setp.lt.u32", k);
        let new = format!("and.b32 %even, {k}, -32;\n{}", old.replace(&format!("{k};"), "%even;"));
        text.replacen(old, &new, 1).replacen("{\n", "{\n.reg .b32 %even;\n", 1)
    };
    assert_eq!(
        product("sgemm_tiles", (20, 20, 64), in_pairs),
        Outcome::Unnoticed,
        "an even count"
    );
    assert_eq!(
        product("sgemm_tiles", (20, 20, 48), in_pairs),
        Outcome::WrongNumbers,
        "an odd count"
    );
}

#[test]
fn k_below_the_number_of_stages() {
    // The prologue commits a group only where there is a tile: with fewer tiles than stages the wait counts too few groups.
    let bare = |text: &str| {
        let commit = text.find("cp.async.commit_group").unwrap();
        let label = text[..commit].rfind("\n$").unwrap() + 1;
        let label = text[label..].split(':').next().unwrap();
        let branch = text.find(&format!("bra \t{label};")).unwrap();
        let predicate = text[text[..branch].rfind('@').unwrap() + 1..branch].trim();
        format!("{}@!{predicate} {}", &text[..commit], &text[commit..])
    };
    assert_eq!(
        product("sgemm_async", (20, 20, 100), bare),
        Outcome::Unnoticed,
        "seven tiles for four stages"
    );
    found(
        product("sgemm_async", (20, 20, 16), bare),
        &[Kind::CopyInFlight, Kind::Unwritten, Kind::Race],
    );
}

#[test]
fn a_grid_of_m_and_n_swapped() {
    // The row of tiles is as long as m has them.
    let swapped = |text: &str| {
        let (m, n) = (register_of(text, 0), register_of(text, 1));
        let old = format!(", {n}, 15;");
        assert_eq!(text.matches(&old).count(), 1);
        text.replace(&old, &format!(", {m}, 15;"))
    };
    assert_eq!(
        product("sgemm_tiles", (40, 40, 16), swapped),
        Outcome::Unnoticed,
        "a square"
    );
    for shape in [(20, 70, 16), (70, 20, 16)] {
        assert_eq!(
            product("sgemm_tiles", shape, swapped),
            Outcome::WrongNumbers,
            "{shape:?}"
        );
    }
}

#[test]
fn c_read_at_beta_0() {
    // beta is held against itself instead of 0: what nobody wrote is read.
    let outcome = product("sgemm_tiles", (20, 20, 16), |text| {
        let zero = ending(text, "setp.eq.f32", "0f00000000");
        let register = zero.split(',').nth(1).unwrap().trim();
        text.replacen(
            zero,
            &zero.replace("setp.eq", "setp.ne").replace("0f00000000", register),
            1,
        )
    });
    found(outcome, &[Kind::Unwritten]);
}

#[test]
fn an_index_in_32_bits() {
    // Rows of C lie 2^30 + 1 elements apart. The bug keeps the byte offset of a row in 32 bits.
    const STRIDE: usize = (1 << 30) + 1;
    let run = |module: &Module| {
        let mut sim = Sim::new(1);
        let kernel = KERNELS.iter().find(|kernel| kernel.id == "sgemm_tiles").unwrap();
        let (a, b) = (factor(&mut sim, &[2.0; 4], 2, 2), factor(&mut sim, &[3.0; 4], 2, 2));
        let (alpha, beta, c) = (sim.put(&[1.0f32]), sim.put(&[0.0f32]), sim.room::<f32>(STRIDE + 2));
        let into = Matrix {
            stride: STRIDE,
            ..dense(c, 2, 2)
        };
        let call = gemm(kernel, alpha, a, b, beta, into, Finish::default()).unwrap();
        let done = sim.try_run(module, &call);
        done.and_then(|_| sim.machine.download::<f32>(c.from(STRIDE).address(), 2))
            .map_err(|finding| finding.kind)
    };
    let bug = broken("sgemm_tiles_nn", |text| {
        let row = ending(text, "mul.wide.u32", register_of(text, 10));
        let register = row.split_whitespace().nth(1).unwrap().trim_end_matches(',');
        text.replace(
            row,
            &format!("{row}\nand.b64 {register}, {register}, {};", (1 << 30) - 1),
        )
    });
    let right = Module::parse(ptx::SOURCES[ptx::entry("sgemm_tiles_nn").unwrap().source].text).unwrap();
    assert_eq!(run(&right).unwrap(), [12.0; 2]);
    assert!(
        matches!(run(&bug), Err(Kind::Race | Kind::Unwritten)),
        "{:?}",
        run(&bug)
    );
}

#[test]
fn operands_of_a_tensor_core_that_were_never_rounded() {
    let shape = (20, 20, 16);
    let raw = |text: &str| text.replace("cvt.rna.tf32.f32", "mov.b32");
    assert_eq!(
        product("gemm_tf32", shape, raw),
        Outcome::Unnoticed,
        "numbers that are tf32 anyway"
    );
    found(product_of(0.1, "gemm_tf32", shape, raw), &[Kind::NotTf32]);
}
