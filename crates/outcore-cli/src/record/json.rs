//! One field of a JSON object, without keeping the others.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer as _, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::Deserializer;
use serde_json::de::Read;

/// What an object has under a name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Text(String),
    Missing,
    /// A value of another kind.
    NoText,
    /// More than one value.
    Twice,
}

/// Reads an object, which has to be all there is, and returns what is in a field.
///
/// # Errors
///
/// It is no JSON, or no object.
pub(crate) fn field<'de, R: Read<'de>>(
    json: &mut Deserializer<R>,
    name: &str,
) -> serde_json::Result<Field> {
    let value = json.deserialize_map(Object { name })?;
    json.end()?;
    Ok(value)
}

struct Object<'a> {
    name: &'a str,
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Field, A::Error> {
        let mut found = Field::Missing;
        while let Some(ours) = map.next_key_seed(Name(self.name))? {
            if !ours {
                map.next_value::<IgnoredAny>()?;
            } else if found == Field::Missing {
                found = map.next_value_seed(Text)?;
            } else {
                map.next_value::<IgnoredAny>()?;
                found = Field::Twice;
            }
        }
        Ok(found)
    }
}

/// Says whether the name of a field is the one that is looked for.
struct Name<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, name: D) -> Result<bool, D::Error> {
        name.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

/// Takes a value: text as it is, anything else as no text.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Field;

    fn deserialize<D: serde::Deserializer<'de>>(self, value: D) -> Result<Field, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Field, E> {
        Ok(Field::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Field, E> {
        Ok(Field::Text(text))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Field, E> {
        Ok(Field::NoText)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Field, E> {
        Ok(Field::NoText)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Field, E> {
        Ok(Field::NoText)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Field, E> {
        Ok(Field::NoText)
    }

    fn visit_unit<E: Error>(self) -> Result<Field, E> {
        Ok(Field::NoText)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Field, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::NoText)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Field, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::NoText)
    }
}
