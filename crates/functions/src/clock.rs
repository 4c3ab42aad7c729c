//! The one place where this crate reads the clock and draws randomness.

use std::time::{SystemTime, UNIX_EPOCH};

use hull_engine::BeginContext;
use hull_value::Timestamp;

/// Nanoseconds since the epoch.
pub(crate) fn now() -> Timestamp {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
}

/// Milliseconds since the epoch, with a fraction.
pub(crate) fn now_ms() -> f64 {
    now().0 as f64 / 1e6
}

/// 32 bytes from the system's generator.
pub(crate) fn random_seed() -> [u8; 32] {
    let mut seed = [0; 32];
    fill_random(&mut seed);
    seed
}

/// Fills bytes from the system's generator.
pub(crate) fn fill_random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("invariant: the operating system has a random generator");
}

/// A request id for a call that did not bring one: 16 hex characters.
pub fn random_request_id() -> String {
    hex::encode(&random_seed()[..8])
}

pub(crate) fn begin_context() -> BeginContext {
    BeginContext {
        now: now(),
        seed: random_seed(),
    }
}
