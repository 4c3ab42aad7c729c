//! The ways to call a function, for clients and for functions alike.

use std::sync::Arc;

use hull_value::CodedError;
use tokio::sync::oneshot;

use crate::actions::Actions;
use crate::call::{FunctionCall, FunctionOutcome, MutationOutcome};
use crate::deployment::question;
use crate::live::LiveQueries;
use crate::mutations::Once;
use crate::runner::Runner;

/// Runs queries, mutations and actions.
pub(crate) struct Functions {
    pub(crate) runner: Arc<Runner>,
    pub(crate) live: Arc<LiveQueries>,
    pub(crate) actions: Actions,
}

impl Functions {
    pub(crate) async fn query(&self, call: FunctionCall) -> Result<FunctionOutcome, CodedError> {
        let (question, asker) = question(call);
        let (result, ts) = self.live.ask(question, &asker).await?;
        Ok(FunctionOutcome {
            result: result.result.clone(),
            log_lines: result.log_lines.clone(),
            journal: result.journal.clone(),
            ts,
        })
    }

    pub(crate) async fn mutation(
        &self,
        call: FunctionCall,
        once: Option<Once>,
    ) -> Result<MutationOutcome, CodedError> {
        let (sender, receiver) = oneshot::channel();
        let runner = self.runner.clone();
        self.runner
            .workers
            .submit(move || runner.run_mutation(call, once, sender))?;
        receiver
            .await
            .map_err(|_| CodedError::internal("a mutation ended without an answer"))?
    }

    /// Runs work on one of the threads of queries and mutations.
    pub(crate) async fn on_worker<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, CodedError> {
        let (sender, receiver) = oneshot::channel();
        self.runner.workers.submit(move || {
            // The caller may have gone away meanwhile.
            let _ = sender.send(work());
        })?;
        receiver
            .await
            .map_err(|_| CodedError::internal("a job ended without a result"))
    }
}
