//! The allocator functions QuickJS calls; their state is the arena's header.

use std::ffi::c_void;
use std::ptr::null_mut;

use super::{ALIGN, CLASSES, GENERAL_OFFSET, Header, PAGE};
use crate::ffi::JSMallocFunctions;

pub(crate) const FUNCTIONS: JSMallocFunctions = JSMallocFunctions {
    js_calloc: calloc,
    js_malloc: malloc,
    js_free: free,
    js_realloc: realloc,
    js_malloc_usable_size: usable_size,
};

/// Bytes before each block of the general region: rounded size, class.
const BLOCK_HEADER: usize = 16;

/// Class and rounded size of a general block, its header included.
fn class_of(size: usize) -> (usize, usize) {
    let size = size.max(64);
    let log = (usize::BITS - 1 - (size - 1).leading_zeros()) as usize;
    let step = (1usize << log) >> 3;
    let rounded = (size + step - 1) & !(step - 1);
    let class = (log - 5) * 8 + ((rounded - (1 << log)) / step);
    (class, (rounded + 15) & !15)
}

fn is_page(address: usize) -> bool {
    (address & (ALIGN - 1)) < GENERAL_OFFSET
}

/// # Safety
/// `opaque` is the base of a live arena.
unsafe fn header<'a>(opaque: *mut c_void) -> &'a mut Header {
    // SAFETY: the header is at the base, and QuickJS is single-threaded per runtime.
    unsafe { &mut *(opaque as *mut Header) }
}

unsafe extern "C" fn malloc(opaque: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: addresses below come from the header of this arena and lie in it.
    unsafe {
        let h = header(opaque);
        if size > 2048 && size <= PAGE {
            return malloc_page(h);
        }
        if size > h.limit {
            h.refused += 1;
            return null_mut();
        }
        let (class, rounded) = class_of(size + BLOCK_HEADER);
        debug_assert!(class < CLASSES);
        if h.used + rounded > h.limit {
            h.refused += 1;
            return null_mut();
        }
        let recycled = h.free[class];
        if recycled != 0 {
            h.used += rounded;
            h.free[class] = *(recycled as *const usize);
            return recycled as *mut c_void;
        }
        if h.general_top + rounded > h.general_end {
            h.refused += 1;
            return null_mut();
        }
        let block = h.general_top + BLOCK_HEADER;
        h.used += rounded;
        h.general_top += rounded;
        *((block - 16) as *mut usize) = rounded;
        *((block - 8) as *mut usize) = class;
        block as *mut c_void
    }
}

/// # Safety
/// `h` is the header of a live arena.
unsafe fn malloc_page(h: &mut Header) -> *mut c_void {
    if h.used + PAGE > h.limit {
        h.refused += 1;
        return null_mut();
    }
    if h.page_free != 0 {
        let page = h.page_free;
        // SAFETY: a free page's first word is the next free page.
        h.page_free = unsafe { *(page as *const usize) };
        h.used += PAGE;
        return page as *mut c_void;
    }
    let page = h.page_top;
    if page + PAGE > h.page_end {
        h.refused += 1;
        return null_mut();
    }
    h.page_top = page + PAGE;
    h.used += PAGE;
    page as *mut c_void
}

unsafe extern "C" fn calloc(opaque: *mut c_void, count: usize, size: usize) -> *mut c_void {
    let Some(total) = count.checked_mul(size) else {
        return null_mut();
    };
    // SAFETY: as in `malloc`; fresh memory above the image is not zero after a reset.
    unsafe {
        let block = malloc(opaque, total);
        if !block.is_null() {
            std::ptr::write_bytes(block as *mut u8, 0, total);
        }
        block
    }
}

unsafe extern "C" fn free(opaque: *mut c_void, block: *mut c_void) {
    if block.is_null() {
        return;
    }
    // SAFETY: `block` was handed out by this arena, so its header words are intact.
    unsafe {
        let h = header(opaque);
        let address = block as usize;
        if is_page(address) {
            h.used -= PAGE;
            *(address as *mut usize) = h.page_free;
            h.page_free = address;
            return;
        }
        let rounded = *((address - 16) as *const usize);
        let class = *((address - 8) as *const usize);
        h.used -= rounded;
        if address - 16 + rounded == h.general_top {
            h.general_top = address - 16;
            return;
        }
        *(address as *mut usize) = h.free[class];
        h.free[class] = address;
    }
}

unsafe extern "C" fn usable_size(block: *const c_void) -> usize {
    let address = block as usize;
    if address == 0 {
        0
    } else if is_page(address) {
        PAGE
    } else {
        // SAFETY: `block` was handed out by an arena.
        unsafe { *((address - 16) as *const usize) - BLOCK_HEADER }
    }
}

