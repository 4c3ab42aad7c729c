//! The asynchronous host calls of actions (function runtime spec 3.1).

use hull_engine::Transaction;
use hull_js::{HostError, Reply};
use hull_value::CodedError;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

use super::host::CallContext;
use crate::call::{Caller, FunctionCall, FunctionError, FunctionResult};
use crate::clock;
use crate::components::{self, Address, Target};
use crate::host::{
    AddressArgs, CancelArgs, ScheduleArgs, coded, not_built, reply_json, user_error,
};
use crate::identity::Identity;
use crate::runner::Runner;
use crate::scheduler::{self, ScheduleRequest};

/// Calls that npm convex makes in actions and that this server does not answer yet.
const NOT_BUILT: [&str; 8] = [
    "1.0/actions/vectorSearch",
    "1.0/storageGetUrl",
    "1.0/storageGetMetadata",
    "1.0/storageGenerateUploadUrl",
    "1.0/storageDelete",
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
            let call = function_call(context, args, "runQuery").await?;
            reply(
                context
                    .functions
                    .query(call)
                    .await
                    .map(|outcome| outcome.result),
            )
        }
        "1.0/actions/mutation" => {
            let call = function_call(context, args, "runMutation").await?;
            let outcome = context.functions.mutation(call, None).await;
            reply(outcome.map(|outcome| outcome.result))
        }
        "1.0/actions/action" => {
            let call = function_call(context, args, "runAction").await?;
            let functions = context.functions.clone();
            // The recursion of futures ends here.
            let outcome = Box::pin(functions.run_action(call, context.depth + 1)).await;
            reply(outcome.map(|outcome| outcome.result))
        }
        "1.0/actions/schedule" => {
            let args: ScheduleArgs<'_> = parse(args, "scheduler")?;
            let (address, ts, args_json) = (args.address()?, args.ts, args.args_json());
            let component = context.component.clone();
            let id = commit(context, move |transaction, runner| {
                let target = address.resolve(transaction, &runner.modules, &component)?;
                let request = ScheduleRequest {
                    target: &target,
                    namespace: component.namespace,
                    ts,
                    args_json: &args_json,
                };
                scheduler::schedule(transaction, &runner.modules, &request)
            });
            Ok(reply_json(&json!(id.await?.to_string())))
        }
        "1.0/actions/cancel_job" => {
            let CancelArgs { id } = parse(args, "scheduler.cancel")?;
            let namespace = context.component.namespace;
            commit(context, move |transaction, _| {
                scheduler::cancel(transaction, namespace, &id)
            })
            .await?;
            Ok(reply_json(&Json::Null))
        }
        "1.0/createFunctionHandle" => {
            let args: AddressArgs = parse(args, "createFunctionHandle")?;
            let handle = match args.into_handle()? {
                Ok(handle) => handle,
                Err(address) => {
                    let look = look_up(context, address, |transaction, runner, target| {
                        components::handle(transaction, &runner.modules, &target)
                    });
                    look.await?
                }
            };
            Ok(reply_json(&json!(handle)))
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
            "componentPath": context.component.path,
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

/// Finds a function and makes something of it.
async fn look_up<R: Send + 'static>(
    context: &CallContext,
    address: Address,
    make: impl FnOnce(&mut Transaction, &Runner, Target) -> Result<R, CodedError> + Send + 'static,
) -> Result<R, HostError> {
    let (runner, component) = (context.functions.runner.clone(), context.component.clone());
    let found = context.functions.on_worker(move || {
        let mut transaction = runner.engine.begin(&clock::begin_context())?;
        let target = address.resolve(&mut transaction, &runner.modules, &component)?;
        make(&mut transaction, &runner, target)
    });
    let found = match found.await {
        Ok(found) => found,
        Err(error) => Err(error),
    };
    found.map_err(|error| HostError::User {
        message: error.message,
        data: error.data,
    })
}

async fn function_call(
    context: &CallContext,
    args: &str,
    method: &str,
) -> Result<FunctionCall, HostError> {
    let args: CallArgs<'_> = parse(args, method)?;
    let handle = args.function_handle.as_deref();
    let address = Address::parse(handle, args.name.as_deref(), args.reference.as_deref());
    let args_json = args.args.get().to_owned();
    let target = match address.map_err(coded)? {
        // Nothing to look up: the call itself does.
        Address::Name(path) => Target {
            component: context.component.clone(),
            path: path.parse().map_err(|_| {
                user_error(format!("{path} is not a valid path to a Convex function."))
            })?,
        },
        address => look_up(context, address, |_, _, target| Ok(target)).await?,
    };
    // Only the app knows who somebody is (function runtime spec 3.6).
    let is_in_app = context.component.is_root() && target.component.is_root();
    let identity = match &context.identity {
        identity if is_in_app || identity.is_admin() => identity.clone(),
        _ => Identity::Anonymous,
    };
    Ok(FunctionCall {
        path: target.path.canonical(),
        component_path: (!target.component.is_root()).then_some(target.component.path),
        args_json,
        identity,
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
