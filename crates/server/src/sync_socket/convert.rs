//! Between what the deployment returns and what the session sends.

use std::sync::Arc;

use bytes::Bytes;

use hull_functions::{
    Caller, FunctionCall, FunctionError, FunctionOutcome, FunctionResult, Identity, LiveResult,
    LogLine, MutationOutcome, RequestOrigin,
};
use hull_sync::{
    ActionOutcome, AuthToken, Completed, FunctionFailure, FunctionRequest, FunctionRequestId,
    QueryResult, VerifiedIdentity,
};
use hull_value::{CodedError, PackedValue, json};

use crate::authorization::Authorizer;

/// Encodes a result the first time any session shows it; all share the bytes.
pub(super) fn query_result(live: &LiveResult, redact: bool) -> Arc<QueryResult> {
    live.attachment(|live| {
        let lines = log_lines(&live.log_lines, redact);
        let journal = live.journal.as_deref().map(Arc::from);
        match &live.result {
            Ok(value) => {
                QueryResult::updated(|out| json::encode(value.as_ref(), out), &lines, journal)
            }
            Err(error) => {
                let request_id = FunctionRequestId::new(&live.request_id);
                QueryResult::failed(&failure(error, request_id, redact), &lines, journal)
            }
        }
    })
}

pub(super) fn function_call(
    request: &FunctionRequest<Identity>,
    origin: &Arc<RequestOrigin>,
) -> FunctionCall {
    FunctionCall {
        path: request.path.to_string(),
        component_path: request.component_path.as_deref().map(str::to_owned),
        args_json: request.args.to_string(),
        identity: request.identity.clone(),
        caller: Caller::SyncWorker,
        request_id: request.function_request_id.as_str().to_owned(),
        journal: None,
        origin: origin.clone(),
    }
}

pub(super) fn mutation_outcome(
    outcome: Result<MutationOutcome, CodedError>,
    request_id: FunctionRequestId,
    redact: bool,
) -> hull_sync::MutationOutcome {
    use hull_sync::MutationOutcome as Outcome;
    match outcome {
        Err(error) => Outcome::Error(error),
        Ok(MutationOutcome {
            result,
            log_lines: lines,
            ts,
        }) => {
            let log_lines = log_lines(&lines, redact);
            match result {
                Ok(value) => Outcome::Committed {
                    ts,
                    value: encode(&value),
                    log_lines,
                },
                Err(error) => Outcome::Failed {
                    failure: failure(&error, request_id, redact),
                    log_lines,
                },
            }
        }
    }
}

pub(super) fn action_outcome(
    outcome: Result<FunctionOutcome, CodedError>,
    request_id: FunctionRequestId,
    redact: bool,
) -> ActionOutcome {
    match outcome {
        Err(error) => ActionOutcome::Error(error),
        Ok(outcome) => ActionOutcome::Completed(Completed {
            result: completed_result(&outcome.result, request_id, redact),
            log_lines: log_lines(&outcome.log_lines, redact),
        }),
    }
}

fn completed_result(
    result: &FunctionResult,
    request_id: FunctionRequestId,
    redact: bool,
) -> Result<Bytes, FunctionFailure> {
    match result {
        Ok(value) => Ok(encode(value)),
        Err(error) => Err(failure(error, request_id, redact)),
    }
}

/// Verifies what a client authenticates with.
pub(super) fn verify(
    authorizer: &Authorizer,
    token: &AuthToken,
) -> Result<VerifiedIdentity<Identity>, CodedError> {
    let identity = match token {
        AuthToken::None => Identity::Anonymous,
        AuthToken::User(token) => authorizer.user(token)?,
        AuthToken::Admin { key, acting_as } => {
            let admin = authorizer.admin(key)?;
            match acting_as {
                None => Identity::Admin(admin),
                Some(attributes) => {
                    let attributes = serde_json::from_str(attributes).map_err(|error| {
                        let message =
                            format!("The impersonated identity is not a JSON object: {error}");
                        CodedError::bad_request("InvalidIdentity", message)
                    })?;
                    authorizer.acting_user(admin, &attributes)?
                }
            }
        }
    };
    // Admin keys do not expire; the session has them verified again once a minute.
    Ok(VerifiedIdentity {
        is_admin: identity.is_admin(),
        identity,
        expires_at_ns: None,
    })
}

fn failure(error: &FunctionError, request_id: FunctionRequestId, redact: bool) -> FunctionFailure {
    FunctionFailure {
        request_id,
        message: (!redact).then(|| error.message.clone()),
        data: error.data.as_ref().map(encode),
    }
}

fn log_lines(lines: &[LogLine], redact: bool) -> Vec<String> {
    match redact {
        true => Vec::new(),
        false => lines.iter().map(LogLine::to_client_string).collect(),
    }
}

fn encode(value: &PackedValue) -> Bytes {
    let mut out = Vec::with_capacity(value.as_bytes().len() * 2);
    json::encode(value.as_ref(), &mut out);
    out.into()
}
