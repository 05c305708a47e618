//! What stands in for a ring where there is none: without the feature `io-uring`, and on the heap.

use std::io;

use crate::sys::backend::File;
use crate::sys::{Finished, Read};

/// A ring that nobody can make.
#[derive(Debug)]
pub(crate) enum Ring {}

impl Ring {
    /// Says that there are no rings here.
    pub(crate) fn new(_depth: usize) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn push(&mut self, _file: &File, _read: Read) -> Result<(), Read> {
        match *self {}
    }

    pub(crate) fn enter(&mut self, _wait: usize) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn take_back(&mut self) -> Option<Read> {
        match *self {}
    }

    pub(crate) fn is_idle(&self) -> bool {
        match *self {}
    }

    pub(crate) fn take(&mut self) -> Option<Finished> {
        match *self {}
    }
}
