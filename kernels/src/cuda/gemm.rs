//! Products: the ladder of `kernels/cuda/sgemm_ladder.cu` and what follows it, as one table.

use super::activation::{Code, derivative_code, function_code};
use super::call::{self, Arg, Call, CallError, Slice};
use super::geometry;
use crate::Activation;

/// One kernel, in four forms for its operands' transposes.
#[derive(Debug)]
pub struct Kernel {
    /// Its id everywhere, without `_nn`, `_nt`, `_tn`, `_tt`.
    pub id: &'static str,
    /// Rows and columns of a block's tile of C.
    pub tile: (u32, u32),
    /// Threads of a block.
    pub threads: u32,
    /// Least compute capability, as 10 * major + minor.
    pub capability: u32,
    /// Relative error of one factor when it enters a product, beyond that of f32: 2^-11 for tf32.
    pub rounding: f64,
    names: [&'static str; 4],
}

macro_rules! kernel {
    ($id:literal, $tile:expr, $threads:literal, $capability:literal, $rounding:expr) => {
        Kernel {
            id: $id,
            tile: $tile,
            threads: $threads,
            capability: $capability,
            rounding: $rounding,
            names: [
                concat!($id, "_nn"),
                concat!($id, "_nt"),
                concat!($id, "_tn"),
                concat!($id, "_tt"),
            ],
        }
    };
}

/// All of them, the ladder in its order.
pub static KERNELS: [Kernel; 11] = [
    kernel!("sgemm_naive", (16, 16), 256, 75, 0.0),
    kernel!("sgemm_tiles", (16, 16), 256, 75, 0.0),
    kernel!("sgemm_registers", (64, 64), 256, 75, 0.0),
    kernel!("sgemm_vectors", (128, 128), 256, 75, 0.0),
    kernel!("sgemm_double", (64, 64), 128, 75, 0.0),
    kernel!("sgemm_warps", (128, 128), 128, 75, 0.0),
    kernel!("sgemm_async", (64, 64), 128, 80, 0.0),
    kernel!("sgemm_warps_async", (128, 128), 128, 80, 0.0),
    kernel!("gemm_tf32", (128, 64), 128, 80, 1.0 / 2048.0),
    kernel!("gemm_bf16", (128, 64), 128, 80, 1.0 / 256.0),
    // hi + lo hold 22 bits; lo lo is left out.
    kernel!("gemm_tf32x3", (64, 64), 128, 80, 1.0 / 2_097_152.0),
];

/// The kernel of this id.
pub fn kernel(id: &str) -> Option<&'static Kernel> {
    KERNELS.iter().find(|kernel| kernel.id == id)
}

/// What a card has that a choice of kernel depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Card {
    /// Multiprocessors.
    pub multiprocessors: u32,
}

impl Card {
    /// The f32 kernel for an m x n product: large tiles where they give every multiprocessor one, small ones where a quarter of the
    /// multiprocessors gets one, else 16 x 16, without shared memory unless B lies transposed. An H100 measured so (docs/cuda.md);
    /// the kernels that copy asynchronously were ahead nowhere.
    pub fn kernel_for(self, m: u32, n: u32, b_transposed: bool) -> &'static Kernel {
        let occupied = |id, share: u32| {
            let kernel = kernel(id)?;
            let blocks = geometry::tiles((m, n), kernel.tile).unwrap_or(u32::MAX);
            (blocks >= self.multiprocessors.div_ceil(share)).then_some(kernel)
        };
        let least = if b_transposed { "sgemm_tiles" } else { "sgemm_naive" };
        occupied("sgemm_warps", 1)
            .or_else(|| occupied("sgemm_double", 4))
            .or_else(|| kernel(least))
            .unwrap_or(&KERNELS[0])
    }
}

/// A row-major matrix in device memory whose rows begin `stride` elements apart.
#[derive(Debug, Clone, Copy)]
pub struct Matrix {
    /// Its elements; the last row may end with its last column.
    pub data: Slice<f32>,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// At least `cols`.
    pub stride: usize,
}

