//! Freezing an arena into an image and putting it back after a call.

use std::io;
use std::ptr::null_mut;

use super::{Arena, PAGE, round_up};

/// How a reset finds what to put back. Chosen once per engine by `probe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// The image is mapped copy-on-write; `ioctl(PAGEMAP_SCAN)` lists the
    /// pages which became private (Linux 6.7).
    Scan,
    /// The same, read from `/proc/self/pagemap`.
    Pagemap,
    /// Copies the whole image each time: any system, images below ~1 MB.
    CopyAll,
}

/// Private image pages above which they are all dropped rather than copied.
const STICKY_BYTES_MAX: usize = 4 << 20;
/// Memory above the image, per region, that stays mapped between calls.
const KEEP_GROWTH_BYTES: usize = 4 << 20;

/// A frozen arena. `reset` makes it byte-identical to the image again.
pub(crate) struct Snapshot {
    extents: [(usize, usize); 3],
    page_top: usize,
    general_top: usize,
    image: Image,
    strategy: Strategy,
    pagemap: Option<Pagemap>,
}

/// The bytes to copy back from.
enum Image {
    /// A second, read-only mapping of the memory file behind the arena.
    Mapped {
        address: usize,
        len: usize,
    },
    Owned(Vec<u8>),
}

// SAFETY: the mapping is read-only and lives as long as the value.
unsafe impl Send for Image {}
// SAFETY: as above.
unsafe impl Sync for Image {}

impl Image {
    fn as_slice(&self) -> &[u8] {
        match self {
            // SAFETY: mapped readable for `len` bytes until drop, never written.
            Image::Mapped { address, len } => unsafe {
                std::slice::from_raw_parts(*address as *const u8, *len)
            },
            Image::Owned(bytes) => bytes,
        }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if let Image::Mapped { address, len } = self {
            // SAFETY: mapped by `map_image`, used by nobody else.
            unsafe { libc::munmap(*address as *mut libc::c_void, *len) };
        }
    }
}

impl Snapshot {
    /// Freezes the arena as it is now. On failure the arena still works but
    /// must not be used for calls.
    pub(crate) fn take(arena: &Arena, strategy: Strategy) -> io::Result<Self> {
        let extents = arena.extents();
        let (page_top, general_top) = arena.tops();
        let len = extents.iter().map(|extent| extent.1).sum();
        let mut bytes = Vec::with_capacity(len);
        for (address, len) in extents {
            // SAFETY: the extents are mapped and nothing runs in the arena.
            bytes.extend_from_slice(unsafe {
                std::slice::from_raw_parts(address as *const u8, len)
            });
        }
        let (image, strategy, pagemap) = match strategy {
            Strategy::CopyAll => (Image::Owned(bytes), strategy, None),
            _ => (
                map_image(&extents, &bytes)?,
                strategy,
                Some(Pagemap::open()?),
            ),
        };
        Ok(Snapshot {
            extents,
            page_top,
            general_top: round_up(general_top),
            image,
            strategy,
            pagemap,
        })
    }

    /// Bytes of the image itself.
    pub(crate) fn image_bytes(&self) -> usize {
        self.image.as_slice().len()
    }

    /// Restores the image. Returns the number of image bytes that were private
    /// to this arena before.
    pub(crate) fn reset(&mut self, arena: &Arena) -> io::Result<usize> {
        let (page_top, general_top) = arena.tops();
        drop_tail(self.page_top + KEEP_GROWTH_BYTES, page_top);
        drop_tail(self.general_top + KEEP_GROWTH_BYTES, general_top);
        let dirty = match self.strategy {
            Strategy::CopyAll => {
                self.copy_back(0, self.image_bytes());
                self.image_bytes()
            }
            Strategy::Scan | Strategy::Pagemap => self.copy_private_pages()?,
        };
        if dirty > STICKY_BYTES_MAX {
            self.drop_private_pages();
        }
        Ok(dirty)
    }

    /// Gives all private memory back; the next call pays page faults. Right
    /// for slots nobody uses. The arena must have been reset.
    pub(crate) fn release_memory(&self, arena: &Arena) {
        drop_tail(self.page_top, self.page_top + KEEP_GROWTH_BYTES);
        drop_tail(self.general_top, self.general_top + KEEP_GROWTH_BYTES);
        debug_assert_eq!(arena.tops().0, self.page_top);
        if self.strategy != Strategy::CopyAll {
            self.drop_private_pages();
        }
    }

