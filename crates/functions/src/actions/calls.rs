//! The asynchronous host calls of actions (function runtime spec 3.1).

use hull_engine::Transaction;
use hull_js::{HostError, Reply};
use hull_sync::UdfPath;
use hull_value::CodedError;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

use super::host::CallContext;
use crate::call::{Caller, FunctionCall, FunctionError, FunctionResult};
use crate::execution::Component;
use crate::host::{CancelArgs, ScheduleArgs, address, not_built, reply_json, user_error};
use crate::runner::Runner;
use crate::scheduler::{self, ScheduleRequest};

/// Calls that npm convex makes in actions and that this server does not answer yet.
const NOT_BUILT: [&str; 9] = [
    "1.0/actions/vectorSearch",
    "1.0/storageGetUrl",
    "1.0/storageGetMetadata",
    "1.0/storageGenerateUploadUrl",
    "1.0/storageDelete",
    "1.0/createFunctionHandle",
    "1.0/getRequestMetadata",
    "1.0/createServiceToken",
    "1.0/getServiceUrl",
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CallArgs<'a> {
    name: Option<String>,
    reference: Option<String>,
    function_handle: Option<String>,
    #[serde(borrow)]
    args: &'a RawValue,
}

pub(super) async fn answer(
    context: &CallContext,
    name: &str,
    args: &str,
) -> Result<Reply, HostError> {
    match name {
        "1.0/actions/query" => {
            let call = function_call(context, args, "runQuery")?;
            reply(
                context
                    .functions
                    .query(call)
                    .await
                    .map(|outcome| outcome.result),
            )
        }
        "1.0/actions/mutation" => {
            let call = function_call(context, args, "runMutation")?;
            let outcome = context.functions.mutation(call, None).await;
            reply(outcome.map(|outcome| outcome.result))
        }
        "1.0/actions/action" => {
            let call = function_call(context, args, "runAction")?;
            let functions = context.functions.clone();
            // The recursion of futures ends here.
            let outcome = Box::pin(functions.run_action(call, context.depth + 1)).await;
            reply(outcome.map(|outcome| outcome.result))
        }
        "1.0/actions/schedule" => {
            let args: ScheduleArgs<'_> = parse(args, "scheduler")?;
            let (path, ts, args_json) = (args.path()?, args.ts, args.args_json());
            let id = commit(context, move |transaction, runner| {
                let request = ScheduleRequest {
                    path: &path,
                    component: &Component::root(),
                    ts,
                    args_json: &args_json,
                };
                scheduler::schedule(transaction, &runner.modules, &request)
            });
            Ok(reply_json(&json!(id.await?.to_string())))
        }
        "1.0/actions/cancel_job" => {
            let CancelArgs { id } = parse(args, "scheduler.cancel")?;
            commit(context, move |transaction, _| {
                scheduler::cancel(transaction, &id)
            })
            .await?;
            Ok(reply_json(&Json::Null))
        }
        "1.0/getUserIdentity" => {
            if let Some(error) = &context.identity_error {
                return Err(user_error(error.clone()));
            }
            let user = context.identity.user();
            let text = user.map_or("null", |user| user.attributes_json());
            Ok(Reply::Json(text.to_owned()))
        }
        "1.0/getFunctionMetadata" => Ok(reply_json(&json!({
            "name": context.path.stripped(),
            "componentPath": "",
        }))),
        "1.0/getDeploymentMetadata" => Ok(reply_json(&json!({
            "name": context.functions.runner.config.name,
            "region": null,
            "class": "s16",
        }))),
        "1.0/auditLog" => Err(user_error("Audit logging is not yet supported in actions")),
        name if NOT_BUILT.contains(&name) => Err(not_built(name)),
        name => Err(user_error(format!("Unknown async operation {name}"))),
    }
}

fn parse<'a, T: Deserialize<'a>>(args: &'a str, method: &str) -> Result<T, HostError> {
    serde_json::from_str(args)
        .map_err(|error| user_error(format!("Invalid arguments for `{method}`: {error}")))
}

/// Changes something in a transaction of its own.
async fn commit<R: Send + 'static>(
    context: &CallContext,
    change: impl Fn(&mut Transaction, &Runner) -> Result<R, CodedError> + Send + 'static,
) -> Result<R, HostError> {
    let runner = context.functions.runner.clone();
    let committed = context.functions.on_worker(move || {
        scheduler::commit(&runner.engine, |transaction| change(transaction, &runner))
    });
    let result = match committed.await {
        Ok(result) => result,
        Err(error) => Err(error),
    };
    result.map_err(|error| HostError::User {
        message: error.message,
        data: error.data,
    })
}

fn function_call(
    context: &CallContext,
    args: &str,
    method: &str,
) -> Result<FunctionCall, HostError> {
    let args: CallArgs<'_> = parse(args, method)?;
    let path: UdfPath = address(
        args.function_handle.as_deref(),
        args.name.as_deref(),
        args.reference.as_deref(),
    )?;
    Ok(FunctionCall {
        path: path.canonical(),
        component_path: None,
        args_json: args.args.get().to_owned(),
        identity: context.identity.clone(),
        caller: Caller::Action,
        request_id: context.request_id.clone(),
        journal: None,
    })
}

/// All errors of a call can be caught in an action, the system's as well (function runtime spec 2.3).
fn reply(result: Result<FunctionResult, CodedError>) -> Result<Reply, HostError> {
    match result {
        Ok(Ok(value)) => Ok(Reply::Value(value)),
        Ok(Err(FunctionError { message, data })) => Err(HostError::User { message, data }),
        Err(error) => Err(HostError::User {
            message: error.message,
            data: error.data,
        }),
    }
}
