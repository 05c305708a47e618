//! The stand-in for an arena in a file that lasts, without the feature that has those.

use std::path::Path;

use crate::containers::arena::Location;
use crate::error::{Error, ErrorKind, Result};
use crate::read::ReadOptions;

/// A file that cannot be opened.
#[derive(Debug)]
pub(crate) enum Archive {}

impl Archive {
    pub(crate) fn path(&self) -> Option<&Path> {
        match *self {}
    }

    pub(crate) fn item_bytes(&self) -> u64 {
        match *self {}
    }

    pub(crate) fn file_bytes(&self) -> u64 {
        match *self {}
    }

    pub(crate) fn refused(&self, _kind: ErrorKind, _reason: &'static str) -> Error {
        match *self {}
    }

    pub(crate) fn get_into(&self, _location: Location, _target: &mut Vec<u8>) -> Result<()> {
        match *self {}
    }

    pub(crate) fn get_many(
        &self,
        _options: &ReadOptions,
        _locations: &[Location],
        _deliver: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<()> {
        match *self {}
    }

    pub(crate) fn get_each(
        &self,
        _options: &ReadOptions,
        _locations: &[Location],
    ) -> Vec<Result<Vec<u8>>> {
        match *self {}
    }
}
