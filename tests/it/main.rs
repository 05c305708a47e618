//! Tests of the public API, in one binary so that it links once.
//!
//! A test that needs a separate process (limits, signals, a fork, another environment) starts this
//! binary again with the name of the test: see `support::process`.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "a panic in a test is a failed test"
)]

#[cfg(feature = "allocator-api2")]
mod alloc;
#[cfg(feature = "allocator-api2")]
mod alloc_model;
mod arena;
mod arena_formats;
mod arena_mistakes;
mod arena_model;
mod arena_text;
mod arena_threads;
#[cfg(not(any(miri, memory_backend)))]
mod atomic_file;
#[cfg(not(any(miri, memory_backend)))]
mod cache;
#[cfg(not(any(miri, memory_backend)))]
mod examples;
mod external_groups;
mod external_joins;
#[cfg(not(any(miri, memory_backend)))]
mod external_memory;
mod external_parts;
mod external_records;
mod external_shuffle;
mod external_shuffler;
#[cfg(not(any(miri, memory_backend)))]
mod external_threads;
mod external_unwind;
mod external_vec;
#[cfg(all(not(any(miri, memory_backend)), feature = "allocator-api2"))]
mod fork_drops;
#[cfg(not(miri))]
mod front_page;
mod ranged;
#[cfg(not(any(miri, memory_backend)))]
mod ranged_descriptors;
mod ranged_model;
#[cfg(not(any(miri, memory_backend)))]
mod ranged_named;
#[cfg(not(any(miri, memory_backend)))]
mod ranged_process;
#[cfg(not(any(miri, memory_backend)))]
mod ranged_shared;
mod reads;
mod reads_denied;
#[cfg(all(not(any(miri, memory_backend)), feature = "bytemuck"))]
mod sealed;
#[cfg(all(not(any(miri, memory_backend)), feature = "bytemuck"))]
mod sealed_arena;
#[cfg(all(not(any(miri, memory_backend)), feature = "bytemuck"))]
mod sealed_damage;
#[cfg(all(not(any(miri, memory_backend)), feature = "sealed"))]
mod sealed_own;
#[cfg(all(not(any(miri, memory_backend)), feature = "bytemuck"))]
mod sealed_python;
#[cfg(all(not(any(miri, memory_backend)), feature = "sealed"))]
mod sealed_strings;
mod spill_fork;
#[cfg(feature = "serde")]
mod spool;
#[cfg(feature = "serde")]
mod spool_model;
mod strings;
mod strings_model;
mod strings_sort;
mod support;
#[cfg(not(miri))]
mod tidy;
mod vec;
mod vec_budget;
mod vec_calls;
mod vec_copy;
#[cfg(not(any(miri, memory_backend)))]
mod vec_disks;
mod vec_fork;
mod vec_full;
mod vec_items;
#[cfg(not(any(miri, memory_backend)))]
mod vec_many;
mod vec_model;
mod vec_queue;
mod vec_unwind;

// Tests that query the real system for its limits, disks and memory.
#[cfg(all(not(any(miri, memory_backend)), feature = "allocator-api2"))]
mod alloc_limits;
#[cfg(not(any(miri, memory_backend)))]
mod full_disk;
#[cfg(all(not(any(miri, memory_backend)), target_pointer_width = "64"))]
mod heavy;
#[cfg(not(any(miri, memory_backend)))]
mod limit_lowered;
#[cfg(all(
    not(any(miri, memory_backend)),
    target_pointer_width = "64",
    feature = "allocator-api2"
))]
mod memory_locked;
#[cfg(not(any(miri, memory_backend)))]
mod scratch;
#[cfg(not(any(miri, memory_backend)))]
mod scratch_limits;
#[cfg(not(any(miri, memory_backend)))]
mod scratch_model;
