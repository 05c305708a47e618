//! The stand-in for a ring where there is none: without the feature `io-uring`, on systems other than
//! Linux, on processors that the crate `io-uring` does not know, and with the heap backend.

use std::io;

use crate::sys::backend::File;
use crate::sys::contract::RingCalls;
use crate::sys::{Finished, Read};

/// A ring that cannot be created.
#[derive(Debug)]
pub(crate) enum Ring {}

impl RingCalls for Ring {
    type File = File;

    /// Returns an error: there are no rings here.
    fn new(_depth: usize) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn push(&mut self, _file: &File, _read: Read) -> Result<(), Read> {
        match *self {}
    }

    fn enter(&mut self, _wait: usize) -> io::Result<()> {
        match *self {}
    }

    fn take_back(&mut self) -> Option<Read> {
        match *self {}
    }

    fn is_idle(&self) -> bool {
        match *self {}
    }

    fn take(&mut self) -> Option<Finished> {
        match *self {}
    }
}
