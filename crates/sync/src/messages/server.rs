use std::{io::Write, sync::Arc};

use bytes::Bytes;
use hull_value::Timestamp;

use crate::{
    effect::Completed,
    frame::{Frame, FrameKind, Parts},
    json_text,
    messages::{QueryId, RequestId, StateVersion},
    query_result::{FunctionFailure, QueryResult},
};

/// One entry of `modifications`.
pub(crate) enum StateModification {
    /// `QueryUpdated` or `QueryFailed`.
    Result(Arc<QueryResult>),
    Removed,
}

/// Everything of a transition but its modifications.
pub(crate) struct TransitionHeader {
    pub(crate) start: StateVersion,
    pub(crate) end: StateVersion,
    /// Clock skew of the client (ms) and clock of the server (ns): both or neither.
    pub(crate) clocks: Option<(i64, i64)>,
}

/// A piece of a transition: bytes of its own, or the shared bytes of a result.
pub(crate) enum TransitionPiece<'a> {
    Own(&'a [u8]),
    Shared(&'a QueryResult),
}

/// Writes a transition piece by piece; `modifications` are ordered by query.
pub(crate) fn write_transition<'a>(
    header: &TransitionHeader,
    modifications: impl Iterator<Item = (QueryId, &'a StateModification)>,
    mut piece: impl FnMut(TransitionPiece<'_>),
) {
    let mut own = Vec::with_capacity(256);
    own.extend_from_slice(b"{\"type\":\"Transition\",\"startVersion\":");
    write_version(&mut own, &header.start);
    own.extend_from_slice(b",\"endVersion\":");
    write_version(&mut own, &header.end);
    own.extend_from_slice(b",\"modifications\":[");
    for (position, (query, modification)) in modifications.enumerate() {
        if position > 0 {
            own.push(b',');
        }
        match modification {
            StateModification::Removed => {
                print(
                    &mut own,
                    format_args!("{{\"type\":\"QueryRemoved\",\"queryId\":{}}}", query.0),
                );
            }
            StateModification::Result(result) => {
                let kind = if result.is_error() {
                    "QueryFailed"
                } else {
                    "QueryUpdated"
                };
                print(
                    &mut own,
                    format_args!("{{\"type\":\"{kind}\",\"queryId\":{}", query.0),
                );
                piece(TransitionPiece::Own(&own));
                own.clear();
                piece(TransitionPiece::Shared(result));
            }
        }
    }
    own.push(b']');
    if let Some((skew_ms, server_ns)) = header.clocks {
        print(
            &mut own,
            format_args!(",\"clientClockSkew\":{skew_ms},\"serverTs\":{server_ns}"),
        );
    }
    own.push(b'}');
    piece(TransitionPiece::Own(&own));
}

/// Returns a transition as the parts of one frame.
pub(crate) fn transition_parts<'a>(
    header: &TransitionHeader,
    modifications: impl Iterator<Item = (QueryId, &'a StateModification)>,
) -> Vec<Bytes> {
    let mut parts = Parts::default();
    write_transition(header, modifications, |piece| match piece {
        TransitionPiece::Own(bytes) => parts.push(bytes),
        TransitionPiece::Shared(result) => parts.push_shared(result.tail()),
    });
    parts.finish()
}

/// Returns `MutationResponse`; `ts` is the commit timestamp of a success.
pub(crate) fn mutation_response(
    request: RequestId,
    ts: Option<Timestamp>,
    completed: &Completed,
) -> Frame {
    let parts = response_parts("MutationResponse", request, completed, |out| match ts {
        Some(ts) => print(out, format_args!(",\"ts\":\"{}\"", ts.to_base64())),
        None => out.extend_from_slice(b",\"ts\":null"),
    });
    let size_bytes = parts.iter().map(Bytes::len).sum();
    Frame {
        kind: FrameKind::MutationResponse { size_bytes },
        parts,
    }
}

/// Returns `ActionResponse`.
pub(crate) fn action_response(request: RequestId, completed: &Completed) -> Frame {
    let parts = response_parts("ActionResponse", request, completed, |_| ());
    let size_bytes = parts.iter().map(Bytes::len).sum();
    Frame {
        kind: FrameKind::ActionResponse { size_bytes },
        parts,
    }
}

fn response_parts(
    kind: &str,
    request: RequestId,
    completed: &Completed,
    write_ts: impl FnOnce(&mut Vec<u8>),
) -> Vec<Bytes> {
    let success = completed.result.is_ok();
    let mut parts = Parts::default();
    let mut own = Vec::with_capacity(128);
    print(
        &mut own,
        format_args!(
            "{{\"type\":\"{kind}\",\"requestId\":{},\"success\":{success},\"result\":",
            request.0
        ),
    );
    match &completed.result {
        Ok(value) => {
            parts.push(&own);
            own.clear();
            parts.push_shared(value);
        }
        Err(failure) => json_text::write(&mut own, &failure.text()),
    }
    write_ts(&mut own);
    own.extend_from_slice(b",\"logLines\":");
    json_text::write(&mut own, &completed.log_lines);
    if let Err(FunctionFailure {
        data: Some(data), ..
    }) = &completed.result
    {
        own.extend_from_slice(b",\"errorData\":");
        own.extend_from_slice(data);
    }
    own.push(b'}');
    parts.push(&own);
    parts.finish()
}

pub(crate) fn auth_error(error: &str, base_version: u32, update_attempted: bool) -> Frame {
    let mut text = b"{\"type\":\"AuthError\",\"error\":".to_vec();
    json_text::write(&mut text, error);
    print(
        &mut text,
        format_args!(
            ",\"baseVersion\":{base_version},\"authUpdateAttempted\":{update_attempted}}}"
        ),
    );
    Frame::control(text)
}

pub(crate) fn fatal_error(error: &str) -> Frame {
    let mut text = b"{\"type\":\"FatalError\",\"error\":".to_vec();
    json_text::write(&mut text, error);
    text.push(b'}');
    Frame::control(text)
}

pub(crate) fn ping() -> Frame {
    Frame {
        kind: FrameKind::Control,
        parts: vec![Bytes::from_static(b"{\"type\":\"Ping\"}")],
    }
}

fn write_version(out: &mut Vec<u8>, version: &StateVersion) {
    print(
        out,
        format_args!(
            "{{\"querySet\":{},\"identity\":{},\"ts\":\"{}\"}}",
            version.query_set,
            version.identity,
            version.ts.to_base64()
        ),
    );
}

fn print(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text)
        .expect("invariant: writing into memory cannot fail");
}
