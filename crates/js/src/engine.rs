//! The entry point: compiling modules, building images, inspecting pushes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::arena::snapshot::{self, Strategy};
use crate::bootstrap;
use crate::compile::{self, CompiledModule};
use crate::error::JsError;
use crate::host::Host;
use crate::image::{Image, ImageSpec};
use crate::inspect::{self, Inspection};
use crate::limits;
use crate::vm::{ImportRecord, Recipe, Script, Vm};

/// Sizes and bounds of an [`Engine`].
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// JavaScript heap of one call beyond its image. Default 64 MiB.
    pub heap_limit_bytes: usize,
    /// Isolates kept over all images. When full, idle ones of the image used
    /// longest ago go first; isolates in use are not limited here, because
    /// nested calls would deadlock: the number of workers limits them. Default 64.
    pub slots_max: usize,
    /// User time of evaluating one module graph. Default 4 s.
    pub import_timeout: Duration,
    /// Binds recognised code of the convex library to native code. Off, every
    /// value goes through the library and JSON text: slower, and the way to
    /// find out whether a defect is in the native conversion. Default on.
    pub native_conversion: bool,
    /// Bytecode kept for modules nobody holds at the moment. Default 64 MiB.
    pub bytecode_cache_bytes: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            heap_limit_bytes: limits::HEAP_BYTES,
            slots_max: 64,
            import_timeout: Duration::from_secs(4),
            native_conversion: true,
            bytecode_cache_bytes: 64 << 20,
        }
    }
}

/// Runs JavaScript for one deployment. Cheap to share; no state outside of it.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

impl Engine {
    /// Makes an engine. Fails only if the runtime's own scripts are broken.
    pub fn new(config: EngineConfig) -> Result<Self, JsError> {
        let shared = Shared {
            strategy: snapshot::probe(),
            bootstrap: bootstrap::compile()?,
            slots: AtomicUsize::new(0),
            clock: AtomicU64::new(0),
            images: Mutex::new(Vec::new()),
            modules: Mutex::new(ModuleCache::default()),
            config,
        };
        Ok(Engine {
            shared: Arc::new(shared),
        })
    }

    /// Compiles a module, or finds it in the cache by path and source.
    pub fn compile(&self, path: &str, source: &str) -> Result<Arc<CompiledModule>, JsError> {
        let mut hasher = Sha256::new();
        hasher.update(path.as_bytes());
        hasher.update([0]);
        hasher.update(source.as_bytes());
        let key: [u8; 32] = hasher.finalize().into();
        if let Some(found) = self.shared.lock_modules().get(&key) {
            return Ok(found);
        }
        let module = Arc::new(compile::module(
            path,
            source,
            self.shared.config.native_conversion,
        )?);
        let bytes_max = self.shared.config.bytecode_cache_bytes;
        self.shared
            .lock_modules()
            .insert(key, module.clone(), bytes_max);
        Ok(module)
    }

    /// Compiles what a definition sees for `./_componentDeps/<path>`: the
    /// child's definition (JSON text of an object), its path and default name.
    pub fn compile_component_dependency(
        &self,
        path: &str,
        definition_json: &str,
        component_path: &str,
        default_name: &str,
    ) -> Result<Arc<CompiledModule>, JsError> {
        compile::component_dependency(path, definition_json, component_path, default_name)
    }

    /// Evaluates a module graph. An error thrown by user code is not an `Err`:
    /// it is remembered in the image and is the error of each call.
    pub fn image(&self, spec: &ImageSpec) -> Result<Arc<Image>, JsError> {
        Image::build(&self.shared, spec)
    }

    /// Evaluates a module in a throw-away isolate and reports on it as JSON.
    /// Console lines written meanwhile go to `host`.
    pub fn inspect(
        &self,
        spec: &ImageSpec,
        inspection: Inspection,
        host: &mut dyn Host,
    ) -> Result<String, JsError> {
        inspect::run(&self.shared, spec, inspection, host)
    }

    /// Gives the private memory of isolates idle for that long back to the
    /// system. Their next call costs some page faults more.
    pub fn release_idle(&self, idle_for: Duration) {
        for image in self.shared.live_images() {
            image.release_idle(idle_for);
        }
    }

