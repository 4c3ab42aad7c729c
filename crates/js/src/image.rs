//! An evaluated module graph, and the pool of isolates made from it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::compile::CompiledModule;
use crate::engine::Shared;
use crate::error::{ImportError, JsError};
use crate::host::LogLine;
use crate::isolate::Isolate;
use crate::source_maps::SourceMaps;
use crate::vm::Vm;

/// Which globals and rules apply to an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Environment {
    Query,
    Mutation,
    Action,
    HttpAction,
    /// Looking at the functions of a pushed module.
    Analysis,
    Schema,
    AuthConfig,
    /// The definition of the app.
    Definition,
    /// Definitions of components: the same without environment variables.
    ComponentDefinition,
}

/// Finds modules by path (`messages.js`, `_deps/ABC.js`).
pub type ModuleSource = dyn Fn(&str) -> Option<Arc<CompiledModule>> + Send + Sync;
/// Finds environment variables of the snapshot the image is built from.
pub type EnvSource = dyn Fn(&str) -> Option<String> + Send + Sync;

/// What an image is made of. Equal specs give indistinguishable images.
#[derive(Clone)]
pub struct ImageSpec {
    /// Queries and mutations may share an image; say either.
    pub environment: Environment,
    /// Path of the module to evaluate.
    pub entry: String,
    pub modules: Arc<ModuleSource>,
    pub env: Arc<EnvSource>,
    /// For positions and for the frames of `console.trace`.
    pub source_maps: Arc<dyn SourceMaps>,
    pub import_seed: [u8; 32],
    pub import_time_ns: u64,
}

/// A frozen evaluation. Dropping it frees its idle isolates.
pub struct Image {
    /// Environment variables read at import with the values seen, absent ones
    /// included, in the order of the first reads.
    pub env_reads: Vec<(String, Option<String>)>,
    /// Console lines of the import; they belong to every call.
    pub import_logs: Vec<LogLine>,
    /// Why evaluation failed; then every call fails so.
    pub import_error: Option<ImportError>,
    shared: Arc<Shared>,
    spec: Arc<ImageSpec>,
    idle: Mutex<Vec<Idle>>,
    /// Memory of isolates that are out, as of when they were taken.
    busy_bytes: AtomicUsize,
    last_used: AtomicU64,
}

struct Idle {
    vm: Vm,
    since: Instant,
    released: bool,
}

impl Image {
    pub(crate) fn build(shared: &Arc<Shared>, spec: &ImageSpec) -> Result<Arc<Self>, JsError> {
        let spec = Arc::new(spec.clone());
        let (vm, record) = shared.build(&spec);
        let (vm, import_error) = match vm {
            Ok(vm) => (Some(vm), None),
            Err(error) => (None, Some(ImportError::of(error)?)),
        };
        let image = Arc::new(Image {
            env_reads: record.env_reads,
            import_logs: record.logs,
            import_error,
            shared: shared.clone(),
            spec,
            idle: Mutex::new(Vec::new()),
            busy_bytes: AtomicUsize::new(0),
            last_used: AtomicU64::new(shared.tick()),
        });
        if let Some(vm) = vm {
            image.put_idle(vm);
        }
        shared.register(&image);
        Ok(image)
    }

    /// Takes an isolate, making one if none is idle.
    pub fn isolate(self: &Arc<Self>) -> Result<Isolate, JsError> {
        if let Some(error) = &self.import_error {
            return Err(error.clone().into());
        }
        self.last_used.store(self.shared.tick(), Ordering::Relaxed);
        let idle = self.lock_idle().pop();
        let vm = match idle {
            Some(idle) => idle.vm,
            None => {
                self.shared.make_room();
                self.shared.build(&self.spec).0?
            }
        };
        self.busy_bytes.fetch_add(vm.bytes(), Ordering::Relaxed);
        Ok(Isolate::new(vm, self.clone()))
    }

    /// Returns the memory held by all isolates of this image, in bytes.
    pub fn bytes(&self) -> usize {
        let idle: usize = self.lock_idle().iter().map(|idle| idle.vm.bytes()).sum();
        idle + self.busy_bytes.load(Ordering::Relaxed)
    }

    /// Returns the number of idle isolates.
    pub fn idle_isolates(&self) -> usize {
        self.lock_idle().len()
    }

    pub(crate) fn spec(&self) -> &ImageSpec {
        &self.spec
    }

    /// Takes an isolate back; `vm` is None if it must not be used again.
    pub(crate) fn give_back(&self, vm: Option<Vm>, taken_bytes: usize) {
        self.busy_bytes.fetch_sub(taken_bytes, Ordering::Relaxed);
        match vm {
            Some(vm) if !self.shared.is_over_capacity() => self.put_idle(vm),
            vm => {
                drop(vm);
                self.shared.slot_gone();
            }
        }
    }

    fn put_idle(&self, vm: Vm) {
        self.lock_idle().push(Idle {
            vm,
            since: Instant::now(),
            released: false,
        });
    }

    /// Drops one idle isolate. Returns whether there was one.
    pub(crate) fn evict_one(&self) -> bool {
        let Some(idle) = self.lock_idle().pop() else {
            return false;
        };
        drop(idle);
        self.shared.slot_gone();
        true
    }

    /// Gives the private memory of isolates idle for that long back.
    pub(crate) fn release_idle(&self, idle_for: Duration) {
        let now = Instant::now();
        for idle in self.lock_idle().iter_mut() {
            if !idle.released && now.duration_since(idle.since) >= idle_for {
                idle.vm.release_memory();
                idle.released = true;
            }
        }
    }

    pub(crate) fn last_used(&self) -> u64 {
        self.last_used.load(Ordering::Relaxed)
    }

    fn lock_idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        for _ in 0..self.lock_idle().len() {
            self.shared.slot_gone();
        }
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Image")
            .field("entry", &self.spec.entry)
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}
