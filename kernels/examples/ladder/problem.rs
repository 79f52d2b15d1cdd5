//! What every step of the ladder computes, and the check of its answer.

use tilelab_kernels::{Context, Epilogue, MatMut, MatRef, ShapeError, reference};

/// C (m x n) <- A (m x k) B (k x n), all row-major without gaps.
pub struct Problem {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a: Vec<f32>,
    pub b: Vec<f32>,
    /// Whose ISA the vector steps use, and who runs the last one.
    pub ctx: Context,
}

/// What C must be, and how far each element may be off.
pub struct Answer {
    expected: Vec<f32>,
    /// |A| |B|.
    sizes: Vec<f32>,
}

impl Problem {
    /// Random operands in [-1, 1), the same for the same sizes.
    pub fn new((m, n, k): (usize, usize, usize), ctx: &Context) -> Self {
        let mut state = (m * 31 + n * 17 + k) as u64;
        let mut random = || {
            // The generator of Steele, Lea and Flood (splitmix64), its top 24 bits.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 40) as f32 / (1u32 << 23) as f32 - 1.0
        };
        let a = (0..m * k).map(|_| random()).collect();
        let b = (0..k * n).map(|_| random()).collect();
        let ctx = ctx.clone();
        Self { m, n, k, a, b, ctx }
    }

    /// Floating-point operations: a multiplication and an addition each.
    pub fn flops(&self) -> f64 {
        2.0 * self.m as f64 * self.n as f64 * self.k as f64
    }

    /// The oracle's answer, of the operands and of their magnitudes.
    pub fn answer(&self) -> Result<Answer, ShapeError> {
        let product = |a: &[f32], b: &[f32]| {
            let mut c = vec![0.0f32; self.m * self.n];
            reference::gemm(
                1.0,
                MatRef::row_major(a, self.m, self.k)?,
                MatRef::row_major(b, self.k, self.n)?,
                0.0,
                MatMut::row_major(&mut c, self.m, self.n)?,
                Epilogue::none(),
            );
            Ok(c)
        };
        let magnitudes = |x: &[f32]| x.iter().map(|x| x.abs()).collect::<Vec<_>>();
        Ok(Answer {
            expected: product(&self.a, &self.b)?,
            sizes: product(&magnitudes(&self.a), &magnitudes(&self.b))?,
        })
    }

    /// The largest error of `c` over its bound, (k + 3) eps |A| |B|: at most 1 if it is right, NaN if anything is.
    pub fn error_over_bound(&self, c: &[f32], answer: &Answer) -> f64 {
        if c.len() != answer.expected.len() {
            return f64::NAN;
        }
        let unit = (self.k + 3) as f64 * f64::from(f32::EPSILON);
        let mut worst = 0.0f64;
        for ((got, expected), size) in c.iter().zip(&answer.expected).zip(&answer.sizes) {
            let bound = (unit * f64::from(*size)).max(f64::MIN_POSITIVE);
            let over = (f64::from(*got) - f64::from(*expected)).abs() / bound;
            // max would drop a NaN.
            worst = if over > worst || over.is_nan() { over } else { worst };
        }
        worst
    }
}
