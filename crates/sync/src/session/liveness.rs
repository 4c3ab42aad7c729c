use std::time::Duration;

use crate::{
    limits::{CLIENT_SILENCE_MAX, PING_INTERVAL, WEB_SOCKET_PING_INTERVAL},
    now::Now,
};

/// When what was last seen; all times are [`Now::elapsed`].
pub(super) struct Liveness {
    last_received: Duration,
    last_sent: Duration,
    last_web_socket_ping: Duration,
}

/// What is due at a tick.
pub(super) struct Due {
    pub(super) client_is_silent: bool,
    pub(super) ping: bool,
    pub(super) web_socket_ping: bool,
}

impl Liveness {
    pub(super) fn new(now: Now) -> Self {
        Self {
            last_received: now.elapsed,
            last_sent: now.elapsed,
            last_web_socket_ping: now.elapsed,
        }
    }

    pub(super) fn received(&mut self, now: Now) {
        self.last_received = now.elapsed;
    }

    pub(super) fn sent(&mut self, now: Now) {
        self.last_sent = now.elapsed;
    }

    /// Returns what is due and counts it as done.
    pub(super) fn tick(&mut self, now: Now) -> Due {
        let passed = |since: Duration, interval| now.elapsed >= since + interval;
        let due = Due {
            client_is_silent: passed(self.last_received, CLIENT_SILENCE_MAX),
            ping: passed(self.last_sent, PING_INTERVAL),
            web_socket_ping: passed(self.last_web_socket_ping, WEB_SOCKET_PING_INTERVAL),
        };
        if due.ping {
            self.last_sent = now.elapsed;
        }
        if due.web_socket_ping {
            self.last_web_socket_ping = now.elapsed;
        }
        due
    }

    pub(super) fn next_deadline(&self) -> Duration {
        let silence = self.last_received + CLIENT_SILENCE_MAX;
        let ping = self.last_sent + PING_INTERVAL;
        let web_socket_ping = self.last_web_socket_ping + WEB_SOCKET_PING_INTERVAL;
        silence.min(ping).min(web_socket_ping)
    }
}
