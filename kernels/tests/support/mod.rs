//! What the kernel tests share: contexts, numbers, guarded outputs, distances in ulp; and matrices for the product.

#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

pub mod matrices;

use tilelab_kernels::{Context, Float, Isa, Threads};

/// The ISA that `TILELAB_ISA` forces, else all that this CPU has. A forced one that is missing is a failure.
pub fn isas() -> Vec<Isa> {
    if std::env::var_os("TILELAB_ISA").is_some_and(|name| !name.is_empty()) {
        return vec![Isa::selected().unwrap()];
    }
    for isa in Isa::ALL.into_iter().filter(|isa| !isa.is_available()) {
        println!("skipped: needs a CPU with {isa}");
    }
    Isa::available()
}

/// A context of one thread for each of [`isas`].
pub fn contexts() -> Vec<Context> {
    isas()
        .into_iter()
        .map(|isa| Context::new(isa, Threads::one()).unwrap())
        .collect()
}

/// Runs `f` on 1, 2, 3 and 7 threads of every ISA and asserts the same result.
pub fn same_for_any_threads<R: PartialEq>(f: impl Fn(&Context) -> R) {
    for isa in isas() {
        let one = f(&Context::new(isa, Threads::one()).unwrap());
        for threads in [2, 3, 7] {
            let many = f(&Context::new(isa, Threads::new(threads).unwrap()).unwrap());
            assert!(one == many, "{isa}, {threads} threads: other bits than on one");
        }
    }
}

/// A fixed sequence of numbers (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// Uniform in [-1, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    /// Whole numbers from -`most` to `most`.
    pub fn whole(&mut self, most: u64) -> f64 {
        (self.bits() % (2 * most + 1)) as f64 - most as f64
    }

    /// `n` numbers in [low, high).
    pub fn fill<T: Float>(&mut self, n: usize, low: f64, high: f64) -> Vec<T> {
        let number = |_| T::from_f64(low + (high - low) * (self.bits() >> 11) as f64 / (1u64 << 53) as f64);
        (0..n).map(number).collect()
    }
}

/// Every lane count's neighbourhood and all short lengths: 0..=200.
pub fn lengths() -> std::ops::RangeInclusive<usize> {
    0..=200
}

/// A slice of `len` elements at an odd offset inside a larger one that is filled with guard values.
pub struct Guarded<T> {
    data: Vec<T>,
    offset: usize,
    len: usize,
}

const GUARD: f64 = -12345.0;

impl<T: Float> Guarded<T> {
    pub fn new(len: usize, offset: usize) -> Self {
        Self {
            data: vec![T::from_f64(GUARD); offset + len + 40],
            offset,
            len,
        }
    }

    pub fn of(values: &[T], offset: usize) -> Self {
        let mut new = Self::new(values.len(), offset);
        new.slice().copy_from_slice(values);
        new
    }

    pub fn slice(&mut self) -> &mut [T] {
        &mut self.data[self.offset..self.offset + self.len]
    }

    /// The values, after the guards were found untouched.
    #[track_caller]
    pub fn checked(self) -> Vec<T> {
        for (i, v) in self.data.iter().enumerate() {
            let inside = (self.offset..self.offset + self.len).contains(&i);
            assert!(
                inside || v.to_f64() == GUARD,
                "element {i} outside {}..+{} was written",
                self.offset,
                self.len
            );
        }
        self.data[self.offset..self.offset + self.len].to_vec()
    }
}

/// `|got - want| <= bound(i)` for every element; NaN fails unless both are NaN.
#[track_caller]
pub fn assert_close<T: Float>(what: &str, got: &[T], want: &[f64], bound: impl Fn(usize) -> f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let got = got.to_f64();
        let same = got == want || (got.is_nan() && want.is_nan());
        assert!(
            same || (got - want).abs() <= bound(i),
            "{what}: [{i}] is {got:e}, not {want:e} +- {:e}",
            bound(i)
        );
    }
}

/// The distance of `got` from `want` in units of the last place of a T near `want`; infinite where one is NaN and the other not.
pub fn ulps<T: Float>(got: T, want: f64) -> f64 {
    let got = got.to_f64();
    let (smallest, largest, mantissa) = if T::NAME == "f32" {
        (f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX), 23)
    } else {
        (f64::MIN_POSITIVE, f64::MAX, 52)
    };
    if got.is_nan() || want.is_nan() {
        return if got.is_nan() && want.is_nan() {
            0.0
        } else {
            f64::INFINITY
        };
    }
    let unit = 2f64.powi(want.abs().clamp(smallest, largest).log2().floor() as i32 - mantissa);
    let rounded = T::from_f64(want).to_f64();
    if got == rounded || got == want {
        return if got.is_finite() {
            (got - want).abs() / unit
        } else {
            0.0
        };
    }
    (got - want).abs() / unit
}
