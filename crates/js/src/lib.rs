//! JavaScript for Hull: QuickJS-NG in fixed-address arenas with snapshot isolates.
//!
//! A module graph is evaluated once into an [`Image`]; each call runs copy-on-write on an isolate of it and is then
//! undone, so no call can see what another did. This crate is deliberately **not** the function runner: it knows no
//! tables, no transactions and no protocol. What a function asks for goes through [`Host`].
//!
//! An action waits for answers: its isolate is an [`Activity`] that is run again and again, on any thread.
//!
//! Start reading at [`Engine`], then `vm.rs` (building and resetting one isolate) and `isolate.rs` (the loop of a call).
//!
//! Invariants:
//! * No engine handle crosses the public API.
//! * Everything a runtime allocates lies in its arena; after each call the arena is byte-identical to its image.
//! * Nothing global: engines in one process don't see each other. (The only thread-local is the constant address of the
//!   thread's stack.)
//! * Natively bound library code behaves as the library's own code does.

mod activity;
mod arena;
mod bootstrap;
mod compile;
mod convert;
mod cut;
mod engine;
mod error;
mod exception;
mod ffi;
mod host;
mod image;
mod inspect;
mod isolate;
mod js;
pub mod limits;
mod modules;
mod native_stack;
mod natives;
pub mod ops;
mod recognise;
mod rng;
mod slot;
mod source_maps;
mod stack;
mod vm;

pub use activity::{ActionCall, ActionOutcome, Activity, HttpCall, Step};
pub use compile::CompiledModule;
pub use engine::{Engine, EngineConfig};
pub use error::{FailedCheck, ImportError, JsError, JsException};
pub use host::{
    ActionHost, Answer, Args, Host, HostCall, HostError, LogLevel, LogLine, OpId, Reply,
};
pub use image::{EnvSource, Environment, Image, ImageSpec, ModuleSource};
pub use inspect::Inspection;
pub use isolate::{Call, CallKind, CallOutcome, Isolate};
pub use native_stack::worker_stack_size;
pub use source_maps::{NoSourceMaps, SourceMap, SourceMaps, map_frames, render};
pub use stack::Frame;
