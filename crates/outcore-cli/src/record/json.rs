//! One field of a JSON object, without keeping the others.

use std::fmt;

use serde_json::Deserializer;
use serde_json::de::Read;

use serde::de::{DeserializeSeed, Deserializer as _, Error, IgnoredAny, MapAccess, Visitor};

/// Reads an object, which has to be all there is, and returns the string in a field.
///
/// # Errors
///
/// It is no JSON, no object, has no such field, or the field twice or not as a string.
pub(crate) fn field<'de, R: Read<'de>>(
    json: &mut Deserializer<R>,
    name: &str,
) -> serde_json::Result<String> {
    let value = json.deserialize_map(Object { name })?;
    json.end()?;
    Ok(value)
}

struct Object<'a> {
    name: &'a str,
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with the field {:?}", self.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<String, A::Error> {
        let mut found = None;
        while let Some(ours) = map.next_key_seed(Name(self.name))? {
            if !ours {
                map.next_value::<IgnoredAny>()?;
            } else if found.is_none() {
                found = Some(map.next_value::<String>()?);
            } else {
                let twice = format_args!("the field {:?} is there twice", self.name).to_string();
                return Err(A::Error::custom(twice));
            }
        }
        let missing = || A::Error::custom(format_args!("no field {:?}", self.name));
        found.ok_or_else(missing)
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
