use std::sync::Arc;

use hull_engine::{InvalidationListener, SubscriptionId};
use hull_store::StoreError;
use hull_value::Timestamp;

use super::registry::LiveQueries;

/// The engine's listener: forwards to the registry, which is made before the engine.
pub(crate) struct Invalidations {
    pub(crate) live: Arc<LiveQueries>,
    /// Told when tables, indexes or schemas have changed.
    pub(crate) metadata_changed: Arc<tokio::sync::Notify>,
}

impl InvalidationListener for Invalidations {
    fn invalidated(&self, hits: &[(SubscriptionId, Timestamp)]) {
        for (subscription, ts) in hits {
            self.live.invalidate(*subscription, *ts);
        }
    }

    fn published(&self, _: Timestamp) {
        self.live.rerun_outdated();
    }

    fn metadata_changed(&self) {
        self.metadata_changed.notify_waiters();
    }

    fn storage_failed(&self, error: &StoreError) {
        self.live.storage_failed(error);
    }
}
