//! The endpoints of the API port, by subject.

pub(crate) mod functions;
pub(crate) mod json_body;
pub(crate) mod logs;
pub(crate) mod probes;
pub(crate) mod push;
pub(crate) mod settings;
pub(crate) mod storage;