    /// Drops idle isolates, longest unused image first, until at most `keep`
    /// isolates are left.
    pub fn shrink(&self, keep: usize) {
        while self.shared.slots.load(Ordering::Relaxed) > keep && self.shared.evict_one() {}
    }

    /// Returns the number of isolates alive.
    pub fn slots(&self) -> usize {
        self.shared.slots.load(Ordering::Relaxed)
    }

    /// Returns the memory of all images and of the bytecode cache, in bytes.
    pub fn bytes(&self) -> usize {
        let images: usize = self
            .shared
            .live_images()
            .iter()
            .map(|image| image.bytes())
            .sum();
        images + self.shared.lock_modules().bytes
    }
}

/// What images need of their engine.
pub(crate) struct Shared {
    config: EngineConfig,
    strategy: Strategy,
    bootstrap: Vec<Script>,
    slots: AtomicUsize,
    /// Counts uses; the age of an image is in these units.
    clock: AtomicU64,
    images: Mutex<Vec<Weak<Image>>>,
    modules: Mutex<ModuleCache>,
}

impl Shared {
    /// Builds and freezes one isolate.
    pub(crate) fn build(&self, spec: &Arc<ImageSpec>) -> (Result<Vm, JsError>, ImportRecord) {
        let (vm, record) = self.evaluate(spec);
        let vm = vm.and_then(|mut vm| {
            vm.freeze(self.strategy)?;
            self.slots.fetch_add(1, Ordering::Relaxed);
            Ok(vm)
        });
        (vm, record)
    }

    /// Builds one for a single use.
    pub(crate) fn evaluate(&self, spec: &Arc<ImageSpec>) -> (Result<Vm, JsError>, ImportRecord) {
        Vm::build(&Recipe {
            bootstrap: &self.bootstrap,
            spec,
            heap_limit_bytes: self.config.heap_limit_bytes,
            import_timeout: self.config.import_timeout,
        })
    }

    pub(crate) fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn register(&self, image: &Arc<Image>) {
        let mut images = self.lock_images();
        images.retain(|image| image.strong_count() > 0);
        images.push(Arc::downgrade(image));
    }

    pub(crate) fn slot_gone(&self) {
        self.slots.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn is_over_capacity(&self) -> bool {
        self.slots.load(Ordering::Relaxed) > self.config.slots_max
    }

    /// Makes room for one more isolate where idle ones can go.
    pub(crate) fn make_room(&self) {
        while self.slots.load(Ordering::Relaxed) >= self.config.slots_max && self.evict_one() {}
    }

    fn evict_one(&self) -> bool {
        let mut images = self.live_images();
        images.sort_by_key(|image| image.last_used());
        images.iter().any(|image| image.evict_one())
    }

    /// Strong references, so that no image is dropped under the lock.
    fn live_images(&self) -> Vec<Arc<Image>> {
        self.lock_images()
            .iter()
            .filter_map(Weak::upgrade)
            .collect()
    }

    fn lock_images(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Image>>> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_modules(&self) -> std::sync::MutexGuard<'_, ModuleCache> {
        self.modules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Compiled modules by hash of path and source, oldest use evicted first.
#[derive(Default)]
struct ModuleCache {
    entries: HashMap<[u8; 32], (Arc<CompiledModule>, u64)>,
    bytes: usize,
    uses: u64,
}

impl ModuleCache {
    fn get(&mut self, key: &[u8; 32]) -> Option<Arc<CompiledModule>> {
        self.uses += 1;
        let (module, last_use) = self.entries.get_mut(key)?;
        *last_use = self.uses;
        Some(module.clone())
    }

    fn insert(&mut self, key: [u8; 32], module: Arc<CompiledModule>, bytes_max: usize) {
        self.uses += 1;
        self.bytes += module.bytes();
        if let Some((old, _)) = self.entries.insert(key, (module, self.uses)) {
            self.bytes -= old.bytes();
        }
        while self.bytes > bytes_max {
            let oldest = self
                .entries
                .iter()
                .min_by_key(|(_, (_, last_use))| *last_use)
                .map(|(key, _)| *key);
            match oldest.and_then(|key| self.entries.remove(&key)) {
                Some((old, _)) => self.bytes -= old.bytes(),
                None => break,
            }
        }
    }
}
