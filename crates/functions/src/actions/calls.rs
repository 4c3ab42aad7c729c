//! The asynchronous host calls of actions (function runtime spec 3.1).

use hull_engine::Transaction;
use hull_js::ops::{OpError, OpValue};
use hull_js::{HostError, Reply};
use hull_value::CodedError;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

use super::host::{CallContext, plain_error};
use crate::call::{Caller, FunctionCall, FunctionError, FunctionResult};
use crate::clock;
use crate::components::{self, Address, Target};
use crate::files;
use crate::host::{
    AddressArgs, CancelArgs, FileArgs, ScheduleArgs, coded, not_built, reply_json, user_error,
};
use crate::identity::Identity;
use crate::runner::Runner;
use crate::scheduler::{self, ScheduleRequest};

/// Largest file that `storage.get` reads, in bytes: the memory of an action.
const BLOB_BYTES_MAX: u64 = 64 << 20;

/// Calls that npm convex makes in actions and that this server does not answer yet.
const NOT_BUILT: [&str; 3] = [
    "1.0/actions/vectorSearch",
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
        "1.0/storageGetUrl" => {
            let FileArgs { storage_id } = parse(args, "storage.getUrl")?;
            let component = context.component.clone();
            let url = read(context, move |transaction, runner| {
                files::url(transaction, runner, &component, &storage_id)
            });
            Ok(reply_json(&json!(url.await?)))
        }
        "1.0/storageGetMetadata" => {
            let FileArgs { storage_id } = parse(args, "storage.getMetadata")?;
            let namespace = context.component.namespace;
            let metadata = read(context, move |transaction, _| {
                files::metadata(transaction, namespace, &storage_id)
            });
            Ok(reply_json(&metadata.await?))
        }
        "1.0/storageGenerateUploadUrl" => {
            let namespace = context.component.namespace;
            let url = read(context, move |transaction, runner| {
                files::upload_url(transaction, runner, namespace)
            });
            Ok(reply_json(&json!(url.await?)))
        }
        "1.0/storageDelete" => {
            let FileArgs { storage_id } = parse(args, "storage.delete")?;
            let namespace = context.component.namespace;
            commit(context, move |transaction, _| {
                files::delete(transaction, namespace, &storage_id)
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
        "1.0/getRequestMetadata" => {
            let origin = context.origin.to_json(&context.request_id);
            Ok(reply_json(&origin))
        }
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

/// Reads something in a transaction.
async fn read<R: Send + 'static>(
    context: &CallContext,
    look: impl FnOnce(&mut Transaction, &Runner) -> Result<R, CodedError> + Send + 'static,
) -> Result<R, HostError> {
    let runner = context.functions.runner.clone();
    let found = context.functions.on_worker(move || {
        let mut transaction = runner.engine.begin(&clock::begin_context())?;
        look(&mut transaction, &runner)
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

/// Finds a function and makes something of it.
async fn look_up<R: Send + 'static>(
    context: &CallContext,
    address: Address,
    make: impl FnOnce(&mut Transaction, &Runner, Target) -> Result<R, CodedError> + Send + 'static,
) -> Result<R, HostError> {
    let component = context.component.clone();
    read(context, move |transaction, runner| {
        let target = address.resolve(transaction, &runner.modules, &component)?;
        make(transaction, runner, target)
    })
    .await
}

/// `storage.store` with the bytes of a blob.
pub(super) async fn store_blob(
    context: &CallContext,
    bytes: &[u8],
    content_type: Option<&str>,
    digest: Option<&str>,
) -> Result<OpValue, OpError> {
    let files = &context.functions.runner.files;
    let bytes = bytes::Bytes::copy_from_slice(bytes);
    let file = files.put_bytes(bytes, content_type.map(str::to_owned), digest);
    let file = file.await.map_err(|error| plain_error(error.message))?;
    let namespace = context.component.namespace;
    let id = commit(context, move |transaction, _| {
        transaction.add_file(namespace, &file)
    });
    let id = id.await.map_err(operation_error)?;
    Ok(OpValue::String(id.to_string()))
}

/// `storage.get`: the bytes and the type of a file.
pub(super) async fn get_blob(context: &CallContext, storage_id: &str) -> Result<OpValue, OpError> {
    let (namespace, id) = (context.component.namespace, storage_id.to_owned());
    let file = read(context, move |transaction, _| {
        files::find(transaction, namespace, &id)
    });
    let Some(file) = file.await.map_err(operation_error)? else {
        return Ok(OpValue::Null);
    };
    if file.size > BLOB_BYTES_MAX {
        return Err(plain_error(format!(
            "The file {storage_id} is too large for the memory of an action ({} bytes > maximum {BLOB_BYTES_MAX} bytes): let clients fetch it by its URL.",
            file.size
        )));
    }
    let bytes = context.functions.runner.files.read(&file).await;
    let bytes = bytes.map_err(|error| plain_error(error.message))?;
    let content_type = file.content_type.map_or(OpValue::Null, OpValue::String);
    Ok(OpValue::List(vec![
        OpValue::Bytes(bytes.to_vec()),
        content_type,
    ]))
}

fn operation_error(error: HostError) -> OpError {
    match error {
        HostError::User { message, .. } | HostError::Uncatchable { message } => {
            plain_error(message)
        }
        HostError::Abort(_) => plain_error("The call was ended"),
    }
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
        origin: context.origin.clone(),
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
