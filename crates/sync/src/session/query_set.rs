use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use uuid::Uuid;

use crate::{
    access::{self, FunctionKind},
    effect::{QueryRequest, Subscription, UpdateResult},
    function_request_id::FunctionRequestId,
    limits::{PENDING_MODIFICATIONS_MAX, QUERIES_MAX, QUERY_ARGS_BYTES_MAX},
    messages::{AddQuery, Modification, QueryId, StateModification},
    query_result::{ContentHash, FunctionFailure, QueryResult},
};

/// The queries of a connection, and the modifications that wait for the next transition.
#[derive(Default)]
pub(super) struct QuerySet {
    queries: BTreeMap<QueryId, Query>,
    pending: Vec<Modification>,
    /// Subscribed queries that no result was handed in for yet.
    awaiting: BTreeSet<QueryId>,
    /// Of `queries` and `pending`.
    args_bytes: usize,
}

struct Query {
    target: Target,
    journal: Option<Arc<str>>,
    sent: Option<ContentHash>,
    is_subscribed: bool,
}

enum Target {
    Function(Arc<QueryRequest>),
    /// The path is none; answered with this message.
    Unparsable {
        message: String,
        args_bytes: usize,
    },
}

/// Why modifications cannot be taken.
pub(super) enum Overflow {
    /// Too many wait for a reader that stalls.
    Pending,
    /// More queries than one connection may hold.
    Queries,
}

/// What one update changes, fixed when it starts.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) subscribe: Vec<Subscription>,
    pub(super) unsubscribe: Vec<QueryId>,
    pub(super) changes: BatchChanges,
}

/// The part of a batch that waits for the results.
#[derive(Default)]
pub(super) struct BatchChanges {
    removed: BTreeSet<QueryId>,
    refused: BTreeMap<QueryId, Arc<QueryResult>>,
}

/// Who asks, as far as answers without a run depend on it.
pub(super) struct Caller {
    pub(super) session_id: Uuid,
    pub(super) is_admin: bool,
    pub(super) redact_errors: bool,
    /// Queries must be subscribed anew.
    pub(super) identity_changed: bool,
}

