//! Looks at a file's first bytes without opening it as a database.
//!
//! SQLite itself would create `-wal` and `-shm` files beside a foreign
//! database just by reading it, so the check reads the documented header
//! (<https://www.sqlite.org/fileformat.html#the_database_header>) directly:
//!
//! ```text
//! offset size
//!      0   16  "SQLite format 3\0"
//!     16    2  page size, big endian; 1 means 65536
//!     24    4  change counter
//!     28    4  size in pages, valid if the change counter equals offset 92
//!     60    4  user_version      = our format version
//!     68    4  application_id    = "HULL"
//!     92    4  change counter for which the size is valid
//! ```

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::OpenError;
use crate::format::{APPLICATION_ID, FORMAT_VERSION};

const HEADER_LEN: usize = 100;
const WAL_HEADER_LEN: u64 = 32;
const WAL_FRAME_HEADER_LEN: u64 = 24;

/// The path of a file that SQLite or we keep beside the data file.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Returns whether there is a data file; refuses whatever else is there.
pub(crate) fn check(path: &Path) -> Result<bool, OpenError> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // SQLite would replay such a log into the new file.
            let wal = beside(path, "-wal");
            return match fs::metadata(&wal) {
                Ok(_) => Err(OpenError::Damaged {
                    path: path.to_owned(),
                    detail: "the file is missing but its `-wal` file is there".to_owned(),
                }),
                Err(_) => Ok(false),
            };
        }
        Err(source) => return Err(io_error("look at", path, source)),
    };
    if !metadata.is_file() {
        return Err(foreign(path, "it is not a regular file"));
    }
    let mut file = File::open(path).map_err(|source| io_error("read", path, source))?;
    let mut header = Vec::with_capacity(HEADER_LEN);
    Read::by_ref(&mut file)
        .take(HEADER_LEN as u64)
        .read_to_end(&mut header)
        .map_err(|source| io_error("read", path, source))?;
    check_header(path, &header, metadata.len())?;
    Ok(true)
}

fn check_header(path: &Path, header: &[u8], file_len: u64) -> Result<(), OpenError> {
    if header.is_empty() {
        return Err(foreign(path, "it is empty"));
    }
    if header.len() < HEADER_LEN || !header.starts_with(b"SQLite format 3\0") {
        return Err(foreign(path, "it is not even an SQLite database"));
    }
    if u32_at(header, 68) != APPLICATION_ID {
        let is_original = path
            .file_name()
            .is_some_and(|name| name == "convex_local_backend.sqlite3");
        return Err(foreign(
            path,
            if is_original {
                "it looks like the database of the original Convex backend; use `npx convex export` and `import` to move the data"
            } else {
                "it is the SQLite database of another program"
            },
        ));
    }
    let version = u32_at(header, 60);
    if version > FORMAT_VERSION {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found: version,
            supported: FORMAT_VERSION,
        });
    }
    if version == 0 {
        return Err(damaged(path, "its format version is 0"));
    }
    let page_size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65536,
        size if size.is_power_of_two() && size >= 512 => u64::from(size),
        _ => return Err(damaged(path, "its page size makes no sense")),
    };
    if u32_at(header, 24) == u32_at(header, 92) {
        check_len(path, file_len / page_size, u32_at(header, 28), page_size)?;
    }
    Ok(())
}

/// Refuses a file that has lost its tail. A file may be shorter than it says
/// only when a checkpoint was cut off, and then the write-ahead log still has
/// the missing pages.
fn check_len(path: &Path, present: u64, expected: u32, page_size: u64) -> Result<(), OpenError> {
    if present >= u64::from(expected) {
        return Ok(());
    }
    let in_wal = wal_pages(&beside(path, "-wal"), page_size)
        .map_err(|source| io_error("read the `-wal` file of", path, source))?;
    let is_covered = (present + 1..=u64::from(expected))
        .all(|page| u32::try_from(page).is_ok_and(|page| in_wal.contains(&page)));
    if is_covered {
        return Ok(());
    }
    Err(damaged(
        path,
        &format!("it is truncated to {present} of {expected} pages"),
    ))
}

/// Returns the page numbers in a write-ahead log (which a missing one has none of).
fn wal_pages(wal: &Path, page_size: u64) -> io::Result<HashSet<u32>> {
    let mut pages = HashSet::new();
    let mut file = match File::open(wal) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(pages),
        Err(error) => return Err(error),
    };
    let frame_len = WAL_FRAME_HEADER_LEN + page_size;
    let frame_count = file.metadata()?.len().saturating_sub(WAL_HEADER_LEN) / frame_len;
    for frame in 0..frame_count {
        file.seek(SeekFrom::Start(WAL_HEADER_LEN + frame * frame_len))?;
        let mut page = [0; 4];
        file.read_exact(&mut page)?;
        pages.insert(u32::from_be_bytes(page));
    }
    Ok(pages)
}

fn u32_at(header: &[u8], offset: usize) -> u32 {
    let bytes = header[offset..offset + 4]
        .try_into()
        .expect("invariant: a range of four is four bytes");
    u32::from_be_bytes(bytes)
}

fn foreign(path: &Path, found: &'static str) -> OpenError {
    OpenError::Foreign {
        path: path.to_owned(),
        found,
    }
}

fn damaged(path: &Path, detail: &str) -> OpenError {
    OpenError::Damaged {
        path: path.to_owned(),
        detail: detail.to_owned(),
    }
}

pub(crate) fn io_error(action: &'static str, path: &Path, source: io::Error) -> OpenError {
    OpenError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
