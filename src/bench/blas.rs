//! BLAS libraries of this machine as contestants: loaded at run time, never linked.
#![allow(unsafe_code)] // a library's functions take pointers, and nobody but its documentation vouches for them

use std::ffi::{c_char, c_float, c_int, c_longlong};
use std::path::Path;

use libloading::Library as Loaded;
use tilelab_kernels::{MatMut, MatRef};

use super::gemm::{Multiplier, Operands};
use crate::cli::shapes::{Product, Shape};

/// Libraries that the loader is asked for by name.
const KNOWN: [&str; 6] = [
    "libopenblas.so.0",
    "libblis.so.4",
    "libmkl_rt.so.2",
    "libdnnl.so.3",
    "libdnnl.so.2",
    "libdnnl.so",
];

/// `cblas_sgemm` of the reference interface, and `cblas_dgemm` with T = f64: order, transposes, sizes, alpha, A, lda, B,
/// ldb, beta, C, ldc.
type Cblas<T> = unsafe extern "C" fn(
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    T,
    *const T,
    c_int,
    *const T,
    c_int,
    T,
    *mut T,
    c_int,
);

/// Asks a library that has code for some shapes only: transposes as letters, sizes; 0 for no. `benches/peers.sh` makes one.
type MadeFor = unsafe extern "C" fn(c_char, c_char, c_int, c_int, c_int) -> c_int;

/// oneDNN's row-major sgemm: transposes as letters, sizes, alpha, A, lda, B, ldb, beta, C, ldc; a status.
type Dnnl = unsafe extern "C" fn(
    c_char,
    c_char,
    c_longlong,
    c_longlong,
    c_longlong,
    c_float,
    *const c_float,
    c_longlong,
    *const c_float,
    c_longlong,
    c_float,
    *mut c_float,
    c_longlong,
) -> c_int;

/// Each takes the number of threads.
const SET_THREADS: [&str; 5] = [
    "openblas_set_num_threads",
    "scipy_openblas_set_num_threads",
    "MKL_Set_Num_Threads",
    "bli_thread_set_num_threads",
    // Of the OpenMP runtime that a library is linked with.
    "omp_set_num_threads",
];

#[derive(Debug, Clone, Copy)]
enum Sgemm {
    Cblas(Cblas<f32>),
    Dnnl(Dnnl),
}

/// A loaded library and its sgemm.
#[derive(Debug)]
pub struct Library {
    name: String,
    sgemm: Sgemm,
    dgemm: Option<Cblas<f64>>,
    made_for: Option<MadeFor>,
    // The function lives as long as this.
    _loaded: Loaded,
}

impl Library {
    /// Loads `path`, a file or a name that the loader knows, and sets its number of threads.
    ///
    /// # Errors
    /// One line: it can't be loaded, or has none of `cblas_sgemm`, `scipy_cblas_sgemm` and `dnnl_sgemm`.
    pub fn open(path: &Path, threads: usize) -> Result<Self, String> {
        let shown = path.display();
        // SAFETY: its initialisers run; that is what whoever names a BLAS library asks for.
        let loaded = unsafe { Loaded::new(path) }.map_err(|error| {
            let error = error.to_string();
            format!(
                "{shown}: can't be loaded ({})",
                error.lines().next().unwrap_or_default()
            )
        })?;
        let cblas = |name: &str| {
            // SAFETY: a symbol of this name has this type in every library that documents it.
            unsafe { loaded.get::<Cblas<f32>>(name.as_bytes()) }
                .map(|symbol| *symbol)
                .ok()
        };
        // SAFETY: as above.
        let dnnl = unsafe { loaded.get::<Dnnl>(b"dnnl_sgemm") }.map(|symbol| *symbol).ok();
        let cblas = cblas("cblas_sgemm").or_else(|| cblas("scipy_cblas_sgemm"));
        let Some(sgemm) = dnnl.map(Sgemm::Dnnl).or(cblas.map(Sgemm::Cblas)) else {
            return Err(format!(
                "{shown}: has neither cblas_sgemm, scipy_cblas_sgemm nor dnnl_sgemm; give --blas a BLAS library or oneDNN"
            ));
        };
        let dgemm = ["cblas_dgemm", "scipy_cblas_dgemm"].iter().find_map(|name| {
            // SAFETY: as above.
            unsafe { loaded.get::<Cblas<f64>>(name.as_bytes()) }
                .map(|symbol| *symbol)
                .ok()
        });
        // SAFETY: a name of our own.
        let made_for = unsafe { loaded.get::<MadeFor>(b"tilelab_made_for") }
            .map(|symbol| *symbol)
            .ok();
        for name in SET_THREADS {
            // SAFETY: as above; each takes an int.
            if let Ok(set) = unsafe { loaded.get::<unsafe extern "C" fn(c_int)>(name.as_bytes()) } {
                // SAFETY: a count of threads, checked to be small and positive when it was typed.
                unsafe { set(threads as c_int) };
            }
        }
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let stem = name.split(".so").next().unwrap_or(&name);
        Ok(Self {
            name: stem.strip_prefix("lib").unwrap_or(stem).to_owned(),
            sgemm,
            dgemm,
            made_for,
            _loaded: loaded,
        })
    }

