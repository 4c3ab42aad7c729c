//! What every store must do, as tests that run against any implementation.
//!
//! ```text
//! hull_store::conformance_tests!(|| Box::new(MyTestBed::new()));
//! ```

#![allow(clippy::unwrap_used, reason = "these are tests, shared as a library")]

mod basics;
mod concurrent;
mod model;
mod random;

pub use basics::*;
pub use concurrent::readers_see_whole_commits_while_others_write;
pub use random::random_operations_match_a_model;

use crate::Store;

/// A place for one store's data.
pub trait TestBed {
    /// Opens the store on what is durable. Whatever an earlier call returned,
    /// with its readers and writer, has been dropped.
    fn open(&mut self) -> Box<dyn Store>;
}

/// Makes an empty place.
pub type MakeTestBed<'a> = &'a dyn Fn() -> Box<dyn TestBed>;

/// Defines one `#[test]` for each part of the suite.
#[macro_export]
macro_rules! conformance_tests {
    ($make_bed:expr) => {
        $crate::conformance_tests!(
            @each $make_bed;
            an_empty_store_is_at_timestamp_zero,
            reads_need_a_snapshot,
            there_is_one_writer_at_a_time,
            timestamps_must_increase,
            a_refused_batch_leaves_nothing,
            the_newest_log_entry_outlives_trimming,
            bounds_are_half_open_and_limits_exact,
            large_values_and_keys_come_back_whole,
            handles_work_on_other_threads,
            random_operations_match_a_model,
            readers_see_whole_commits_while_others_write,
        );
    };
    (@each $make_bed:expr; $($name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                $crate::conformance::$name(&$make_bed);
            }
        )*
    };
}
