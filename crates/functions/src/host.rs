//! The host calls of queries and mutations (function runtime spec 3).

use base64::Engine as _;
use hull_engine::query::{PageRequest, Query, QueryStream, paginate};
use hull_engine::{ComponentReads, DatabaseReader, TransactionLimits};
use hull_js::{Args, Host, HostError, Reply};
use hull_value::json::{self, JsonValueError};
use hull_value::{CodedError, ErrorClass, PackedValue, Value};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json, json};

use crate::components::{self, Address, Component, Target};
use crate::environment;
use crate::execution::{CallError, Execution, Request};
use crate::files;
use crate::modules::UdfType;
use crate::scheduler::{self, ScheduleRequest};

/// Calls of npm convex that exist but that this server does not answer yet, or
/// not in queries and mutations.
const NOT_BUILT: [&str; 4] = [
    "1.0/writeDeploymentAuditLog",
    "1.0/signJwt",
    "1.0/auditLog",
    "1.0/requireOperation",
];

/// Answers the host calls of one function of an execution.
pub(crate) struct CallHost<'h, 'e, 'r> {
    execution: &'h mut Execution<'e>,
    request: &'r Request<'r>,
    /// Open query streams; `None` once ended or cleaned up.
    streams: Vec<Option<QueryStream>>,
    journal: Option<String>,
    has_paginated: bool,
}

impl<'h, 'e, 'r> CallHost<'h, 'e, 'r> {
    pub(crate) fn new(
        execution: &'h mut Execution<'e>,
        request: &'r Request<'r>,
    ) -> CallHost<'h, 'e, 'r> {
        CallHost {
            execution,
            request,
            streams: Vec::new(),
            journal: None,
            has_paginated: false,
        }
    }

    pub(crate) fn into_journal(self) -> Option<String> {
        self.journal
    }

    fn reads(&mut self) -> ComponentReads<'_> {
        ComponentReads {
            transaction: self.execution.transaction,
            namespace: self.request.component.namespace,
        }
    }

    fn require_mutation(&self, name: &str) -> Result<(), HostError> {
        if self.request.expected == UdfType::Mutation {
            return Ok(());
        }
        Err(user_error(format!("`{name}` is not available in queries")))
    }
}

impl Host for CallHost<'_, '_, '_> {
    fn syscall(&mut self, name: &str, args: Args<'_>) -> Result<Reply, HostError> {
        self.execution.check_time().map_err(coded)?;
        match name {
            "1.0/queryStream" => self.query_stream(args),
            "1.0/queryCleanup" => self.query_cleanup(args),
            "1.0/db/normalizeId" => self.normalize_id(args),
            "1.0/getSnapshotTs" => {
                self.execution.observed.time = true;
                let ts = i64::try_from(self.execution.transaction.begin_ts().0).unwrap_or(i64::MAX);
                Ok(Reply::Value(PackedValue::pack(&Value::Int64(ts))))
            }
            "1.0/componentArgument" => component_argument(self.request.component, args),
            name if NOT_BUILT.contains(&name) => Err(not_built(name)),
            name => Err(user_error(format!("Unknown operation {name}"))),
        }
    }

    fn async_syscall(&mut self, name: &str, args: Args<'_>) -> Result<Reply, HostError> {
        self.execution.check_time().map_err(coded)?;
        match name {
            "1.0/get" => self.get(args),
            "1.0/queryStreamNext" => self.query_stream_next(args),
            "1.0/queryPage" => self.query_page(args),
            "1.0/insert" => self.insert(args),
            "1.0/shallowMerge" => self.shallow_merge(args),
            "1.0/replace" => self.replace(args),
            "1.0/remove" => self.remove(args),
            "1.0/count" => self.count(args),
            "1.0/runUdf" => self.run_udf(args),
            "1.0/schedule" => self.schedule(args),
            "1.0/cancel_job" => self.cancel_job(args),
            "1.0/createFunctionHandle" => self.create_function_handle(args),
            "1.0/storageGetUrl" => self.storage_get_url(args),
            "1.0/storageGetMetadata" => self.storage_get_metadata(args),
            "1.0/storageGenerateUploadUrl" => self.storage_generate_upload_url(),
            "1.0/storageDelete" => self.storage_delete(args),
            "1.0/storageStore" => self.storage_store(args),
            "1.0/storageGet" => self.storage_get(args),
            "1.0/getUserIdentity" => {
                self.execution.observed.identity = true;
                let identity = self.execution.identity.user();
                Ok(Reply::Json(
                    identity
                        .map_or("null", |user| user.attributes_json())
                        .to_owned(),
                ))
            }
            "1.0/getFunctionMetadata" => Ok(reply_json(&json!({
                "name": self.request.path.stripped(),
                "componentPath": self.request.component.path,
            }))),
            "1.0/getDeploymentMetadata" => Ok(reply_json(&json!({
                "name": self.execution.runner.config.name,
                "region": null,
                "class": "s16",
            }))),
            "1.0/getRequestMetadata" => self.request_metadata(),
            "1.0/getTransactionMetrics" => Ok(self.transaction_metrics()),
            name if NOT_BUILT.contains(&name) => Err(not_built(name)),
            name => Err(user_error(format!("Unknown async operation {name}"))),
        }
    }

    fn env_var(&mut self, name: &str) -> Result<Option<String>, HostError> {
        environment::check_name(name).map_err(coded)?;
        let execution = &mut *self.execution;
        let built_in = execution
            .runner
            .built_in_variables(execution.transaction)
            .map_err(coded)?;
        self.request
            .component
            .read_variable(execution.transaction, &built_in, name)
            .map_err(coded)
    }

    fn log(&mut self, line: hull_js::LogLine) {
        self.execution.add_log(line);
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GetArgs {
    id: String,
    #[serde(default)]
    is_system: bool,
    table: Option<String>,
}

#[derive(Deserialize)]
struct InsertArgs<'a> {
    table: String,
    #[serde(borrow)]
    value: &'a RawValue,
}

