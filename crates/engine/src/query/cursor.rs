use std::cmp::Ordering;

use hull_store::Order;
use hull_value::CodedError;
use thiserror::Error;

use super::{error, fingerprint::Fingerprint};

/// Turns cursors into opaque strings and back.
///
/// Encoding must be authenticated, so that functions cannot be led to keys of
/// a client's choosing, and deterministic over runs and restarts: cursors are
/// parts of results and of the next page's arguments.
pub trait CursorCodec {
    fn encode(&self, cursor: &[u8]) -> String;
    fn decode(&self, cursor: &str) -> Result<Vec<u8>, UndecodableCursor>;
}

/// A string that no cursor was encoded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("Failed to parse cursor")]
pub struct UndecodableCursor;

/// A place between two rows of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// Right after the row with this key, in the order of the query.
    After(Vec<u8>),
    /// After all rows.
    End,
}

/// What a cursor says before it is encrypted, version 1:
///
/// ```text
/// version:u8 = 1 | kind:u8 (0 after, 1 end) | fingerprint of the query: 16 bytes | key, if after: the rest
/// ```
const VERSION: u8 = 1;
const AFTER: u8 = 0;
const END: u8 = 1;

impl Position {
    pub(super) fn encode(&self, query: &Fingerprint, codec: &dyn CursorCodec) -> String {
        let (kind, key) = match self {
            Self::After(key) => (AFTER, key.as_slice()),
            Self::End => (END, [].as_slice()),
        };
        let mut bytes = vec![VERSION, kind];
        bytes.extend_from_slice(query);
        bytes.extend_from_slice(key);
        codec.encode(&bytes)
    }

    /// Decodes a cursor of this very query.
    pub(super) fn decode(
        cursor: &str,
        query: &Fingerprint,
        codec: &dyn CursorCodec,
    ) -> Result<Self, CodedError> {
        let undecodable = || error::invalid_cursor(&UndecodableCursor.to_string());
        let bytes = codec
            .decode(cursor)
            .map_err(|UndecodableCursor| undecodable())?;
        let Some(([VERSION, kind], rest)) = bytes.split_first_chunk() else {
            return Err(undecodable());
        };
        let Some((fingerprint, key)) = rest.split_first_chunk::<16>() else {
            return Err(undecodable());
        };
        if fingerprint != query {
            return Err(error::invalid_cursor(
                "Tried to run a query starting from a cursor, but it looks like this cursor is from a different query.",
            ));
        }
        match (*kind, key) {
            (AFTER, key) => Ok(Self::After(key.to_vec())),
            (END, []) => Ok(Self::End),
            _ => Err(undecodable()),
        }
    }

    /// Whether a page that starts after `start` can end here and make progress.
    pub(super) fn is_beyond(&self, start: Option<&Self>, order: Order) -> bool {
        match (start, self) {
            (None, _) | (_, Self::End) => true,
            (Some(Self::End), Self::After(_)) => false,
            (Some(Self::After(start)), Self::After(end)) => {
                let ahead = if order == Order::Asc {
                    Ordering::Greater
                } else {
                    Ordering::Less
                };
                end.cmp(start) == ahead
            }
        }
    }
}
