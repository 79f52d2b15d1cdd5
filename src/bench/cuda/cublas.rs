//! cuBLAS as a contestant: loaded at run time, never linked.
#![allow(unsafe_code)] // a library's functions take pointers, and nobody but its documentation vouches for them

use std::ffi::{c_int, c_void};
use std::path::Path;

use libloading::Library;
use tilelab_kernels::cuda::Stream;
use tilelab_kernels::cuda::gemm::{Factor, Matrix};

/// Names that the loader is asked for; 12 is the first whose driver is new enough for our PTX.
const KNOWN: [&str; 3] = ["libcublas.so.13", "libcublas.so.12", "libcublas.so"];

/// How cuBLAS may multiply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Math {
    /// In f32: `CUBLAS_DEFAULT_MATH`.
    Single,
    /// On tensor cores, factors rounded to tf32: `CUBLAS_TF32_TENSOR_OP_MATH`.
    Tf32,
}

/// `cublasSgemm_v2`, column-major: handle, transposes, sizes, alpha, A, lda, B, ldb, beta, C, ldc; a status.
type Sgemm = unsafe extern "C" fn(
    *mut c_void,
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    *const f32,
    u64,
    c_int,
    u64,
    c_int,
    *const f32,
    u64,
    c_int,
) -> c_int;

type OfHandle = unsafe extern "C" fn(*mut c_void) -> c_int;

/// A handle of a loaded cuBLAS, on a stream.
#[derive(Debug)]
pub struct Cublas {
    math: Math,
    handle: *mut c_void,
    sgemm: Sgemm,
    destroy: OfHandle,
    // The functions live as long as this.
    _loaded: Library,
}

impl Cublas {
    /// Loads `file`, or whichever the loader finds: none is no error then.
    ///
    /// # Errors
    /// One line: `file` can't be loaded or is no cuBLAS, or it does not start.
    pub fn open(file: Option<&Path>, stream: &Stream, math: Math) -> Result<Option<Self>, String> {
        // SAFETY: its initialisers run; that is what whoever has a cuBLAS installed or names one asks for.
        let load = |path: &Path| unsafe { Library::new(path) };
        let (shown, loaded) = match file {
            Some(file) => {
                let loaded = load(file).map_err(|error| {
                    let error = error.to_string();
                    let why = error.lines().next().unwrap_or_default();
                    format!("{}: can't be loaded ({why})", file.display())
                });
                (file.display().to_string(), loaded?)
            }
            None => match KNOWN.iter().find_map(|name| Some((name, load(Path::new(name)).ok()?))) {
                Some((name, loaded)) => ((*name).to_owned(), loaded),
                None => return Ok(None),
            },
        };
        Self::start(loaded, stream, math)
            .map(Some)
            .map_err(|why| format!("{shown}: {why}"))
    }

    fn start(loaded: Library, stream: &Stream, math: Math) -> Result<Self, String> {
        let lacks = |name: &str| format!("has no {name}; give --blas a cuBLAS");
        let of_handle = |name: &str| {
            // SAFETY: functions of these names have had this type since cuBLAS 4.
            let found = unsafe { loaded.get::<OfHandle>(name.as_bytes()) };
            found.map(|symbol| *symbol).map_err(|_| lacks(name))
        };
        let with_pointer = |name: &str| {
            // SAFETY: as above.
            let found =
                unsafe { loaded.get::<unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int>(name.as_bytes()) };
            found.map(|symbol| *symbol).map_err(|_| lacks(name))
        };
        let with_number = |name: &str| {
            // SAFETY: as above.
            let found = unsafe { loaded.get::<unsafe extern "C" fn(*mut c_void, c_int) -> c_int>(name.as_bytes()) };
            found.map(|symbol| *symbol).map_err(|_| lacks(name))
        };
        let (create, destroy) = (of_handle("cublasCreate_v2")?, of_handle("cublasDestroy_v2")?);
        let set_stream = with_pointer("cublasSetStream_v2")?;
        let set_math = with_number("cublasSetMathMode")?;
        // SAFETY: as above.
        let sgemm = unsafe { loaded.get::<Sgemm>(b"cublasSgemm_v2") }
            .map(|symbol| *symbol)
            .map_err(|_| lacks("cublasSgemm_v2"))?;
        let at = stream.handle().map_err(|error| error.to_string())?;
        let mut handle = std::ptr::null_mut::<c_void>();
        // SAFETY: the card's context is this thread's (`handle` above); the call writes one pointer.
        done("cublasCreate", unsafe { create((&raw mut handle).cast()) })?;
        let library = Self {
            math,
            handle,
            sgemm,
            destroy,
            _loaded: loaded,
        };
        let mode = match math {
            Math::Single => 0,
            Math::Tf32 => 3,
        };
        // SAFETY: the handle was just made; the stream outlives what is launched, since its track outlives the contestants.
        unsafe {
            done("cublasSetStream", set_stream(handle, at))?;
            done("cublasSetMathMode", set_math(handle, mode))?;
        }
        Ok(library)
    }

    /// Its id in tables and records.
    pub fn name(&self) -> &'static str {
        match self.math {
            Math::Single => "cublas",
            Math::Tf32 => "cublas-tf32",
        }
    }

    /// Relative error of a factor when it enters a product, beyond that of f32.
    pub fn rounding(&self) -> f64 {
        match self.math {
            Math::Single => 0.0,
            Math::Tf32 => 1.0 / 2048.0,
        }
    }

    /// C (row-major) <- A B, launched on its stream. Column-major C^T = B^T A^T is the same memory.
    ///
    /// # Errors
    /// A status of cuBLAS.
    pub fn product(&self, a: Factor, b: Factor, c: Matrix) -> Result<(), String> {
        let k = if a.transposed { a.matrix.rows } else { a.matrix.cols };
        let int = |x: usize| x as c_int;
        let (one, zero) = (1.0f32, 0.0f32);
        // SAFETY: a launch, which reads and writes device memory only; the sizes are those of the matrices, whose buffers live until the
        // case is over. Alpha and beta are read before it returns.
        let status = unsafe {
            (self.sgemm)(
                self.handle,
                c_int::from(b.transposed),
                c_int::from(a.transposed),
                int(c.cols),
                int(c.rows),
                int(k),
                &raw const one,
                b.matrix.data.address(),
                int(b.matrix.stride),
                a.matrix.data.address(),
                int(a.matrix.stride),
                &raw const zero,
                c.data.address(),
                int(c.stride),
            )
        };
        done("cublasSgemm", status)
    }
}

impl Drop for Cublas {
    fn drop(&mut self) {
        // SAFETY: the handle is ours, and nothing is launched by it any more.
        unsafe { (self.destroy)(self.handle) };
    }
}

fn done(call: &str, status: c_int) -> Result<(), String> {
    match status {
        0 => Ok(()),
        status => Err(format!("{call} gives status {status}")),
    }
}
