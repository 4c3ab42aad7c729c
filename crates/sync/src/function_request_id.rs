use std::{fmt, sync::Arc};

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::messages::{QueryId, RequestId};

/// The `[Request ID: …]` of one function run, shown to clients and in logs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FunctionRequestId(Arc<str>);

impl FunctionRequestId {
    /// Takes an id chosen elsewhere: random for queries and HTTP calls, or picked by an HTTP caller.
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// Returns the id of a socket mutation or action: tools compute the same one to find their logs.
    pub fn for_request(session: Uuid, request: RequestId) -> Self {
        Self::digest(&format!("{}|{}", session.as_hyphenated(), request.0))
    }

    /// Returns the id of a query that is answered without running; a pure crate draws no randomness.
    pub(crate) fn for_refused_query(session: Uuid, query: QueryId) -> Self {
        Self::digest(&format!("{}|query|{}", session.as_hyphenated(), query.0))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn digest(text: &str) -> Self {
        let digest = Sha256::digest(text);
        Self(hex::encode(&digest[..8]).into())
    }
}

impl fmt::Display for FunctionRequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_start_of_the_digest_of_session_and_request() {
        let session = Uuid::parse_str("876417D6-1B35-460D-BB3E-153308272B9B").unwrap();
        let id = FunctionRequestId::for_request(session, RequestId(3));
        let expected = hex::encode(Sha256::digest("876417d6-1b35-460d-bb3e-153308272b9b|3"));
        assert_eq!(id.as_str(), &expected[..16]);
    }
}
