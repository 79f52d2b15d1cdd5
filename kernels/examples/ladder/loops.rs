//! The first four steps: plain loops, what they touch, and where that lies.

use crate::problem::Problem;

/// Depth of a block of B, and its columns: 256 KiB, half of a small L2.
pub const KC: usize = 256;
/// See [`KC`].
pub const NC: usize = 256;

/// The formula as it stands: c[i, j] = sum of a[i, p] b[p, j]. The inner loop walks down a column of B, a cache line and
/// soon a page a step, and waits for each sum before the next: floating-point addition may not be reordered.
pub fn naive(x: &Problem, c: &mut [f32]) {
    for i in 0..x.m {
        for j in 0..x.n {
            let mut sum = 0.0;
            for p in 0..x.k {
                sum += x.a[i * x.k + p] * x.b[p * x.n + j];
            }
            c[i * x.n + j] = sum;
        }
    }
}

/// y <- y + alpha x. No sum waits for another, so the compiler makes vectors of it.
#[inline(always)]
fn add_scaled(alpha: f32, x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += alpha * x;
    }
}

/// The two inner loops exchanged: a row of B, scaled, is added to a row of C. Both lie side by side in memory.
pub fn loop_order(x: &Problem, c: &mut [f32]) {
    c.fill(0.0);
    for (a, c) in x.a.chunks_exact(x.k).zip(c.chunks_exact_mut(x.n)) {
        for (&a, b) in a.iter().zip(x.b.chunks_exact(x.n)) {
            add_scaled(a, b, c);
        }
    }
}

/// The same over blocks of B that stay in L2, against all rows of A in turn; before, each row of A read all of B.
pub fn cache_blocks(x: &Problem, c: &mut [f32]) {
    c.fill(0.0);
    for pc in (0..x.k).step_by(KC) {
        let kc = KC.min(x.k - pc);
        for jc in (0..x.n).step_by(NC) {
            let nc = NC.min(x.n - jc);
            for i in 0..x.m {
                let c = &mut c[i * x.n + jc..][..nc];
                for p in pc..pc + kc {
                    add_scaled(x.a[i * x.k + p], &x.b[p * x.n + jc..][..nc], c);
                }
            }
        }
    }
}

/// The same with the block of B copied side by side first: few pages, no two rows in one set of the cache.
pub fn packing(x: &Problem, c: &mut [f32]) {
    c.fill(0.0);
    let mut block = vec![0.0; KC * NC];
    for pc in (0..x.k).step_by(KC) {
        let kc = KC.min(x.k - pc);
        for jc in (0..x.n).step_by(NC) {
            let nc = NC.min(x.n - jc);
            for (p, row) in block.chunks_exact_mut(nc).take(kc).enumerate() {
                row.copy_from_slice(&x.b[(pc + p) * x.n + jc..][..nc]);
            }
            for i in 0..x.m {
                let a = &x.a[i * x.k + pc..][..kc];
                let c = &mut c[i * x.n + jc..][..nc];
                for (&a, b) in a.iter().zip(block.chunks_exact(nc)) {
                    add_scaled(a, b, c);
                }
            }
        }
    }
}