impl QuerySet {
    pub(super) fn push(&mut self, modifications: Vec<Modification>) -> Result<(), Overflow> {
        let added = modifications.iter().map(|modification| match modification {
            Modification::Add(query) => query.args.len(),
            Modification::Remove(_) => 0,
        });
        self.args_bytes += added.sum::<usize>();
        self.pending.extend(modifications);
        if self.pending.len() > PENDING_MODIFICATIONS_MAX || self.args_bytes > QUERY_ARGS_BYTES_MAX
        {
            return Err(Overflow::Pending);
        }
        Ok(())
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Applies the waiting modifications. An error text means that client and server disagree about
    /// the query set.
    pub(super) fn begin_update(
        &mut self,
        caller: &Caller,
    ) -> Result<Result<Batch, Overflow>, String> {
        let mut batch = Batch::default();
        let mut added = BTreeSet::new();
        for modification in std::mem::take(&mut self.pending) {
            match modification {
                Modification::Add(query) => {
                    let id = query.query_id;
                    if self.queries.contains_key(&id) {
                        return Err(format!("query {} was added twice", id.0));
                    }
                    added.insert(id);
                    self.queries.insert(id, Query::new(query));
                }
                Modification::Remove(id) => {
                    let Some(query) = self.queries.remove(&id) else {
                        return Err(format!("query {} was removed but does not exist", id.0));
                    };
                    self.args_bytes -= query.args_bytes();
                    self.awaiting.remove(&id);
                    added.remove(&id);
                    if query.is_subscribed {
                        batch.unsubscribe.push(id);
                    }
                    batch.changes.removed.insert(id);
                }
            }
        }
        if self.queries.len() > QUERIES_MAX {
            return Ok(Err(Overflow::Queries));
        }
        let affected: Vec<QueryId> = match caller.identity_changed {
            true => self.queries.keys().copied().collect(),
            false => added.into_iter().collect(),
        };
        for id in affected {
            self.attach(id, caller, &mut batch);
        }
        Ok(Ok(batch))
    }

    /// Subscribes a query, or answers it here.
    fn attach(&mut self, id: QueryId, caller: &Caller, batch: &mut Batch) {
        let query = self
            .queries
            .get_mut(&id)
            .expect("invariant: affected queries exist");
        match query.check(caller.is_admin) {
            Ok(request) => {
                query.is_subscribed = true;
                self.awaiting.insert(id);
                batch.subscribe.push(Subscription {
                    query_id: id,
                    request,
                    journal: query.journal.clone(),
                });
            }
            Err(message) => {
                if std::mem::take(&mut query.is_subscribed) {
                    batch.unsubscribe.push(id);
                }
                self.awaiting.remove(&id);
                let failure = FunctionFailure {
                    request_id: FunctionRequestId::for_refused_query(caller.session_id, id),
                    message: (!caller.redact_errors).then_some(message),
                    data: None,
                };
                let result = QueryResult::failed(&failure, &[], query.journal.clone());
                batch.changes.refused.insert(id, Arc::new(result));
            }
        }
    }

    /// Takes the results of an update and returns what the client has to be told, by query. An error
    /// text means that the runner broke its contract.
    pub(super) fn finish_update(
        &mut self,
        changes: BatchChanges,
        update: UpdateResult,
    ) -> Result<BTreeMap<QueryId, StateModification>, String> {
        let mut modifications = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (id, result) in update.results {
            if !seen.insert(id) {
                return Err(format!("two results for query {}", id.0));
            }
            let query = self
                .queries
                .get_mut(&id)
                .filter(|query| query.is_subscribed);
            let Some(query) = query else {
                return Err(format!(
                    "a result for query {}, which is not subscribed",
                    id.0
                ));
            };
            self.awaiting.remove(&id);
            query.journal = result.journal().cloned();
            query.show(id, result, &mut modifications);
        }
        if let Some(missing) = self.awaiting.difference(&update.deferred).next() {
            return Err(format!("no result for query {}", missing.0));
        }
        for (id, result) in changes.refused {
            if let Some(query) = self.queries.get_mut(&id) {
                query.show(id, result, &mut modifications);
            }
        }
        for id in changes.removed {
            modifications
                .entry(id)
                .or_insert(StateModification::Removed);
        }
        Ok(modifications)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Query {
    fn new(query: AddQuery) -> Self {
        let component_path = access::component(query.component_path);
        let target = match access::parse_path(&query.udf_path, component_path.as_deref()) {
            Ok(path) => Target::Function(Arc::new(QueryRequest {
                path,
                component_path,
                args: query.args,
            })),
            Err(message) => Target::Unparsable {
                message,
                args_bytes: query.args.len(),
            },
        };
        Self {
            target,
            journal: query.journal,
            sent: None,
            is_subscribed: false,
        }
    }

    fn check(&self, is_admin: bool) -> Result<Arc<QueryRequest>, String> {
        match &self.target {
            Target::Unparsable { message, .. } => Err(message.clone()),
            Target::Function(request) => {
                let component = request.component_path.as_deref();
                access::check(FunctionKind::Query, &request.path, component, is_admin)?;
                Ok(request.clone())
            }
        }
    }

    /// Adds a modification unless the client shows the same content already.
    fn show(
        &mut self,
        id: QueryId,
        result: Arc<QueryResult>,
        modifications: &mut BTreeMap<QueryId, StateModification>,
    ) {
        let hash = result.content_hash();
        if self.sent != Some(hash) {
            self.sent = Some(hash);
            modifications.insert(id, StateModification::Result(result));
        }
    }

    fn args_bytes(&self) -> usize {
        match &self.target {
            Target::Function(request) => request.args.len(),
            Target::Unparsable { args_bytes, .. } => *args_bytes,
        }
    }
}
