use std::sync::{Arc, Weak};

use hull_engine::{InvalidationListener, SubscriptionId};
use hull_store::StoreError;
use hull_value::Timestamp;

use super::registry::LiveQueries;

/// The engine's listener: forwards to the registry, which is made before the
/// engine and holds it; without a registry there is nobody to tell.
pub(crate) struct Invalidations {
    pub(crate) live: Weak<LiveQueries>,
    /// Told when tables, indexes or schemas have changed.
    pub(crate) metadata_changed: Arc<tokio::sync::Notify>,
    /// Told when something was scheduled.
    pub(crate) jobs_changed: Arc<tokio::sync::Notify>,
}

impl InvalidationListener for Invalidations {
    fn invalidated(&self, hits: &[(SubscriptionId, Timestamp)]) {
        let Some(live) = self.live.upgrade() else {
            return;
        };
        for (subscription, ts) in hits {
            live.invalidate(*subscription, *ts);
        }
    }

    fn published(&self, _: Timestamp) {
        if let Some(live) = self.live.upgrade() {
            live.rerun_outdated();
        }
    }

    fn metadata_changed(&self) {
        self.metadata_changed.notify_waiters();
    }

    fn jobs_changed(&self) {
        self.jobs_changed.notify_one();
    }

    fn storage_failed(&self, error: &StoreError) {
        tracing::error!("the store failed and its state is unknown; stopping: {error}");
        std::process::abort();
    }
}
