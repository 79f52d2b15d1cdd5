//! A card: its facts, its context, and the kernels that the driver has compiled for it.

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::{result, sys};

use super::error::{code, failed};
use super::{CudaError, driver_version};
use crate::cuda::gemm::Card;
use crate::cuda::{Call, CallError, ptx};

/// What a card says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuFacts {
    /// Its name.
    pub name: String,
    /// 10 * major + minor.
    pub capability: u32,
    /// Multiprocessors.
    pub multiprocessors: u32,
    /// Highest clock of the multiprocessors.
    pub clock_khz: u32,
    /// Highest clock of the memory.
    pub memory_clock_khz: u32,
    /// Width of the memory bus.
    pub memory_bus_bits: u32,
    /// Second-level cache.
    pub l2_bytes: u32,
    /// Memory of the card.
    pub memory_bytes: u64,
    /// What the driver knows, as 1000 * major + 10 * minor.
    pub driver_version: i32,
}

impl GpuFacts {
    /// What choices of kernels depend on.
    pub fn card(&self) -> Card {
        Card {
            multiprocessors: self.multiprocessors,
        }
    }

    /// FMAs of f32 that a multiprocessor starts in a cycle: 64 on Turing and GA100, 128 since.
    pub fn fma_per_cycle(&self) -> u32 {
        match self.capability {
            75 | 80 => 64,
            _ => 128,
        }
    }

    /// f32 peak outside the tensor cores, 2 operations an FMA.
    pub fn peak_gflops(&self) -> f64 {
        2.0 * f64::from(self.fma_per_cycle()) * f64::from(self.multiprocessors) * f64::from(self.clock_khz) / 1e6
    }

    /// Peak of the memory, two transfers a cycle.
    pub fn peak_gb_per_s(&self) -> f64 {
        2.0 * f64::from(self.memory_bus_bits) / 8.0 * f64::from(self.memory_clock_khz) / 1e6
    }
}

/// A card that is open. A cheap handle; the context is given back with the last.
#[derive(Debug, Clone)]
pub struct Gpu(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    ordinal: u32,
    device: sys::CUdevice,
    pub(super) context: sys::CUcontext,
    facts: GpuFacts,
    modules: Mutex<Modules>,
}

/// What has been compiled so far.
#[derive(Debug, Default)]
struct Modules {
    loaded: HashMap<usize, sys::CUmodule>,
    functions: HashMap<&'static str, sys::CUfunction>,
}

// SAFETY: a context, its modules and functions may be used from any thread that has made the context current, which every
// method does first.
unsafe impl Send for Inner {}
// SAFETY: as above; what changes lies behind a mutex.
unsafe impl Sync for Inner {}

impl Drop for Inner {
    fn drop(&mut self) {
        let modules = self.modules.get_mut().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the context is ours; nothing of it is left, since all that uses it holds a handle to this. Errors of a card that has
        // failed are of no use here.
        unsafe {
            let _ = result::ctx::set_current(self.context);
            for module in modules.loaded.values() {
                let _ = result::module::unload(*module);
            }
            let _ = result::primary_ctx::release(self.device);
        }
    }
}

impl Gpu {
    /// Opens card `ordinal`.
    ///
    /// # Errors
    /// No driver, no such card, or one before Turing.
    pub fn open(ordinal: u32) -> Result<Self, CudaError> {
        let driver_version = driver_version()?;
        result::init().map_err(failed("cuInit"))?;
        let count = count()?;
        if ordinal >= count {
            return Err(CudaError::Device { ordinal, count });
        }
        let device = result::device::get(ordinal as i32).map_err(failed("cuDeviceGet"))?;
        let facts = facts(device, driver_version)?;
        if facts.capability < 75 {
            let (name, capability) = (facts.name, facts.capability);
            return Err(CudaError::TooEarly { name, capability });
        }
        // SAFETY: the device is one of the driver's.
        let context = unsafe { result::primary_ctx::retain(device) }.map_err(failed("cuDevicePrimaryCtxRetain"))?;
        let inner = Inner {
            ordinal,
            device,
            context,
            facts,
            modules: Mutex::default(),
        };
        let gpu = Self(Arc::new(inner));
        gpu.bind()?;
        Ok(gpu)
    }

    /// What it says of itself.
    pub fn facts(&self) -> &GpuFacts {
        &self.0.facts
    }

    /// Its number, as in cuda:N.
    pub fn ordinal(&self) -> u32 {
        self.0.ordinal
    }

    /// The driver's other cards, but those that [`Gpu::open`] refuses.
    ///
    /// # Errors
    /// Of the driver.
    pub fn others(&self) -> Result<Vec<Self>, CudaError> {
        let ordinals = (0..count()?).filter(|&ordinal| ordinal != self.0.ordinal);
        let opened = ordinals.filter_map(|ordinal| Self::open(ordinal).ok()).collect();
        self.bind()?;
        Ok(opened)
    }