impl Matrix {
    /// Rows without gaps.
    pub const fn new(data: Slice<f32>, rows: usize, cols: usize) -> Self {
        Self {
            data,
            rows,
            cols,
            stride: cols,
        }
    }

    /// Elements from the first to the last, gaps included.
    fn extent(self) -> usize {
        match self.rows {
            0 => 0,
            rows => (rows - 1).saturating_mul(self.stride).saturating_add(self.cols),
        }
    }

    fn check(self, kernel: &'static str, operand: &'static str) -> Result<(), CallError> {
        if self.stride < self.cols {
            let (got, expected) = (self.stride, self.cols);
            return Err(CallError::Length {
                kernel,
                operand,
                got,
                expected,
            });
        }
        if self.data.len() < self.extent() {
            let (got, expected) = (self.data.len(), self.extent());
            return Err(CallError::Length {
                kernel,
                operand,
                got,
                expected,
            });
        }
        call::size(kernel, "a row stride", self.stride).map(|_| ())
    }
}

/// A factor: a matrix, or its transpose.
#[derive(Debug, Clone, Copy)]
pub struct Factor {
    /// As it lies.
    pub matrix: Matrix,
    /// Whether its transpose is meant.
    pub transposed: bool,
}

impl Factor {
    fn shape(self) -> (usize, usize) {
        let Matrix { rows, cols, .. } = self.matrix;
        if self.transposed { (cols, rows) } else { (rows, cols) }
    }
}

/// What is done to an element before it is stored, as [`crate::Epilogue`] has it. `input` and `saved` have C's shape and row stride.
#[derive(Debug, Clone, Copy, Default)]
pub struct Finish {
    /// One value a column.
    pub bias: Option<Slice<f32>>,
    /// Gets what the activation is applied to.
    pub input: Option<Slice<f32>>,
    /// The activation.
    pub activation: Activation,
    /// The activation whose derivative multiplies, and what it is computed from.
    pub derivative: Option<(Activation, Slice<f32>)>,
}

