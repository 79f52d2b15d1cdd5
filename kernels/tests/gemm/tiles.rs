//! Every tile, every block edge, every layout.

use tilelab_kernels::gemm::{Blocking, Shape};
use tilelab_kernels::{Context, Float, Isa, Threads};

use crate::case::{Case, KINDS};
use crate::support::matrices::Layout;
use crate::support::{Random, isas};

fn one_thread(isa: Isa) -> Context {
    Context::new(isa, Threads::one()).unwrap()
}

/// (c) Every kernel of the table, every used width of its tile, depths round the loop's edges, C poisoned and guarded.
fn every_tile<T: Float>(isa: Isa) {
    let blocking = Blocking { mc: 1, kc: 40, nc: 1 };
    let ctx = Context::with_blocking(isa, Threads::one(), blocking).unwrap();
    let mut random = Random(1);
    let mut seen = 0;
    for kernel in T::KERNELS.iter().filter(|kernel| kernel.isa == isa) {
        for nr in (kernel.nv - 1) * kernel.lanes + 1..=kernel.nr() {
            for k in [0, 1, 2, 7, 33] {
                for layout in [Layout::RowMajor, Layout::ColumnMajor] {
                    let kind = KINDS[(kernel.mr + nr + k) % KINDS.len()];
                    let beta = [0.0, 1.0, -0.5][(nr + k) % 3];
                    let shape = Shape { m: kernel.mr, n: nr, k };
                    let layouts = [layout, Layout::RowMajor, Layout::RowMajor];
                    let case = Case::<T>::new(shape, layouts, (1.0, beta), kind, || random.unit());
                    case.check(&ctx, &format!("{} width {nr} depth {k}", kernel.id()));
                    // The same tile with the operands read where they lie.
                    case.check(
                        &one_thread(isa),
                        &format!("{} unpacked, width {nr} depth {k}", kernel.id()),
                    );
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 100, "{isa}: the table is empty");
}

#[test]
fn every_kernel_at_every_width_and_edge_depth() {
    for isa in isas() {
        every_tile::<f32>(isa);
        every_tile::<f64>(isa);
    }
}

/// (d) Whole products under tiny blocks: every block edge, every layout, scalars and epilogues.
fn tiny_blocks<T: Float>(isa: Isa, threads: usize) {
    use Layout::{ColumnMajor, RowMajor, Scattered};
    let blocking = Blocking { mc: 1, kc: 5, nc: 1 };
    let ctx = Context::with_blocking(isa, Threads::new(threads).unwrap(), blocking).unwrap();
    let mut random = Random(2);
    let layouts = [RowMajor, ColumnMajor, Scattered];
    for turn in 0..81 {
        let layouts = [layouts[turn % 3], layouts[turn / 3 % 3], layouts[turn / 9 % 3]];
        let shape = Shape {
            m: 1 + random.below(39),
            n: 1 + random.below(70),
            k: random.below(23),
        };
        let scalars = ([1.0, -1.0, 0.75][turn % 3], [0.0, 1.0, -0.5][turn / 27 % 3]);
        let case = Case::<T>::new(shape, layouts, scalars, KINDS[turn % KINDS.len()], || random.unit());
        case.check(&ctx, &format!("{isa} {} {shape:?} {layouts:?}", T::NAME));
    }
}

#[test]
fn whole_products_under_tiny_blocks_in_every_layout() {
    for isa in isas() {
        tiny_blocks::<f32>(isa, 1);
        tiny_blocks::<f64>(isa, 3);
    }
}

/// Products without a tile: of depth 1 and of one row, at every number of whole vectors and a rest, every epilogue.
fn thin<T: Float>(isa: Isa) {
    let (ctx, mut random) = (one_thread(isa), Random(4));
    let lanes = T::KERNELS.iter().find(|kernel| kernel.isa == isa).unwrap().lanes;
    let widths = [1, 2, 3, 8, 11].map(|vectors| vectors * lanes);
    for n in widths.into_iter().flat_map(|n| [n, n + 1, n + lanes - 1]) {
        for (m, k) in [(1, 1), (7, 1), (1, 2), (1, 33), (1, 2500)] {
            for kind in KINDS {
                let layouts = [
                    [Layout::RowMajor, Layout::ColumnMajor][n % 2],
                    Layout::RowMajor,
                    Layout::RowMajor,
                ];
                for beta in [0.0, -0.5] {
                    let case = Case::<T>::new(Shape { m, n, k }, layouts, (0.75, beta), kind, || random.unit());
                    case.check(&ctx, &format!("{isa} {} {m}x{n}x{k} {kind:?}", T::NAME));
                }
            }
        }
    }
}

#[test]
fn products_of_one_row_and_of_depth_one() {
    for isa in isas() {
        thin::<f32>(isa);
        thin::<f64>(isa);
    }
}

/// (a) Ordinary blocking, shapes off every tile, against the oracle.
#[test]
fn ragged_shapes_are_within_the_bound_of_the_oracle() {
    let shapes = [
        (1, 1, 1),
        (1, 300, 70),
        (37, 1, 83),
        (100, 2, 50),
        (70, 3, 16),
        (9, 4, 131),
        (300, 1, 70),
        (16, 1, 64),
        (33, 65, 129),
        (127, 131, 257),
        (64, 10, 256),
        (65, 200, 1),
    ];
    for isa in isas() {
        let mut random = Random(3);
        for (turn, (m, n, k)) in shapes.into_iter().enumerate() {
            for b_layout in [Layout::RowMajor, Layout::ColumnMajor] {
                let layouts = [
                    [Layout::RowMajor, Layout::ColumnMajor][turn % 2],
                    b_layout,
                    Layout::RowMajor,
                ];
                let case = Case::<f32>::new(
                    Shape { m, n, k },
                    layouts,
                    (1.0, 0.0),
                    KINDS[turn % KINDS.len()],
                    || random.unit(),
                );
                case.check(&one_thread(isa), &format!("{isa} {m}x{n}x{k}"));
                let case = Case::<f64>::new(
                    Shape { m, n, k },
                    layouts,
                    (0.5, 2.0),
                    KINDS[turn % KINDS.len()],
                    || random.unit(),
                );
                case.check(&one_thread(isa), &format!("{isa} f64 {m}x{n}x{k}"));
            }
        }
    }
}
