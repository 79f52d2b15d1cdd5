//! The driver's functions by their names. Signatures are those of cuda.h 12.0; handles are small numbers.
#![allow(
    non_snake_case,
    clippy::missing_safety_doc,
    missing_docs,
    reason = "cuda.h documents them"
)]
// SAFETY, of every function: the caller gives pointers as cuda.h asks for them.
#![allow(unsafe_op_in_unsafe_fn, unsafe_code, clippy::undocumented_unsafe_blocks)]

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tilelab_ptxsim::{Arg, Launch, Module};

use crate::card::{
    Card, Code, HostCopy, INVALID_DEVICE, INVALID_HANDLE, INVALID_PTX, INVALID_VALUE, Launched, NOT_FOUND, NOT_READY,
    OUT_OF_MEMORY, OUT_OF_RESOURCES, PEER_ACCESS_ALREADY_ENABLED, SUCCESS, Stream, Work, forgotten, setting,
};
use crate::limits;

pub(crate) fn card() -> MutexGuard<'static, Card> {
    static CARD: OnceLock<Mutex<Card>> = OnceLock::new();
    CARD.get_or_init(|| Mutex::new(Card::new()))
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Cards that there are, all of one memory: a context's number is its device's and 1.
fn devices() -> usize {
    setting("FAKECUDA_DEVICES", 1)
}

thread_local! {
    /// This thread's context; 0: none.
    static CURRENT: Cell<u64> = const { Cell::new(0) };
}

macro_rules! export {
    ($(fn $name:ident($($arg:ident: $type:ty),* $(,)?) -> Code $body:block)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($arg: $type),*) -> Code $body
    )*};
}

