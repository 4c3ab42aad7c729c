//! The `_system/*` functions that tools call, natively (dashboard spec 2, 3).
//!
//! They read through the transaction like user functions, so that a
//! subscription to one is updated like any other.

use hull_engine::query::{PageRequest, Query, paginate};
use hull_engine::{ComponentReads, TableInfo, TableState, Transaction, system};
use hull_sync::UdfPath;
use hull_value::{CodedError, DocumentId, Object, PackedValue, TableNumber, Value, json};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::call::{FunctionCall, FunctionError};
use crate::components::{self, Component, ComponentState};
use crate::environment;
use crate::execution::{CallError, Returned};
use crate::live::Question;
use crate::modules::{StoredModule, UdfType};
use crate::runner::Runner;

/// Table number shown in the ids of environment variables (data model spec 3.4).
const ENVIRONMENT_VARIABLES_TABLE: TableNumber = TableNumber(525);
/// Rows of one page of `tableData`.
const PAGE_ROWS_MAX: usize = 10_000;
/// Bytes read for one page of `tableData`.
const PAGE_BYTES_MAX: usize = 5_000_000;

/// What kind of function a system path names: all that write are listed here.
pub(crate) fn udf_type(path: &UdfPath) -> UdfType {
    const MUTATIONS: [&str; 9] = [
        "_system/frontend/addDocument",
        "_system/frontend/replaceDocument",
        "_system/frontend/patchDocumentsFields",
        "_system/frontend/deleteDocuments",
        "_system/frontend/clearTablePage",
        "_system/frontend/createTable",
        "_system/frontend/fileStorageV2:deleteFile",
        "_system/frontend/fileStorageV2:deleteFiles",
        "_system/frontend/fileStorageV2:generateUploadUrl",
    ];
    if MUTATIONS.contains(&path.shortest().as_str()) {
        UdfType::Mutation
    } else {
        UdfType::Query
    }
}

/// Runs a system query.
pub(crate) fn run_query(
    runner: &Runner,
    transaction: &mut Transaction,
    path: &UdfPath,
    question: &Question,
) -> Result<Returned, CallError> {
    let args = single_argument(&question.args_json)?;
    let Some(component) = components::find(transaction, &question.component_path)? else {
        return Err(failed(format!(
            "Component path '{}' not found",
            question.component_path
        )));
    };
    let call = SystemCall {
        runner,
        transaction,
        component,
        args,
        journal: question.journal.clone(),
    };
    call.run(&path.shortest())
}

/// Runs a system mutation.
pub(crate) fn run_mutation(
    _runner: &Runner,
    _transaction: &mut Transaction,
    path: &UdfPath,
    _call: &FunctionCall,
) -> Result<Returned, CallError> {
    Err(failed(format!(
        "System function '{}' is not implemented by this server yet.",
        path.shortest()
    )))
}

struct SystemCall<'a> {
    runner: &'a Runner,
    transaction: &'a mut Transaction,
    component: Component,
    args: Json,
    journal: Option<String>,
}