unsafe extern "C" fn realloc(opaque: *mut c_void, block: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: as in `free`.
    unsafe {
        if block.is_null() {
            return malloc(opaque, size);
        }
        if size == 0 {
            free(opaque, block);
            return null_mut();
        }
        let usable = usable_size(block);
        if size <= usable && (size * 2 >= usable || usable <= 1024) {
            return block;
        }
        let address = block as usize;
        if !is_page(address)
            && let Some(resized) = resize_topmost(header(opaque), address, size)
        {
            return resized;
        }
        let moved = malloc(opaque, size);
        if moved.is_null() {
            return moved;
        }
        std::ptr::copy_nonoverlapping(block as *const u8, moved as *mut u8, usable.min(size));
        free(opaque, block);
        moved
    }
}

/// Grows or shrinks the last block of the general region in place, which
/// makes growing arrays and strings cheap. None: not the last block.
///
/// # Safety
/// `address` is a live general block of the arena of `h`.
unsafe fn resize_topmost(h: &mut Header, address: usize, size: usize) -> Option<*mut c_void> {
    // SAFETY: the two words before a general block are its header.
    unsafe {
        let rounded = *((address - 16) as *const usize);
        if address - 16 + rounded != h.general_top {
            return None;
        }
        if size > h.limit {
            h.refused += 1;
            return Some(null_mut());
        }
        let (class, new_rounded) = class_of(size + BLOCK_HEADER);
        let grown = new_rounded.saturating_sub(rounded);
        if h.used + grown > h.limit || address - 16 + new_rounded > h.general_end {
            h.refused += 1;
            return Some(null_mut());
        }
        h.used = h.used - rounded + new_rounded;
        h.general_top = address - 16 + new_rounded;
        *((address - 16) as *mut usize) = new_rounded;
        *((address - 8) as *mut usize) = class;
        Some(address as *mut c_void)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arena::Arena;

    proptest! {
        #[test]
        fn classes_hold_their_sizes(size in 1usize..(1 << 30)) {
            let (class, rounded) = class_of(size);
            prop_assert!(class < CLASSES);
            prop_assert!(rounded >= size);
            prop_assert_eq!(class_of(rounded).0, class);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn blocks_keep_their_contents(ops in prop::collection::vec((0usize..40, 1usize..9000), 1..400)) {
            let arena = Arena::reserve(64 << 20).expect("address space");
            let mut live: Vec<Option<(usize, usize, u8)>> = vec![None; 40];
            let before = arena.used();
            for (n, (slot, size)) in ops.into_iter().enumerate() {
                let fill = n as u8;
                // SAFETY: blocks are only used between allocation and free.
                unsafe {
                    match live[slot].take() {
                        None => {
                            let p = malloc(arena.opaque(), size);
                            prop_assert!(!p.is_null() && (p as usize).is_multiple_of(16));
                            std::ptr::write_bytes(p as *mut u8, fill, size);
                            live[slot] = Some((p as usize, size, fill));
                        }
                        Some((p, old, byte)) if size % 3 == 0 => {
                            let q = realloc(arena.opaque(), p as *mut c_void, size);
                            let kept = std::slice::from_raw_parts(q as *const u8, old.min(size));
                            prop_assert!(kept.iter().all(|b| *b == byte));
                            std::ptr::write_bytes(q as *mut u8, fill, size);
                            live[slot] = Some((q as usize, size, fill));
                        }
                        Some((p, old, byte)) => {
                            let kept = std::slice::from_raw_parts(p as *const u8, old);
                            prop_assert!(kept.iter().all(|b| *b == byte));
                            free(arena.opaque(), p as *mut c_void);
                        }
                    }
                }
            }
            for (p, _, _) in live.into_iter().flatten() {
                // SAFETY: still live.
                unsafe { free(arena.opaque(), p as *mut c_void) };
            }
            prop_assert_eq!(arena.used(), before);
        }
    }

    #[test]
    fn limit_refuses_and_counts() {
        let arena = Arena::reserve(1 << 20).expect("address space");
        // SAFETY: plain allocations.
        unsafe {
            assert!(malloc(arena.opaque(), 2 << 20).is_null());
            assert!(malloc(arena.opaque(), usize::MAX - 8).is_null());
            assert!(calloc(arena.opaque(), usize::MAX, 2).is_null());
            assert!(!malloc(arena.opaque(), 1000).is_null());
        }
        assert_eq!(arena.refused(), 2);
    }
}
