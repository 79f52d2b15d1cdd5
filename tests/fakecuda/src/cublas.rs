//! A stand-in cuBLAS of plain loops, so that what is said to the real one can be checked: handles, streams, column-major products.
#![allow(
    non_snake_case,
    clippy::missing_safety_doc,
    missing_docs,
    reason = "cublas_v2.h documents them"
)]
// SAFETY, of every function: the caller gives pointers as cublas_v2.h asks for them.
#![allow(unsafe_op_in_unsafe_fn, unsafe_code, clippy::undocumented_unsafe_blocks)]

use std::ffi::{c_int, c_void};

use crate::calls::card;

/// Status values of cuBLAS.
const SUCCESS: c_int = 0;
const NOT_INITIALIZED: c_int = 1;
const INVALID_VALUE: c_int = 7;
const EXECUTION_FAILED: c_int = 13;

/// What a handle knows.
struct Handle {
    stream: *mut c_void,
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasCreate_v2(handle: *mut *mut c_void) -> c_int {
    let new = Handle {
        stream: std::ptr::null_mut(),
    };
    *handle = Box::into_raw(Box::new(new)).cast();
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasDestroy_v2(handle: *mut c_void) -> c_int {
    drop(Box::from_raw(handle.cast::<Handle>()));
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasSetStream_v2(handle: *mut c_void, stream: *mut c_void) -> c_int {
    (*handle.cast::<Handle>()).stream = stream;
    SUCCESS
}

/// Plain loops are exact enough for every mode.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasSetMathMode(_handle: *mut c_void, mode: c_int) -> c_int {
    if [0, 3].contains(&mode) { SUCCESS } else { INVALID_VALUE }
}

/// Column-major C = alpha op(A) op(B) + beta C; here when what its stream holds is done.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasSgemm_v2(
    handle: *mut c_void,
    a_operation: c_int,
    b_operation: c_int,
    m: c_int,
    n: c_int,
    k: c_int,
    alpha: *const f32,
    a: u64,
    lda: c_int,
    b: u64,
    ldb: c_int,
    beta: *const f32,
    c: u64,
    ldc: c_int,
) -> c_int {
    let stream = (*handle.cast::<Handle>()).stream;
    if stream.is_null() {
        return NOT_INITIALIZED;
    }
    let size = |x: c_int| usize::try_from(x).unwrap_or(0);
    let (m, n, k, lda, ldb, ldc) = (size(m), size(n), size(k), size(lda), size(ldb), size(ldc));
    let (a_rows, b_rows) = (
        if a_operation == 0 { m } else { k },
        if b_operation == 0 { k } else { n },
    );
    if lda < a_rows || ldb < b_rows || ldc < m {
        return INVALID_VALUE;
    }
    let mut card = card();
    if card.run_stream(stream as u64) != 0 {
        return EXECUTION_FAILED;
    }
    card.tick();
    let mut at = |address: u64, element: usize| {
        let mut bytes = [0; 4];
        let read = card.machine.read(address + 4 * element as u64, &mut bytes);
        card.note(read);
        f32::from_le_bytes(bytes)
    };
    let mut sums = vec![0.0f32; m * n];
    for (element, sum) in sums.iter_mut().enumerate() {
        let (i, j) = (element % m, element / m);
        for p in 0..k {
            let x = at(a, if a_operation == 0 { p * lda + i } else { i * lda + p });
            let y = at(b, if b_operation == 0 { j * ldb + p } else { p * ldb + j });
            *sum += x * y;
        }
        let old = if *beta == 0.0 { 0.0 } else { *beta * at(c, j * ldc + i) };
        *sum = *alpha * *sum + old;
    }
    for (element, sum) in sums.iter().enumerate() {
        let (i, j) = (element % m, element / m);
        let written = card.machine.write(c + 4 * (j * ldc + i) as u64, &sum.to_le_bytes());
        card.note(written);
    }
    if card.status() == 0 { SUCCESS } else { EXECUTION_FAILED }
}
