//! Builds the fixture bundles and plays the host for them.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use hull_js::{
    Args, Call, CallKind, CallOutcome, CompiledModule, Engine, EngineConfig, Environment, Host,
    HostError, Image, ImageSpec, LogLine, Reply, SourceMap, SourceMaps,
};
use hull_value::PackedValue;

pub const SEED: [u8; 32] = [7; 32];
pub const TIME_MS: f64 = 1_700_000_000_000.0;

/// The folder of bundled fixtures, built once per process. Node and npm are
/// needed, as for every test with the real client library.
pub fn bundles() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        // Test binaries run at the same time: one of them builds.
        let lock = std::fs::File::create(fixtures.join(".lock")).expect("fixtures are writable");
        lock.lock().expect("lock");
        if !fixtures.join("node_modules/convex").exists() {
            run(Command::new("npm")
                .args(["ci", "--no-audit", "--no-fund"])
                .current_dir(&fixtures));
        }
        if is_stale(&fixtures) {
            run(Command::new("node").arg("build.mjs").current_dir(&fixtures));
        }
        fixtures.join("out")
    })
}

fn is_stale(fixtures: &Path) -> bool {
    let changed = |path: &Path| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    let Some(built) = changed(&fixtures.join("out/stamp")) else {
        return true;
    };
    let sources = std::fs::read_dir(fixtures.join("convex")).expect("fixtures");
    let mut sources = sources.map(|entry| entry.expect("entry").path());
    sources.any(|source| changed(&source).is_none_or(|time| time > built))
        || changed(&fixtures.join("build.mjs")).is_none_or(|time| time > built)
}

fn run(command: &mut Command) {
    let status = command.status().expect("npm and node are installed");
    assert!(status.success(), "{command:?} failed");
}

/// An engine with the fixtures (or other sources) compiled.
pub struct App {
    pub engine: Engine,
    modules: Arc<HashMap<String, Arc<CompiledModule>>>,
    maps: Arc<Maps>,
    pub env: Arc<Mutex<HashMap<String, String>>>,
}

struct Maps(HashMap<String, Arc<SourceMap>>);

impl SourceMaps for Maps {
    fn source_map(&self, path: &str) -> Option<Arc<SourceMap>> {
        self.0.get(path).cloned()
    }
}

impl App {
    pub fn fixtures() -> Self {
        Self::fixtures_with(EngineConfig::default())
    }

    pub fn fixtures_with(config: EngineConfig) -> Self {
        let mut sources = HashMap::new();
        collect(bundles(), bundles(), &mut sources);
        Self::new(config, sources)
    }

    pub fn from_sources(sources: &[(&str, &str)]) -> Self {
        let sources = sources
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Self::new(EngineConfig::default(), sources.collect())
    }

    fn new(config: EngineConfig, sources: HashMap<String, String>) -> Self {
        let engine = Engine::new(config).expect("engine");
        let mut modules = HashMap::new();
        let mut maps = HashMap::new();
        for (path, text) in &sources {
            match path.strip_suffix(".map") {
                Some(path) => {
                    maps.insert(
                        path.to_owned(),
                        Arc::new(SourceMap::parse(text).expect("source map")),
                    );
                }
                None => {
                    modules.insert(path.clone(), engine.compile(path, text).expect("compiles"));
                }
            }
        }
        App {
            engine,
            modules: Arc::new(modules),
            maps: Arc::new(Maps(maps)),
            env: Arc::default(),
        }
    }

    pub fn add(&mut self, path: &str, module: Arc<CompiledModule>) {
        let mut modules = (*self.modules).clone();
        modules.insert(path.to_owned(), module);
        self.modules = Arc::new(modules);
    }

    pub fn module(&self, path: &str) -> Arc<CompiledModule> {
        self.modules[path].clone()
    }

    pub fn compiled(&self) -> impl Iterator<Item = &Arc<CompiledModule>> {
        self.modules.values()
    }

    pub fn maps(&self) -> &dyn SourceMaps {
        &*self.maps
    }

    pub fn spec(&self, entry: &str, environment: Environment) -> ImageSpec {
        let (modules, env) = (self.modules.clone(), self.env.clone());
        ImageSpec {
            environment,
            entry: entry.to_owned(),
            modules: Arc::new(move |path| modules.get(path).cloned()),
            env: Arc::new(move |name| env.lock().expect("env").get(name).cloned()),
            source_maps: self.maps.clone(),
            import_seed: [1; 32],
            import_time_ns: 1_600_000_000_000_000_000,
        }
    }

    pub fn image(&self, entry: &str) -> Arc<Image> {
        self.engine
            .image(&self.spec(entry, Environment::Query))
            .expect("image")
    }

