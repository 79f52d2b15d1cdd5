//! CPUs that this process may use, and threads that stay on one. Linux tells and obeys; elsewhere nothing is pinned.
#![allow(unsafe_code)] // affinity and usage are system calls

/// CPUs that this process may use, ascending; empty where the system does not tell.
#[cfg(target_os = "linux")]
pub fn allowed() -> Vec<usize> {
    let mut mask = [0u64; WORDS];
    // SAFETY: the mask is ours and as long as we say; 0 is the calling thread.
    let done = unsafe { libc::sched_getaffinity(0, size_of_val(&mask), mask.as_mut_ptr().cast()) };
    let named = |cpu: &usize| mask[cpu / 64] >> (cpu % 64) & 1 == 1;
    (0..64 * WORDS).filter(|cpu| done == 0 && named(cpu)).collect()
}

/// Room for 8192 CPUs, the most that a Linux kernel is built for.
#[cfg(target_os = "linux")]
const WORDS: usize = 128;

/// Keeps the calling thread on one CPU. Threads that it starts later stay there too: pin threads of a stage's own.
///
/// # Errors
/// One line, where the system refuses or the thread is found on another CPU.
#[cfg(target_os = "linux")]
pub fn pin(cpu: usize) -> Result<(), String> {
    let mut mask = [0u64; WORDS];
    let Some(word) = mask.get_mut(cpu / 64) else {
        return Err(format!("CPU {cpu} is beyond what an affinity mask holds"));
    };
    *word = 1 << (cpu % 64);
    // SAFETY: the mask is ours and as long as we say; 0 is the calling thread.
    let done = unsafe { libc::sched_setaffinity(0, size_of_val(&mask), mask.as_ptr().cast()) };
    if done != 0 {
        return Err(format!(
            "a thread can't be pinned to CPU {cpu}: {}",
            std::io::Error::last_os_error()
        ));
    }
    // SAFETY: takes nothing.
    let on = unsafe { libc::sched_getcpu() };
    if usize::try_from(on) == Ok(cpu) {
        Ok(())
    } else {
        Err(format!("a thread pinned to CPU {cpu} runs on CPU {on}"))
    }
}

/// How often the calling thread has lost its CPU to another thread.
#[cfg(target_os = "linux")]
pub fn switches() -> u64 {
    // SAFETY: all zero is a valid rusage, a plain struct of integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the struct is ours.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    usage.ru_nivcsw.max(0) as u64 + usage.ru_nvcsw.max(0) as u64
}

/// CPUs by number: the system does not say which.
#[cfg(not(target_os = "linux"))]
pub fn allowed() -> Vec<usize> {
    (0..std::thread::available_parallelism().map_or(1, usize::from)).collect()
}

/// Always refused.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn pin(_cpu: usize) -> Result<(), String> {
    Err("threads are pinned on Linux only".to_owned())
}

/// Not counted.
#[cfg(not(target_os = "linux"))]
pub fn switches() -> u64 {
    0
}

/// Runs `work` on a new thread that is pinned to `cpu`, and hands back what it gives and whether the pinning held.
pub fn on_cpu<T: Send>(cpu: usize, work: impl FnOnce() -> T + Send) -> (T, Result<(), String>) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let pinned = pin(cpu);
            (work(), pinned)
        });
        match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_runs_where_it_was_put_and_the_caller_stays_free() {
        let before = allowed();
        assert!(!before.is_empty());
        for &cpu in before.iter().take(4) {
            let (inside, pinned) = on_cpu(cpu, allowed);
            assert_eq!((inside, pinned), (vec![cpu], Ok(())));
        }
        assert_eq!(allowed(), before);
        let missing = on_cpu(8191, || ()).1;
        assert!(missing.is_err_and(|why| why.contains("8191")));
        assert!(on_cpu(1 << 20, || ()).1.is_err());
    }

    #[test]
    fn a_thread_that_sleeps_was_switched() {
        let before = switches();
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(switches() > before);
    }
}
