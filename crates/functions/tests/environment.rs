//! Limits of environment variables (data model spec 8, function runtime spec 11).

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::sync::Arc;

use hull_functions::environment::{
    NAME_CHARS_MAX, TOTAL_BYTES_MAX, VALUE_BYTES_MAX, VARIABLES_MAX,
};
use hull_functions::{Deployment, DeploymentConfig, EnvironmentChange, FunctionLimits};
use hull_store::memory::MemoryStore;

fn open() -> Arc<Deployment> {
    let config = DeploymentConfig {
        name: "toy".to_owned(),
        cursor_secret: [9; 32],
        cloud_origin: "http://127.0.0.1:3210".to_owned(),
        site_origin: "http://127.0.0.1:3211".to_owned(),
        workers: 1,
        redact_logs_to_client: false,
        limits: FunctionLimits::default(),
        files: hull_functions::files::FileStore::in_memory(),
    };
    Deployment::open(config, Arc::new(MemoryStore::new())).unwrap()
}

fn set(name: &str, value_bytes: usize) -> EnvironmentChange {
    EnvironmentChange {
        name: name.to_owned(),
        value: Some("x".repeat(value_bytes)),
    }
}

#[tokio::test]
async fn each_limit_holds_at_its_bound_and_refuses_one_past_it() {
    let full = VALUE_BYTES_MAX;
    let long = |chars| vec![set(&"A".repeat(chars), 1)];
    let many = |count| (0..count).map(|n| set(&format!("V{n}"), 1)).collect();
    // Names count, too.
    let large = |last: usize| {
        let mut all: Vec<_> = (10..73).map(|n| set(&format!("V{n}"), full - 3)).collect();
        all.push(set("V99", last - 3));
        all
    };
    let rest = TOTAL_BYTES_MAX - 63 * full;
    let cases: [(Vec<_>, Vec<_>, &str); 4] = [
        (
            vec![set("A", full)],
            vec![set("A", full + 1)],
            "EnvironmentVariableValueTooLarge",
        ),
        (
            long(NAME_CHARS_MAX),
            long(NAME_CHARS_MAX + 1),
            "EnvironmentVariableNameTooLong",
        ),
        (
            many(VARIABLES_MAX),
            many(VARIABLES_MAX + 1),
            "EnvVarLimitMet",
        ),
        (large(rest), large(rest + 1), "EnvVarTotalSizeLimitMet"),
    ];
    for (within, past, code) in cases {
        let deployment = open();
        deployment
            .update_environment_variables(within)
            .await
            .unwrap();
        deployment.shutdown().await;
        let deployment = open();
        let error = deployment.update_environment_variables(past).await;
        assert_eq!(error.unwrap_err().code, code);
        deployment.shutdown().await;
    }
    let deployment = open();
    for name in ["", "1A", "a-b", "CONVEX_CLOUD_URL"] {
        let refused = deployment.update_environment_variables(vec![set(name, 1)]);
        assert!(refused.await.is_err(), "{name:?}");
    }
    deployment.shutdown().await;
}
