//! The bytes of one log entry.
//!
//! ```text
//! version    u8     1
//! count      u32    revisions that follow
//! revision   count times:
//!   flags    u8     bit 0: has prev_ts, bit 1: has a value (else a tombstone)
//!   tablet   u32
//!   id       16 bytes
//!   prev_ts  u64    if bit 0
//!   len      u32    if bit 1
//!   value    len bytes
//! ```
//!
//! Integers are little endian. Nothing follows the last revision. The
//! timestamp of the commit is the key under which the entry is stored.

use bytes::{Buf, Bytes};
use hull_store::{DocumentWrite, StoreError, TabletId};
use hull_value::{InternalId, Timestamp};

use crate::error::corrupt;

const VERSION: u8 = 1;
const HAS_PREV_TS: u8 = 1;
const HAS_VALUE: u8 = 2;

/// Appends the entry of one commit.
pub(crate) fn encode(documents: &[DocumentWrite], out: &mut Vec<u8>) -> Result<(), StoreError> {
    out.push(VERSION);
    out.extend_from_slice(&len_u32(documents.len())?.to_le_bytes());
    for write in documents {
        let mut flags = 0;
        if write.prev_ts.is_some() {
            flags |= HAS_PREV_TS;
        }
        if write.value.is_some() {
            flags |= HAS_VALUE;
        }
        out.push(flags);
        out.extend_from_slice(&write.tablet.0.to_le_bytes());
        out.extend_from_slice(&write.id.0);
        if let Some(prev_ts) = write.prev_ts {
            out.extend_from_slice(&prev_ts.0.to_le_bytes());
        }
        if let Some(value) = &write.value {
            out.extend_from_slice(&len_u32(value.len())?.to_le_bytes());
            out.extend_from_slice(value);
        }
    }
    Ok(())
}

/// Reads an entry back; the values share its bytes.
pub(crate) fn decode(mut entry: Bytes) -> Result<Vec<DocumentWrite>, StoreError> {
    let version = entry.try_get_u8().map_err(cut_off)?;
    if version != VERSION {
        return Err(corrupt(format!("log entry of unknown version {version}")));
    }
    let count = entry.try_get_u32_le().map_err(cut_off)? as usize;
    // A revision has at least 21 bytes: a broken count cannot ask for the world.
    let mut documents = Vec::with_capacity(count.min(entry.len() / 21));
    for _ in 0..count {
        documents.push(decode_revision(&mut entry)?);
    }
    if entry.has_remaining() {
        return Err(corrupt("log entry with bytes after its last revision"));
    }
    Ok(documents)
}

fn decode_revision(entry: &mut Bytes) -> Result<DocumentWrite, StoreError> {
    let flags = entry.try_get_u8().map_err(cut_off)?;
    if flags & !(HAS_PREV_TS | HAS_VALUE) != 0 {
        return Err(corrupt(format!(
            "log revision with unknown flags {flags:#x}"
        )));
    }
    let tablet = TabletId(entry.try_get_u32_le().map_err(cut_off)?);
    let mut id = InternalId([0; 16]);
    entry.try_copy_to_slice(&mut id.0).map_err(cut_off)?;
    let prev_ts = if flags & HAS_PREV_TS == 0 {
        None
    } else {
        Some(Timestamp(entry.try_get_u64_le().map_err(cut_off)?))
    };
    let value = if flags & HAS_VALUE == 0 {
        None
    } else {
        let len = entry.try_get_u32_le().map_err(cut_off)? as usize;
        if len > entry.len() {
            return Err(corrupt("log entry is cut off in a value"));
        }
        Some(entry.split_to(len))
    };
    Ok(DocumentWrite {
        tablet,
        id,
        prev_ts,
        value,
    })
}

fn cut_off(error: bytes::TryGetError) -> StoreError {
    corrupt(format!("log entry is cut off: {error}"))
}

fn len_u32(len: usize) -> Result<u32, StoreError> {
    u32::try_from(len).map_err(|_| StoreError::InvalidWrite {
        detail: format!("{len} does not fit the log format"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<DocumentWrite> {
        let write = |prev_ts, value: Option<&'static [u8]>| DocumentWrite {
            tablet: TabletId(7),
            id: InternalId([9; 16]),
            prev_ts,
            value: value.map(Bytes::from_static),
        };
        vec![
            write(None, Some(b"first")),
            write(Some(Timestamp(5)), Some(b"")),
            write(Some(Timestamp(6)), None),
        ]
    }

    #[test]
    fn version_1_stays_as_it_is() {
        let mut bytes = Vec::new();
        encode(&sample()[..2], &mut bytes).unwrap();
        let mut expected = vec![1, 2, 0, 0, 0];
        expected.extend([2, 7, 0, 0, 0]);
        expected.extend([9; 16]);
        expected.extend([5, 0, 0, 0, b'f', b'i', b'r', b's', b't']);
        expected.extend([3, 7, 0, 0, 0]);
        expected.extend([9; 16]);
        expected.extend([5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn every_cut_and_every_extra_byte_is_an_error() {
        let mut bytes = Vec::new();
        encode(&sample(), &mut bytes).unwrap();
        assert_eq!(decode(bytes.clone().into()), Ok(sample()));
        for len in 0..bytes.len() {
            assert!(decode(bytes[..len].to_vec().into()).is_err(), "{len}");
        }
        bytes.push(0);
        assert!(decode(bytes.into()).is_err());
    }
}
