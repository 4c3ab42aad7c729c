//! One call of a function, as the outside asks for it, and what comes back.

use std::sync::Arc;

use hull_value::{PackedValue, Timestamp};
use uuid::Uuid;

use crate::identity::Identity;
use crate::logs::LogLine;

/// Who asked for an execution; appears in log entries under these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    SyncWorker,
    HttpApi,
    Tester,
    HttpEndpoint,
    Cron,
    Scheduler,
    Action,
}

/// A request to run one function.
#[derive(Clone, Debug)]
pub struct FunctionCall {
    /// As the client wrote it (`messages:list`, `messages.js:list`, `_system/cli/tables`);
    /// canonicalised by the runner, which also reports a path that cannot be parsed.
    pub path: String,
    /// Path of the component (`""` or `None` = the app). Only admins may set it; checked by the caller.
    pub component_path: Option<String>,
    /// The JSON text of the arguments: an array of positional arguments
    /// (`[{...}]`) or one object, in convex encoded JSON.
    pub args_json: String,
    pub identity: Identity,
    pub caller: Caller,
    /// 16 lowercase hex characters (client protocol spec 1.10).
    pub request_id: String,
    /// Journal of an earlier run of the same query (client protocol spec 1.11).
    pub journal: Option<String>,
    pub origin: Arc<RequestOrigin>,
}

/// What a call goes back to; the same for all calls it leads to (function runtime spec 3.10).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestOrigin {
    /// Address and user agent of the client, `None` where no request was made.
    pub ip: Option<String>,
    pub user_agent: Option<String>,
    /// The token that the identity is from.
    pub auth_token: Option<String>,
    /// Id of the scheduled function that began it all.
    pub scheduled_function: Option<String>,
}

impl RequestOrigin {
    /// What `ctx.meta.getRequestMetadata()` gives.
    pub(crate) fn to_json(&self, request_id: &str) -> serde_json::Value {
        serde_json::json!({
            "ip": self.ip,
            "userAgent": self.user_agent,
            "requestId": request_id,
            "scheduledFunctionId": self.scheduled_function,
            "authToken": self.auth_token,
        })
    }
}

impl FunctionCall {
    /// Whether internal functions may be called: by admins and by functions.
    pub(crate) fn may_call_internal(&self) -> bool {
        let is_function = matches!(
            self.caller,
            Caller::Action | Caller::Cron | Caller::Scheduler
        );
        is_function || self.identity.is_admin()
    }
}

impl FunctionError {
    pub(crate) fn new(message: impl Into<String>) -> FunctionError {
        FunctionError {
            message: message.into(),
            data: None,
        }
    }
}

/// Key of the record that makes a mutation apply once however often it is sent (client protocol spec 1.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionRequest {
    pub session_id: Uuid,
    pub request_id: u32,
}

/// What a function returned, or how it failed.
pub type FunctionResult = Result<PackedValue, FunctionError>;

/// A failure that belongs to the function (thrown, bad arguments, not found, limits):
/// a result like any other, never a reason to drop a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionError {
    /// `Uncaught Error: boom\n    at handler (../convex/a.ts:1:2)\n`, without the
    /// `[Request ID: …] Server Error` line that the edge puts before it.
    pub message: String,
    /// Payload of a `ConvexError`.
    pub data: Option<PackedValue>,
}

#[derive(Clone, Debug)]
pub struct FunctionOutcome {
    pub result: FunctionResult,
    pub log_lines: Vec<LogLine>,
    pub journal: Option<String>,
    /// The snapshot a query ran at.
    pub ts: Timestamp,
}

#[derive(Clone, Debug)]
pub struct MutationOutcome {
    pub result: FunctionResult,
    pub log_lines: Vec<LogLine>,
    /// Commit timestamp of a success (begin timestamp when nothing at all was written).
    pub ts: Timestamp,
}

/// Returns the JSON text of an array of arguments: one object stands for itself alone.
pub(crate) fn args_array(args_json: &str) -> String {
    if args_json.trim_start().starts_with('[') {
        args_json.to_owned()
    } else {
        format!("[{args_json}]")
    }
}
