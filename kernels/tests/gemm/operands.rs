//! Operands that are no plain matrix: bytes gathered while they are packed, and a B packed in advance.

use tilelab_kernels::gemm::{Blocking, Bytes, Operand};
use tilelab_kernels::{Context, Epilogue, Float, Isa, MatMut, MatRef, Threads};

use crate::support::{Random, isas};

const TINY: Blocking = Blocking { mc: 1, kc: 5, nc: 1 };

/// With ordinary blocks and with tiny ones, one thread and three.
fn contexts(isa: Isa) -> [Context; 3] {
    [
        Context::new(isa, Threads::one()).unwrap(),
        Context::with_blocking(isa, Threads::one(), TINY).unwrap(),
        Context::with_blocking(isa, Threads::new(3).unwrap(), TINY).unwrap(),
    ]
}

fn product<'a, T: Float>(
    ctx: &Context,
    a: impl Into<Operand<'a, T>>,
    b: impl Into<Operand<'a, T>>,
    (m, n): (usize, usize),
) -> Vec<f64> {
    let mut c = vec![T::from_f64(f64::NAN); m * n];
    let out = MatMut::row_major(&mut c, m, n).unwrap();
    ctx.gemm(T::ONE, a.into(), b.into(), T::ZERO, out, Epilogue::none())
        .unwrap();
    let c: Vec<f64> = c.into_iter().map(T::to_f64).collect();
    assert!(c.iter().all(|x| x.is_finite()));
    c
}

/// Bytes in an operand's place give the bits of the same numbers as a matrix: the chain of FMAs is the same.
fn bytes_equal_numbers<T: Float>(isa: Isa) {
    let mut random = Random(7);
    for (count, cols, other) in [(1, 9, 5), (37, 50, 33), (65, 130, 40), (16, 64, 16), (50, 17, 70)] {
        let source: Vec<u8> = (0..(count + 3) * cols).map(|_| random.below(256) as u8).collect();
        let indices: Vec<u32> = (0..count).map(|_| random.below(count + 3) as u32).collect();
        let scale = T::from_f64(1.0 / 255.0);
        let number = |row: usize, j: usize| scale.times(T::from_f64(source[row * cols + j].into()));
        let numbers: Vec<T> = (0..count * cols).map(|at| number(at / cols, at % cols)).collect();
        let picked: Vec<T> = (0..count * cols)
            .map(|at| number(indices[at / cols] as usize, at % cols))
            .collect();
        let mut fill = |len: usize| (0..len).map(|_| T::from_f64(random.unit())).collect::<Vec<T>>();
        let (right, left) = (fill(cols.max(count) * other), fill(other * cols.max(count)));
        let cases = [
            (Bytes::row_major(&source, count, cols, scale).unwrap(), &numbers),
            (Bytes::gathered(&source, cols, &indices, scale).unwrap(), &picked),
        ];
        for ctx in contexts(isa) {
            for (bytes, numbers) in cases {
                let matrix = MatRef::row_major(numbers, count, cols).unwrap();
                let of = |data, rows, cols| MatRef::row_major(data, rows, cols).unwrap();
                let b = of(&right, cols, other);
                let sides = (count, other);
                assert!(product(&ctx, bytes, b, sides) == product(&ctx, matrix, b, sides));
                let (b, sides) = (of(&right, count, other), (cols, other));
                let (x, y) = (bytes.transposed(), matrix.transposed());
                assert!(product(&ctx, x, b, sides) == product(&ctx, y, b, sides));
                let (a, sides) = (of(&left, other, count), (other, cols));
                assert!(product(&ctx, a, bytes, sides) == product(&ctx, a, matrix, sides));
                let (a, sides) = (of(&left, other, cols), (other, count));
                if count > 4 {
                    assert!(product(&ctx, a, x, sides) == product(&ctx, a, y, sides));
                }
            }
        }
    }
}

#[test]
fn bytes_give_the_bits_of_the_same_numbers() {
    for isa in isas() {
        bytes_equal_numbers::<f32>(isa);
        bytes_equal_numbers::<f64>(isa);
    }
}

