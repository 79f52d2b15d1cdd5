//! What an epilogue writes beside C: the pre-activation, and the sums of C's columns.

use tilelab_kernels::gemm::Blocking;
use tilelab_kernels::{Activation, Context, Epilogue, Float, Isa, MatMut, MatRef, Threads, reference};

use crate::support::matrices::{Layout, Padded};
use crate::support::{Random, isas};

/// C, pre-activation and column sums of one product.
type Outputs<T> = (Padded<T>, Padded<T>, Vec<T>);

struct Inputs<T> {
    a: Padded<T>,
    b: Padded<T>,
    bias: Vec<T>,
    saved: Padded<T>,
    layout: Layout,
}

impl<T: Float> Inputs<T> {
    fn new((m, n, k): (usize, usize, usize), layout: Layout, random: &mut Random) -> Self {
        let mut value = || random.unit();
        Self {
            a: Padded::new(m, k, Layout::RowMajor, 1, &mut value),
            b: Padded::new(k, n, Layout::RowMajor, 2, &mut value),
            bias: (0..n).map(|_| T::from_f64(value())).collect(),
            saved: Padded::new(m, n, Layout::RowMajor, 3, &mut value),
            layout,
        }
    }

    fn run(&self, multiply: impl FnOnce(MatRef<'_, T>, MatRef<'_, T>, MatMut<'_, T>, Epilogue<'_, T>)) -> Outputs<T> {
        let (m, n) = (self.saved.rows, self.saved.cols);
        let mut c = Padded::new(m, n, self.layout, 4, || f64::NAN);
        let mut input = Padded::new(m, n, Layout::RowMajor, 5, || f64::NAN);
        let mut sums = vec![T::from_f64(f64::NAN); n];
        let epilogue = Epilogue::none()
            .bias(&self.bias)
            .activation(Activation::Relu)
            .times_derivative(Activation::Relu, self.saved.view())
            .store_input(input.view_mut())
            .column_sum(&mut sums);
        multiply(self.a.view(), self.b.view(), c.view_mut(), epilogue);
        (c, input, sums)
    }

    fn on(&self, ctx: &Context) -> Outputs<T> {
        self.run(|a, b, c, epilogue| ctx.gemm(T::ONE, a, b, T::ZERO, c, epilogue).unwrap())
    }
}

fn outputs<T: Float>(isa: Isa) {
    let mut random = Random(9);
    let tiny = Blocking { mc: 1, kc: 5, nc: 1 };
    for (turn, sizes) in [
        (1, 1, 1),
        (40, 70, 23),
        (67, 2, 50),
        (100, 4, 9),
        (33, 65, 0),
        (0, 7, 3),
        (130, 100, 90),
    ]
    .into_iter()
    .enumerate()
    {
        let (m, n, k) = sizes;
        let layout = [Layout::RowMajor, Layout::ColumnMajor, Layout::Scattered][turn % 3];
        let inputs = Inputs::<T>::new(sizes, layout, &mut random);
        let expected = inputs.run(|a, b, c, epilogue| reference::gemm(T::ONE, a, b, T::ZERO, c, epilogue));
        for ctx in [
            Context::new(isa, Threads::one()).unwrap(),
            Context::with_blocking(isa, Threads::new(3).unwrap(), tiny).unwrap(),
        ] {
            let got = inputs.on(&ctx);
            // Operands are at most 1: an element is off by at most (k + 3) roundings of k + 1, a sum by m of those and m
            // roundings of its own.
            let element = (k + 3) as f64 * (k + 1) as f64 * T::EPSILON;
            for i in 0..m {
                for j in 0..n {
                    assert!(
                        (got.0.at(i, j) - expected.0.at(i, j)).abs() <= element,
                        "C at ({i}, {j})"
                    );
                    assert!(
                        (got.1.at(i, j) - expected.1.at(i, j)).abs() <= element,
                        "input at ({i}, {j})"
                    );
                }
            }
            for j in 0..n {
                let bound = m as f64 * (element + (m * (k + 1)) as f64 * T::EPSILON);
                let (got, expected) = (got.2[j].to_f64(), expected.2[j].to_f64());
                assert!((got - expected).abs() <= bound, "sum {j}: {got}, expected {expected}");
            }
            assert!(got.0.gaps_are_untouched() && got.1.gaps_are_untouched());
        }
    }
}

#[test]
fn pre_activations_and_column_sums_agree_with_the_oracle() {
    for isa in isas() {
        outputs::<f32>(isa);
        outputs::<f64>(isa);
    }
}

#[test]
fn column_sums_are_the_same_bits_for_any_number_of_threads() {
    let inputs = Inputs::<f32>::new((300, 210, 100), Layout::RowMajor, &mut Random(10));
    for isa in isas() {
        let run = |threads| {
            let outputs = inputs.on(&Context::new(isa, Threads::new(threads).unwrap()).unwrap());
            outputs.2.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        let one = run(1);
        for threads in [2, 3, 7] {
            assert!(run(threads) == one, "{isa}: {threads} threads");
        }
    }
}

#[test]
fn outputs_of_the_wrong_size_are_refused() {
    let ctx = Context::new(Isa::Portable, Threads::one()).unwrap();
    let data = [0.0f32; 12];
    let (mut c, mut short, mut beside, mut sums) = ([0.0; 12], [0.0; 3], [0.0; 12], [0.0; 4]);
    let a = MatRef::row_major(&data, 3, 1).unwrap();
    let b = MatRef::row_major(&data, 1, 4).unwrap();
    let mut run = |epilogue| {
        let out = MatMut::row_major(&mut c, 3, 4).unwrap();
        ctx.gemm(1.0, a, b, 0.0, out, epilogue).map_err(|e| e.to_string())
    };
    let error = run(Epilogue::none().column_sum(&mut short)).unwrap_err();
    assert!(error.contains("column sum has 3 elements, 4"), "{error}");
    let wrong = MatMut::row_major(&mut beside, 4, 3).unwrap();
    let error = run(Epilogue::none().store_input(wrong)).unwrap_err();
    assert!(
        error.contains("pre-activation is 4x3") && error.contains("3x4"),
        "{error}"
    );
    assert!(run(Epilogue::none().column_sum(&mut sums)).is_ok());
}
