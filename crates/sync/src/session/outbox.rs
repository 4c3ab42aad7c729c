use crate::{
    frame::FrameKind,
    limits::{RESPONSE_BYTES_WAITING_MAX, RESPONSES_WAITING_MAX, TRANSITIONS_WAITING_MAX},
};

/// Counts what was handed to the transport and is not written yet. A reader that stalls holds back
/// transitions (skipped, not queued), mutations (not started) and actions (refused).
#[derive(Default)]
pub(super) struct Outbox {
    frames: usize,
    transitions: usize,
    mutation_responses: usize,
    action_responses: usize,
    response_bytes: usize,
}

impl Outbox {
    pub(super) fn pushed(&mut self, kind: FrameKind) {
        self.frames += 1;
        match kind {
            FrameKind::Transition => self.transitions += 1,
            FrameKind::MutationResponse { size_bytes } => {
                self.mutation_responses += 1;
                self.response_bytes += size_bytes;
            }
            FrameKind::ActionResponse { size_bytes } => {
                self.action_responses += 1;
                self.response_bytes += size_bytes;
            }
            FrameKind::TransitionPart | FrameKind::Control => {}
        }
    }

    pub(super) fn written(&mut self, kind: FrameKind) {
        let take = |count: &mut usize, n| *count = count.saturating_sub(n);
        take(&mut self.frames, 1);
        match kind {
            FrameKind::Transition => take(&mut self.transitions, 1),
            FrameKind::MutationResponse { size_bytes } => {
                take(&mut self.mutation_responses, 1);
                take(&mut self.response_bytes, size_bytes);
            }
            FrameKind::ActionResponse { size_bytes } => {
                take(&mut self.action_responses, 1);
                take(&mut self.response_bytes, size_bytes);
            }
            FrameKind::TransitionPart | FrameKind::Control => {}
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames == 0
    }

    pub(super) fn takes_transition(&self) -> bool {
        self.transitions < TRANSITIONS_WAITING_MAX
    }

    pub(super) fn takes_mutation(&self) -> bool {
        self.mutation_responses < RESPONSES_WAITING_MAX
            && self.response_bytes < RESPONSE_BYTES_WAITING_MAX
    }

    pub(super) fn action_responses(&self) -> usize {
        self.action_responses
    }
}
