//! What the tests of queries share: a source in memory, a naive evaluation to
//! compare with, and strategies for documents and queries.

pub(super) mod memory_source;
pub(super) mod naive;
pub(super) mod strategies;

use super::{CursorCodec, UndecodableCursor};

pub(super) use memory_source::MemorySource;

/// Hexadecimal with a check byte: deterministic, and refuses what it did not make.
pub(super) struct HexCodec;

impl CursorCodec for HexCodec {
    fn encode(&self, cursor: &[u8]) -> String {
        let check = cursor
            .iter()
            .fold(0x5a_u8, |sum, byte| sum.rotate_left(1) ^ byte);
        cursor
            .iter()
            .chain([&check])
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    fn decode(&self, cursor: &str) -> Result<Vec<u8>, UndecodableCursor> {
        let bytes: Result<Vec<u8>, _> = (0..cursor.len() / 2)
            .map(|at| {
                let digits = cursor.get(2 * at..2 * at + 2).ok_or(UndecodableCursor)?;
                u8::from_str_radix(digits, 16).map_err(|_| UndecodableCursor)
            })
            .collect();
        let bytes = bytes?;
        let (_, content) = bytes.split_last().ok_or(UndecodableCursor)?;
        if self.encode(content) == cursor {
            Ok(content.to_vec())
        } else {
            Err(UndecodableCursor)
        }
    }
}
