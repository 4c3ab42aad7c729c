use hull_value::{InternalId, Timestamp};
use sha2::{Digest, Sha256};

/// Makes internal ids from a seed drawn outside: 14 random bytes, then the day
/// since the epoch (data model spec 2.3).
pub(super) struct IdGenerator {
    seed: [u8; 32],
    counter: u64,
    day: u16,
}

impl IdGenerator {
    pub(super) fn new(seed: [u8; 32], now: Timestamp) -> IdGenerator {
        let days = now.0 / (86_400 * 1_000_000_000);
        IdGenerator {
            seed,
            counter: 0,
            day: u16::try_from(days).unwrap_or(u16::MAX),
        }
    }

    pub(super) fn next_id(&mut self) -> InternalId {
        let mut hasher = Sha256::new();
        hasher.update(self.seed);
        hasher.update(self.counter.to_le_bytes());
        self.counter += 1;
        let digest: [u8; 32] = hasher.finalize().into();
        let mut id = [0; 16];
        id[..14].copy_from_slice(&digest[..14]);
        id[14..].copy_from_slice(&self.day.to_be_bytes());
        InternalId(id)
    }
}
