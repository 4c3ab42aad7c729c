//! Pushing an app of which one module changed.

use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::Value as Json;

use crate::app::{Apps, Module};
use crate::histogram::Histogram;
use crate::in_process::LocalDeployment;
use crate::push;
use crate::report::Report;

const PUSHES: usize = 10;

pub(crate) fn run(report: &mut Report, apps: &Apps) -> Result<()> {
    if !report.wants("push") {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let local = LocalDeployment::open(&apps.wide).await?;
        let deployment = &*local.deployment;
        let module = apps
            .wide
            .iter()
            .find(|module| module.path == "module7.js")
            .context("the bundle has no module7.js")?;
        let mut times = Histogram::default();
        for edit in 0..PUSHES {
            let hashes = deployment.config_hashes().await?;
            let all = hashes["moduleHashes"].as_array();
            let unchanged: Vec<Json> = all
                .context("no module hashes")?
                .iter()
                .filter(|known| known["path"] != *module.path)
                .cloned()
                .collect();
            let changed = Module {
                source: format!("{}\nexport const edit = {edit};\n", module.source),
                ..module.clone()
            };
            let request = push::request(&[changed], &unchanged, None);
            let start = Instant::now();
            push::push(deployment, request).await?;
            times.add(start.elapsed());
        }
        let p50 = times.percentile_ms(0.5);
        let slowest = times.percentile_ms(1.0);
        report.add("push", p50, format!("slowest of {PUSHES}: {slowest:.0} ms"));
        deployment.shutdown().await;
        Ok(())
    })
}
