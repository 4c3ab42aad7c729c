//! Pushing an app, as the CLI's `deploy` does.

use std::time::Duration;

use anyhow::{Result, ensure};
use hull_functions::Deployment;
use serde_json::{Value as Json, json};

use crate::app::{App, Module};

const SCHEMA: &str = "schema.js";

/// The body of `start_push`. `unchanged` are entries of `get_config_hashes`.
pub(crate) fn request(changed: &[Module], unchanged: &[Json], schema: Option<&Module>) -> Json {
    let module = |module: &Module| {
        json!({
            "path": module.path,
            "source": module.source,
            "sourceMap": module.source_map,
            "environment": "isolate",
        })
    };
    let unchanged: Vec<Json> = unchanged
        .iter()
        .map(|known| {
            json!({
                "path": known["path"],
                "environment": known["environment"],
                "sha256": known["hash"],
            })
        })
        .collect();
    json!({
        "dryRun": false,
        "functions": "convex/",
        "appDefinition": {
            "definition": null,
            "dependencies": [],
            "schema": schema.map(module),
            "changedModules": changed.iter().map(module).collect::<Vec<_>>(),
            "unchangedModuleHashes": unchanged,
            "udfServerVersion": "1.48.0",
        },
        "componentDefinitions": [],
        "nodeDependencies": [],
        "forCodegen": false,
    })
}

/// The body of `start_push` for a whole app.
pub(crate) fn whole_app(app: &App) -> Json {
    let (schema, functions): (Vec<Module>, Vec<Module>) = app
        .iter()
        .cloned()
        .partition(|module| module.path == SCHEMA);
    request(&functions, &[], schema.first())
}

/// Pushes to a deployment in this process.
pub(crate) async fn push(deployment: &Deployment, request: Json) -> Result<()> {
    let started = deployment.start_push(request).await?;
    let waited = deployment
        .wait_for_schema(
            started["schemaChange"].clone(),
            Duration::from_secs(30),
            false,
        )
        .await?;
    ensure!(waited["type"] == "complete", "the schema is not: {waited}");
    deployment.finish_push(started, false, None).await?;
    Ok(())
}