    /// Whether every byte equals the image. For tests and self-checks.
    #[cfg(test)]
    pub(crate) fn is_pristine(&self, _arena: &Arena) -> bool {
        let mut offset = 0;
        self.extents.iter().all(|&(address, len)| {
            let image = &self.image.as_slice()[offset..offset + len];
            offset += len;
            // SAFETY: mapped, and nothing runs in the arena.
            image == unsafe { std::slice::from_raw_parts(address as *const u8, len) }
        })
    }

    fn drop_private_pages(&self) {
        for (address, len) in self.extents {
            // SAFETY: a private file mapping: dropping its pages shows the file again.
            unsafe { libc::madvise(address as *mut libc::c_void, len, libc::MADV_DONTNEED) };
        }
    }

    fn copy_private_pages(&mut self) -> io::Result<usize> {
        let mut dirty = 0;
        let mut offset = 0;
        for (address, len) in self.extents {
            let pagemap = self
                .pagemap
                .as_mut()
                .expect("invariant: opened by `take` for these strategies");
            let regions = match self.strategy {
                Strategy::Scan => pagemap.scan(address, len)?,
                _ => pagemap.read(address, len)?,
            };
            for &(start, end) in regions {
                let from = offset + (start - address);
                dirty += end - start;
                let source = &self.image.as_slice()[from..from + (end - start)];
                // SAFETY: the region lies in a writable extent of the arena, and
                // nothing runs in it.
                unsafe {
                    std::ptr::copy_nonoverlapping(source.as_ptr(), start as *mut u8, source.len())
                };
            }
            offset += len;
        }
        Ok(dirty)
    }

    fn copy_back(&self, from: usize, to: usize) {
        let mut offset = 0;
        for (address, len) in self.extents {
            let source = &self.image.as_slice()[offset.max(from)..(offset + len).min(to)];
            // SAFETY: as in `copy_private_pages`.
            unsafe {
                std::ptr::copy_nonoverlapping(source.as_ptr(), address as *mut u8, source.len())
            };
            offset += len;
        }
    }
}

fn drop_tail(from: usize, to: usize) {
    if to > from {
        // SAFETY: anonymous memory of the arena above the image; nothing refers to it after a reset.
        unsafe {
            libc::madvise(
                from as *mut libc::c_void,
                round_up(to - from),
                libc::MADV_DONTNEED,
            )
        };
    }
}

/// Finds the best strategy this system allows.
pub(crate) fn probe() -> Strategy {
    for strategy in [Strategy::Scan, Strategy::Pagemap] {
        if works(strategy) {
            return strategy;
        }
    }
    Strategy::CopyAll
}

/// Tries a strategy on a small arena: sandboxes and old kernels refuse some.
fn works(strategy: Strategy) -> bool {
    let attempt = || -> io::Result<bool> {
        let arena = Arena::reserve(1 << 20)?;
        let mut snapshot = Snapshot::take(&arena, strategy)?;
        let before = arena.used();
        // SAFETY: the header belongs to this arena alone.
        unsafe { (*arena.header_ptr()).used = before + 77 };
        let dirty = snapshot.reset(&arena)?;
        Ok(dirty == PAGE && arena.used() == before)
    };
    attempt().unwrap_or(false)
}

