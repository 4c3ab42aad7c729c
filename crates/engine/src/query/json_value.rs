use hull_value::{
    CodedError,
    json::{CommitTsPolicy, pack_encoded_value},
};
use serde_json::Value as Json;

use super::Bound;

/// Parses the value of a range expression; the commit timestamp not known yet
/// finds documents staged in the same mutation.
pub(super) fn parse_range_value(json: &Json) -> Result<Bound, CodedError> {
    parse(json, CommitTsPolicy::Allow)
}

/// Parses a literal of a filter, where the commit timestamp has no meaning.
pub(super) fn parse_literal(json: &Json) -> Result<Bound, CodedError> {
    parse(json, CommitTsPolicy::Reject)
}

/// Reads a value in wire form, or `{"$undefined":null}`.
fn parse(json: &Json, commit_ts: CommitTsPolicy) -> Result<Bound, CodedError> {
    if let Some(object) = json.as_object()
        && object.len() == 1
        && object.get("$undefined").is_some_and(Json::is_null)
    {
        return Ok(None);
    }
    pack_encoded_value(json, commit_ts)
        .map(Some)
        .map_err(|error| error.into_coded("InvalidQuery"))
}
