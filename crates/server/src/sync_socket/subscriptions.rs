//! The live queries of one connection.

use std::sync::Arc;

use hull_functions::{Deployment, Identity, LiveQuery, LiveQueryRequest, Waker};
use hull_sync::{QueryId, Subscription, UpdateRequest, UpdateResult};
use hull_value::{CodedError, Timestamp};

use super::convert;

/// Live queries by the client's ids. Dropping one unsubscribes it.
#[derive(Default)]
pub(super) struct Subscriptions {
    /// Ascending, in step with `live`.
    ids: Vec<QueryId>,
    live: Vec<LiveQuery>,
}

impl Subscriptions {
    /// Drops and takes queries as the session says.
    pub(super) fn apply(
        &mut self,
        deployment: &Deployment,
        request: UpdateRequest<Identity>,
        waker: &Waker,
    ) {
        for id in &request.unsubscribe {
            if let Ok(at) = self.ids.binary_search(id) {
                self.ids.remove(at);
                self.live.remove(at);
            }
        }
        for subscription in request.subscribe {
            let id = subscription.query_id;
            let live = subscribe(deployment, subscription, &request.identity, waker);
            match self.ids.binary_search(&id) {
                Ok(at) => self.live[at] = live,
                Err(at) => {
                    self.ids.insert(at, id);
                    self.live.insert(at, live);
                }
            }
        }
        if self.ids.is_empty() {
            *self = Subscriptions::default();
        }
    }

    /// Computes all queries at one timestamp.
    pub(super) async fn evaluate(
        &self,
        deployment: &Deployment,
        at_least: Timestamp,
    ) -> Result<UpdateResult, CodedError> {
        let live: Vec<&LiveQuery> = self.live.iter().collect();
        let evaluation = deployment.evaluate(&live, at_least).await?;
        let redact = deployment.config().redact_logs_to_client;
        let results = self.ids.iter().zip(&evaluation.results);
        let results = results
            .map(|(id, result)| (*id, convert::query_result(result, redact)))
            .collect();
        Ok(UpdateResult {
            ts: evaluation.ts,
            results,
            deferred: Default::default(),
        })
    }
}

fn subscribe(
    deployment: &Deployment,
    subscription: Subscription,
    identity: &Identity,
    waker: &Waker,
) -> LiveQuery {
    let request = LiveQueryRequest {
        path: subscription.request.path.to_string(),
        component_path: subscription
            .request
            .component_path
            .as_deref()
            .map(str::to_owned),
        args_json: subscription.request.args.to_string(),
        identity: identity.clone(),
        journal: subscription.journal.as_deref().map(str::to_owned),
    };
    deployment.subscribe(request, Arc::clone(waker))
}
