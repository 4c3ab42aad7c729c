use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use hull_value::Timestamp;

use crate::{
    effect::{Completed, FunctionRequest},
    limits::{
        ACTIONS_MAX, MUTATION_ARGS_BYTES_MAX, MUTATION_HOLD_MAX, MUTATIONS_MAX, WORK_WALL_MAX,
    },
    messages::RequestId,
    now::Now,
};

/// The mutations and actions of a connection.
pub(super) struct Requests<I> {
    queue: VecDeque<QueuedMutation<I>>,
    queued_args_bytes: usize,
    running: Option<RunningMutation>,
    /// Actions in flight and how often: nothing stops a client from using a number twice.
    actions: BTreeMap<RequestId, usize>,
    actions_len: usize,
}

pub(super) enum QueuedMutation<I> {
    Run(FunctionRequest<I>),
    /// Answered without running, but in its turn.
    Refused(RequestId, Completed),
}

struct RunningMutation {
    request_id: RequestId,
    started: Duration,
    hold_until: Duration,
    /// Known to be committed before the mutation started: it commits later than this.
    started_after: Timestamp,
}

impl<I> Requests<I> {
    pub(super) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            queued_args_bytes: 0,
            running: None,
            actions: BTreeMap::new(),
            actions_len: 0,
        }
    }

    /// Whether another mutation may be queued.
    pub(super) fn takes_mutation(&self) -> bool {
        let pending = self.queue.len() + usize::from(self.running.is_some());
        pending < MUTATIONS_MAX && self.queued_args_bytes < MUTATION_ARGS_BYTES_MAX
    }

    pub(super) fn queue(&mut self, mutation: QueuedMutation<I>) {
        self.queued_args_bytes += mutation.args_bytes();
        self.queue.push_back(mutation);
    }

    /// Takes the next mutation if it is one that is answered without running.
    pub(super) fn pop_refused(&mut self) -> Option<(RequestId, Completed)> {
        if self.running.is_some()
            || !matches!(self.queue.front(), Some(QueuedMutation::Refused(..)))
        {
            return None;
        }
        match self.queue.pop_front() {
            Some(QueuedMutation::Refused(request, completed)) => Some((request, completed)),
            _ => None,
        }
    }

    /// Takes the next mutation to run, unless one is running.
    pub(super) fn start_next(
        &mut self,
        started_after: Timestamp,
        now: Now,
    ) -> Option<FunctionRequest<I>> {
        if self.running.is_some() || !matches!(self.queue.front(), Some(QueuedMutation::Run(_))) {
            return None;
        }
        let mutation = self.queue.pop_front()?;
        self.queued_args_bytes -= mutation.args_bytes();
        let QueuedMutation::Run(request) = mutation else {
            return None;
        };
        self.running = Some(RunningMutation {
            request_id: request.request_id,
            started: now.elapsed,
            hold_until: now.elapsed + MUTATION_HOLD_MAX,
            started_after,
        });
        Some(request)
    }

    /// Marks the running mutation as about to commit.
    pub(super) fn committing(&mut self, request: RequestId, now: Now) {
        if let Some(running) = &mut self.running
            && running.request_id == request
        {
            running.hold_until = now.elapsed + MUTATION_HOLD_MAX;
        }
    }

    /// Ends the running mutation; `false` if it is not this one.
    pub(super) fn finish_mutation(&mut self, request: RequestId) -> bool {
        let is_running = self
            .running
            .as_ref()
            .is_some_and(|running| running.request_id == request);
        if is_running {
            self.running = None;
        }
        is_running
    }

    /// Returns until when transitions are held back, if they are.
    pub(super) fn hold_until(&self, now: Now) -> Option<Duration> {
        let hold_until = self.running.as_ref()?.hold_until;
        (now.elapsed < hold_until).then_some(hold_until)
    }

    /// Whether a transition at `ts` cannot show the writes of the running mutation, or need not wait
    /// for it any longer.
    pub(super) fn lets_pass(&self, ts: Timestamp, now: Now) -> bool {
        let is_before = self
            .running
            .as_ref()
            .is_some_and(|running| ts <= running.started_after);
        is_before || self.hold_until(now).is_none()
    }

    /// Returns when the running mutation has taken too long.
    pub(super) fn mutation_deadline(&self) -> Option<Duration> {
        Some(self.running.as_ref()?.started + WORK_WALL_MAX)
    }

    /// Counts an action as started; `false` if there are too many, unread answers included.
    pub(super) fn start_action(&mut self, request: RequestId, unread_responses: usize) -> bool {
        if self.actions_len + unread_responses >= ACTIONS_MAX {
            return false;
        }
        *self.actions.entry(request).or_default() += 1;
        self.actions_len += 1;
        true
    }

    pub(super) fn is_action(&self, request: RequestId) -> bool {
        self.actions.contains_key(&request)
    }

    /// Ends an action in flight.
    pub(super) fn finish_action(&mut self, request: RequestId) {
        let Some(count) = self.actions.get_mut(&request) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            self.actions.remove(&request);
        }
        self.actions_len -= 1;
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }
}

impl<I> QueuedMutation<I> {
    fn args_bytes(&self) -> usize {
        match self {
            Self::Run(request) => request.args.len(),
            Self::Refused(..) => 0,
        }
    }
}
