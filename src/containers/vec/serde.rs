//! A vector as a sequence, element by element: serializing and deserializing hold one element in
//! memory at a time.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::containers::vec::DiskVec;

impl<T: Serialize> Serialize for DiskVec<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for DiskVec<T> {
    /// Reads a sequence into a vector in the directory of
    /// [`ScratchDir::from_env`](crate::ScratchDir::from_env). Errors of the disk become errors of
    /// the deserializer.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Elements(PhantomData))
    }
}

struct Elements<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<T> {
    type Value = DiskVec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<DiskVec<T>, A::Error> {
        // The length that the input states is not trusted: nothing is reserved for it.
        let mut vec = DiskVec::new();
        while let Some(element) = elements.next_element()? {
            vec.push(element).map_err(A::Error::custom)?;
        }
        Ok(vec)
    }
}