impl SystemCall<'_> {
    fn run(mut self, name: &str) -> Result<Returned, CallError> {
        let value = match name {
            "_system/cli/queryEnvironmentVariables"
            | "_system/frontend/listEnvironmentVariables" => self.environment_variables(),
            "_system/cli/queryEnvironmentVariables:get" => self.environment_variable()?,
            "_system/cli/tables" => self.tables(),
            "_system/cli/tableData" => return self.table_data(),
            "_system/cli/tableSize" | "_system/frontend/tableSize" => self.table_size()?,
            "_system/cli/queryTable" => self.query_table()?,
            "_system/cli/modules:apiSpec" => self.api_spec()?,
            "_system/cli/convexUrl:cloudUrl" | "_system/frontend/convexCloudUrl" => {
                self.built_in_url(|urls| urls.0)?
            }
            "_system/frontend/convexSiteUrl" => self.built_in_url(|urls| urls.1)?,
            "_system/cli/exports:getLatest" => Value::Null,
            "_system/cli/queryImport" => Value::Null,
            "_system/cli/queryImport:list" => Value::Array(Vec::new()),
            "_system/frontend/components:list" => self.components()?,
            "_system/frontend/getSchemas" => self.schemas(),
            "_system/frontend/getVersion" => self.version()?,
            "_system/frontend/deploymentState" => object([("state", text("running"))]),
            name => {
                return Err(failed(format!(
                    "System function '{name}' is not implemented by this server yet."
                )));
            }
        };
        Ok(Returned {
            value: PackedValue::pack(&value),
            journal: None,
        })
    }

    fn environment_variables(&mut self) -> Value {
        let variables = environment::read_all(self.transaction)
            .into_iter()
            .map(|variable| {
                let id = DocumentId::new(ENVIRONMENT_VARIABLES_TABLE, variable.id);
                object([
                    ("_id", Value::String(id.to_string())),
                    ("_creationTime", Value::Float64(variable.creation_time)),
                    ("name", Value::String(variable.name)),
                    ("value", Value::String(variable.value)),
                ])
            });
        Value::Array(variables.collect())
    }

    fn environment_variable(&mut self) -> Result<Value, CallError> {
        #[derive(Deserialize)]
        struct Args {
            name: String,
        }
        let Args { name } = self.parse()?;
        let built_in = self.runner.built_in_variables(self.transaction)?;
        Ok(
            match Component::root().read_variable(self.transaction, &built_in, &name)? {
                Some(value) => object([
                    ("name", Value::String(name)),
                    ("value", Value::String(value)),
                ]),
                None => Value::Null,
            },
        )
    }

    fn tables(&mut self) -> Value {
        self.transaction.system_rows(system::TABLES);
        let mut names: Vec<String> = self
            .active_tables()
            .map(|table| table.name.clone())
            .collect();
        names.retain(|name| !name.starts_with('_'));
        names.sort();
        let page = names
            .into_iter()
            .map(|name| object([("name", Value::String(name))]))
            .collect();
        object([
            ("page", Value::Array(page)),
            ("isDone", Value::Boolean(true)),
            ("continueCursor", text("end")),
        ])
    }

    fn active_tables(&self) -> impl Iterator<Item = &std::sync::Arc<TableInfo>> {
        let namespace = self.component.namespace;
        self.transaction
            .metadata()
            .tables()
            .filter(move |table| table.namespace == namespace && table.state == TableState::Active)
    }

    fn table_data(self) -> Result<Returned, CallError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Args {
            table: String,
            order: String,
            pagination_opts: Json,
        }
        let Args {
            table,
            order,
            pagination_opts,
        } = self.parse()?;
        let query = Query::parse(&json!({
            "source": { "type": "FullTableScan", "tableName": table, "order": order },
            "operators": [],
        }))?;
        let mut page_args = pagination_opts;
        if let Some(items) = page_args["numItems"].as_f64() {
            page_args["pageSize"] = json!((items as usize).min(PAGE_ROWS_MAX));
        }
        let mut request = PageRequest::parse(&page_args)?;
        request.maximum_rows_read = Some(
            request
                .maximum_rows_read
                .unwrap_or(PAGE_ROWS_MAX)
                .min(PAGE_ROWS_MAX),
        );
        request.maximum_bytes_read = Some(
            request
                .maximum_bytes_read
                .unwrap_or(PAGE_BYTES_MAX)
                .min(PAGE_BYTES_MAX),
        );
        request.journal_end_cursor.clone_from(&self.journal);
        let mut reads = ComponentReads {
            transaction: self.transaction,
            namespace: self.component.namespace,
        };
        let page = paginate(query, &request, &self.runner.cursors, &mut reads)?;
        let status = page
            .page_status
            .map_or(Value::Null, |status| text(status.as_str()));
        let value = object([
            (
                "page",
                Value::Array(page.page.iter().map(PackedValue::unpack).collect()),
            ),
            ("isDone", Value::Boolean(page.is_done)),
            ("continueCursor", Value::String(page.continue_cursor)),
            (
                "splitCursor",
                page.split_cursor.map_or(Value::Null, Value::String),
            ),
            ("pageStatus", status),
        ]);
        Ok(Returned {
            value: PackedValue::pack(&value),
            journal: Some(page.journal_end_cursor),
        })
    }

    fn table_size(&mut self) -> Result<Value, CallError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Args {
            table_name: String,
        }
        let Args { table_name } = self.parse()?;
        if table_name.is_empty() {
            return Ok(Value::Float64(0.0));
        }
        let count = self
            .transaction
            .count_documents(self.component.namespace, &table_name)?;
        Ok(Value::Float64(count as f64))
    }

    /// A value that differs each time the table changed: the timestamp of the run.
    fn query_table(&mut self) -> Result<Value, CallError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Args {
            table_name: String,
        }
        let Args { table_name } = self.parse()?;
        self.transaction
            .record_table(self.component.namespace, &table_name);
        Ok(Value::Float64(self.transaction.begin_ts().0 as f64))
    }

    fn api_spec(&mut self) -> Result<Value, CallError> {
        let mut modules = Vec::new();
        for (_, row) in self.transaction.system_rows(system::MODULES) {
            let module = StoredModule::from_row(&row)?;
            if module.namespace == self.component.namespace.0 {
                modules.push(module);
            }
        }
        modules.sort_by(|a, b| a.path.cmp(&b.path));
        let mut spec = Vec::new();
        for module in modules {
            let Some(analysis) = module.analysis else {
                continue;
            };
            for function in analysis.functions {
                let validator = |json: &Option<String>| -> Json {
                    json.as_ref()
                        .and_then(|json| serde_json::from_str(json).ok())
                        .filter(|json: &Json| !json.is_null())
                        .unwrap_or_else(|| json!({ "type": "any" }))
                };
                let kind = function
                    .visibility
                    .map_or_else(|| "public".to_owned(), |visibility| visibility.kind);
                spec.push(json!({
                    "identifier": format!("{}:{}", module.path, function.name),
                    "functionType": function.udf_type.as_str(),
                    "visibility": { "kind": kind },
                    "args": validator(&function.args),
                    "returns": validator(&function.returns),
                }));
            }
            for route in analysis
                .http_routes
                .iter()
                .flat_map(|routes| routes.as_array().into_iter().flatten())
            {
                spec.push(json!({
                    "functionType": "HttpAction",
                    "method": route["route"]["method"],
                    "path": route["route"]["path"],
                }));
            }
        }
        json::parse_encoded_value(&Json::Array(spec))
            .map_err(|error| CallError::System(CodedError::internal(error.to_string())))
    }

    fn built_in_url(
        &mut self,
        choose: impl FnOnce((String, String)) -> String,
    ) -> Result<Value, CallError> {
        let variables = self.runner.built_in_variables(self.transaction)?;
        Ok(Value::String(choose((
            variables.cloud_url,
            variables.site_url,
        ))))
    }

    fn components(&mut self) -> Result<Value, CodedError> {
        let app = components::read_definition(self.transaction, "")?;
        let prefix = app["httpPrefix"].as_str().map_or(Value::Null, text);
        let mut list = vec![object([
            ("id", text("")),
            ("name", Value::Null),
            ("path", text("")),
            ("args", Value::Object(Object::new())),
            ("state", text("active")),
            ("httpPrefix", prefix),
        ])];
        for stored in components::read_all(self.transaction)? {
            let component = stored.component;
            let state = match stored.state {
                // Nobody has it yet.
                ComponentState::Pending => continue,
                state => state.as_str(),
            };
            let name = component.path.rsplit('/').next().unwrap_or_default();
            list.push(object([
                ("id", text(&component.id().to_string())),
                ("name", text(name)),
                ("path", text(&component.path)),
                ("args", Value::Object(Object::new())),
                ("state", text(state)),
                (
                    "httpPrefix",
                    component.http_prefix().map_or(Value::Null, text),
                ),
            ]));
        }
        Ok(Value::Array(list))
    }

    fn schemas(&mut self) -> Value {
        let namespace = self.component.namespace;
        self.transaction.record_schema_of(namespace);
        let metadata = self.transaction.metadata();
        let mut fields = Object::new();
        if let Some(active) = metadata.active_schema(namespace) {
            fields.insert("active", Value::String(active.schema.to_json().to_string()));
        }
        if let Some(pending) = metadata.pending_schema(namespace) {
            fields.insert(
                "inProgress",
                Value::String(pending.schema.to_json().to_string()),
            );
        }
        Value::Object(fields)
    }

    fn version(&mut self) -> Result<Value, CallError> {
        let config = crate::images::UdfConfig::read(self.transaction)?;
        Ok(config.map_or(Value::Null, |config| Value::String(config.server_version)))
    }

    fn parse<T: for<'de> Deserialize<'de>>(&self) -> Result<T, CallError> {
        T::deserialize(&self.args)
            .map_err(|error| failed(format!("ArgumentValidationError: {error}")))
    }
}

fn single_argument(args_json: &str) -> Result<Json, CallError> {
    let args: Json = serde_json::from_str(args_json)
        .map_err(|error| failed(format!("Invalid arguments: {error}")))?;
    Ok(match args {
        Json::Array(mut items) if items.len() == 1 => items.remove(0),
        Json::Array(items) if items.is_empty() => json!({}),
        other => other,
    })
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(fields.into_iter().collect())
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn failed(message: impl Into<String>) -> CallError {
    CallError::Function(FunctionError {
        message: message.into(),
        data: None,
    })
}