    /// One call on a fresh isolate of the image with the default host.
    pub fn query(&self, image: &Arc<Image>, export: &str, args: &str) -> CallOutcome {
        call(
            image,
            CallKind::Query,
            export,
            args,
            &mut TestHost::default(),
        )
    }
}

fn collect(root: &Path, folder: &Path, sources: &mut HashMap<String, String>) {
    for entry in std::fs::read_dir(folder).expect("bundles") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            collect(root, &path, sources);
        } else if path.extension().is_some_and(|e| e == "js" || e == "map") {
            let name = path
                .strip_prefix(root)
                .expect("below root")
                .to_string_lossy()
                .replace('\\', "/");
            sources.insert(name, std::fs::read_to_string(&path).expect("readable"));
        }
    }
}

pub fn call(
    image: &Arc<Image>,
    kind: CallKind,
    export: &str,
    args: &str,
    host: &mut dyn Host,
) -> CallOutcome {
    let mut isolate = image.isolate().expect("isolate");
    isolate.call(&request(kind, export, args), host)
}

pub fn request<'a>(kind: CallKind, export: &'a str, args: &'a str) -> Call<'a> {
    Call {
        export,
        kind,
        args_json: args,
        seed: SEED,
        time_ms: TIME_MS,
        user_timeout: Duration::from_secs(5),
    }
}

/// The result as JSON text; panics with the error otherwise.
pub fn ok(outcome: CallOutcome) -> String {
    json(&outcome.result.expect("succeeds"))
}

pub fn json(value: &PackedValue) -> String {
    let mut out = Vec::new();
    hull_value::json::encode(value.as_ref(), &mut out);
    String::from_utf8(out).expect("UTF-8")
}

pub fn packed(json: &str) -> PackedValue {
    PackedValue::from_encoded_json(json).expect("value")
}

/// Documents like those of the budget: ten fields, about 300 bytes.
pub fn documents(count: usize) -> Vec<PackedValue> {
    let document = |n: usize| {
        packed(&format!(
            r#"{{"_creationTime":1700000000{n:03}.5,"_id":"j57{n:029}","author":"user-{n}","body":"message number {n}, long enough to look like one of a chat between people who have something to say","channel":"general","edited":false,"likes":{n},"meta":{{"client":"web","lang":"en"}},"tags":["alpha","beta"],"version":{{"$integer":"AQAAAAAAAAA="}}}}"#
        ))
    };
    (0..count).map(document).collect()
}

type Handler = dyn FnMut(&str, &str) -> Result<Reply, HostError> + Send;

/// A host that notes every call and answers from a small fixed world.
#[derive(Default)]
pub struct TestHost {
    pub calls: Vec<String>,
    pub lines: Vec<LogLine>,
    pub env: HashMap<String, String>,
    pub documents: Vec<PackedValue>,
    pub handler: Option<Box<Handler>>,
    pub cursor: usize,
}

impl TestHost {
    pub fn with(
        handler: impl FnMut(&str, &str) -> Result<Reply, HostError> + Send + 'static,
    ) -> Self {
        TestHost {
            handler: Some(Box::new(handler)),
            ..Default::default()
        }
    }

    fn answer(&mut self, name: &str, args: &str) -> Result<Reply, HostError> {
        if let Some(handler) = &mut self.handler {
            return handler(name, args);
        }
        Ok(match name {
            "1.0/get" => Reply::Document(None),
            "1.0/insert" => Reply::Json(r#"{"_id":"new"}"#.into()),
            "1.0/queryStream" => {
                self.cursor = 0;
                Reply::Json(r#"{"queryId":0}"#.into())
            }
            "1.0/queryCleanup" => Reply::Json("true".into()),
            "1.0/queryStreamNext" => {
                let value = self.documents.get(self.cursor).cloned();
                self.cursor += 1;
                Reply::Next { done: value.is_none(), value }
            }
            "1.0/queryPage" => Reply::Page {
                page: self.documents.clone(),
                rest: serde_json::from_str(
                    r#"{"isDone":true,"continueCursor":"end","splitCursor":null,"pageStatus":null}"#,
                )
                .expect("JSON"),
            },
            other => {
                return Err(HostError::User { message: format!("Unknown async operation {other}"), data: None });
            }
        })
    }
}

impl Host for TestHost {
    fn syscall(&mut self, name: &str, args: Args<'_>) -> Result<Reply, HostError> {
        self.calls.push(format!("{name} {}", args.json()));
        self.answer(name, args.json())
    }

    fn async_syscall(&mut self, name: &str, args: Args<'_>) -> Result<Reply, HostError> {
        self.calls.push(format!("{name} {}", args.json()));
        self.answer(name, args.json())
    }

    fn env_var(&mut self, name: &str) -> Result<Option<String>, HostError> {
        Ok(self.env.get(name).cloned())
    }

    fn log(&mut self, line: LogLine) {
        self.lines.push(line);
    }
}