/// Puts `bytes` into a memory file, maps it copy-on-write over the extents and
/// once more read-only.
#[cfg(target_os = "linux")]
fn map_image(extents: &[(usize, usize); 3], bytes: &[u8]) -> io::Result<Image> {
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::{AsRawFd, FromRawFd};

    // SAFETY: a constant name; the descriptor is owned by `file` from here on.
    let mut file = unsafe {
        let fd = libc::memfd_create(c"hull-js-image".as_ptr(), libc::MFD_CLOEXEC);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        File::from_raw_fd(fd)
    };
    file.write_all(bytes)?;
    // SAFETY: a new read-only mapping.
    let copy = unsafe {
        libc::mmap(
            null_mut(),
            bytes.len(),
            libc::PROT_READ,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    if copy == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let image = Image::Mapped {
        address: copy as usize,
        len: bytes.len(),
    };
    let mut offset = 0;
    for &(address, len) in extents {
        if len == 0 {
            continue;
        }
        let file_offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        // SAFETY: replaces pages of the arena by a private mapping of the same bytes.
        let mapped = unsafe {
            libc::mmap(
                address as *mut libc::c_void,
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_FIXED,
                file.as_raw_fd(),
                file_offset,
            )
        };
        if mapped == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        offset += len;
    }
    Ok(image)
}

#[cfg(not(target_os = "linux"))]
fn map_image(_: &[(usize, usize); 3], _: &[u8]) -> io::Result<Image> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Tells which pages of a private mapping have been copied by a write.
struct Pagemap {
    file: std::fs::File,
    entries: Vec<u64>,
    regions: Vec<(usize, usize)>,
}

#[repr(C)]
struct ScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct ScanRegion {
    start: u64,
    end: u64,
    categories: u64,
}

const PAGEMAP_SCAN: u64 = 0xC060_6610;
const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;

impl Pagemap {
    fn open() -> io::Result<Self> {
        let file = std::fs::File::open("/proc/self/pagemap")?;
        Ok(Pagemap {
            file,
            entries: Vec::new(),
            regions: Vec::new(),
        })
    }

    /// Private pages of the range as (start, end) addresses.
    fn scan(&mut self, address: usize, len: usize) -> io::Result<&[(usize, usize)]> {
        use std::os::fd::AsRawFd;

        self.regions.clear();
        let end = (address + len) as u64;
        let mut start = address as u64;
        while start < end {
            let mut found = [ScanRegion::default(); 128];
            // Not file-backed, and present or swapped out: asking for present
            // pages only would miss swapped ones and leak state.
            let mut arg = ScanArg {
                size: size_of::<ScanArg>() as u64,
                flags: 0,
                start,
                end,
                walk_end: 0,
                vec: found.as_mut_ptr() as u64,
                vec_len: found.len() as u64,
                max_pages: 0,
                category_inverted: PAGE_IS_FILE,
                category_mask: PAGE_IS_FILE,
                category_anyof_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
                return_mask: PAGE_IS_PRESENT,
            };
            // SAFETY: the argument and the vector live across the call.
            let n = unsafe { libc::ioctl(self.file.as_raw_fd(), PAGEMAP_SCAN as _, &raw mut arg) };
            if n < 0 {
                return Err(io::Error::last_os_error());
            }
            let found = &found[..usize::try_from(n).unwrap_or(0)];
            self.regions
                .extend(found.iter().map(|r| (r.start as usize, r.end as usize)));
            if arg.walk_end <= start {
                return Err(io::Error::other("page scan made no progress"));
            }
            start = arg.walk_end;
        }
        Ok(&self.regions)
    }

    /// The same from the pagemap file.
    fn read(&mut self, address: usize, len: usize) -> io::Result<&[(usize, usize)]> {
        use std::os::unix::fs::FileExt;

        self.regions.clear();
        let pages = len / PAGE;
        self.entries.resize(pages, 0);
        // SAFETY: any bit pattern is a valid u64.
        let bytes = unsafe {
            std::slice::from_raw_parts_mut(self.entries.as_mut_ptr() as *mut u8, pages * 8)
        };
        self.file
            .read_exact_at(bytes, (address / PAGE * 8) as u64)?;
        for (i, entry) in self.entries.iter().enumerate() {
            let resident = entry >> 63 & 1 == 1 || entry >> 62 & 1 == 1;
            let file_backed = entry >> 61 & 1 == 1;
            if resident && !file_backed {
                let start = address + i * PAGE;
                match self.regions.last_mut() {
                    Some(last) if last.1 == start => last.1 = start + PAGE,
                    _ => self.regions.push((start, start + PAGE)),
                }
            }
        }
        Ok(&self.regions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::alloc;

    fn restores(strategy: Strategy) {
        let arena = Arena::reserve(64 << 20).expect("address space");
        let mut blocks = Vec::new();
        for n in 0..400usize {
            // SAFETY: fresh blocks of that size.
            unsafe {
                let p = (alloc::FUNCTIONS.js_malloc)(arena.opaque(), 100 + n * 37);
                std::ptr::write_bytes(p as *mut u8, n as u8, 100 + n * 37);
                blocks.push(p);
            }
        }
        let mut snapshot = Snapshot::take(&arena, strategy).expect("snapshot");
        for round in 0..4usize {
            for (n, p) in blocks.iter().enumerate().skip(round).step_by(7) {
                // SAFETY: live blocks of the image, then growth above it.
                unsafe {
                    std::ptr::write_bytes(*p as *mut u8, 0xee, 100 + n * 37);
                    (alloc::FUNCTIONS.js_free)(arena.opaque(), *p);
                    (alloc::FUNCTIONS.js_malloc)(arena.opaque(), 300_000);
                    (alloc::FUNCTIONS.js_malloc)(arena.opaque(), 4000);
                }
            }
            assert!(!snapshot.is_pristine(&arena));
            snapshot.reset(&arena).expect("reset");
            assert!(snapshot.is_pristine(&arena));
            if round == 2 {
                snapshot.release_memory(&arena);
                assert!(snapshot.is_pristine(&arena));
            }
        }
    }

    #[test]
    fn every_strategy_restores_every_byte() {
        restores(Strategy::CopyAll);
        for strategy in [Strategy::Scan, Strategy::Pagemap] {
            if works(strategy) {
                restores(strategy);
            }
        }
    }
}
