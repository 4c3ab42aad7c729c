//! A client that checks all that clients rely on.

use std::collections::{BTreeMap, BTreeSet};

use hull_sync::StateVersion;
use hull_value::Timestamp;
use serde_json::Value;

#[derive(Default)]
pub(crate) struct Client {
    next_query: u32,
    next_request: u32,
    query_set: u32,
    identity: u32,
    /// Queries that the client wants, with their paths.
    queries: BTreeMap<u32, &'static str>,
    /// All queries ever added: modifications may concern no other.
    ever: BTreeSet<u32>,
    shown: BTreeMap<u32, Value>,
    version: Version,
    /// Requests without a response, mutations in the order of sending.
    mutations: Vec<u32>,
    actions: BTreeSet<u32>,
    /// A transition with at least this timestamp has to follow.
    owed: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Version {
    query_set: u64,
    identity: u64,
    ts: u64,
}

impl Client {
    pub(crate) fn modify(&mut self, adds: &[&'static str], removes: &[usize]) -> String {
        let mut modifications = Vec::new();
        for choice in removes {
            let count = self.queries.len().max(1);
            if let Some(&query) = self.queries.keys().nth(choice % count) {
                self.queries.remove(&query);
                modifications.push(format!(r#"{{"type":"Remove","queryId":{query}}}"#));
            }
        }
        for path in adds {
            let query = self.next_query;
            self.next_query += 1;
            self.queries.insert(query, path);
            self.ever.insert(query);
            modifications.push(format!(
                r#"{{"type":"Add","queryId":{query},"udfPath":"{path}","args":[{{}}]}}"#
            ));
        }
        let base = self.query_set;
        self.query_set += 1;
        format!(
            r#"{{"type":"ModifyQuerySet","baseVersion":{base},"newVersion":{},"modifications":[{}]}}"#,
            base + 1,
            modifications.join(",")
        )
    }

    pub(crate) fn authenticate(&mut self, kind: u8) -> String {
        let base = self.identity;
        self.identity += 1;
        let token = match kind {
            0 => r#""None""#,
            1 => r#""User","value":"jwt""#,
            _ => r#""Admin","value":"name|key""#,
        };
        format!(r#"{{"type":"Authenticate","baseVersion":{base},"tokenType":{token}}}"#)
    }

    pub(crate) fn call(&mut self, kind: &str, path: &str) -> String {
        let request = self.next_request;
        self.next_request += 1;
        match kind {
            "Mutation" => self.mutations.push(request),
            _ => {
                self.actions.insert(request);
            }
        }
        format!(r#"{{"type":"{kind}","requestId":{request},"udfPath":"{path}","args":[{{}}]}}"#)
    }

    pub(crate) fn receive(&mut self, text: &[u8]) {
        let message: Value = serde_json::from_slice(text).expect("JSON");
        match message["type"].as_str() {
            Some("Transition") => self.transition(&message),
            Some("MutationResponse") => {
                let request = number(&message["requestId"]);
                assert_eq!(
                    self.mutations.first().copied(),
                    Some(request),
                    "responses in order"
                );
                self.mutations.remove(0);
                let ts = message["ts"].as_str().map_or(0, timestamp);
                assert_eq!(message["success"] == true, ts > 0);
                assert!(message["logLines"].is_array());
                self.owed = self.owed.max(Some(ts));
            }
            Some("ActionResponse") => {
                assert!(
                    self.actions.remove(&number(&message["requestId"])),
                    "a request for the response"
                );
                assert!(message.get("ts").is_none());
                self.owed = self.owed.max(Some(0));
            }
            Some("Ping" | "AuthError" | "FatalError") => {}
            other => panic!("unknown message {other:?}"),
        }
    }

    fn transition(&mut self, message: &Value) {
        assert_eq!(
            version(&message["startVersion"]),
            self.version,
            "versions are chained"
        );
        let end = version(&message["endVersion"]);
        assert!(end.ts >= self.version.ts && end.identity >= self.version.identity);
        assert!(
            end.query_set <= u64::from(self.query_set) && end.identity <= u64::from(self.identity)
        );
        assert!(message["clientClockSkew"].is_i64() && message["serverTs"].is_i64());
        self.version = end;
        let mut last = None;
        for modification in message["modifications"].as_array().unwrap() {
            let query = number(&modification["queryId"]);
            assert!(self.ever.contains(&query), "a query of this client");
            assert!(
                last < Some(query),
                "ordered, at most one modification of a query"
            );
            last = Some(query);
            match modification["type"].as_str() {
                Some("QueryRemoved") => {
                    self.shown.remove(&query);
                }
                Some("QueryUpdated" | "QueryFailed") => {
                    let mut shown = modification.clone();
                    shown.as_object_mut().unwrap().remove("journal");
                    let previous = self.shown.insert(query, shown.clone());
                    assert_ne!(previous, Some(shown), "what is shown is not sent again");
                }
                other => panic!("unknown modification {other:?}"),
            }
        }
        if self.owed.is_some_and(|owed| owed <= end.ts) {
            self.owed = None;
        }
    }

    pub(crate) fn version(&self) -> StateVersion {
        StateVersion {
            query_set: u32::try_from(self.version.query_set).unwrap(),
            identity: u32::try_from(self.version.identity).unwrap(),
            ts: Timestamp(self.version.ts),
        }
    }

    pub(crate) fn queries(&self) -> &BTreeMap<u32, &'static str> {
        &self.queries
    }

    /// Checks that nothing is missing; `expected` has the value of each query, empty for an error of
    /// the function, `None` for a query that does not run.
    pub(crate) fn check_at_rest(&self, expected: &BTreeMap<u32, Option<String>>) {
        assert_eq!(self.owed, None, "a transition follows every response");
        assert!(
            self.mutations.is_empty() && self.actions.is_empty(),
            "every request has its response"
        );
        assert_eq!(self.version.query_set, u64::from(self.query_set));
        assert_eq!(self.version.identity, u64::from(self.identity));
        assert_eq!(
            self.shown.keys().collect::<Vec<_>>(),
            expected.keys().collect::<Vec<_>>()
        );
        for (query, value) in expected {
            let shown = &self.shown[query];
            let text = match shown["type"].as_str() {
                Some("QueryUpdated") => shown["value"].to_string(),
                _ => String::new(),
            };
            assert_eq!(text, value.clone().unwrap_or_default(), "query {query}");
        }
    }
}

fn number(value: &Value) -> u32 {
    value.as_u64().unwrap().try_into().unwrap()
}

fn timestamp(text: &str) -> u64 {
    Timestamp::from_base64(text).unwrap().0
}

fn version(value: &Value) -> Version {
    Version {
        query_set: value["querySet"].as_u64().unwrap(),
        identity: value["identity"].as_u64().unwrap(),
        ts: timestamp(value["ts"].as_str().unwrap()),
    }
}
