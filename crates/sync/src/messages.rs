//! The messages of the protocol: what a client may send, and the bytes of what the server sends.

mod client;
mod server;

pub use client::{AddQuery, AuthToken, ClientMessage, Modification, ProtocolError};
pub(crate) use server::{
    StateModification, TransitionHeader, TransitionPiece, action_response, auth_error, fatal_error,
    mutation_response, ping, transition_parts, write_transition,
};

use hull_value::Timestamp;

/// Number of a query, chosen by the client and kept over reconnects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueryId(pub u32);

/// Number of a mutation or action, from one counter of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u32);

/// The triple that versions everything a client has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateVersion {
    pub query_set: u32,
    pub identity: u32,
    pub ts: Timestamp,
}

impl StateVersion {
    /// The version of a new connection.
    pub const INITIAL: Self = Self {
        query_set: 0,
        identity: 0,
        ts: Timestamp(0),
    };
}
