//! The modules of a push, old and new together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hull_engine::{Namespace, Transaction, system};
use hull_js::{CompiledModule, SourceMap, SourceMaps};
use hull_value::CodedError;
use sha2::{Digest, Sha256};

use super::request::{PushedModule, UnchangedModule};
use crate::modules::StoredModule;
use crate::sources::{ModuleSource, Sources};

/// All modules by path.
pub(super) struct Package {
    pub(super) modules: BTreeMap<String, PackageModule>,
    sources: Arc<Sources>,
}

pub(super) struct PackageModule {
    pub(super) environment: String,
    pub(super) sha256: String,
    /// `None`: unchanged, stored already.
    pub(super) source: Option<ModuleSource>,
    pub(super) graph_hash: String,
    pub(super) mentions: Vec<String>,
    /// The deployed module of this path, if there is one.
    pub(super) deployed: Option<StoredModule>,
}

impl Package {
    /// Joins what was sent with what is deployed in a namespace.
    pub(super) fn collect(
        transaction: &mut Transaction,
        namespace: Option<Namespace>,
        changed: &[PushedModule],
        unchanged: &[UnchangedModule],
        sources: Arc<Sources>,
    ) -> Result<Package, CodedError> {
        let mut deployed = BTreeMap::new();
        for (_, row) in transaction.system_rows(system::MODULES) {
            let module = StoredModule::from_row(&row)?;
            if Some(Namespace(module.namespace)) == namespace {
                deployed.insert(module.path.clone(), module);
            }
        }
        let mut modules = BTreeMap::new();
        for module in changed {
            let source = module.to_source();
            modules.insert(
                module.path.clone(),
                PackageModule {
                    environment: module
                        .environment
                        .clone()
                        .unwrap_or_else(|| "isolate".to_owned()),
                    sha256: source.sha256(),
                    mentions: mentions(&module.path, &source.source),
                    source: Some(source),
                    graph_hash: String::new(),
                    deployed: deployed.remove(&module.path),
                },
            );
        }
        for module in unchanged {
            let path = &module.path;
            let Some(stored) = deployed.remove(path) else {
                return Err(CodedError::conflict(
                    "MissingExistingModule",
                    format!("Module {path} is not deployed."),
                ));
            };
            if stored.sha256 != module.sha256 {
                return Err(CodedError::conflict(
                    "ExistingModuleHashConflict",
                    format!("The deployed module {path} is another one than the push assumes."),
                ));
            }
            if stored.environment != module.environment {
                return Err(CodedError::conflict(
                    "ExistingModuleEnvConflict",
                    format!(
                        "The deployed module {path} runs in another environment than the push assumes."
                    ),
                ));
            }
            modules.insert(
                path.clone(),
                PackageModule {
                    environment: stored.environment.clone(),
                    sha256: stored.sha256.clone(),
                    source: None,
                    graph_hash: String::new(),
                    mentions: stored.mentions.clone(),
                    deployed: Some(stored),
                },
            );
        }
        let mut package = Package { modules, sources };
        let hashes: Vec<(String, String)> = package
            .modules
            .keys()
            .map(|path| (path.clone(), package.graph_hash(path)))
            .collect();
        for (path, hash) in hashes {
            if let Some(module) = package.modules.get_mut(&path) {
                module.graph_hash = hash;
            }
        }
        Ok(package)
    }

    /// Hash over a module and everything it may import.
    fn graph_hash(&self, path: &str) -> String {
        let mut reached = BTreeSet::new();
        let mut open = vec![path];
        while let Some(path) = open.pop() {
            let Some(module) = self.modules.get(path) else {
                continue;
            };
            if reached.insert(path) {
                open.extend(module.mentions.iter().map(String::as_str));
            }
        }
        let mut hasher = Sha256::new();
        hasher.update(path.as_bytes());
        for path in reached {
            if let Some(module) = self.modules.get(path) {
                hasher.update([0]);
                hasher.update(path.as_bytes());
                hasher.update([0]);
                hasher.update(module.sha256.as_bytes());
            }
        }
        hex::encode(hasher.finalize())
    }

    fn source_of(&self, path: &str) -> Option<ModuleSource> {
        let module = self.modules.get(path)?;
        match &module.source {
            Some(source) => Some(source.clone()),
            None => self.sources.load(&module.sha256).unwrap_or_else(|error| {
                tracing::error!(
                    module = path,
                    "a deployed source could not be loaded: {error}"
                );
                None
            }),
        }
    }

    /// Compiles a module for evaluation; a syntax error shows when it is imported.
    pub(super) fn compile(&self, js: &hull_js::Engine, path: &str) -> Option<Arc<CompiledModule>> {
        js.compile(path, &self.source_of(path)?.source).ok()
    }
}

impl SourceMaps for Package {
    fn source_map(&self, path: &str) -> Option<Arc<SourceMap>> {
        SourceMap::parse(&self.source_of(path)?.source_map?).map(Arc::new)
    }
}

/// Paths of modules that `source` may import: every string literal that ends in
/// `.js`, resolved against `path`. Too many are harmless, too few are not: an
/// import cannot be written without such a literal.
fn mentions(path: &str, source: &str) -> Vec<String> {
    let mut found = BTreeSet::new();
    for (end, _) in source.match_indices(".js") {
        let after = end + 3;
        let Some(quote) = source[after..]
            .chars()
            .next()
            .filter(|c| matches!(c, '"' | '\'' | '`'))
        else {
            continue;
        };
        let Some(start) = source[..end].rfind(quote) else {
            continue;
        };
        let specifier = &source[start + 1..after];
        if specifier.starts_with('.') && specifier.len() < 512 {
            found.extend(resolve(path, specifier));
        }
    }
    found.into_iter().collect()
}

/// Resolves a relative specifier to a module path.
fn resolve(path: &str, specifier: &str) -> Option<String> {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in specifier.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_mentioned() {
        let source = "import { a } from \"./_deps/ABC.js\";\nexport * from '../_deps/X.js';\nconst s = \"not.json\"; import(`./y.js`);";
        assert_eq!(
            mentions("lib/m.js", source),
            ["_deps/X.js", "lib/_deps/ABC.js", "lib/y.js"]
        );
        assert_eq!(
            mentions("m.js", "import \"../outside.js\""),
            Vec::<String>::new()
        );
    }
}
