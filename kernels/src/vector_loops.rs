//! Loops over one contiguous run of elements, a vector at a time: maps, and the reductions of a row.
//!
//! A run's last elements are loaded and stored under a mask and go through the same instructions as all others, so that a
//! result never depends on an element's place. Sums are taken in an order that depends on the ISA and the row's length alone: [`WAYS`] partial vectors, added in pairs,
//! then the lanes in halves.

use crate::Float;
use crate::simd::{Arithmetic, Pair, Simd};

/// A function of one vector.
pub(crate) trait Map<T: Float>: Copy + Send + Sync {
    /// Must be `#[inline(always)]`.
    fn map<S: Arithmetic<T>>(self, s: S, x: S::V) -> S::V;
}

/// A function of two vectors.
pub(crate) trait Zip<T: Float>: Copy + Send + Sync {
    /// Must be `#[inline(always)]`.
    fn zip<S: Arithmetic<T>>(self, s: S, a: S::V, b: S::V) -> S::V;
}

/// Independent partial results: enough to hide an addition's latency.
const WAYS: usize = 4;

/// The largest element by `>`, NaN passed over: -inf if there is none.
///
/// # Safety
/// `x` is valid for reads of `n` elements.
#[inline(always)]
pub(crate) unsafe fn largest<T: Float, S: Simd<T>>(s: S, x: *const T, n: usize) -> T {
    let lowest = s.sub(s.splat(T::ZERO), s.splat(T::INFINITY));
    let mut top = [lowest; WAYS];
    let mut i = 0;
    while i + WAYS * S::LANES <= n {
        for (w, top) in top.iter_mut().enumerate() {
            // SAFETY: i + WAYS * LANES <= n.
            *top = s.max(unsafe { s.load(x.add(i + w * S::LANES)) }, *top);
        }
        i += WAYS * S::LANES;
    }
    while i < n {
        let m = s.first(n - i);
        // SAFETY: the mask has the lanes that are left, at most.
        let v = unsafe { s.load_masked(x.add(i), m) };
        top[0] = s.max(s.select(m, v, lowest), top[0]);
        i += S::LANES;
    }
    s.largest(s.max(s.max(top[0], top[1]), s.max(top[2], top[3])))
}

/// The sum of f(x\[j\]); f(x\[j\]) goes to y\[j\] where there is a y. The `n` elements at `next`, read after these, are asked for meanwhile:
/// the first pass over a row does nothing but wait for memory otherwise.
///
/// # Safety
/// `x` is valid for reads, `y`, if any, for writes of `n` elements; they are the same or do not overlap.
#[inline(always)]
pub(crate) unsafe fn sum_of<T: Float, S: Simd<T>, F: Map<T>>(
    s: S,
    f: F,
    x: *const T,
    y: Option<*mut T>,
    n: usize,
    next: Option<*const T>,
) -> T {
    let mut sum = [s.splat(T::ZERO); WAYS];
    let mut i = 0;
    while i + WAYS * S::LANES <= n {
        if let Some(next) = next {
            for w in 0..WAYS {
                s.prefetch(next.wrapping_add(i + w * S::LANES));
            }
        }
        for w in (0..WAYS).step_by(2) {
            let (first, second) = (i + w * S::LANES, i + (w + 1) * S::LANES);
            // SAFETY: second + LANES <= n.
            let v = unsafe { f.map(Pair(s), (s.load(x.add(first)), s.load(x.add(second)))) };
            if let Some(y) = y {
                // SAFETY: as above.
                unsafe {
                    s.store(y.add(first), v.0);
                    s.store(y.add(second), v.1);
                }
            }
            sum[w] = s.add(sum[w], v.0);
            sum[w + 1] = s.add(sum[w + 1], v.1);
        }
        i += WAYS * S::LANES;
    }
    while i < n {
        let m = s.first(n - i);
        // SAFETY: the mask has the lanes that are left, at most.
        let v = f.map(s, unsafe { s.load_masked(x.add(i), m) });
        if let Some(y) = y {
            // SAFETY: as above.
            unsafe { s.store_masked(y.add(i), m, v) };
        }
        sum[0] = s.add(sum[0], s.select(m, v, s.splat(T::ZERO)));
        i += S::LANES;
    }
    s.sum(s.add(s.add(sum[0], sum[1]), s.add(sum[2], sum[3])))
}