/// C <- finish(alpha A B + beta C); alpha and beta are single floats in device memory, and beta = 0 never reads C.
///
/// # Errors
/// Shapes that do not fit, or beyond what a grid covers.
pub fn gemm(
    kernel: &'static Kernel,
    alpha: Slice<f32>,
    a: Factor,
    b: Factor,
    beta: Slice<f32>,
    c: Matrix,
    finish: Finish,
) -> Result<Call, CallError> {
    let name = kernel.names[usize::from(a.transposed) * 2 + usize::from(b.transposed)];
    let ((m, k), n) = (a.shape(), c.cols);
    let expect = |operand, got, expected| {
        if got == expected {
            return Ok(());
        }
        Err(CallError::Length {
            kernel: name,
            operand,
            got,
            expected,
        })
    };
    expect("B's rows", b.shape().0, k)?;
    expect("B's columns", b.shape().1, n)?;
    expect("C's rows", c.rows, m)?;
    for (operand, matrix) in [("A", a.matrix), ("B", b.matrix), ("C", c)] {
        matrix.check(name, operand)?;
    }
    call::length(name, "alpha", alpha, 1)?;
    call::length(name, "beta", beta, 1)?;
    if let Some(bias) = finish.bias {
        call::length(name, "bias", bias, n)?;
    }
    let saved = finish.derivative.map(|(_, saved)| saved);
    for (operand, slice) in [("input", finish.input), ("saved", saved)] {
        if let Some(slice) = slice.filter(|slice| slice.len() < c.extent()) {
            call::length(name, operand, slice, c.extent())?;
        }
    }
    let (rows, cols) = (call::size(name, "m", m)?, call::size(name, "n", n)?);
    let blocks = geometry::tiles((rows, cols), kernel.tile).ok_or(CallError::Size {
        kernel: name,
        size: "the number of tiles",
        got: m.saturating_mul(n),
        most: i32::MAX as usize,
    })?;
    let Code { function, parameter } = function_code(finish.activation);
    let derivative = finish
        .derivative
        .map_or(Code::default(), |(activation, _)| derivative_code(activation));
    let address = |slice: Option<Slice<f32>>| Arg::U64(slice.map_or(0, Slice::address));
    let stride = |matrix: Matrix| Arg::U32(matrix.stride as u32);
    let args = vec![
        rows.into(),
        cols.into(),
        call::size(name, "k", k)?.into(),
        alpha.into(),
        a.matrix.data.into(),
        stride(a.matrix),
        b.matrix.data.into(),
        stride(b.matrix),
        beta.into(),
        c.data.into(),
        stride(c),
        address(finish.bias),
        address(finish.input),
        function.into(),
        parameter.into(),
        address(saved),
        derivative.function.into(),
        derivative.parameter.into(),
    ];
    Call::new(name, blocks, kernel.threads, args)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factor(rows: usize, cols: usize, transposed: bool) -> Factor {
        let matrix = Matrix::new(Slice::new(256, rows * cols), rows, cols);
        Factor { matrix, transposed }
    }

    fn one() -> Slice<f32> {
        Slice::new(512, 1)
    }

    #[test]
    fn a_launch_has_the_form_for_its_transposes_and_a_block_a_tile() {
        for (kernel, (ta, tb)) in KERNELS.iter().zip(
            [(false, false), (false, true), (true, false), (true, true)]
                .into_iter()
                .cycle(),
        ) {
            let (m, n, k) = (130, 65, 33);
            let a = if ta { factor(k, m, true) } else { factor(m, k, false) };
            let b = if tb { factor(n, k, true) } else { factor(k, n, false) };
            let c = Matrix::new(Slice::new(1024, m * n), m, n);
            let call = gemm(kernel, one(), a, b, one(), c, Finish::default()).unwrap();
            let letter = |transposed| if transposed { 't' } else { 'n' };
            assert_eq!(call.kernel, format!("{}_{}{}", kernel.id, letter(ta), letter(tb)));
            let (rows, cols) = kernel.tile;
            assert_eq!(call.blocks, 130u32.div_ceil(rows) * 65u32.div_ceil(cols));
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors_that_name_the_operand() {
        let c = Matrix::new(Slice::new(1024, 6), 2, 3);
        let good = gemm(
            &KERNELS[0],
            one(),
            factor(2, 4, false),
            factor(4, 3, false),
            one(),
            c,
            Finish::default(),
        );
        assert!(good.is_ok());
        let finish = Finish {
            bias: Some(Slice::new(0, 2)),
            ..Finish::default()
        };
        let short = Matrix::new(Slice::new(1024, 5), 2, 3);
        for (b, c, finish, operand) in [
            (factor(5, 3, false), c, Finish::default(), "B's rows"),
            (factor(4, 2, false), c, Finish::default(), "B's columns"),
            (factor(4, 3, false), short, Finish::default(), "C"),
            (factor(4, 3, false), c, finish, "bias"),
        ] {
            let error = gemm(&KERNELS[0], one(), factor(2, 4, false), b, one(), c, finish).unwrap_err();
            assert!(
                matches!(error, CallError::Length { operand: named, .. } if named == operand),
                "{error}"
            );
        }
    }

    #[test]
    fn small_products_get_small_tiles() {
        let card = Card { multiprocessors: 132 };
        for ((m, n, b_transposed), id) in [
            ((4096, 4096, false), "sgemm_warps"),
            ((1024, 1024, false), "sgemm_double"),
            ((784, 256, false), "sgemm_double"),
            ((256, 256, false), "sgemm_naive"),
            ((256, 256, true), "sgemm_tiles"),
        ] {
            assert_eq!(card.kernel_for(m, n, b_transposed).id, id, "{m} x {n}");
        }
    }
}
