//! The official Rust client, `convex`, against a running Hull.
//!
//! Nothing lives here but the tests in `tests/`. They need a server with the
//! fixture app pushed, named by `HULL_URL`; `cargo xtask test` starts one.