#[derive(Deserialize)]
struct WriteArgs<'a> {
    id: String,
    table: Option<String>,
    #[serde(borrow)]
    value: &'a RawValue,
}

#[derive(Deserialize)]
struct RemoveArgs {
    id: String,
    table: Option<String>,
}

#[derive(Deserialize)]
struct TableArgs {
    table: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NormalizeArgs {
    table: String,
    id_string: String,
}

#[derive(Deserialize)]
struct StreamArgs {
    query: Json,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StreamIdArgs {
    query_id: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ScheduleArgs<'a> {
    name: Option<String>,
    reference: Option<String>,
    function_handle: Option<String>,
    /// Seconds since the epoch.
    pub(crate) ts: f64,
    #[serde(borrow)]
    args: &'a RawValue,
}

impl ScheduleArgs<'_> {
    pub(crate) fn address(&self) -> Result<Address, HostError> {
        let handle = self.function_handle.as_deref();
        Address::parse(handle, self.name.as_deref(), self.reference.as_deref()).map_err(coded)
    }

    pub(crate) fn args_json(&self) -> String {
        crate::call::args_array(self.args.get())
    }
}

/// What `createFunctionHandle` names.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AddressArgs {
    name: Option<String>,
    reference: Option<String>,
    function_handle: Option<String>,
}

