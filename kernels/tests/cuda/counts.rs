//! What the best products move, counted by the interpreter over sampled blocks: a model without caches, not a measurement.

use tilelab_kernels::cuda::gemm::{Factor, Finish, KERNELS, Kernel, Matrix, gemm};
use tilelab_ptxsim::Stats;

use crate::sim::{Sim, random};

/// A figure, and the most that it may be.
struct Bar {
    what: &'static str,
    figure: f64,
    most: f64,
}

/// Counts of one block of an n x n x n product with its whole k. All but the product's own blocks are left out, so the sum is not checked here.
fn counts(kernel: &'static Kernel, n: usize, block: u32, transposed: (bool, bool)) -> Stats {
    let mut sim = Sim::new(u64::from(block));
    let values = random(1, n * n, 1.0);
    let mut factor = |transposed| Factor {
        matrix: Matrix::new(sim.put(&values), n, n),
        transposed,
    };
    let (a, b) = (factor(transposed.0), factor(transposed.1));
    let (alpha, beta, c) = (sim.put(&[1.0f32]), sim.put(&[0.0f32]), sim.room::<f32>(n * n));
    let call = gemm(kernel, alpha, a, b, beta, Matrix::new(c, n, n), Finish::default()).unwrap();
    sim.run_blocks(&call, &[block])
}

/// The counts against the bars of the suite: bytes of the tile's two strips of k and of C, each once.
fn bars(kernel: &Kernel, n: usize, stats: &Stats) -> [Bar; 3] {
    let (rows, cols) = (kernel.tile.0 as usize, kernel.tile.1 as usize);
    let ideal = 4 * ((rows + cols) * n + rows * cols) * stats.blocks as usize;
    [
        Bar {
            what: "global bytes moved, of the least for its tile",
            figure: stats.moved_bytes() as f64 / ideal as f64,
            most: 1.15,
        },
        Bar {
            what: "uncoalesced requests",
            figure: stats.uncoalesced as f64,
            most: 0.0,
        },
        Bar {
            what: "shared requests in conflict, of all",
            figure: stats.bank_conflicts as f64 / stats.shared_requests as f64,
            most: 0.05,
        },
    ]
}

/// `ci/deep/gemm-counts` sets the size of the issue, 1024, and more blocks.
fn setting(name: &str, or: usize) -> usize {
    std::env::var(name).map_or(or, |value| value.parse().unwrap())
}

#[test]
fn the_best_products_move_little_more_than_they_must() {
    let (n, blocks) = (setting("TILELAB_COUNT_SIZE", 256), setting("TILELAB_COUNT_BLOCKS", 1));
    let mut missed = 0;
    for id in ["sgemm_warps", "sgemm_warps_async"] {
        let kernel = KERNELS.iter().find(|kernel| kernel.id == id).unwrap();
        let all = (n / kernel.tile.0 as usize) * (n / kernel.tile.1 as usize);
        for (form, transposed) in [
            ("nn", (false, false)),
            ("nt", (false, true)),
            ("tn", (true, false)),
            ("tt", (true, true)),
        ] {
            let mut stats = Stats::default();
            // Spread over the grid, the last block among them.
            for i in 1..=blocks {
                stats.add(&counts(kernel, n, (i * all / blocks - 1) as u32, transposed));
            }
            for bar in bars(kernel, n, &stats) {
                let met = bar.figure <= bar.most;
                missed += usize::from(!met);
                let verdict = if met { "met" } else { "MISSED" };
                let (what, figure, most) = (bar.what, bar.figure, bar.most);
                println!("{id}_{form} {n}^3, {blocks} of {all} blocks: {what}: {figure:.4}, at most {most}: {verdict}");
            }
        }
    }
    assert_eq!(missed, 0);
}
