//! Sources and source maps of deployed modules, by content.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;
use hull_engine::{Engine, Transaction, document, system};
use hull_js::{CompiledModule, SourceMap, SourceMaps};
use hull_value::{CodedError, InternalId, PackedValue, Value};
use sha2::{Digest, Sha256};

use crate::clock;

/// Source maps kept parsed; they are needed for traces only.
const PARSED_MAPS_MAX: usize = 32;

/// A module's text as it was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModuleSource {
    pub(crate) source: String,
    pub(crate) source_map: Option<String>,
}

/// Loads sources by their content address.
pub(crate) struct Sources {
    engine: Arc<Engine>,
    maps: Mutex<HashMap<String, Arc<SourceMap>>>,
}

impl ModuleSource {
    /// The CLI's hash: source bytes, then source map bytes (deploy spec 6.2).
    pub(crate) fn sha256(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(self.source.as_bytes());
        if let Some(map) = &self.source_map {
            hasher.update(map.as_bytes());
        }
        hex::encode(hasher.finalize())
    }

    pub(crate) fn to_row(&self) -> PackedValue {
        document::row([
            ("source", Value::String(self.source.clone())),
            (
                "sourceMap",
                self.source_map.clone().map_or(Value::Null, Value::String),
            ),
        ])
    }

    fn from_row(row: &PackedValue) -> Option<ModuleSource> {
        let row = row.as_ref();
        Some(ModuleSource {
            source: document::text(row, "source")?.to_owned(),
            source_map: document::text(row, "sourceMap").map(str::to_owned),
        })
    }
}

/// Row of `MODULE_SOURCES` for a content address.
pub(crate) fn row_id(sha256: &str) -> InternalId {
    system::row_id(&[b"module source", sha256.as_bytes()])
}

/// Reads a source in a transaction.
pub(crate) fn read(
    transaction: &mut Transaction,
    sha256: &str,
) -> Result<Option<ModuleSource>, CodedError> {
    let row = transaction.system_row(system::MODULE_SOURCES, row_id(sha256))?;
    Ok(row.as_ref().and_then(ModuleSource::from_row))
}

impl Sources {
    pub(crate) fn new(engine: Arc<Engine>) -> Sources {
        Sources {
            engine,
            maps: Mutex::default(),
        }
    }

    /// Loads a source outside of any transaction: content never changes under its address.
    pub(crate) fn load(&self, sha256: &str) -> Result<Option<ModuleSource>, CodedError> {
        let mut transaction = self.engine.begin(&clock::begin_context())?;
        read(&mut transaction, sha256)
    }

    fn source_map(&self, sha256: &str) -> Option<Arc<SourceMap>> {
        let mut maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(map) = maps.get(sha256) {
            return Some(map.clone());
        }
        let source = match self.load(sha256) {
            Ok(source) => source?,
            Err(error) => {
                tracing::warn!("a source map could not be loaded: {error}");
                return None;
            }
        };
        let map = Arc::new(SourceMap::parse(&source.source_map?)?);
        if maps.len() >= PARSED_MAPS_MAX {
            maps.clear();
        }
        maps.insert(sha256.to_owned(), map.clone());
        Some(map)
    }
}

/// The modules of one component as of one push: path to content address.
pub(crate) struct ModuleTable {
    pub(crate) sources: Arc<Sources>,
    pub(crate) addresses: BTreeMap<String, String>,
}

impl ModuleTable {
    /// Compiles a module, `None` when there is none of that path.
    pub(crate) fn compile(&self, js: &hull_js::Engine, path: &str) -> Option<Arc<CompiledModule>> {
        let source = match self.sources.load(self.addresses.get(path)?) {
            Ok(source) => source?,
            Err(error) => {
                tracing::error!(
                    module = path,
                    "a module's source could not be loaded: {error}"
                );
                return None;
            }
        };
        match js.compile(path, &source.source) {
            Ok(module) => Some(module),
            Err(error) => {
                tracing::error!(module = path, "a deployed module does not compile: {error}");
                None
            }
        }
    }
}

impl SourceMaps for ModuleTable {
    fn source_map(&self, path: &str) -> Option<Arc<SourceMap>> {
        self.sources.source_map(self.addresses.get(path)?)
    }
}