    /// Whether this card reaches the memory of the other by itself, which it may from now on; else copies go through the host.
    ///
    /// # Errors
    /// Of the driver.
    pub fn reaches(&self, other: &Self) -> Result<bool, CudaError> {
        self.bind()?;
        let mut can = 0;
        // SAFETY: both devices are the driver's; the other's context lives as long as its handle.
        let enabled = unsafe {
            sys::cuDeviceCanAccessPeer(&raw mut can, self.0.device, other.0.device)
                .result()
                .map_err(failed("cuDeviceCanAccessPeer"))?;
            if can == 0 {
                return Ok(false);
            }
            sys::cuCtxEnablePeerAccess(other.0.context, 0).result()
        };
        match enabled {
            Err(error) if error.0 == sys::CUresult::CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED => Ok(true),
            enabled => enabled.map(|()| true).map_err(failed("cuCtxEnablePeerAccess")),
        }
    }

    /// Makes its context this thread's.
    pub(super) fn bind(&self) -> Result<(), CudaError> {
        // SAFETY: the context lives as long as the handle.
        unsafe { result::ctx::set_current(self.0.context) }.map_err(failed("cuCtxSetCurrent"))
    }

    /// Waits for everything.
    ///
    /// # Errors
    /// What went wrong since the last call.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.bind()?;
        result::ctx::synchronize().map_err(failed("cuCtxSynchronize"))
    }

    /// Bytes of its memory that are free.
    ///
    /// # Errors
    /// Of the driver.
    pub fn free_bytes(&self) -> Result<usize, CudaError> {
        self.bind()?;
        let (free, _) = result::mem_get_info().map_err(failed("cuMemGetInfo"))?;
        Ok(free)
    }

    /// Has the kernel of a call compiled, which may take seconds for the first of its file; later launches find it. Must come
    /// before a capture, in which nothing may be loaded.
    ///
    /// # Errors
    /// A kernel beyond the card, or PTX that the driver refuses.
    pub fn prepare(&self, call: &Call) -> Result<(), CudaError> {
        self.function(call.kernel).map(|_| ())
    }

    pub(super) fn function(&self, kernel: &'static str) -> Result<sys::CUfunction, CudaError> {
        let mut modules = self.0.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&function) = modules.functions.get(kernel) {
            return Ok(function);
        }
        let entry = ptx::entry(kernel).ok_or_else(|| CallError::Kernel(kernel.to_owned()))?;
        let source = &ptx::SOURCES[entry.source];
        if source.capability > self.0.facts.capability {
            let (kernel, needed) = (kernel.to_owned(), source.capability);
            return Err(CudaError::Capability { kernel, needed });
        }
        self.bind()?;
        let module = match modules.loaded.get(&entry.source) {
            Some(&module) => module,
            None => {
                let module = load(source)?;
                modules.loaded.insert(entry.source, module);
                module
            }
        };
        let name = CString::new(kernel).map_err(|_| CallError::Kernel(kernel.to_owned()))?;
        // SAFETY: the module is loaded in this context.
        let function = unsafe { result::module::get_function(module, name) }.map_err(failed("cuModuleGetFunction"))?;
        modules.functions.insert(kernel, function);
        Ok(function)
    }
}

/// How many cards the driver knows.
fn count() -> Result<u32, CudaError> {
    let count = result::device::get_count().map_err(failed("cuDeviceGetCount"))?;
    Ok(u32::try_from(count).unwrap_or(0))
}

/// Compiles a file of PTX for the current card. `cuModuleLoadDataEx`, since cudarc's `load_data` gives no log.
fn load(source: &ptx::Source) -> Result<sys::CUmodule, CudaError> {
    use sys::CUjit_option_enum::{CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    let mut log = vec![0u8; 8192];
    let text = CString::new(source.text).map_err(|_| CudaError::Partial("a zero byte in our PTX".to_owned()))?;
    let mut options = [CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
    let mut values = [log.as_mut_ptr().cast::<c_void>(), log.len() as *mut c_void];
    let mut module = std::ptr::null_mut();
    // SAFETY: the text ends with a zero byte; the two options come with a buffer and its size, as the driver wants them.
    let done = unsafe {
        sys::cuModuleLoadDataEx(
            &raw mut module,
            text.as_ptr().cast(),
            options.len() as u32,
            options.as_mut_ptr(),
            values.as_mut_ptr(),
        )
        .result()
    };
    done.map_err(|error| {
        let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
        CudaError::Jit {
            file: format!("{}.compute_{}.ptx", source.name, source.capability),
            code: code(error),
            log: String::from_utf8_lossy(&log[..end]).trim().to_owned(),
        }
    })?;
    Ok(module)
}

fn facts(device: sys::CUdevice, driver_version: i32) -> Result<GpuFacts, CudaError> {
    use sys::CUdevice_attribute as Attribute;
    let attribute = |attribute| {
        // SAFETY: the device is one of the driver's.
        let value = unsafe { result::device::get_attribute(device, attribute) };
        value
            .map(|value| u32::try_from(value).unwrap_or(0))
            .map_err(failed("cuDeviceGetAttribute"))
    };
    let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    Ok(GpuFacts {
        name: result::device::get_name(device).map_err(failed("cuDeviceGetName"))?,
        capability: 10 * major + minor,
        multiprocessors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        clock_khz: attribute(Attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE)?,
        memory_clock_khz: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE)?,
        memory_bus_bits: attribute(Attribute::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH)?,
        l2_bytes: attribute(Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?,
        // SAFETY: the device is one of the driver's.
        memory_bytes: unsafe { result::device::total_mem(device) }.map_err(failed("cuDeviceTotalMem"))? as u64,
        driver_version,
    })
}