/// The sum of f(a\[j\], b\[j\]).
///
/// # Safety
/// `a` and `b` are valid for reads of `n` elements.
#[inline(always)]
pub(crate) unsafe fn sum_of_zip<T: Float, S: Simd<T>, F: Zip<T>>(s: S, f: F, a: *const T, b: *const T, n: usize) -> T {
    let mut sum = [s.splat(T::ZERO); WAYS];
    let mut i = 0;
    while i + WAYS * S::LANES <= n {
        for (w, sum) in sum.iter_mut().enumerate() {
            let at = i + w * S::LANES;
            // SAFETY: at + LANES <= n.
            *sum = s.add(*sum, unsafe { f.zip(s, s.load(a.add(at)), s.load(b.add(at))) });
        }
        i += WAYS * S::LANES;
    }
    while i < n {
        let m = s.first(n - i);
        // SAFETY: the mask has the lanes that are left, at most.
        let v = unsafe { f.zip(s, s.load_masked(a.add(i), m), s.load_masked(b.add(i), m)) };
        sum[0] = s.add(sum[0], s.select(m, v, s.splat(T::ZERO)));
        i += S::LANES;
    }
    s.sum(s.add(s.add(sum[0], sum[1]), s.add(sum[2], sum[3])))
}

/// [`map`] with stores past the caches, for a `y` that nobody reads soon. A fence must follow the last of them: it waits until memory has them
/// all, which is not to be done row by row.
///
/// # Safety
/// As there.
#[inline(always)]
pub(crate) unsafe fn map_streaming<T: Float, S: Simd<T>, F: Map<T>>(s: S, f: F, x: *const T, y: *mut T, n: usize) {
    let bytes = size_of::<T>() * S::LANES;
    // Up to the first address that a whole vector may be streamed to.
    let head = (y.addr().wrapping_neg() % bytes / size_of::<T>()).min(n);
    let whole = head + (n - head) / S::LANES * S::LANES;
    // SAFETY: the three parts lie within n, and the middle one begins at an aligned address.
    unsafe {
        map(s, f, x, y, head);
        let mut i = head;
        while S::PAIRS && i + 2 * S::LANES <= whole {
            let (first, second) = (i, i + S::LANES);
            let v = f.map(Pair(s), (s.load(x.add(first)), s.load(x.add(second))));
            s.stream(y.add(first), v.0);
            s.stream(y.add(second), v.1);
            i += 2 * S::LANES;
        }
        while i < whole {
            s.stream(y.add(i), f.map(s, s.load(x.add(i))));
            i += S::LANES;
        }
        map(s, f, x.add(whole), y.add(whole), n - whole);
    }
}

/// y\[j\] = f(x\[j\]).
///
/// # Safety
/// `x` is valid for reads and `y` for writes of `n` elements; they are the same or do not overlap.
#[inline(always)]
pub(crate) unsafe fn map<T: Float, S: Simd<T>, F: Map<T>>(s: S, f: F, x: *const T, y: *mut T, n: usize) {
    let mut i = 0;
    while S::PAIRS && i + 2 * S::LANES <= n {
        let (first, second) = (i, i + S::LANES);
        // SAFETY: second + LANES <= n.
        unsafe {
            let v = f.map(Pair(s), (s.load(x.add(first)), s.load(x.add(second))));
            s.store(y.add(first), v.0);
            s.store(y.add(second), v.1);
        }
        i += 2 * S::LANES;
    }
    while i + S::LANES <= n {
        // SAFETY: i + LANES <= n.
        unsafe { s.store(y.add(i), f.map(s, s.load(x.add(i)))) };
        i += S::LANES;
    }
    if i < n {
        let m = s.first(n - i);
        // SAFETY: the mask has the n - i lanes that are left.
        unsafe { s.store_masked(y.add(i), m, f.map(s, s.load_masked(x.add(i), m))) };
    }
}

/// c\[j\] = f(a\[j\], b\[j\]).
///
/// # Safety
/// `a` and `b` are valid for reads and `c` for writes of `n` elements; c is the same as a or b, or does not overlap them.
#[inline(always)]
pub(crate) unsafe fn zip<T: Float, S: Simd<T>, F: Zip<T>>(s: S, f: F, a: *const T, b: *const T, c: *mut T, n: usize) {
    let mut i = 0;
    while S::PAIRS && i + 2 * S::LANES <= n {
        let (first, second) = (i, i + S::LANES);
        // SAFETY: second + LANES <= n.
        unsafe {
            let from_a = (s.load(a.add(first)), s.load(a.add(second)));
            let from_b = (s.load(b.add(first)), s.load(b.add(second)));
            let v = f.zip(Pair(s), from_a, from_b);
            s.store(c.add(first), v.0);
            s.store(c.add(second), v.1);
        }
        i += 2 * S::LANES;
    }
    while i + S::LANES <= n {
        // SAFETY: i + LANES <= n.
        unsafe { s.store(c.add(i), f.zip(s, s.load(a.add(i)), s.load(b.add(i)))) };
        i += S::LANES;
    }
    if i < n {
        let m = s.first(n - i);
        // SAFETY: the mask has the n - i lanes that are left.
        unsafe {
            s.store_masked(
                c.add(i),
                m,
                f.zip(s, s.load_masked(a.add(i), m), s.load_masked(b.add(i), m)),
            )
        };
    }
}
