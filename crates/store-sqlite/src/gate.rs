//! Holds back new snapshots for a moment.
//!
//! SQLite can start its write-ahead log again from the beginning only while no
//! snapshot reads from it. Under a steady load of short reads that moment never
//! comes by itself: there is always one more reader. So every snapshot passes
//! this gate, and the checkpointer closes it until the running ones have ended.
//!
//! A closed gate opens again after a bounded time, whether they have ended or
//! not. Hence a thread may hold one snapshot while beginning another.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_closed: bool,
    snapshot_count: usize,
}

/// Keeps the gate closed.
#[derive(Debug)]
pub(crate) struct Closed<'a> {
    gate: &'a Gate,
}

impl Gate {
    /// Counts a new snapshot in, after waiting while the gate is closed.
    pub(crate) fn enter(&self) {
        let mut state = self.lock();
        while state.is_closed {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.snapshot_count += 1;
    }

    /// Counts an ended snapshot out.
    pub(crate) fn leave(&self) {
        let mut state = self.lock();
        state.snapshot_count = state
            .snapshot_count
            .checked_sub(1)
            .expect("invariant: every snapshot that leaves has entered");
        if state.is_closed && state.snapshot_count == 0 {
            self.changed.notify_all();
        }
    }

    /// Closes the gate and waits until no snapshot is left inside; opens it
    /// again and returns `None` if that takes longer than `patience`.
    pub(crate) fn close(&self, patience: Duration) -> Option<Closed<'_>> {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        state.is_closed = true;
        let closed = Closed { gate: self };
        while state.snapshot_count > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // `closed` locks the state to open the gate.
                drop(state);
                return None;
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        drop(state);
        Some(closed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.gate.lock().is_closed = false;
        self.gate.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn closing_waits_for_snapshots_and_gives_up_in_time() {
        let gate = Gate::default();
        gate.enter();
        assert!(gate.close(Duration::from_millis(1)).is_none());
        // Open again: entering does not block.
        gate.enter();
        gate.leave();
        thread::scope(|scope| {
            let closing = scope.spawn(|| gate.close(Duration::from_secs(60)).is_some());
            gate.leave();
            assert!(closing.join().unwrap());
        });
    }

    #[test]
    fn entering_waits_while_closed() {
        let gate = Gate::default();
        let closed = gate.close(Duration::ZERO).unwrap();
        thread::scope(|scope| {
            let entering = scope.spawn(|| gate.enter());
            assert_eq!(gate.lock().snapshot_count, 0);
            drop(closed);
            entering.join().unwrap();
        });
        assert_eq!(gate.lock().snapshot_count, 1);
    }
}
