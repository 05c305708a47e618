//! Locations outside of the process: in trees and maps, as bytes, with serde and bytemuck.

use std::collections::{BTreeMap, HashSet};

use outcore::Location;

use crate::support::arena;

#[test]
fn locations_are_keys_in_the_order_of_the_file() {
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let pushed = ["c", "a", "b"].map(|text| (writer.push(text).unwrap(), text));
    writer.finish().unwrap();
    let sorted = BTreeMap::from(pushed);
    assert!(sorted.values().copied().eq(["c", "a", "b"]));
    let hashed: HashSet<Location> = pushed.iter().map(|(location, _)| *location).collect();
    assert_eq!(hashed.len(), 3);
}

#[test]
fn locations_are_stored_as_twelve_bytes_and_still_work() {
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let mut stored: Vec<u8> = Vec::new();
    for n in 0..100_u32 {
        stored.extend(writer.push(n.to_le_bytes()).unwrap().to_bytes());
    }
    writer.finish().unwrap();
    for (n, bytes) in (0..100_u32).zip(stored.chunks_exact(12)) {
        let location = Location::from_bytes(bytes.try_into().unwrap());
        assert_eq!(arena.get(location).unwrap(), n.to_le_bytes());
    }
}

#[cfg(feature = "bytemuck")]
#[test]
fn bytemuck_sees_the_twelve_bytes_in_place() {
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let locations = ["one", "two"].map(|text| writer.push(text).unwrap());
    let bytes: &[u8] = bytemuck::cast_slice(&locations);
    assert_eq!(bytes.len(), 24);
    let back: &[Location] = bytemuck::cast_slice(bytes);
    assert_eq!(back, locations);
    assert_eq!(Location::default(), bytemuck::Zeroable::zeroed());
    if cfg!(target_endian = "little") {
        assert_eq!(bytes[..12], locations[0].to_bytes());
    }
}

#[cfg(feature = "serde")]
mod with_serde {
    use serde::de::value::{Error, SeqDeserializer};
    use serde::ser::{Impossible, Serialize, SerializeTuple, Serializer};

    use super::{Location, arena};

    #[test]
    fn serde_writes_the_twelve_bytes_and_reads_them_back() {
        use serde::de::Deserialize;
        let location = arena().writer().unwrap().push("stored").unwrap();
        let bytes = location.serialize(Bytes(Vec::new())).unwrap();
        assert_eq!(bytes, location.to_bytes());
        let back = Location::deserialize(SeqDeserializer::<_, Error>::new(bytes.into_iter()));
        assert_eq!(back.unwrap(), location);
        let short = SeqDeserializer::<_, Error>::new([1_u8, 2, 3].into_iter());
        assert!(Location::deserialize(short).is_err());
    }

    /// A minimal format: a tuple of bytes.
    struct Bytes(Vec<u8>);

    macro_rules! refuse {
        ($($name:ident($($argument:ty),*) -> $answer:ty;)*) => {
            $(fn $name(self, $(_: $argument),*) -> Result<$answer, Error> {
                Err(serde::ser::Error::custom(stringify!($name)))
            })*
        };
    }

    impl Serializer for Bytes {
        type Ok = Vec<u8>;
        type Error = Error;
        type SerializeSeq = Impossible<Vec<u8>, Error>;
        type SerializeTuple = Self;
        type SerializeTupleStruct = Impossible<Vec<u8>, Error>;
        type SerializeTupleVariant = Impossible<Vec<u8>, Error>;
        type SerializeMap = Impossible<Vec<u8>, Error>;
        type SerializeStruct = Impossible<Vec<u8>, Error>;
        type SerializeStructVariant = Impossible<Vec<u8>, Error>;

        fn serialize_u8(mut self, byte: u8) -> Result<Vec<u8>, Error> {
            self.0.push(byte);
            Ok(self.0)
        }

        fn serialize_tuple(self, _len: usize) -> Result<Self, Error> {
            Ok(self)
        }

        fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<Vec<u8>, Error> {
            Err(serde::ser::Error::custom("some"))
        }

        fn serialize_newtype_struct<T: Serialize + ?Sized>(
            self,
            _: &'static str,
            inner: &T,
        ) -> Result<Vec<u8>, Error> {
            inner.serialize(self)
        }

        fn serialize_newtype_variant<T: Serialize + ?Sized>(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: &T,
        ) -> Result<Vec<u8>, Error> {
            Err(serde::ser::Error::custom("newtype_variant"))
        }

        refuse! {
            serialize_bool(bool) -> Vec<u8>;
            serialize_i8(i8) -> Vec<u8>;
            serialize_i16(i16) -> Vec<u8>;
            serialize_i32(i32) -> Vec<u8>;
            serialize_i64(i64) -> Vec<u8>;
            serialize_u16(u16) -> Vec<u8>;
            serialize_u32(u32) -> Vec<u8>;
            serialize_u64(u64) -> Vec<u8>;
            serialize_f32(f32) -> Vec<u8>;
            serialize_f64(f64) -> Vec<u8>;
            serialize_char(char) -> Vec<u8>;
            serialize_str(&str) -> Vec<u8>;
            serialize_bytes(&[u8]) -> Vec<u8>;
            serialize_none() -> Vec<u8>;
            serialize_unit() -> Vec<u8>;
            serialize_unit_struct(&'static str) -> Vec<u8>;
            serialize_unit_variant(&'static str, u32, &'static str) -> Vec<u8>;
            serialize_seq(Option<usize>) -> Self::SerializeSeq;
            serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
            serialize_tuple_variant(&'static str, u32, &'static str, usize)
                -> Self::SerializeTupleVariant;
            serialize_map(Option<usize>) -> Self::SerializeMap;
            serialize_struct(&'static str, usize) -> Self::SerializeStruct;
            serialize_struct_variant(&'static str, u32, &'static str, usize)
                -> Self::SerializeStructVariant;
        }
    }

    impl SerializeTuple for Bytes {
        type Ok = Vec<u8>;
        type Error = Error;

        fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
            self.0 = value.serialize(Self(std::mem::take(&mut self.0)))?;
            Ok(())
        }

        fn end(self) -> Result<Vec<u8>, Error> {
            Ok(self.0)
        }
    }
}