#[test]
fn bytes_outside_their_slice_are_refused() {
    let source = [0u8; 20];
    assert!(Bytes::row_major(&source, 4, 5, 1.0f32).is_ok());
    assert!(Bytes::row_major(&source, 4, 6, 1.0f32).is_err());
    assert!(Bytes::gathered(&source, 5, &[3, 0], 1.0f32).is_ok());
    let error = Bytes::gathered(&source, 6, &[0, 3], 1.0f32).unwrap_err().to_string();
    assert!(
        error.contains("index 3 at place 1") && error.contains("0..3"),
        "{error}"
    );
}

/// A packed B gives the bits of the matrix, at every edge of its blocks.
fn packed_equals_matrix<T: Float>(isa: Isa) {
    let mut random = Random(8);
    for (m, n, k) in [
        (2, 33, 7),
        (70, 50, 23),
        (5, 64, 300),
        (300, 1030, 700),
        (9, 16, 0),
        (0, 8, 8),
    ] {
        let a: Vec<T> = (0..m * k).map(|_| T::from_f64(random.unit())).collect();
        let b: Vec<T> = (0..k * n).map(|_| T::from_f64(random.unit())).collect();
        let a = MatRef::row_major(&a, m, k).unwrap();
        let views = [
            MatRef::row_major(&b, k, n).unwrap(),
            MatRef::row_major(&b, n, k).unwrap().transposed(),
        ];
        for ctx in contexts(isa).iter().take(if n > 1000 { 1 } else { 3 }) {
            for b in views {
                let packed = ctx.pack_b(b);
                assert_eq!(packed.size(), (k, n));
                assert!(
                    product(ctx, a, &packed, (m, n)) == product(ctx, a, b, (m, n)),
                    "{isa} {m}x{n}x{k}"
                );
            }
        }
    }
}

#[test]
fn a_packed_b_gives_the_bits_of_the_matrix() {
    for isa in isas() {
        packed_equals_matrix::<f32>(isa);
        packed_equals_matrix::<f64>(isa);
    }
}

#[test]
fn a_packed_b_is_refused_as_a_and_on_another_isa() {
    let data = [1.0f32; 16];
    let matrix = MatRef::row_major(&data, 4, 4).unwrap();
    let portable = Context::new(Isa::Portable, Threads::one()).unwrap();
    let packed = portable.pack_b(matrix);
    let mut c = [0.0; 16];
    let mut run = |ctx: &Context, a: Operand<'_, f32>, b: Operand<'_, f32>| {
        let out = MatMut::row_major(&mut c, 4, 4).unwrap();
        ctx.gemm(1.0, a, b, 0.0, out, Epilogue::none())
            .map_err(|error| error.to_string())
    };
    assert!(
        run(&portable, (&packed).into(), matrix.into())
            .unwrap_err()
            .contains("only be the B")
    );
    for isa in isas().into_iter().filter(|isa| *isa != Isa::Portable) {
        let other = Context::new(isa, Threads::one()).unwrap();
        let error = run(&other, matrix.into(), (&packed).into()).unwrap_err();
        assert!(
            error.contains("portable") && error.contains(&isa.to_string()),
            "{error}"
        );
    }
    assert!(run(&portable, matrix.into(), (&packed).into()).is_ok());
}

/// A row stride of 0 repeats one row; its elements are all that is read of it.
fn one_row_repeated<T: Float>(isa: Isa) {
    let mut random = Random(11);
    for (m, n, k) in [(3, 5, 20), (30, 16, 40), (70, 33, 150), (20, 200, 9)] {
        let mut fill = |len: usize| (0..len).map(|_| T::from_f64(random.unit())).collect::<Vec<T>>();
        let (a, row) = (fill(m * k), fill(n));
        let all: Vec<T> = row.iter().copied().cycle().take(k * n).collect();
        let a = MatRef::row_major(&a, m, k).unwrap();
        let repeated = MatRef::new(&row, k, n, 0, 1).unwrap();
        let written_out = MatRef::row_major(&all, k, n).unwrap();
        for ctx in contexts(isa) {
            assert!(product(&ctx, a, repeated, (m, n)) == product(&ctx, a, written_out, (m, n)));
        }
    }
}

#[test]
fn a_repeated_row_gives_the_bits_of_the_matrix() {
    for isa in isas() {
        one_row_repeated::<f32>(isa);
        one_row_repeated::<f64>(isa);
    }
}
