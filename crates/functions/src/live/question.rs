//! What is asked, by whom, and who finds it out.

use std::sync::Arc;

use hull_engine::ReadSet;
use hull_value::{CodedError, Timestamp};

use crate::call::Caller;
use crate::clock;
use crate::identity::Identity;

use super::LiveResult;

/// A question to subscribe to.
#[derive(Clone, Debug)]
pub struct LiveQueryRequest {
    pub path: String,
    pub component_path: Option<String>,
    /// JSON text of the arguments, as in [`FunctionCall`](crate::FunctionCall).
    pub args_json: String,
    pub identity: Identity,
    pub journal: Option<String>,
}

/// What makes two questions the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(crate) component_path: String,
    /// Canonical if it can be parsed, else as given.
    pub(crate) path: String,
    pub(crate) args_json: String,
    pub(crate) journal: Option<String>,
    /// Whether internal functions may be called.
    pub(crate) may_call_internal: bool,
}

/// Who asks a question, and where log entries say it came from.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) identity: Identity,
    pub(crate) caller: Caller,
    pub(crate) request_id: String,
}

/// What one run of a question gave.
pub(crate) struct Run {
    pub(crate) result: LiveResult,
    pub(crate) reads: ReadSet,
    pub(crate) observed_identity: bool,
    pub(crate) observed_time: bool,
}

/// Gets what a run gave.
pub(crate) type RunDone = Box<dyn FnOnce(Result<Run, CodedError>) + Send>;

/// Runs questions; implemented by the runner.
pub(crate) trait QuestionRunner: Send + Sync {
    /// Runs a question at exactly `ts` on a worker and hands over what it gave.
    fn run(
        &self,
        question: Arc<Question>,
        asker: Asker,
        ts: Timestamp,
        done: RunDone,
    ) -> Result<(), CodedError>;
    /// Reports that an answer was served without a run.
    fn served_from_cache(&self, question: &Question, asker: &Asker, result: &LiveResult);
    /// The wall clock, milliseconds.
    fn now_ms(&self) -> f64;
}

impl Question {
    /// The same question about the page that a run has made.
    pub(super) fn with_journal(&self, journal: &Option<String>) -> Question {
        Question {
            journal: journal.clone(),
            ..self.clone()
        }
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.component_path.len()
            + self.path.len()
            + self.args_json.len()
            + self.journal.as_ref().map_or(0, String::len)
    }
}

impl Asker {
    /// A subscriber of the sync protocol, whose queries have no request ids.
    pub(crate) fn subscriber(identity: Identity) -> Asker {
        Asker {
            identity,
            caller: Caller::SyncWorker,
            request_id: clock::random_request_id(),
        }
    }
}
