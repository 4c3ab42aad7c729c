//! Live queries: one execution and one result for everybody who asks the same.
//!
//! A *node* is a question: component, function, visibility, arguments and
//! journal. It holds the answer that serves everyone and, once a run has looked
//! at the caller's identity, one answer per identity. A commit invalidates
//! answers through the engine's read sets; those that somebody subscribes to are
//! re-run at once, and their subscribers are woken only if the content changed.
//! Answers that nobody subscribes to are a cache with a limit on its memory
//! (data model spec 6.6, 6.7).
//!
//! Start reading at `registry` (what there is), then `evaluate` (who asks),
//! `run` (what a run gives), `invalidation` (what a commit does).
//!
//! Lock order: the map of nodes, then one node, then any one of the owners, the
//! idle answers and the engine's own (owners before the engine's). None is held
//! across a run or a waker.

mod evaluate;
mod idle;
mod invalidation;
mod node;
mod question;
mod registry;
mod result;
mod run;
mod subscription;

pub use self::evaluate::Evaluation;
pub use self::question::LiveQueryRequest;
pub use self::result::LiveResult;
pub use self::subscription::LiveQuery;

pub(crate) use self::invalidation::Invalidations;
pub(crate) use self::question::{Asker, Question, QuestionRunner, Run, RunDone};
pub(crate) use self::registry::LiveQueries;

use std::sync::Arc;

/// Called when the answer to a subscribed query may have changed: cheap, from any thread, any number of times.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

#[cfg(test)]
mod tests;