export! {
    fn cuInit(_flags: c_uint) -> Code { SUCCESS }

    fn cuDriverGetVersion(version: *mut c_int) -> Code {
        *version = setting("FAKECUDA_VERSION", 12_000) as c_int;
        SUCCESS
    }

    fn cuDeviceGet(device: *mut c_int, ordinal: c_int) -> Code {
        if ordinal < 0 || ordinal as usize >= devices() { return INVALID_DEVICE; }
        *device = ordinal;
        SUCCESS
    }

    fn cuDeviceGetCount(count: *mut c_int) -> Code {
        *count = devices() as c_int;
        SUCCESS
    }

    fn cuDeviceGetName(name: *mut c_char, len: c_int, _device: c_int) -> Code {
        let text = b"PTX interpreter\0";
        let len = text.len().min(len as usize);
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), name, len);
        SUCCESS
    }

    fn cuDeviceGetAttribute(value: *mut c_int, attribute: c_int, _device: c_int) -> Code {
        let capability = limits::capability() as c_int;
        *value = match attribute {
            // What a block may have: threads, shared memory, registers, shared memory when asked for.
            1 => 1024,
            8 => limits::SHARED_BYTES as c_int,
            12 => limits::REGISTERS as c_int,
            97 => limits::shared_bytes_opt_in() as c_int,
            // Clock, multiprocessors, clock of the memory, bus, cache.
            13 => 1_000_000,
            16 => 4,
            36 => 1_000_000,
            37 => 128,
            38 => setting("FAKECUDA_L2", 1 << 20) as c_int,
            75 => capability / 10,
            76 => capability % 10,
            _ => return INVALID_VALUE,
        };
        SUCCESS
    }

    fn cuDeviceTotalMem_v2(bytes: *mut usize, _device: c_int) -> Code {
        *bytes = card().bytes;
        SUCCESS
    }

    fn cuDevicePrimaryCtxRetain(context: *mut *mut c_void, device: c_int) -> Code {
        *context = std::ptr::without_provenance_mut(device as usize + 1);
        SUCCESS
    }

    fn cuDevicePrimaryCtxRelease_v2(_device: c_int) -> Code { SUCCESS }

    fn cuCtxSetCurrent(context: *mut c_void) -> Code {
        CURRENT.set(context as u64);
        SUCCESS
    }

    fn cuDeviceCanAccessPeer(can: *mut c_int, device: c_int, other: c_int) -> Code {
        *can = c_int::from(device != other && setting("FAKECUDA_DIRECT", 1) == 1);
        SUCCESS
    }

    fn cuCtxEnablePeerAccess(other: *mut c_void, _flags: c_uint) -> Code {
        let pair = (CURRENT.get(), other as u64);
        if pair.0 == pair.1 || pair.1 == 0 || pair.1 > devices() as u64 { return INVALID_DEVICE; }
        if card().reach.insert(pair) { SUCCESS } else { PEER_ACCESS_ALREADY_ENABLED }
    }

    fn cuCtxSynchronize() -> Code { card().run_all() }

    fn cuModuleLoadDataEx(
        module: *mut *mut c_void,
        image: *const c_char,
        count: c_uint,
        options: *const c_uint,
        values: *const *mut c_void,
    ) -> Code {
        let text = CStr::from_ptr(image).to_string_lossy();
        let mut card = card();
        if card.streams.values().any(|stream| stream.capture.is_some()) {
            eprintln!("fakecuda: a module is loaded during a capture");
            return INVALID_VALUE;
        }
        let parsed = Module::parse(&text).map_err(|error| error.to_string());
        match parsed.and_then(limits::within_static_shared) {
            Ok(parsed) => {
                card.modules.push(parsed);
                *module = card.modules.len() as *mut c_void;
                SUCCESS
            }
            Err(error) => {
                // 5 and 6: the buffer for the log and its size.
                let option = |wanted| (0..count as usize).find(|&i| *options.add(i) == wanted).map(|i| *values.add(i));
                if let (Some(log), Some(size)) = (option(5), option(6)) {
                    let text = format!("ptxas fatal: {error}\0");
                    let len = text.len().min(size as usize);
                    std::ptr::copy_nonoverlapping(text.as_ptr(), log.cast::<u8>(), len);
                }
                INVALID_PTX
            }
        }
    }

    fn cuModuleGetFunction(function: *mut *mut c_void, module: *mut c_void, name: *const c_char) -> Code {
        let name = CStr::from_ptr(name).to_string_lossy().into_owned();
        let mut card = card();
        let Some(index) = (module as usize).checked_sub(1).filter(|&index| index < card.modules.len()) else {
            return INVALID_HANDLE;
        };
        if card.modules[index].kernel(&name).is_none() { return NOT_FOUND; }
        card.functions.push((index, name));
        *function = card.functions.len() as *mut c_void;
        SUCCESS
    }

    fn cuFuncSetAttribute(function: *mut c_void, attribute: c_int, value: c_int) -> Code {
        let mut card = card();
        let Some(index) = (function as usize).checked_sub(1).filter(|&index| index < card.functions.len()) else {
            return INVALID_HANDLE;
        };
        let (module, name) = &card.functions[index];
        let fixed = card.modules[*module].kernel(name).map_or(0, |kernel| kernel.shared_bytes);
        // 8: CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, the one attribute known here.
        let bytes = usize::try_from(value).ok().filter(|bytes| fixed + bytes <= limits::shared_bytes_opt_in());
        let (8, Some(bytes)) = (attribute, bytes) else { return INVALID_VALUE };
        card.opt_in.insert(index, bytes);
        SUCCESS
    }

    fn cuModuleUnload(_module: *mut c_void) -> Code { SUCCESS }

    fn cuMemAlloc_v2(address: *mut u64, bytes: usize) -> Code {
        let mut card = card();
        if bytes == 0 { return INVALID_VALUE; }
        if card.used + bytes > card.bytes { return OUT_OF_MEMORY; }
        card.used += bytes;
        *address = card.machine.alloc(bytes as u64);
        card.homes.insert(*address, CURRENT.get());
        card.status()
    }

    fn cuMemFree_v2(address: u64) -> Code {
        let mut card = card();
        card.run_all();
        let bytes = card.machine.allocation(address).map_or(0, |(_, bytes)| bytes as usize);
        card.used -= bytes;
        card.homes.remove(&address);
        let freed = card.machine.free(address);
        card.note(freed);
        card.status()
    }

    fn cuMemHostAlloc(data: *mut *mut c_void, bytes: usize, _flags: c_uint) -> Code {
        *data = card().pin(bytes).cast();
        SUCCESS
    }

    fn cuMemFreeHost(data: *mut c_void) -> Code { card().unpin(data as usize) }

    // Neither waits for streams that do not wait for the default one.
    fn cuMemcpyHtoD_v2(to: u64, from: *const c_void, bytes: usize) -> Code {
        let mut card = card();
        let written = card.machine.write(to, std::slice::from_raw_parts(from.cast(), bytes));
        card.note(written);
        card.status()
    }

    fn cuMemcpyDtoH_v2(to: *mut c_void, from: u64, bytes: usize) -> Code {
        let mut card = card();
        let read = card.machine.read(from, std::slice::from_raw_parts_mut(to.cast(), bytes));
        card.note(read);
        card.status()
    }

    fn cuMemcpyHtoDAsync_v2(to: u64, from: *const c_void, bytes: usize, stream: *mut c_void) -> Code {
        enqueue(stream, Work::Copy(HostCopy::up(to, std::slice::from_raw_parts(from.cast(), bytes))))
    }

    fn cuMemcpyDtoHAsync_v2(to: *mut c_void, from: u64, bytes: usize, stream: *mut c_void) -> Code {
        if forgotten("cuMemcpyDtoHAsync") { return SUCCESS; }
        enqueue(stream, Work::Copy(HostCopy::down(to.cast(), from, bytes)))
    }

    fn cuMemcpyDtoDAsync_v2(to: u64, from: u64, bytes: usize, stream: *mut c_void) -> Code {
        if forgotten("cuMemcpyDtoDAsync") { return SUCCESS; }
        enqueue(stream, Work::CopyWithin(to, from, bytes))
    }

    // Both addresses are beginnings of allocations.
    fn cuMemcpyPeerAsync(
        to: u64,
        there: *mut c_void,
        from: u64,
        here: *mut c_void,
        bytes: usize,
        stream: *mut c_void,
    ) -> Code {
        let homes = [(to, there), (from, here)].map(|(address, context)| card().homes.get(&address) == Some(&(context as u64)));
        if homes != [true; 2] || there == here { return INVALID_VALUE; }
        if forgotten("cuMemcpyPeerAsync") { return SUCCESS; }
        enqueue(stream, Work::CopyWithin(to, from, bytes))
    }

    fn cuMemsetD8Async(to: u64, value: u8, bytes: usize, stream: *mut c_void) -> Code {
        if value != 0 { return INVALID_VALUE; }
        enqueue(stream, Work::Zero(to, bytes))
    }

    fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) -> Code {
        let card = card();
        *free = card.bytes - card.used;
        *total = card.bytes;
        card.status()
    }

    fn cuStreamCreate(stream: *mut *mut c_void, _flags: c_uint) -> Code {
        let mut card = card();
        let id = card.fresh();
        card.streams.insert(id, Stream::default());
        *stream = id as *mut c_void;
        card.status()
    }

    fn cuStreamSynchronize(stream: *mut c_void) -> Code { card().run_stream(stream as u64) }

    fn cuStreamDestroy_v2(stream: *mut c_void) -> Code {
        let mut card = card();
        card.run_stream(stream as u64);
        card.streams.remove(&(stream as u64));
        SUCCESS
    }

    fn cuStreamWaitEvent(stream: *mut c_void, event: *mut c_void, _flags: c_uint) -> Code {
        if forgotten("cuStreamWaitEvent") { return SUCCESS; }
        let ticket = card().ticket(event as u64);
        enqueue(stream, Work::Wait(ticket))
    }

    fn cuStreamBeginCapture_v2(stream: *mut c_void, _mode: c_uint) -> Code {
        match card().streams.get_mut(&(stream as u64)) {
            Some(stream) if stream.capture.is_none() => stream.capture = Some(Vec::new()),
            _ => return INVALID_HANDLE,
        }
        SUCCESS
    }

    fn cuStreamEndCapture(stream: *mut c_void, graph: *mut *mut c_void) -> Code {
        let mut card = card();
        let captured = card.streams.get_mut(&(stream as u64)).and_then(|stream| stream.capture.take());
        let Some(captured) = captured else { return INVALID_HANDLE };
        let id = card.fresh();
        card.graphs.insert(id, captured);
        *graph = id as *mut c_void;
        card.status()
    }

    fn cuEventCreate(event: *mut *mut c_void, _flags: c_uint) -> Code {
        let mut card = card();
        let id = card.fresh();
        card.events.insert(id, 0);
        *event = id as *mut c_void;
        card.status()
    }

    fn cuEventRecord(event: *mut c_void, stream: *mut c_void) -> Code {
        let ticket = {
            let mut card = card();
            let ticket = card.fresh();
            card.events.insert(event as u64, ticket);
            ticket
        };
        enqueue(stream, Work::Record(ticket))
    }

    fn cuEventSynchronize(event: *mut c_void) -> Code {
        if forgotten("cuEventSynchronize") { return SUCCESS; }
        let mut card = card();
        let ticket = card.ticket(event as u64);
        card.run_to(ticket)
    }

    fn cuEventQuery(event: *mut c_void) -> Code { card().query(event as u64) }

    // There is no time in an interpreter: FAKECUDA_PIECE_US for each piece of work that was done meanwhile.
    fn cuEventElapsedTime(elapsed_ms: *mut f32, start: *mut c_void, end: *mut c_void) -> Code {
        let card = card();
        match card.work_between(start as u64, end as u64) {
            Ok(work) => *elapsed_ms = work as f32 * setting("FAKECUDA_PIECE_US", 1) as f32 / 1e3,
            Err(code) => return code,
        }
        card.status()
    }

    fn cuEventDestroy_v2(event: *mut c_void) -> Code {
        card().events.remove(&(event as u64));
        SUCCESS
    }

    fn cuLaunchKernel(
        function: *mut c_void,
        grid_x: c_uint,
        grid_y: c_uint,
        grid_z: c_uint,
        block_x: c_uint,
        block_y: c_uint,
        block_z: c_uint,
        shared_bytes: c_uint,
        stream: *mut c_void,
        params: *const *const c_void,
        _extra: *mut *mut c_void,
    ) -> Code {
        let launched = {
            let card = card();
            let Some(index) = (function as usize).checked_sub(1).filter(|&index| index < card.functions.len()) else {
                return INVALID_HANDLE;
            };
            let (module, name) = &card.functions[index];
            let Some(kernel) = card.modules[*module].kernel(name) else { return NOT_FOUND };
            let launch = Launch::new([grid_x, grid_y, grid_z], [block_x, block_y, block_z]).shared(shared_bytes);
            if let Some((code, why)) = limits::refusal(kernel, &launch, card.opt_in.get(&index).copied().unwrap_or(0)) {
                eprintln!("fakecuda: {name} is refused: {why}");
                return code;
            }
            let arg = |(i, bytes): (usize, usize)| Arg(std::slice::from_raw_parts((*params.add(i)).cast::<u8>(), bytes).to_vec());
            let args = kernel.params.iter().map(|param| param.bytes).enumerate().map(arg).collect();
            Launched { function: index, launch, args }
        };
        enqueue(stream, Work::Launch(launched))
    }

    fn cuGraphInstantiateWithFlags(executable: *mut *mut c_void, graph: *mut c_void, _flags: u64) -> Code {
        let mut card = card();
        let Some(launches) = card.graphs.get(&(graph as u64)).cloned() else { return INVALID_HANDLE };
        let id = card.fresh();
        card.graphs.insert(id, launches);
        *executable = id as *mut c_void;
        card.status()
    }

    fn cuGraphLaunch(executable: *mut c_void, stream: *mut c_void) -> Code {
        let launches = card().graphs.get(&(executable as u64)).cloned();
        let Some(launches) = launches else { return INVALID_HANDLE };
        launches
            .into_iter()
            .map(|launched| enqueue(stream, Work::Launch(launched)))
            .find(|&code| code != SUCCESS)
            .unwrap_or(SUCCESS)
    }

    fn cuGraphExecDestroy(executable: *mut c_void) -> Code {
        card().graphs.remove(&(executable as u64));
        SUCCESS
    }

    fn cuGraphDestroy(graph: *mut c_void) -> Code {
        card().graphs.remove(&(graph as u64));
        SUCCESS
    }

    fn cuGetErrorName(code: Code, text: *mut *const c_char) -> Code {
        *text = match code {
            SUCCESS => c"CUDA_SUCCESS",
            INVALID_VALUE => c"CUDA_ERROR_INVALID_VALUE",
            OUT_OF_MEMORY => c"CUDA_ERROR_OUT_OF_MEMORY",
            INVALID_PTX => c"CUDA_ERROR_INVALID_PTX",
            INVALID_HANDLE => c"CUDA_ERROR_INVALID_HANDLE",
            NOT_READY => c"CUDA_ERROR_NOT_READY",
            OUT_OF_RESOURCES => c"CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES",
            _ => c"CUDA_ERROR_LAUNCH_FAILED",
        }
        .as_ptr();
        SUCCESS
    }

    fn cuGetErrorString(_code: Code, text: *mut *const c_char) -> Code {
        *text = c"said the stand-in".as_ptr();
        SUCCESS
    }
}

/// Puts work behind what a stream has, or into its capture.
fn enqueue(stream: *mut c_void, work: Work) -> Code {
    let mut card = card();
    let status = card.status();
    let Some(stream) = card.streams.get_mut(&(stream as u64)) else {
        return INVALID_HANDLE;
    };
    match (&mut stream.capture, work) {
        (Some(captured), Work::Launch(launched)) => captured.push(launched),
        (Some(_), _) => {
            eprintln!("fakecuda: only launches are captured");
            return INVALID_VALUE;
        }
        (None, work) => stream.queue.push_back(work),
    }
    status
}
