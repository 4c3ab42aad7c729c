//! The way from a changed query to the connection that shows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

use hull_functions::Waker;

/// One flag per connection: many changes before it looks are one wake-up.
#[derive(Default)]
pub(super) struct Invalidation {
    is_set: AtomicBool,
    task: AtomicWaker,
}

impl Invalidation {
    /// Makes the callback that all queries of the connection share.
    pub(super) fn waker(self: &Arc<Self>) -> Waker {
        let invalidation = Arc::clone(self);
        Arc::new(move || {
            if !invalidation.is_set.swap(true, Ordering::AcqRel) {
                invalidation.task.wake();
            }
        })
    }

    /// Ready, once, when a query has changed since the last time it was ready.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_set.load(Ordering::Acquire) {
            self.task.register(cx.waker());
        }
        // Looked at again: a change may have come before the waker was in place.
        match self.is_set.swap(false, Ordering::AcqRel) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn many_changes_are_one_wake_up_and_none_is_lost() {
        let invalidation = Arc::new(Invalidation::default());
        let waker = invalidation.waker();
        waker();
        waker();
        poll_fn(|cx| invalidation.poll(cx)).await;
        assert!(
            poll_fn(|cx| Poll::Ready(invalidation.poll(cx)))
                .await
                .is_pending()
        );
        let waiting = {
            let invalidation = Arc::clone(&invalidation);
            tokio::spawn(async move { poll_fn(|cx| invalidation.poll(cx)).await })
        };
        tokio::task::yield_now().await;
        waker();
        waiting.await.unwrap();
    }
}
