//! Benched shapes, large ones, and any number of threads.

use tilelab_kernels::{Activation, Context, Epilogue, Isa, MatMut, MatRef, Threads, reference};

use crate::support::{Random, isas};

/// The shapes that are benched: squares, MLP shapes, skinny ones.
const BENCHED: [(usize, usize, usize); 19] = [
    (64, 64, 64),
    (128, 128, 128),
    (256, 256, 256),
    (512, 512, 512),
    (1023, 1023, 1023),
    (1024, 1024, 1024),
    (1025, 1025, 1025),
    (1026, 1026, 1026),
    (1028, 1028, 1028),
    (1031, 1031, 1031),
    (1032, 1032, 1032),
    (256, 256, 784),
    (256, 10, 256),
    (784, 256, 256),
    (256, 784, 256),
    (32, 512, 784),
    (16, 64, 20),
    (16, 1, 64),
    (128, 8192, 784),
];

/// (b) Small whole numbers have one right answer in f32: a lost or doubled term shows at any k. The `gemm` crate gives it
/// too, and stands in for the oracle where that would take minutes; its own answer is held against the oracle on rows.
#[test]
fn whole_numbers_come_out_bit_for_bit_at_every_benched_shape() {
    for (m, n, k) in BENCHED {
        let mut random = Random(4);
        let a: Vec<f32> = (0..m * k).map(|_| random.whole(4) as f32).collect();
        let b: Vec<f32> = (0..k * n).map(|_| random.whole(4) as f32).collect();
        let mut expected = vec![0.0f32; m * n];
        by_gemm_crate(&mut expected, &a, &b, (m, n, k));
        let row = m / 2;
        let mut one_row = vec![0.0f32; n];
        reference::gemm(
            1.0,
            MatRef::row_major(&a[row * k..], 1, k).unwrap(),
            MatRef::row_major(&b, k, n).unwrap(),
            0.0,
            MatMut::row_major(&mut one_row, 1, n).unwrap(),
            Epilogue::none(),
        );
        assert_eq!(one_row, expected[row * n..][..n]);
        // Transposed copies of the operands must give the same.
        let a_columns: Vec<f32> = (0..k * m).map(|at| a[at % m * k + at / m]).collect();
        let b_columns: Vec<f32> = (0..n * k).map(|at| b[at % k * n + at / k]).collect();
        for isa in isas() {
            if isa == Isa::Portable && m * n * k > 1 << 28 {
                continue; // the same loops as on AVX-512, and slow
            }
            let ctx = Context::new(isa, Threads::new(2).unwrap()).unwrap();
            let mut c = vec![f32::NAN; m * n];
            let a_views = [
                MatRef::row_major(&a, m, k).unwrap(),
                MatRef::row_major(&a_columns, k, m).unwrap().transposed(),
            ];
            let b_views = [
                MatRef::row_major(&b, k, n).unwrap(),
                MatRef::row_major(&b_columns, n, k).unwrap().transposed(),
            ];
            for (turn, (a, b)) in [(0, 0), (1, 0), (0, 1)].into_iter().enumerate() {
                if turn > 0 && m * n * k > 1 << 27 {
                    continue;
                }
                c.fill(f32::NAN);
                let out = MatMut::row_major(&mut c, m, n).unwrap();
                ctx.gemm(1.0, a_views[a], b_views[b], 0.0, out, Epilogue::none())
                    .unwrap();
                assert!(c == expected, "{isa} {m}x{n}x{k}, transposes {turn}");
            }
        }
    }
}

/// C = A B, row-major, by the `gemm` crate.
fn by_gemm_crate(c: &mut [f32], a: &[f32], b: &[f32], (m, n, k): (usize, usize, usize)) {
    assert!(c.len() == m * n && a.len() == m * k && b.len() == k * n);
    // SAFETY: the slices hold m x n, m x k and k x n elements at these strides.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            false,
            a.as_ptr(),
            1,
            k as isize,
            b.as_ptr(),
            1,
            n as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// (e) Random projection: C x = A (B x), in f64, at a size where the oracle would be slow.
#[test]
fn a_large_f64_product_agrees_with_its_random_projection() {
    let (m, n, k) = (515, 700, 901);
    for isa in isas() {
        let mut random = Random(5);
        let mut fill = |len| (0..len).map(|_| random.unit()).collect::<Vec<f64>>();
        let (a, b, x) = (fill(m * k), fill(k * n), fill(n));
        let mut c = vec![f64::NAN; m * n];
        let ctx = Context::new(isa, Threads::all()).unwrap();
        let out = MatMut::row_major(&mut c, m, n).unwrap();
        let (a_view, b_view) = (
            MatRef::row_major(&a, m, k).unwrap(),
            MatRef::row_major(&b, k, n).unwrap(),
        );
        ctx.gemm(1.0, a_view, b_view, 0.0, out, Epilogue::none()).unwrap();
        let dot = |row: &[f64], x: &[f64]| row.iter().zip(x).map(|(a, x)| a * x).sum::<f64>();
        let bx: Vec<f64> = b.chunks(n).map(|row| dot(row, &x)).collect();
        for i in 0..m {
            let (got, expected) = (dot(&c[i * n..][..n], &x), dot(&a[i * k..][..k], &bx));
            assert!(
                (got - expected).abs() <= 1e-10,
                "{isa}: row {i}: {got} against {expected}"
            );
        }
    }
}

/// Same call, any number of threads: the same bits.
#[test]
fn threads_do_not_change_a_bit() {
    for isa in isas() {
        let shapes = [(300, 200, 400), (32, 512, 784), (700, 10, 256), (97, 1031, 513)];
        // Outer products, and one row deeper than a block: one thread alone does them without tiles.
        let thin = [(1500, 900, 1), (1, 517, 2500)];
        let plain = thin.map(|shape| (shape, 0.0, false));
        let finished = shapes.into_iter().chain(thin).map(|shape| (shape, 1.0, true));
        let outer = [((1500, 900, 1), 0.0, true)];
        for ((m, n, k), beta, finished) in finished.chain(plain).chain(outer) {
            let mut random = Random(6);
            let a: Vec<f32> = (0..m * k).map(|_| random.unit() as f32).collect();
            let b: Vec<f32> = (0..k * n).map(|_| random.unit() as f32).collect();
            let bias: Vec<f32> = (0..n).map(|_| random.unit() as f32).collect();
            let run = |threads| {
                let ctx = Context::new(isa, Threads::new(threads).unwrap()).unwrap();
                let mut c = vec![0.5f32; m * n];
                ctx.gemm(
                    1.0,
                    MatRef::row_major(&a, m, k).unwrap(),
                    MatRef::row_major(&b, k, n).unwrap(),
                    beta,
                    MatMut::row_major(&mut c, m, n).unwrap(),
                    if finished {
                        Epilogue::none().bias(&bias).activation(Activation::Relu)
                    } else {
                        Epilogue::none()
                    },
                )
                .unwrap();
                c.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
            };
            let one = run(1);
            for threads in [2, 3, 7] {
                assert!(run(threads) == one, "{isa} {m}x{n}x{k}: {threads} threads");
            }
        }
    }
}
