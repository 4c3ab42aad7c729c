use std::sync::Arc;

use hull_engine::{
    Ceilings, EngineConfig, HistoryLimits, InvalidationListener, Namespace, SubscriptionId,
};
use hull_store::StoreError;
use hull_store::memory::MemoryStore;
use serde_json::json;

use super::*;
use crate::sources::ModuleSource;

const NOW: u64 = 1_700_000_000_000_000_000;
const MINUTE: u64 = 60_000_000_000;

struct Deaf;

impl InvalidationListener for Deaf {
    fn invalidated(&self, _: &[(SubscriptionId, Timestamp)]) {}

    fn published(&self, _: Timestamp) {}

    fn storage_failed(&self, error: &StoreError) {
        panic!("the store failed: {error}");
    }
}

fn open() -> Engine {
    let config = EngineConfig {
        listener: Arc::new(Deaf),
        now: Timestamp(NOW),
        seed: [0; 32],
        history: HistoryLimits::default(),
        ceilings: Ceilings::default(),
    };
    Engine::open(Arc::new(MemoryStore::new()), config).unwrap()
}

fn after(minutes: u64) -> BeginContext {
    BeginContext {
        now: Timestamp(NOW + minutes * MINUTE),
        seed: [1; 32],
    }
}

fn run<R>(engine: &Engine, minutes: u64, body: impl FnOnce(&mut Transaction) -> R) -> R {
    let context = after(minutes);
    let mut transaction = engine.begin(&context).unwrap();
    let result = body(&mut transaction);
    engine.commit_and_wait(transaction, context.now).unwrap();
    result
}

/// The module `m.js` with this text.
fn module(text: &str) -> StoredModule {
    StoredModule {
        namespace: Namespace::ROOT.0,
        path: "m.js".to_owned(),
        environment: "isolate".to_owned(),
        sha256: text.to_owned(),
        graph_hash: String::new(),
        mentions: Vec::new(),
        analysis: None,
    }
}

fn start(engine: &Engine, minutes: u64, push_id: &str, text: &str) {
    let staged = StagedPush {
        server_version: String::new(),
        import_seed: String::new(),
        import_time_ns: 0,
        auth_providers: Vec::new(),
        definitions: BTreeMap::from([(
            String::new(),
            StagedDefinition {
                modules: vec![module(text)],
                definition: Json::Null,
                schema: None,
            },
        )]),
        components: Vec::new(),
    };
    let source = ModuleSource {
        source: text.to_owned(),
        source_map: None,
    };
    run(engine, minutes, |t| {
        let id = sources::row_id(text);
        t.put_system_row(system::MODULE_SOURCES, id, Some(source.to_row()))
            .unwrap();
        put(t, push_id, &staged, after(minutes).now).unwrap();
    });
}

fn finish_with(engine: &Engine, minutes: u64, push_id: &str, text: &str, superseded: &[&str]) {
    run(engine, minutes, |t| {
        let id = StoredModule::row_id(Namespace::ROOT, "m.js");
        let row = module(text).to_row().unwrap();
        t.put_system_row(system::MODULES, id, Some(row)).unwrap();
        let superseded = superseded.iter().map(|&text| text.to_owned()).collect();
        let answer = json!({ "of": push_id });
        finish(t, push_id, superseded, &answer, after(minutes).now).unwrap();
    });
}

/// Which of the sources `a`, `b`, `c` are there once everything old is gone.
fn left_after(engine: &Engine, minutes: u64) -> String {
    while expire(engine, &after(minutes)).unwrap() {}
    run(engine, minutes, |t| {
        let is_there = |t: &mut Transaction, text: &str| sources::read(t, text).unwrap().is_some();
        ["a", "b", "c"]
            .into_iter()
            .filter(|text| is_there(t, text))
            .collect()
    })
}

#[test]
fn sources_stay_while_a_module_or_a_young_push_names_them() {
    let engine = open();
    start(&engine, 0, "1", "a");
    finish_with(&engine, 0, "1", "a", &[]);
    start(&engine, 100, "2", "b");
    finish_with(&engine, 100, "2", "b", &["a"]);
    // Never finished, and of the same content as the deployed module.
    start(&engine, 110, "3", "b");
    start(&engine, 120, "4", "c");
    assert_eq!(left_after(&engine, 159), "abc");
    assert_eq!(left_after(&engine, 161), "bc");
    assert_eq!(left_after(&engine, 179), "bc");
    assert_eq!(left_after(&engine, 181), "b");
    let known = |t: &mut Transaction, id: &str| get(t, id).unwrap().is_some();
    run(&engine, 181, |t| {
        assert!(!["1", "2", "3", "4"].iter().any(|id| known(t, id)))
    });
}

#[test]
fn a_superseded_source_stays_for_an_older_push_that_names_it() {
    let engine = open();
    start(&engine, 0, "1", "a");
    finish_with(&engine, 0, "1", "a", &[]);
    start(&engine, 10, "2", "b");
    finish_with(&engine, 10, "2", "b", &["a"]);
    start(&engine, 60, "3", "a");
    assert_eq!(left_after(&engine, 80), "ab");
    assert_eq!(left_after(&engine, 121), "b");
}

#[test]
fn a_finished_push_is_known_by_its_answer() {
    let engine = open();
    start(&engine, 0, "1", "a");
    let found = run(&engine, 0, |t| get(t, "1").unwrap());
    assert!(matches!(found, Some(KnownPush::Started(_))));
    finish_with(&engine, 30, "1", "a", &[]);
    assert_eq!(left_after(&engine, 89), "a");
    let found = run(&engine, 89, |t| get(t, "1").unwrap());
    assert!(matches!(found, Some(KnownPush::Finished(answer)) if answer == json!({ "of": "1" })));
    assert_eq!(left_after(&engine, 91), "a");
    assert!(run(&engine, 91, |t| get(t, "1").unwrap()).is_none());
}
