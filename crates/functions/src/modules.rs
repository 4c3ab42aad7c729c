//! Deployed modules and their functions, as the analysis of a push found them.

use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;
use hull_engine::{Namespace, Transaction, document, system};
use hull_value::{ArgsValidator, CodedError, InternalId, PackedValue, ReturnsValidator};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Kinds of functions, with the names used on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum UdfType {
    Query,
    Mutation,
    Action,
    HttpAction,
}

impl UdfType {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            UdfType::Query => "Query",
            UdfType::Mutation => "Mutation",
            UdfType::Action => "Action",
            UdfType::HttpAction => "HttpAction",
        }
    }
}

/// What analysis found in a module, in the JSON form of deploy spec 6.4.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Analysis {
    pub(crate) functions: Vec<AnalyzedFunction>,
    #[serde(rename = "httpRoutes", default)]
    pub(crate) http_routes: Option<Json>,
    #[serde(rename = "cronSpecs", default)]
    pub(crate) cron_specs: Option<Json>,
    #[serde(rename = "sourceMapped", default)]
    pub(crate) source_mapped: Option<Json>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AnalyzedFunction {
    pub(crate) name: String,
    pub(crate) pos: Option<Json>,
    #[serde(rename = "udfType")]
    pub(crate) udf_type: UdfType,
    pub(crate) visibility: Option<Visibility>,
    /// Validator JSON as text; `None` = unvalidated.
    pub(crate) args: Option<String>,
    pub(crate) returns: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Visibility {
    pub(crate) kind: String,
}

/// A deployed module, ready to be called.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) path: String,
    /// Hash over the module and everything it imports: the key of its image.
    pub(crate) graph_hash: String,
    pub(crate) environment: String,
    functions: HashMap<String, Arc<Function>>,
    /// Routes of `http.js`.
    pub(crate) http_routes: Vec<HttpRoute>,
}

/// A route of a router; the path of one for a prefix ends with `*`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct HttpRoute {
    pub(crate) path: String,
    pub(crate) method: String,
}

#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) udf_type: UdfType,
    pub(crate) is_public: bool,
    pub(crate) args: ArgsValidator,
    pub(crate) returns: ReturnsValidator,
}

/// A module as it is stored in a row of `MODULES`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoredModule {
    pub(crate) namespace: u32,
    pub(crate) path: String,
    pub(crate) environment: String,
    /// Content address of source and source map; what the CLI compares.
    pub(crate) sha256: String,
    pub(crate) graph_hash: String,
    /// Specifiers that may be imports, resolved to module paths.
    pub(crate) mentions: Vec<String>,
    /// `None` for shared chunks and `auth.config.js`.
    pub(crate) analysis: Option<Analysis>,
}

impl StoredModule {
    pub(crate) fn row_id(namespace: Namespace, path: &str) -> InternalId {
        system::row_id(&[b"module", &namespace.0.to_be_bytes(), path.as_bytes()])
    }

    pub(crate) fn to_row(&self) -> Result<PackedValue, CodedError> {
        let json =
            serde_json::to_string(self).map_err(|error| CodedError::internal(error.to_string()))?;
        Ok(document::row([("module", hull_value::Value::String(json))]))
    }

    pub(crate) fn from_row(row: &PackedValue) -> Result<StoredModule, CodedError> {
        let json = document::text(row.as_ref(), "module")
            .ok_or_else(|| CodedError::internal("a module row has no module"))?;
        serde_json::from_str(json)
            .map_err(|error| CodedError::internal(format!("a module row is not readable: {error}")))
    }
}

/// Modules with the rows they were parsed from.
type ParsedModules = HashMap<InternalId, (PackedValue, Arc<Module>)>;

/// Modules parsed from their rows, shared by all calls.
#[derive(Default)]
pub(crate) struct ModuleCache {
    parsed: Mutex<ParsedModules>,
}

impl ModuleCache {
    /// Reads a module in a transaction, recording the dependency; `None`: no such module.
    pub(crate) fn load(
        &self,
        transaction: &mut Transaction,
        namespace: Namespace,
        path: &str,
    ) -> Result<Option<Arc<Module>>, CodedError> {
        let id = StoredModule::row_id(namespace, path);
        let Some(row) = transaction.system_row(system::MODULES, id)? else {
            self.lock().remove(&id);
            return Ok(None);
        };
        if let Some((known, module)) = self.lock().get(&id)
            && *known == row
        {
            return Ok(Some(module.clone()));
        }
        let module = Arc::new(Module::from_stored(StoredModule::from_row(&row)?)?);
        self.lock().insert(id, (row, module.clone()));
        Ok(Some(module))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ParsedModules> {
        self.parsed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The validator text of a declared validator; bundles export `null` for none.
fn declared(validator: &Option<String>) -> Option<&str> {
    validator.as_deref().filter(|json| *json != "null")
}

impl Module {
    fn from_stored(stored: StoredModule) -> Result<Module, CodedError> {
        let analysis = stored.analysis.unwrap_or_default();
        let mut functions = HashMap::new();
        for function in &analysis.functions {
            functions.insert(
                function.name.clone(),
                Arc::new(Function {
                    udf_type: function.udf_type,
                    // No visibility: deployed before visibility existed, and public then.
                    is_public: function
                        .visibility
                        .as_ref()
                        .is_none_or(|visibility| visibility.kind == "public"),
                    args: match declared(&function.args) {
                        Some(json) => ArgsValidator::parse(json)?,
                        None => ArgsValidator::Unvalidated,
                    },
                    returns: match declared(&function.returns) {
                        Some(json) => ReturnsValidator::parse(json)?,
                        None => ReturnsValidator::Unvalidated,
                    },
                }),
            );
        }
        let routes = analysis.http_routes.as_ref().and_then(Json::as_array);
        let http_routes = routes.into_iter().flatten();
        Ok(Module {
            http_routes: http_routes
                .map(|route| {
                    HttpRoute::deserialize(&route["route"]).map_err(|error| {
                        CodedError::internal(format!("a route is not readable: {error}"))
                    })
                })
                .collect::<Result<_, _>>()?,
            path: stored.path,
            graph_hash: stored.graph_hash,
            environment: stored.environment,
            functions,
        })
    }

    pub(crate) fn function_names(&self) -> impl Iterator<Item = &str> {
        self.functions.keys().map(String::as_str)
    }

    pub(crate) fn function(&self, name: &str) -> Option<&Arc<Function>> {
        self.functions.get(name)
    }
}
