//! Telling every task to end, and waiting until it has.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// Asks for the end; shared by whoever starts tasks.
#[derive(Clone)]
pub struct Shutdown {
    requested: Arc<watch::Sender<bool>>,
}

/// Held by every task that must have ended before the process does.
pub struct ShutdownGuard {
    requested: watch::Receiver<bool>,
}

impl Shutdown {
    pub fn new() -> Shutdown {
        Shutdown {
            requested: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Makes the guard of one more task.
    pub fn guard(&self) -> ShutdownGuard {
        ShutdownGuard {
            requested: self.requested.subscribe(),
        }
    }

    /// Asks every task to end and waits until all guards are gone, at most `grace`.
    /// Returns whether all are.
    pub async fn run(&self, grace: Duration) -> bool {
        self.requested.send_replace(true);
        tokio::time::timeout(grace, self.requested.closed())
            .await
            .is_ok()
    }
}

impl Default for Shutdown {
    fn default() -> Shutdown {
        Shutdown::new()
    }
}

impl ShutdownGuard {
    /// Completes once the end was asked for, or nobody is left who could ask.
    pub async fn requested(&mut self) {
        // An error means that the other side is gone, which asks for the end as well.
        let _ = self.requested.wait_for(|is_requested| *is_requested).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_for_every_guard() {
        let shutdown = Shutdown::new();
        let mut guard = shutdown.guard();
        let task = tokio::spawn(async move { guard.requested().await });
        assert!(shutdown.run(Duration::from_secs(60)).await);
        task.await.unwrap();
        shutdown.guard().requested().await;
    }

    #[tokio::test]
    async fn gives_up_after_the_grace() {
        let shutdown = Shutdown::new();
        let _guard = shutdown.guard();
        assert!(!shutdown.run(Duration::ZERO).await);
    }
}
