//! The registry against a scripted runner and a real engine: the test decides
//! when a run ends, what time it is and what is committed meanwhile.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod answers;
mod cache;
mod histories;
mod stage;
