//! Both vectors as sequences, item by item: neither way holds more than one in memory.

use std::fmt;

use serde::de::{DeserializeSeed, Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::composites::strings::bytes_vec::BytesVec;
use crate::composites::strings::str_vec::StrVec;

/// Bytes, for formats that have a form for them.
struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl Serialize for BytesVec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Bytes))
    }
}

impl Serialize for StrVec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self)
    }
}

impl<'de> Deserialize<'de> for BytesVec {
    /// Reads a sequence of byte strings, or of sequences of bytes, into a vector in the directory of
    /// [`ScratchDir::from_env`](crate::ScratchDir::from_env). Errors of the disk become errors of
    /// the deserializer.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut items = Self::new();
        deserializer.deserialize_seq(Items(&mut items))?;
        Ok(items)
    }
}

impl<'de> Deserialize<'de> for StrVec {
    /// Reads a sequence of strings into a vector in the directory of
    /// [`ScratchDir::from_env`](crate::ScratchDir::from_env). Errors of the disk become errors of
    /// the deserializer.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut items = Self::new();
        deserializer.deserialize_seq(Items(&mut items))?;
        Ok(items)
    }
}

/// A sequence whose items are appended to a vector. The length that the input claims is not
/// believed: nothing is reserved for it.
struct Items<'a, V>(&'a mut V);

impl<'de, V> Visitor<'de> for Items<'_, V>
where
    for<'a> Item<'a, V>: DeserializeSeed<'de, Value = ()>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Item(self.0))?.is_some() {}
        Ok(())
    }
}

/// One item that is appended to a vector.
struct Item<'a, V>(&'a mut V);

impl<'de> DeserializeSeed<'de> for Item<'_, BytesVec> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl<'de> Visitor<'de> for Item<'_, BytesVec> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: Error>(self, item: &[u8]) -> Result<(), E> {
        self.0.push(item).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, item: &str) -> Result<(), E> {
        self.0.push(item).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<(), A::Error> {
        let mut item = Vec::new();
        while let Some(byte) = bytes.next_element::<u8>()? {
            item.push(byte);
        }
        self.0.push(item).map_err(A::Error::custom)
    }
}

impl<'de> DeserializeSeed<'de> for Item<'_, StrVec> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Item<'_, StrVec> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, item: &str) -> Result<(), E> {
        self.0.push(item).map_err(E::custom)
    }
}
