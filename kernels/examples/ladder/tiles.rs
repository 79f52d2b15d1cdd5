//! Steps that keep a tile of C in registers: the five loops round it, and the first, portable tile.
//!
//! ```text
//! A's panels   a[p * MR + i]      MR rows, zero where the matrix ends
//! B's panels   b[p * NR + j]      NR columns, likewise
//! ```
//! The loops are those of `Context::gemm`, with one tile for all edges: a tile that sticks out of C is computed whole, in
//! scratch, and its part inside is added to C.

use crate::problem::Problem;

/// Depth of a block.
const KC: usize = 512;
/// Columns of a block of B, about: it takes half of L2 with [`KC`].
const NC: usize = 256;

/// One tile's work: `c` begins at its element (0, 0), `c_row` elements from row to row. Adds to C.
pub struct Tile<'a> {
    pub kc: usize,
    pub a: &'a [f32],
    pub b: &'a [f32],
    pub c: &'a mut [f32],
    pub c_row: usize,
}

/// The five loops over tiles of `mr` x `nr`.
#[inline(always)]
pub fn five_loops(x: &Problem, c: &mut [f32], (mr, nr): (usize, usize), kernel: impl Fn(Tile<'_>)) {
    c.fill(0.0);
    let mut packed_a = vec![0.0; x.m.div_ceil(mr) * mr * KC];
    let mut packed_b = vec![0.0; NC.next_multiple_of(nr) * KC];
    let mut scratch = vec![0.0; mr * nr];
    for pc in (0..x.k).step_by(KC) {
        let kc = KC.min(x.k - pc);
        for (panel, i) in packed_a.chunks_exact_mut(mr * kc).zip((0..x.m).step_by(mr)) {
            pack_rows(x, panel, (i, pc), mr);
        }
        for jc in (0..x.n).step_by(NC.next_multiple_of(nr)) {
            let end = x.n.min(jc + NC.next_multiple_of(nr));
            for (panel, j) in packed_b.chunks_exact_mut(nr * kc).zip((jc..end).step_by(nr)) {
                pack_columns(x, panel, (pc, j), nr);
            }
            // Two panels of A at a time stay in L1, while the block of B passes by from L2.
            for ic in (0..x.m).step_by(2 * mr) {
                for (b, j) in packed_b.chunks_exact(nr * kc).zip((jc..end).step_by(nr)) {
                    for i in (ic..x.m.min(ic + 2 * mr)).step_by(mr) {
                        let a = &packed_a[i * kc..][..mr * kc];
                        let (rows, cols) = (mr.min(x.m - i), nr.min(x.n - j));
                        let at = i * x.n + j;
                        if (rows, cols) == (mr, nr) {
                            let (c, c_row) = (&mut c[at..], x.n);
                            kernel(Tile { kc, a, b, c, c_row });
                            continue;
                        }
                        scratch.fill(0.0);
                        let (c_row, whole) = (nr, &mut scratch[..]);
                        kernel(Tile {
                            kc,
                            a,
                            b,
                            c: whole,
                            c_row,
                        });
                        for (row, from) in scratch.chunks_exact(nr).take(rows).enumerate() {
                            let to = &mut c[at + row * x.n..][..cols];
                            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
                        }
                    }
                }
            }
        }
    }
}

/// Rows `i..i + mr` of A from column `pc` on, as a panel.
fn pack_rows(x: &Problem, panel: &mut [f32], (i, pc): (usize, usize), mr: usize) {
    panel.fill(0.0);
    for row in 0..mr.min(x.m - i) {
        let from = &x.a[(i + row) * x.k + pc..];
        for (step, &a) in panel.chunks_exact_mut(mr).zip(from) {
            step[row] = a;
        }
    }
}

/// Columns `j..j + nr` of B from row `pc` on, as a panel.
fn pack_columns(x: &Problem, panel: &mut [f32], (pc, j): (usize, usize), nr: usize) {
    let cols = nr.min(x.n - j);
    for (p, step) in panel.chunks_exact_mut(nr).enumerate() {
        step[..cols].copy_from_slice(&x.b[(pc + p) * x.n + j..][..cols]);
        step[cols..].fill(0.0);
    }
}

/// Lanes of the portable tile, and its rows: 8 sums of SSE2's 4 lanes, 4 vectors of B and a broadcast fit 16 registers.
const LANES: usize = 16;
const ROWS: usize = 2;

/// A tile in registers: an element of C is loaded and stored once a block and not once a step of k. In plain Rust, which
/// the compiler turns into the vectors that every machine of its target has, a multiplication and an addition each.
pub fn register_tile(x: &Problem, c: &mut [f32]) {
    five_loops(x, c, (ROWS, LANES), |tile| {
        let mut sums = [[0.0; LANES]; ROWS];
        let steps = tile.a.as_chunks::<ROWS>().0.iter().zip(tile.b.as_chunks::<LANES>().0);
        for (a, b) in steps.take(tile.kc) {
            for (sums, a) in sums.iter_mut().zip(a) {
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum += a * b;
                }
            }
        }
        for (row, sums) in tile.c.chunks_mut(tile.c_row).zip(&sums) {
            row.iter_mut().zip(sums).for_each(|(c, sum)| *c += sum);
        }
    });
}
