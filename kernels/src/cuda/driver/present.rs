//! Whether there is a driver: asked before cudarc is touched, which panics where there is none or where a function is missing.

use std::sync::OnceLock;

use libloading::Library;

use super::CudaError;

/// What the other files call, and cuInit and cuDriverGetVersion.
const FUNCTIONS: [&str; 47] = [
    "cuInit",
    "cuDriverGetVersion",
    "cuDeviceGet",
    "cuDeviceGetCount",
    "cuDeviceGetName",
    "cuDeviceGetAttribute",
    "cuDeviceTotalMem_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxRelease_v2",
    "cuCtxSetCurrent",
    "cuCtxSynchronize",
    "cuCtxEnablePeerAccess",
    "cuDeviceCanAccessPeer",
    "cuModuleLoadDataEx",
    "cuModuleGetFunction",
    "cuModuleUnload",
    "cuMemAlloc_v2",
    "cuMemFree_v2",
    "cuMemHostAlloc",
    "cuMemFreeHost",
    "cuMemcpyHtoD_v2",
    "cuMemcpyDtoH_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyDtoDAsync_v2",
    "cuMemcpyPeerAsync",
    "cuMemsetD8Async",
    "cuMemGetInfo_v2",
    "cuStreamCreate",
    "cuStreamSynchronize",
    "cuStreamDestroy_v2",
    "cuStreamWaitEvent",
    "cuStreamBeginCapture_v2",
    "cuStreamEndCapture",
    "cuEventCreate",
    "cuEventRecord",
    "cuEventSynchronize",
    "cuEventQuery",
    "cuEventElapsedTime",
    "cuEventDestroy_v2",
    "cuLaunchKernel",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuGraphExecDestroy",
    "cuGraphDestroy",
    "cuGetErrorName",
    "cuGetErrorString",
];

/// PTX 8.0 came with it.
const NEEDED: i32 = 12_000;

/// The CUDA version that the driver knows, as 1000 * major + 10 * minor; asked once in a process.
///
/// # Errors
/// No driver, one that lacks functions, is too old, or does not start.
pub fn driver_version() -> Result<i32, CudaError> {
    static VERSION: OnceLock<Result<i32, CudaError>> = OnceLock::new();
    VERSION.get_or_init(ask).clone()
}

fn ask() -> Result<i32, CudaError> {
    // In the order in which cudarc looks for it.
    let names = if cfg!(windows) {
        ["nvcuda.dll"; 2]
    } else {
        ["libcuda.so", "libcuda.so.1"]
    };
    // SAFETY: the initializers of the driver's library have no precondition; nothing of it is used that is not looked up below.
    let library = names.into_iter().find_map(|name| unsafe { Library::new(name) }.ok());
    let library = library.ok_or_else(|| CudaError::NoDriver(format!("{} can't be loaded", names[1])))?;
    for name in FUNCTIONS {
        // SAFETY: it is looked up, not called.
        let found = unsafe { library.get::<unsafe extern "C" fn()>(name.as_bytes()) };
        found.map_err(|_| CudaError::Partial(name.to_owned()))?;
    }
    let mut version = 0;
    // SAFETY: the two functions are there (above) and have had these signatures in all versions.
    let (version_code, init_code) = unsafe {
        let get_version = library.get::<unsafe extern "C" fn(*mut i32) -> u32>(b"cuDriverGetVersion");
        let init = library.get::<unsafe extern "C" fn(u32) -> u32>(b"cuInit");
        match (get_version, init) {
            (Ok(get_version), Ok(init)) => (get_version(&raw mut version), init(0)),
            _ => return Err(CudaError::Partial("cuInit".to_owned())),
        }
    };
    // cudarc opens it again; a driver is not made to be unloaded.
    std::mem::forget(library);
    match (version_code, init_code) {
        // 100: CUDA_ERROR_NO_DEVICE.
        (0, 100) => Err(CudaError::NoDriver("it is installed, but finds no device".to_owned())),
        (0, _) if version < NEEDED => Err(CudaError::TooOld(version)),
        (0, 0) => Ok(version),
        (0, code) => Err(CudaError::NoDriver(format!(
            "it does not start: cuInit gives error {code}"
        ))),
        (code, _) => Err(CudaError::NoDriver(format!("cuDriverGetVersion gives error {code}"))),
    }
}
