//! The contract of the system: questions to it as a whole.

use std::ffi::OsString;
use std::fmt::Debug;
use std::io;

use crate::sys::backend::System;
use crate::sys::contract::{contract, forward};

contract! {
    /// Questions to the system as a whole. No fault is injected into these.
    trait SystemCalls for System {
        /// Returns the size of a page of memory in bytes, a power of two.
        fn page_size() -> usize;

        /// Returns the largest length of a file of this process, in bytes; `None` without a limit.
        ///
        /// The answer may be outdated at once: any thread can change the limit, and so can other
        /// processes. Functions that would exceed it fail with `EFBIG`.
        fn file_size_limit() -> Option<u64>;

        /// Returns how many bytes of addresses the process may have; `None` if there is no limit.
        fn address_limit() -> Option<u64>;

        /// Returns how many files the process may have open; `None` if there is no limit.
        fn open_file_limit() -> Option<u64>;

        /// Returns whether an error says that this process has as many open files as it may have.
        fn is_out_of_files(answer: &io::Error) -> bool;

        /// Returns the limit of mappings if this process is close to it. Allocates nothing.
        fn reached_mapping_limit() -> Option<u64>;

        /// Returns whether part of what one call of a space has shown can be replaced or released
        /// while other threads use the rest. The allocators need that.
        fn replaces_parts() -> bool;

        /// Returns a number that no parent and no child of this process has.
        fn process() -> u64;

        /// Returns a name for a file that no other process can guess.
        fn unguessable_name() -> io::Result<OsString>;

        /// Returns the value of a variable at the start of the process, as far as it fits into
        /// `value`. Allocates nothing.
        fn initial_variable<'value>(name: &[u8], value: &'value mut [u8]) -> Option<&'value [u8]>;
    }
}
