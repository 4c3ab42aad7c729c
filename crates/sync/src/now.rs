use std::time::Duration;

/// The two clocks of one input, read by the owner of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time since any fixed point, the same for all inputs of a session. Drives timers.
    pub elapsed: Duration,
    /// Wall clock, nanoseconds since the Unix epoch. Shown to clients and compared with token expiry.
    pub unix_ns: u64,
}

impl Now {
    /// Returns the wall clock in whole milliseconds.
    pub(crate) fn unix_ms(self) -> i64 {
        i64::try_from(self.unix_ns / 1_000_000).unwrap_or(i64::MAX)
    }

    /// Returns the wall clock in nanoseconds as a signed number, the way clients parse it.
    pub(crate) fn unix_ns_signed(self) -> i64 {
        i64::try_from(self.unix_ns).unwrap_or(i64::MAX)
    }
}
