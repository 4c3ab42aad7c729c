//! Evaluated modules, shared by all calls for which they are the same
//! (function runtime spec 2.6).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;
use hull_engine::{Namespace, Transaction, document, system};
use hull_js::{Environment, Image, ImageSpec, JsError};
use hull_value::{CodedError, PackedValue, Value, ValueRef};

use crate::components::Component;
use crate::environment;
use crate::modules::{Module, StoredModule};
use crate::sources::{ModuleTable, Sources};

/// Images of one module with different environment values that are kept.
const VARIANTS_MAX: usize = 4;

/// Seed and clock of the import phase; they change with the npm version, not with each push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UdfConfig {
    pub(crate) server_version: String,
    pub(crate) import_seed: [u8; 32],
    pub(crate) import_time_ns: i64,
}

/// Values that environment variables of one component can have.
#[derive(Clone)]
pub(crate) struct BuiltInVariables {
    pub(crate) cloud_url: String,
    pub(crate) site_url: String,
}

/// The variants of each module's image.
type ImagesByModule = HashMap<(Namespace, String, Environment), Vec<Arc<ModuleImage>>>;

pub(crate) struct Images {
    js: hull_js::Engine,
    sources: Arc<Sources>,
    images: Mutex<ImagesByModule>,
}

/// A module's image and what its evaluation depended on.
pub(crate) struct ModuleImage {
    pub(crate) image: Arc<Image>,
    pub(crate) table: Arc<ModuleTable>,
    graph_hash: String,
    config: UdfConfig,
}

impl UdfConfig {
    pub(crate) fn row_id() -> hull_value::InternalId {
        system::row_id(&[b"udf config"])
    }

    /// Reads the configuration, recording the dependency.
    pub(crate) fn read(transaction: &mut Transaction) -> Result<Option<UdfConfig>, CodedError> {
        let row = transaction.system_row(system::UDF_CONFIG, UdfConfig::row_id())?;
        Ok(row.as_ref().and_then(UdfConfig::from_row))
    }

    pub(crate) fn to_row(&self) -> PackedValue {
        document::row([
            ("serverVersion", Value::String(self.server_version.clone())),
            (
                "importPhaseRngSeed",
                Value::Bytes(self.import_seed.to_vec()),
            ),
            (
                "importPhaseUnixTimestamp",
                Value::Int64(self.import_time_ns),
            ),
        ])
    }

    fn from_row(row: &PackedValue) -> Option<UdfConfig> {
        let row = row.as_ref();
        let seed = match document::field(row, "importPhaseRngSeed")? {
            ValueRef::Bytes(bytes) => bytes.try_into().ok()?,
            _ => return None,
        };
        Some(UdfConfig {
            server_version: document::text(row, "serverVersion")?.to_owned(),
            import_seed: seed,
            import_time_ns: document::int(row, "importPhaseUnixTimestamp")?,
        })
    }
}

impl BuiltInVariables {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        match name {
            "CONVEX_CLOUD_URL" => Some(&self.cloud_url),
            "CONVEX_SITE_URL" => Some(&self.site_url),
            _ => None,
        }
    }
}

impl Images {
    pub(crate) fn new(js: hull_js::Engine, sources: Arc<Sources>) -> Images {
        Images {
            js,
            sources,
            images: Mutex::default(),
        }
    }

    pub(crate) fn sources(&self) -> &Arc<Sources> {
        &self.sources
    }

    pub(crate) fn js(&self) -> &hull_js::Engine {
        &self.js
    }

    /// Returns the image for a call in this transaction, building it if needed.
    /// Everything the evaluation depended on is recorded.
    pub(crate) fn get(
        &self,
        transaction: &mut Transaction,
        component: &Component,
        module: &Module,
        environment: Environment,
        built_in: &BuiltInVariables,
    ) -> Result<Arc<ModuleImage>, ImageError> {
        let config = UdfConfig::read(transaction)?.ok_or_else(|| {
            CodedError::internal("functions are deployed without a configuration")
        })?;
        let key = (component.namespace, module.path.clone(), environment);
        let candidates: Vec<Arc<ModuleImage>> = {
            let mut images = self.lock();
            let variants = images.entry(key.clone()).or_default();
            variants.retain(|variant| {
                variant.graph_hash == module.graph_hash && variant.config == config
            });
            variants.clone()
        };
        for candidate in candidates {
            let mut fits = true;
            for (name, value) in &candidate.image.env_reads {
                fits &= component.read_variable(transaction, built_in, name)? == *value;
            }
            if fits {
                return Ok(candidate);
            }
        }
        let built = Arc::new(self.build(
            transaction,
            component,
            module,
            environment,
            config,
            built_in,
        )?);
        for (name, _) in &built.image.env_reads {
            component.read_variable(transaction, built_in, name)?;
        }
        let mut images = self.lock();
        let variants = images.entry(key).or_default();
        if variants.len() >= VARIANTS_MAX {
            variants.remove(0);
        }
        variants.push(built.clone());
        Ok(built)
    }

    fn build(
        &self,
        transaction: &mut Transaction,
        component: &Component,
        module: &Module,
        environment: Environment,
        config: UdfConfig,
        built_in: &BuiltInVariables,
    ) -> Result<ModuleImage, ImageError> {
        // Which modules there are is covered by the graph hash in the module's own row.
        let mut addresses = BTreeMap::new();
        for row in transaction.peek_system_rows(system::MODULES) {
            let stored = StoredModule::from_row(&row)?;
            if stored.namespace == component.namespace.0 {
                addresses.insert(stored.path, stored.sha256);
            }
        }
        let table = Arc::new(ModuleTable {
            sources: self.sources.clone(),
            addresses,
        });
        let variables = if component.is_root() {
            // Those that are read become dependencies one by one.
            let mut variables: HashMap<String, String> = HashMap::new();
            for row in transaction.peek_system_rows(system::ENVIRONMENT_VARIABLES) {
                if let (Some(name), Some(value)) = (
                    document::text(row.as_ref(), "name"),
                    document::text(row.as_ref(), "value"),
                ) {
                    variables.insert(name.to_owned(), value.to_owned());
                }
            }
            for name in environment::BUILT_IN {
                if let Some(value) = built_in.get(name) {
                    variables.insert(name.to_owned(), value.to_owned());
                }
            }
            variables
        } else {
            let variables = component.read_variables(transaction, built_in)?;
            variables.into_iter().collect()
        };
        let js = self.js.clone();
        let modules = table.clone();
        let spec = ImageSpec {
            environment,
            entry: module.path.clone(),
            modules: Arc::new(move |path| modules.compile(&js, path)),
            env: Arc::new(move |name| variables.get(name).cloned()),
            source_maps: table.clone(),
            import_seed: config.import_seed,
            import_time_ns: u64::try_from(config.import_time_ns).unwrap_or(0),
        };
        let image = self.js.image(&spec).map_err(ImageError::Js)?;
        Ok(ModuleImage {
            image,
            table,
            graph_hash: module.graph_hash.clone(),
            config,
        })
    }

    /// Bytes held by evaluated modules and bytecode.
    pub(crate) fn bytes(&self) -> usize {
        self.js.bytes()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ImagesByModule> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why there is no image.
pub(crate) enum ImageError {
    System(CodedError),
    Js(JsError),
}

impl From<CodedError> for ImageError {
    fn from(error: CodedError) -> ImageError {
        ImageError::System(error)
    }
}