impl AddressArgs {
    /// A handle stands for itself.
    pub(crate) fn into_handle(self) -> Result<Result<String, Address>, HostError> {
        if let Some(handle) = self.function_handle {
            return Ok(Ok(handle));
        }
        let address = Address::parse(None, self.name.as_deref(), self.reference.as_deref());
        address.map(Err).map_err(coded)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FileArgs {
    pub(crate) storage_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoreArgs<'a> {
    #[serde(borrow)]
    blob: std::borrow::Cow<'a, str>,
    content_type: Option<String>,
    sha256: Option<String>,
}

#[derive(Deserialize)]
struct ArgumentArgs {
    name: String,
}

#[derive(Deserialize)]
pub(crate) struct CancelArgs {
    pub(crate) id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunArgs<'a> {
    udf_type: String,
    name: Option<String>,
    reference: Option<String>,
    function_handle: Option<String>,
    #[serde(borrow)]
    args: &'a RawValue,
    transaction_limits: Option<LimitsArgs>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LimitsArgs {
    bytes_read: Option<f64>,
    documents_read: Option<f64>,
    database_queries: Option<f64>,
    documents_written: Option<f64>,
    bytes_written: Option<f64>,
    functions_scheduled: Option<f64>,
    scheduled_function_args_bytes: Option<f64>,
    files_read: Option<f64>,
    file_read_bytes: Option<f64>,
    files_written: Option<f64>,
    file_write_bytes: Option<f64>,
}

impl From<LimitsArgs> for TransactionLimits {
    fn from(args: LimitsArgs) -> TransactionLimits {
        // A float beyond the range saturates: a negative budget is an empty one.
        let whole = |limit: Option<f64>| limit.map(|limit| limit as usize);
        TransactionLimits {
            bytes_read: whole(args.bytes_read),
            documents_read: whole(args.documents_read),
            database_queries: whole(args.database_queries),
            documents_written: whole(args.documents_written),
            bytes_written: whole(args.bytes_written),
            functions_scheduled: whole(args.functions_scheduled),
            scheduled_bytes: whole(args.scheduled_function_args_bytes),
            files_read: whole(args.files_read),
            file_bytes_read: whole(args.file_read_bytes),
            files_written: whole(args.files_written),
            file_bytes_written: whole(args.file_write_bytes),
        }
    }
}

impl CallHost<'_, '_, '_> {
    fn get(&mut self, args: Args<'_>) -> Result<Reply, HostError> {
        let args: GetArgs = parse(args, "db.get")?;
        let through = if args.is_system {
            DatabaseReader::System
        } else {
            DatabaseReader::User
        };
        let namespace = self.request.component.namespace;
        let found = self
            .execution
            .transaction
            .get_document(namespace, &args.id, args.table.as_deref(), through)
            .map_err(coded)?;
        Ok(Reply::Document(found))
    }

    fn insert(&mut self, args: Args<'_>) -> Result<Reply, HostError> {
        self.require_mutation("db.insert")?;
        let args: InsertArgs<'_> = parse(args, "db.insert")?;
        let Value::Object(body) = body(args.value, "db.insert")? else {
            return Err(user_error("Value must be an Object"));
        };
        let namespace = self.request.component.namespace;
        let id = self
            .execution
            .transaction
            .insert_document(namespace, &args.table, body)
            .map_err(coded)?;
        Ok(Reply::Json(format!("{{\"_id\":\"{id}\"}}")))
    }

    fn shallow_merge(&mut self, args: Args<'_>) -> Result<Reply, HostError> {
        self.require_mutation("db.patch")?;
        let args: WriteArgs<'_> = parse(args, "db.patch")?;
        let patch = json::parse_patch(args.value.get())
            .map_err(|error| invalid_value(error, "db.patch"))?;
        let namespace = self.request.component.namespace;
        let document = self
            .execution
            .transaction
            .patch_document(namespace, &args.id, args.table.as_deref(), patch)
            .map_err(coded)?;
        Ok(Reply::Document(Some(document)))
    }

    fn replace(&mut self, args: Args<'_>) -> Result<Reply, HostError> {
        self.require_mutation("db.replace")?;
        let args: WriteArgs<'_> = parse(args, "db.replace")?;
        let Value::Object(body) = body(args.value, "db.replace")? else {
            return Err(user_error("Value must be an Object"));
        };
        let namespace = self.request.component.namespace;
        let document = self
            .execution
            .transaction
            .replace_document(namespace, &args.id, args.table.as_deref(), body)
            .map_err(coded)?;
        Ok(Reply::Document(Some(document)))
    }

    fn remove(&mut self, args: Args<'_>) -> Result<Reply, HostError> {
        self.require_mutation("db.delete")?;
        let args: RemoveArgs = parse(args, "db.delete")?;
        let namespace = self.request.component.namespace;
        let document = self
            .execution
            .transaction
            .delete_document(namespace, &args.id, args.table.as_deref())
            .map_err(coded)?;
        Ok(Reply::Document(Some(document)))
    }

    fn count(&mut self, args: Args<'_>) -> Result<Reply, HostError> {
        let args: TableArgs = parse(args, "db.count")?;
        let namespace = self.request.component.namespace;
        let count = self
            .execution
            .transaction
            .count_documents(namespace, &args.table)
            .map_err(coded)?;
        Ok(Reply::Value(PackedValue::pack(&Value::Float64(
            count as f64,
        ))))
    }

    fn query_stream(&mut self, args: Args<'_>) -> Result<Reply, HostError> {
        let args: StreamArgs = parse(args, "db.query")?;
        let query = Query::parse(&args.query).map_err(coded)?;
        let stream = QueryStream::open(query, &mut self.reads()).map_err(coded)?;
        self.streams.push(Some(stream));
        Ok(Reply::Json(format!(
            "{{\"queryId\":{}}}",
            self.streams.len() - 1
        )))
    }

    fn query_stream_next(&mut self, args: Args<'_>) -> Result<Reply, HostError> {
        let args: StreamIdArgs = parse(args, "db.query")?;
        let Some(slot) = self.streams.get_mut(args.query_id) else {
            return Err(user_error("in-progress query not found"));
        };
        let Some(mut stream) = slot.take() else {
            return Err(user_error("in-progress query not found"));
        };
        let value = stream.next(&mut self.reads()).map_err(coded)?;
        let done = value.is_none();
        if !done {
            self.streams[args.query_id] = Some(stream);
        }
        Ok(Reply::Next { value, done })
    }

    fn query_cleanup(&mut self, args: Args<'_>) -> Result<Reply, HostError> {
        let args: StreamIdArgs = parse(args, "db.query")?;
        let existed = self
            .streams
            .get_mut(args.query_id)
            .and_then(Option::take)
            .is_some();
        Ok(Reply::Json(existed.to_string()))
    }

    fn query_page(&mut self, args: Args<'_>) -> Result<Reply, HostError> {
        let args: Json = parse(args, "db.query.paginate")?;
        let query = Query::parse(args.get("query").unwrap_or(&Json::Null)).map_err(coded)?;
        let mut request = PageRequest::parse(&args).map_err(coded)?;
        if std::mem::replace(&mut self.has_paginated, true) {
            return Err(user_error(
                "This query or mutation function ran multiple paginated queries. Convex only supports a single paginated query in each function.",
            ));
        }
        request.journal_end_cursor = self.request.journal.map(str::to_owned);
        let runner = self.execution.runner;
        let page = paginate(query, &request, &runner.cursors, &mut self.reads()).map_err(coded)?;
        self.journal = Some(page.journal_end_cursor);
        let mut rest = Map::new();
        rest.insert("isDone".to_owned(), json!(page.is_done));
        rest.insert("continueCursor".to_owned(), json!(page.continue_cursor));
        rest.insert("splitCursor".to_owned(), json!(page.split_cursor));
        rest.insert(
            "pageStatus".to_owned(),
            json!(page.page_status.map(|status| status.as_str())),
        );
        Ok(Reply::Page {
            page: page.page,
            rest,
        })
    }

    fn normalize_id(&mut self, args: Args<'_>) -> Result<Reply, HostError> {
        let args: NormalizeArgs = parse(args, "db.normalizeId")?;
        let namespace = self.request.component.namespace;
        let id = self
            .execution
            .transaction
            .normalize_id(namespace, &args.table, &args.id_string)
            .map_err(coded)?;
        Ok(reply_json(&json!({ "id": id.map(|id| id.to_string()) })))
    }

    fn schedule(&mut self, args: Args<'_>) -> Result<Reply, HostError> {
        self.require_mutation("scheduler")?;
        let args: ScheduleArgs<'_> = parse(args, "scheduler")?;
        let target = self.resolve(&args.address()?)?;
        let execution = &mut *self.execution;
        let id = scheduler::schedule(
            execution.transaction,
            &execution.runner.modules,
            &ScheduleRequest {
                target: &target,
                namespace: self.request.component.namespace,
                ts: args.ts,
                args_json: &args.args_json(),
            },
        )
        .map_err(coded)?;
        Ok(reply_json(&json!(id.to_string())))
    }

    fn cancel_job(&mut self, args: Args<'_>) -> Result<Reply, HostError> {
        self.require_mutation("scheduler.cancel")?;
        let args: CancelArgs = parse(args, "scheduler.cancel")?;
        let namespace = self.request.component.namespace;
        scheduler::cancel(self.execution.transaction, namespace, &args.id).map_err(coded)?;
        Ok(reply_json(&Json::Null))
    }

    fn storage_get_url(&mut self, args: Args<'_>) -> Result<Reply, HostError> {
        let args: FileArgs = parse(args, "storage.getUrl")?;
        let execution = &mut *self.execution;
        let url = files::url(
            execution.transaction,
            execution.runner,
            self.request.component,
            &args.storage_id,
        );
        Ok(reply_json(&json!(url.map_err(coded)?)))
    }

    fn storage_get_metadata(&mut self, args: Args<'_>) -> Result<Reply, HostError> {
        let args: FileArgs = parse(args, "storage.getMetadata")?;
        let namespace = self.request.component.namespace;
        let transaction = &mut *self.execution.transaction;
        let metadata = files::metadata(transaction, namespace, &args.storage_id);
        Ok(reply_json(&metadata.map_err(coded)?))
    }

    fn storage_generate_upload_url(&mut self) -> Result<Reply, HostError> {
        self.require_mutation("storage.generateUploadUrl")?;
        let execution = &mut *self.execution;
        let namespace = self.request.component.namespace;
        let url = files::upload_url(execution.transaction, execution.runner, namespace);
        Ok(reply_json(&json!(url.map_err(coded)?)))
    }

    fn storage_delete(&mut self, args: Args<'_>) -> Result<Reply, HostError> {
        self.require_mutation("storage.delete")?;
        let args: FileArgs = parse(args, "storage.delete")?;
        let namespace = self.request.component.namespace;
        files::delete(self.execution.transaction, namespace, &args.storage_id).map_err(coded)?;
        Ok(reply_json(&Json::Null))
    }

    /// The bytes are written at once, and forgotten some time later if the
    /// mutation does not commit.
    fn storage_store(&mut self, args: Args<'_>) -> Result<Reply, HostError> {
        self.require_mutation("storage.store")?;
        let args: StoreArgs<'_> = parse(args, "storage.store")?;
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(&*args.blob)
            .map_err(|error| {
                user_error(format!(
                    "Invalid argument `blob` for `storage.store`: {error}"
                ))
            })?;
        let execution = &mut *self.execution;
        let usage = execution.transaction.usage_mut();
        usage.charge_file_write(bytes.len()).map_err(coded)?;
        let content_type = args.content_type.filter(|text| !text.is_empty());
        let store = &execution.runner.files;
        let file = store
            .put_blocking(bytes.into(), content_type, args.sha256.as_deref())
            .map_err(coded)?;
        let namespace = self.request.component.namespace;
        let id = execution
            .transaction
            .add_file(namespace, &file)
            .map_err(coded)?;
        Ok(reply_json(&json!(id.to_string())))
    }

    fn storage_get(&mut self, args: Args<'_>) -> Result<Reply, HostError> {
        self.require_mutation("storage.get")?;
        let args: FileArgs = parse(args, "storage.get")?;
        let namespace = self.request.component.namespace;
        let execution = &mut *self.execution;
        let file = files::find(execution.transaction, namespace, &args.storage_id);
        let Some(file) = file.map_err(coded)? else {
            return Ok(reply_json(&Json::Null));
        };
        let size = usize::try_from(file.size).unwrap_or(usize::MAX);
        let usage = execution.transaction.usage_mut();
        usage.charge_file_read(size).map_err(coded)?;
        let bytes = execution.runner.files.read_blocking(&file).map_err(coded)?;
        let blob = base64::engine::general_purpose::STANDARD.encode(&bytes);
        Ok(reply_json(
            &json!({ "blob": blob, "contentType": file.content_type }),
        ))
    }

    fn request_metadata(&mut self) -> Result<Reply, HostError> {
        if self.request.expected != UdfType::Mutation {
            return Err(user_error("Cannot get request metadata in a Query"));
        }
        let execution = &mut *self.execution;
        execution.observed.identity = true;
        Ok(reply_json(&execution.origin.to_json(execution.request_id)))
    }

    fn resolve(&mut self, address: &Address) -> Result<Target, HostError> {
        let execution = &mut *self.execution;
        let modules = &execution.runner.modules;
        address
            .resolve(execution.transaction, modules, self.request.component)
            .map_err(coded)
    }

    fn create_function_handle(&mut self, args: Args<'_>) -> Result<Reply, HostError> {
        let args: AddressArgs = parse(args, "createFunctionHandle")?;
        let handle = match args.into_handle()? {
            Ok(handle) => handle,
            Err(address) => {
                let target = self.resolve(&address)?;
                let execution = &mut *self.execution;
                let modules = &execution.runner.modules;
                components::handle(execution.transaction, modules, &target).map_err(coded)?
            }
        };
        Ok(reply_json(&json!(handle)))
    }

    fn run_udf(&mut self, args: Args<'_>) -> Result<Reply, HostError> {
        let args: RunArgs<'_> = parse(args, "runUdf")?;
        let (expected, is_stale) = match (args.udf_type.as_str(), self.request.expected) {
            ("query", _) => (UdfType::Query, false),
            ("snapshotQuery", UdfType::Mutation) => (UdfType::Query, true),
            ("mutation", UdfType::Mutation) => (UdfType::Mutation, false),
            (wanted, caller) => {
                let mut wanted = wanted.to_owned();
                if let Some(first) = wanted.get_mut(..1) {
                    first.make_ascii_uppercase();
                }
                return Err(user_error(format!(
                    "Cannot call a {wanted} function from a {} function",
                    caller.as_str()
                )));
            }
        };
        let handle = args.function_handle.as_deref();
        let address = Address::parse(handle, args.name.as_deref(), args.reference.as_deref());
        let target = self.resolve(&address.map_err(coded)?)?;
        let args_json = match args.args.get() {
            array if array.trim_start().starts_with('[') => array.to_owned(),
            object => format!("[{object}]"),
        };
        let request = Request {
            component: &target.component,
            path: &target.path,
            expected,
            may_call_internal: true,
            args_json: &args_json,
            allows_commit_ts: self.request.allows_commit_ts
                || self.request.expected == UdfType::Mutation,
            journal: None,
        };
        let was_stale = is_stale.then(|| self.execution.transaction.set_stale(true));
        let ceilings = args.transaction_limits.map(|limits| {
            let usage = self.execution.transaction.usage_mut();
            usage.lower_ceilings(&limits.into())
        });
        let result = self.execution.call_nested(&request);
        if let Some(ceilings) = ceilings {
            self.execution.transaction.usage_mut().ceilings = ceilings;
        }
        if let Some(was_stale) = was_stale {
            self.execution.transaction.set_stale(was_stale);
        }
        match result {
            Ok(value) => Ok(Reply::Value(value)),
            Err(CallError::Function(error)) => Err(HostError::User {
                message: error.message,
                data: error.data,
            }),
            Err(CallError::System(error)) => Err(HostError::Abort(Box::new(error))),
        }
    }

    fn transaction_metrics(&self) -> Reply {
        let usage = self.execution.transaction.usage();
        let ceilings = &usage.ceilings;
        let metric = |used: usize, limit: usize| json!({ "used": used, "remaining": limit as f64 - used as f64 });
        reply_json(&json!({
            "bytesRead": metric(usage.bytes_read, ceilings.bytes_read),
            "bytesWritten": metric(usage.bytes_written, ceilings.bytes_written),
            "databaseQueries": metric(usage.intervals_read, ceilings.intervals_read),
            "documentsRead": metric(usage.documents_read, ceilings.documents_read),
            "documentsWritten": metric(usage.documents_written, ceilings.documents_written),
            "functionsScheduled": metric(usage.functions_scheduled, ceilings.functions_scheduled),
            "scheduledFunctionArgsBytes": metric(usage.scheduled_bytes, ceilings.scheduled_bytes),
            "filesRead": metric(usage.files_read, ceilings.files_read),
            "fileReadBytes": metric(usage.file_bytes_read, ceilings.file_bytes_read),
            "filesWritten": metric(usage.files_written, ceilings.files_written),
            "fileWriteBytes": metric(usage.file_bytes_written, ceilings.file_bytes_written),
        }))
    }
}

fn parse<'a, T: Deserialize<'a>>(args: Args<'a>, method: &str) -> Result<T, HostError> {
    serde_json::from_str(args.json())
        .map_err(|error| user_error(format!("Invalid arguments for `{method}`: {error}")))
}

/// Arguments of components are of old: npm convex 1.48 has none.
pub(crate) fn component_argument(
    component: &Component,
    args: Args<'_>,
) -> Result<Reply, HostError> {
    let args: ArgumentArgs = parse(args, "componentArgument")?;
    Ok(Reply::Json(match component.argument(&args.name) {
        Some(value) => format!("{{\"value\":{value}}}"),
        None => "{}".to_owned(),
    }))
}

fn body(value: &RawValue, method: &str) -> Result<Value, HostError> {
    json::parse_encoded_in_mutation(value.get()).map_err(|error| invalid_value(error, method))
}

fn invalid_value(error: JsonValueError, method: &str) -> HostError {
    user_error(format!("Invalid argument `value` for `{method}`: {error}"))
}

pub(crate) fn reply_json(json: &Json) -> Reply {
    Reply::Json(json.to_string())
}

pub(crate) fn user_error(message: impl Into<String>) -> HostError {
    HostError::User {
        message: message.into(),
        data: None,
    }
}

pub(crate) fn not_built(what: &str) -> HostError {
    user_error(format!("`{what}` is not implemented by this server yet"))
}

/// A deterministic error is thrown into JavaScript, any other ends the call.
pub(crate) fn coded(error: CodedError) -> HostError {
    if error.is_deterministic() || error.class == ErrorClass::NotFound {
        HostError::User {
            message: error.message,
            data: error.data,
        }
    } else {
        HostError::Abort(Box::new(error))
    }
}
