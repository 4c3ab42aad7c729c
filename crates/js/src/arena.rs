//! One runtime's memory: a 2 GiB reservation whose allocator state lives inside.
//!
//! ```text
//! base            header: all allocator state (`Header`), 64 KiB reserved
//! base + 64 KiB   pages:   requests of 2049..=4096 bytes, one page each
//! base +  1 GiB   general: everything else, each block behind a 16-byte header
//! base +  2 GiB   end
//! ```
//!
//! The base is aligned to 4 GiB, so that the allocator can find the region of
//! a pointer from its low bits. The address is chosen by the kernel: there is
//! no process-wide registry of arenas. Nothing of the engine lives outside of
//! the reservation, hence copying the used extents is a complete snapshot.

use std::io;
use std::ptr::null_mut;

pub(crate) mod alloc;
pub(crate) mod snapshot;

pub(crate) const PAGE: usize = 4096;
const ALIGN: usize = 4 << 30;
const SIZE: usize = 2 << 30;
const HEADER_SIZE: usize = 64 << 10;
const GENERAL_OFFSET: usize = 1 << 30;
/// Size classes of the general region: 8 steps per doubling.
const CLASSES: usize = 256;

/// The allocator's whole state, at offset 0 of the arena.
#[repr(C)]
pub(crate) struct Header {
    page_top: usize,
    page_end: usize,
    page_free: usize,
    general_top: usize,
    general_end: usize,
    /// Bytes handed out, rounded as allocated.
    pub(crate) used: usize,
    /// `used` never passes this.
    pub(crate) limit: usize,
    /// Requests refused since the last reset.
    pub(crate) refused: usize,
    free: [usize; CLASSES],
}

const _: () = assert!(size_of::<Header>() <= HEADER_SIZE);

/// A reserved range of address space, unmapped on drop.
pub(crate) struct Arena {
    base: usize,
}

impl Arena {
    /// Reserves address space; memory is only used when touched.
    pub(crate) fn reserve(limit_bytes: usize) -> io::Result<Self> {
        let base = reserve_aligned()?;
        let arena = Arena { base };
        let header = arena.header_ptr();
        // SAFETY: the range was just mapped read-write and is exclusively ours.
        unsafe {
            (*header).page_top = base + HEADER_SIZE;
            (*header).page_end = base + GENERAL_OFFSET;
            (*header).general_top = base + GENERAL_OFFSET;
            (*header).general_end = base + SIZE;
            (*header).limit = limit_bytes;
        }
        Ok(arena)
    }

    /// The opaque pointer to give to the allocator functions.
    pub(crate) fn opaque(&self) -> *mut libc::c_void {
        self.base as *mut libc::c_void
    }

    fn header_ptr(&self) -> *mut Header {
        self.base as *mut Header
    }

    pub(crate) fn used(&self) -> usize {
        // SAFETY: the header is mapped as long as the arena lives.
        unsafe { (*self.header_ptr()).used }
    }

    /// Requests refused since the last reset.
    pub(crate) fn refused(&self) -> usize {
        // SAFETY: as in `used`.
        unsafe { (*self.header_ptr()).refused }
    }

    pub(crate) fn set_limit(&self, limit_bytes: usize) {
        // SAFETY: as in `used`; nothing else writes while we are called.
        unsafe { (*self.header_ptr()).limit = limit_bytes }
    }

    fn tops(&self) -> (usize, usize) {
        // SAFETY: as in `used`.
        unsafe {
            (
                (*self.header_ptr()).page_top,
                (*self.header_ptr()).general_top,
            )
        }
    }

    /// The used parts as (address, length), whole pages.
    fn extents(&self) -> [(usize, usize); 3] {
        let (page_top, general_top) = self.tops();
        let general = self.base + GENERAL_OFFSET;
        [
            (self.base, round_up(size_of::<Header>())),
            (self.base + HEADER_SIZE, page_top - self.base - HEADER_SIZE),
            (general, round_up(general_top) - general),
        ]
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `reserve` and nobody uses it any more.
        unsafe { libc::munmap(self.base as *mut libc::c_void, SIZE) };
    }
}

pub(crate) fn round_up(bytes: usize) -> usize {
    (bytes + PAGE - 1) & !(PAGE - 1)
}

/// Maps `SIZE` bytes read-write at an `ALIGN`-aligned address.
fn reserve_aligned() -> io::Result<usize> {
    let total = ALIGN + SIZE;
    // SAFETY: a fresh anonymous mapping at an address the kernel picks.
    let raw = unsafe {
        libc::mmap(
            null_mut(),
            total,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if raw == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let start = raw as usize;
    let base = (start + ALIGN - 1) & !(ALIGN - 1);
    // SAFETY: only parts of the mapping just made are unmapped or changed.
    unsafe {
        if base > start {
            libc::munmap(raw, base - start);
        }
        let end = base + SIZE;
        if start + total > end {
            libc::munmap(end as *mut libc::c_void, start + total - end);
        }
        if libc::mprotect(
            base as *mut libc::c_void,
            SIZE,
            libc::PROT_READ | libc::PROT_WRITE,
        ) != 0
        {
            let error = io::Error::last_os_error();
            libc::munmap(base as *mut libc::c_void, SIZE);
            return Err(error);
        }
        // One first touch of a huge page would zero and later copy 2 MiB.
        #[cfg(target_os = "linux")]
        libc::madvise(base as *mut libc::c_void, SIZE, libc::MADV_NOHUGEPAGE);
    }
    Ok(base)
}
