//! A [`Context`]: the ISA, the worker threads, the scratch memory and the cache blocking. Made once, passed in.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::gemm::{Blocking, Caches, Kernels};
use crate::pool::Pool;
use crate::scratch::Scratch;
use crate::{ContextError, Float, Isa};

/// How many threads work on one call, the caller's own included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threads(usize);

impl Threads {
    /// More than this is refused: a typing error, not a machine.
    pub const MAX: usize = 1024;

    /// Every CPU that this process may use.
    pub fn all() -> Self {
        Self(
            std::thread::available_parallelism()
                .map_or(1, |n| n.get())
                .min(Self::MAX),
        )
    }

    /// The caller's thread alone.
    pub const fn one() -> Self {
        Self(1)
    }

    /// `n` threads.
    ///
    /// # Errors
    /// When `n` is 0 or above [`Threads::MAX`].
    pub const fn new(n: usize) -> Result<Self, ContextError> {
        if n == 0 || n > Self::MAX {
            Err(ContextError::Threads(n))
        } else {
            Ok(Self(n))
        }
    }

    /// The number.
    pub const fn get(self) -> usize {
        self.0
    }
}

/// Where kernels run: an ISA, worker threads, scratch memory, blocking. A cheap handle: clones share all of it.
///
/// Calls on one context serialise on its scratch, but for products so small that they need none. For two calls at once,
/// make two contexts.
///
/// ```
/// use tilelab_kernels::{Context, Epilogue, Isa, MatMut, MatRef, Threads};
///
/// let ctx = Context::new(Isa::selected()?, Threads::all())?;
/// let (a, b, mut c) = ([1.0f32, 2.0, 3.0, 4.0], [1.0, 0.0, 0.0, 1.0], [0.0; 4]);
/// let (a, b) = (MatRef::row_major(&a, 2, 2)?, MatRef::row_major(&b, 2, 2)?);
/// ctx.gemm(1.0, a, b, 0.0, MatMut::row_major(&mut c, 2, 2)?, Epilogue::none())?;
/// assert_eq!(c, [1.0, 2.0, 3.0, 4.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    isa: Isa,
    blocking: Option<Blocking>,
    caches: Caches,
    threads: Threads,
    working: Mutex<Working>,
}

/// What a call holds while it works.
#[derive(Debug)]
pub struct Working {
    pub(crate) pool: Pool,
    pub(crate) scratch: Scratch,
}

impl Context {
    /// A context on `isa` with `threads` threads; blocking from the machine's cache sizes.
    ///
    /// # Errors
    /// When the CPU lacks `isa`, or a worker can't be started.
    pub fn new(isa: Isa, threads: Threads) -> Result<Self, ContextError> {
        Self::build(isa, threads, None)
    }

    /// The same with the blocking given, for tests and for measuring it.
    ///
    /// # Errors
    /// As [`Context::new`].
    pub fn with_blocking(isa: Isa, threads: Threads, blocking: Blocking) -> Result<Self, ContextError> {
        Self::build(isa, threads, Some(blocking))
    }

    fn build(isa: Isa, threads: Threads, blocking: Option<Blocking>) -> Result<Self, ContextError> {
        let isa = isa.require()?;
        let pool = Pool::new(threads.get() - 1).map_err(|error| ContextError::Spawn(error.to_string()))?;
        let working = Mutex::new(Working {
            pool,
            scratch: Scratch::default(),
        });
        Ok(Self {
            inner: Arc::new(Inner {
                isa,
                blocking,
                caches: Caches::detect(),
                threads,
                working,
            }),
        })
    }

    /// Its ISA.
    pub fn isa(&self) -> Isa {
        self.inner.isa
    }

    /// Its threads.
    pub fn threads(&self) -> Threads {
        self.inner.threads
    }

    /// Lets idle workers sleep at once instead of spinning for the next call: for a bench, before something else's turn.
    pub fn park(&self) {
        self.working().pool.park();
    }

    /// Id of the kernel that large products run on, such as `sgemm-avx2-6x16`.
    pub fn gemm_kernel_id<T: Float>(&self) -> String {
        Kernels::<T>::of(self.isa()).largest().id()
    }

    /// Blocking that was injected, if any.
    pub(crate) fn blocking(&self) -> Option<Blocking> {
        self.inner.blocking
    }

    /// The caches that blocking is computed from.
    pub(crate) fn caches(&self) -> Caches {
        self.inner.caches
    }

    /// The workers and the scratch, for the length of a call. A panic of an earlier call left nothing half-done that
    /// a later one reads, so a poisoned lock is taken all the same.
    pub(crate) fn working(&self) -> MutexGuard<'_, Working> {
        self.inner.working.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
