//! An in-memory store that keeps "written" and "durable" apart.
//!
//! It is a complete implementation, fast enough to be the everyday store of
//! tests, and it can do what a disk cannot be asked to do: fail on demand, stop
//! between a write and its sync, and hand out the image that a crash would
//! leave. It is stricter than an implementation for production needs to be: it
//! checks every `prev_ts` and refuses a document or key written twice in one
//! record.

mod reader;
mod state;
mod versioned;
mod writer;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use self::reader::MemoryReader;
use self::state::State;
use self::writer::MemoryWriter;
use crate::{Reader, Store, StoreError, Writer};

/// The double. Clones are handles on the same store, so that a test can keep
/// one for faults and crashes after giving another away.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

/// What a crash leaves of the transaction that was written but not yet synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survivors {
    /// Only what was synced.
    Durable,
    /// The unsynced write reached the disk in time after all.
    Written,
}

/// A failure to inject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A write is refused whole with [`StoreError::DiskFull`].
    DiskFull,
    /// A write is refused whole with [`StoreError::Io`].
    WriteFails,
    /// A write fails at its sync with [`StoreError::OutcomeUnknown`]; so does
    /// everything after it. Which of both it was shows after a crash.
    SyncFails,
    /// A read fails with [`StoreError::Io`].
    ReadFails,
}

/// Something to do at a moment that a test cannot reach otherwise.
struct Hook(Box<dyn FnOnce() + Send>);

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hook")
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl MemoryStore {
    /// Creates an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `fault` happen once, after `successes` more operations of its kind
    /// (writes or reads) that succeed.
    pub fn inject(&self, fault: Fault, successes: u64) {
        self.shared.lock().faults.push((fault, successes));
    }

    /// Calls `hook` once, after the next snapshot of a reader was taken and
    /// before the reader knows.
    pub fn after_begin(&self, hook: impl FnOnce() + Send + 'static) {
        self.shared.lock().after_begin = Some(Hook(Box::new(hook)));
    }

    /// Makes writes stop between "written" and "durable" until
    /// [`release_sync`](Self::release_sync) or a crash.
    pub fn hold_sync(&self) {
        self.shared.lock().sync_held = true;
    }

    /// Lets held writes sync.
    pub fn release_sync(&self) {
        self.shared.lock().sync_held = false;
        self.shared.changed.notify_all();
    }

    /// Waits until a write is held before its sync.
    pub fn wait_until_held(&self) {
        let mut state = self.shared.lock();
        while !(state.sync_held && state.has_unsynced()) {
            state = self.shared.wait(state);
        }
    }

    /// Ends this store as a power failure would, and returns what is on the
    /// disk afterwards. Every handle, reader and writer of this store fails
    /// from here on; a held write returns an error.
    pub fn crash(&self, survivors: Survivors) -> MemoryStore {
        let mut state = self.shared.lock();
        let image = state.image(survivors);
        state.is_crashed = true;
        self.shared.changed.notify_all();
        MemoryStore {
            shared: Arc::new(Shared {
                state: Mutex::new(image),
                changed: Condvar::new(),
            }),
        }
    }
}

impl Store for MemoryStore {
    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        self.shared.lock().check_alive()?;
        Ok(Box::new(MemoryReader::new(Arc::clone(&self.shared))))
    }

    fn writer(&self) -> Result<Box<dyn Writer>, StoreError> {
        let mut state = self.shared.lock();
        state.check_alive()?;
        if std::mem::replace(&mut state.has_writer, true) {
            return Err(StoreError::WriterTaken);
        }
        Ok(Box::new(MemoryWriter::new(Arc::clone(&self.shared))))
    }
}

impl Shared {
    /// A panic elsewhere in a test must not hide behind a poisoned lock here.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