    /// Those of the known libraries that this machine has.
    pub fn found(threads: usize) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        for name in KNOWN {
            if let Ok(library) = Self::open(Path::new(name), threads)
                && found.iter().all(|other| other.name != library.name)
            {
                found.push(library);
            }
        }
        found
    }

    /// Its id in tables and records, such as `openblas`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it has code for this product; most have for all.
    pub fn takes(&self, product: Product) -> bool {
        let Some(made_for) = self.made_for else { return true };
        let (ta, tb) = (letter(product.a_transposed), letter(product.b_transposed));
        let Shape { m, n, k } = product.shape;
        // SAFETY: takes letters and numbers.
        unsafe { made_for(ta, tb, m as c_int, n as c_int, k as c_int) != 0 }
    }

    /// It as a contestant in f32.
    pub fn single(&self) -> Multiplier<'_> {
        Multiplier::new(self.name(), |operands: &Operands, c| {
            self.sgemm(operands.a(), operands.b(), c)
        })
    }

    /// It as a contestant in f64, if it has a dgemm.
    pub fn double(&self) -> Option<Multiplier<'_, f64>> {
        let dgemm = self.dgemm?;
        Some(Multiplier::new(self.name(), move |operands: &Operands<f64>, c| {
            self.cblas(dgemm, (1.0, 0.0), (operands.a(), operands.b()), c);
        }))
    }

    /// C (row-major) <- A B.
    ///
    /// # Panics
    /// When shapes don't fit, or an operand is neither row-major nor the transpose of what is.
    pub fn sgemm(&self, a: MatRef<'_, f32>, b: MatRef<'_, f32>, mut c: MatMut<'_, f32>) {
        match self.sgemm {
            Sgemm::Cblas(sgemm) => self.cblas(sgemm, (1.0, 0.0), (a, b), c),
            Sgemm::Dnnl(sgemm) => {
                let ((m, n, k), (a_transposed, lda), (b_transposed, ldb)) = self.fitting(a, b, &c);
                let int = |x: usize| x as c_longlong;
                let (ta, tb, ldc) = (letter(a_transposed), letter(b_transposed), int(c.row_stride()));
                let (pa, pb, pc) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
                let (m, n, k, lda, ldb) = (int(m), int(n), int(k), int(lda), int(ldb));
                // SAFETY: the shapes fit each other (asserted), the views hold every element that their strides reach, C
                // holds m x n and is borrowed exclusively.
                let status = unsafe { sgemm(ta, tb, m, n, k, 1.0, pa, lda, pb, ldb, 0.0, pc, ldc) };
                assert!(status == 0, "dnnl_sgemm gave status {status}");
            }
        }
    }

    /// C (row-major) <- alpha A B + beta C by the reference interface.
    fn cblas<T>(&self, gemm: Cblas<T>, by: (T, T), (a, b): (MatRef<'_, T>, MatRef<'_, T>), mut c: MatMut<'_, T>) {
        let ((m, n, k), (a_transposed, lda), (b_transposed, ldb)) = self.fitting(a, b, &c);
        let int = |x: usize| x as c_int;
        // 101 is row-major, 111 and 112 are plain and transposed.
        let transposed = |yes| if yes { 112 } else { 111 };
        let (ta, tb, ldc) = (transposed(a_transposed), transposed(b_transposed), int(c.row_stride()));
        let (pa, pb, pc) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
        let (m, n, k, lda, ldb) = (int(m), int(n), int(k), int(lda), int(ldb));
        // SAFETY: as for oneDNN.
        unsafe { gemm(101, ta, tb, m, n, k, by.0, pa, lda, pb, ldb, by.1, pc, ldc) };
    }

    /// Sizes, and of either operand whether it lies transposed, and its leading dimension.
    fn fitting<T>(&self, a: MatRef<'_, T>, b: MatRef<'_, T>, c: &MatMut<'_, T>) -> (Sizes, Lies, Lies) {
        let (m, n, k) = (a.rows(), b.cols(), a.cols());
        assert!(
            b.rows() == k && (c.rows(), c.cols(), c.col_stride()) == (m, n, 1),
            "{}: shapes don't fit",
            self.name
        );
        let leading = |x: MatRef<'_, T>| match (x.row_stride(), x.col_stride()) {
            (leading, 1) => (false, leading),
            (1, leading) => (true, leading),
            _ => panic!("{}: an operand with two strides", self.name),
        };
        ((m, n, k), leading(a), leading(b))
    }
}

/// m, n, k.
type Sizes = (usize, usize, usize);

/// Whether an operand lies transposed, and its leading dimension.
type Lies = (bool, usize);

fn letter(transposed: bool) -> c_char {
    if transposed { b'T' as c_char } else { b'N' as c_char }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_blas_library_is_named_in_one_line() {
        let told = |path: &str| Library::open(Path::new(path), 1).unwrap_err();
        for path in ["/nope/libnope.so", "/proc/self/status"] {
            let line = told(path);
            assert!(
                line.starts_with(path) && line.contains("can't be loaded") && !line.contains('\n'),
                "{line}"
            );
        }
        let line = told("libc.so.6");
        assert!(
            line.contains("libc.so.6") && line.contains("neither cblas_sgemm"),
            "{line}"
        );
    }
}
