//! How much native stack the running thread has left.
//!
//! Isolates share the stack of the thread they run on, and a host may call
//! further isolates from inside a host call. Each gets its limit from what is
//! left at its entry.

use crate::limits::{CALL_DEPTH_MAX, STACK_BYTES, STACK_RESERVE_BYTES};

/// Stack size for threads that run isolates: the deepest nesting fits.
/// Committed lazily by the system, so the figure costs address space only.
pub const fn worker_stack_size() -> usize {
    CALL_DEPTH_MAX * (STACK_BYTES + 2 * STACK_RESERVE_BYTES) + (2 << 20)
}

/// Stack an isolate entered now may use, at most `STACK_BYTES`; zero when the
/// thread has hardly any left.
pub(crate) fn budget_bytes() -> usize {
    let left = here().saturating_sub(lowest_address());
    left.saturating_sub(STACK_RESERVE_BYTES).min(STACK_BYTES)
}

/// Lowest usable address of this thread's stack, asked of the system once per
/// thread (thread-local, a constant of the thread and no state).
fn lowest_address() -> usize {
    thread_local!(static LOWEST: usize = ask_lowest_address());
    LOWEST.with(|lowest| *lowest)
}

#[cfg(target_os = "linux")]
fn ask_lowest_address() -> usize {
    // SAFETY: the attribute is initialised by the first call and destroyed after.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        if libc::pthread_getattr_np(libc::pthread_self(), &raw mut attributes) != 0 {
            return assumed_lowest_address();
        }
        let (mut start, mut size) = (std::ptr::null_mut(), 0usize);
        let result =
            libc::pthread_attr_getstack(&raw const attributes, &raw mut start, &raw mut size);
        libc::pthread_attr_destroy(&raw mut attributes);
        if result == 0 {
            start as usize
        } else {
            assumed_lowest_address()
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn ask_lowest_address() -> usize {
    assumed_lowest_address()
}

/// One megabyte below here: less than any thread this program makes has.
fn assumed_lowest_address() -> usize {
    here().saturating_sub(1 << 20)
}

/// An address in the current frame.
#[inline(never)]
fn here() -> usize {
    let marker = 0u8;
    std::hint::black_box(&raw const marker).addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_follows_the_thread() {
        let small = std::thread::Builder::new()
            .stack_size(1 << 20)
            .spawn(budget_bytes);
        let large = std::thread::Builder::new()
            .stack_size(worker_stack_size())
            .spawn(budget_bytes);
        let small = small.expect("thread").join().expect("join");
        assert!(small > 256 << 10 && small < 1 << 20);
        assert_eq!(large.expect("thread").join().expect("join"), STACK_BYTES);
    }
}
