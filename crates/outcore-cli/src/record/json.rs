//! Fields of a JSON object, without keeping the others.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer as _, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::Deserializer;
use serde_json::de::Read;

/// What an object has under a name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Field<'a> {
    #[default]
    Missing,
    Null,
    Bool(bool),
    /// A whole number that is not negative.
    Positive(u64),
    /// A whole number that is.
    Negative(i64),
    Double(f64),
    Text(Cow<'a, str>),
    /// A list, or an object.
    Other,
    /// More than one value.
    Twice,
}

/// Reads an object, which has to be all there is, and puts what is under each of the names into
/// `values`, which start as [`Field::Missing`].
///
/// # Errors
///
/// It is no JSON, or no object.
pub(crate) fn fields<'de, R: Read<'de>, N: AsRef<str>>(
    json: &mut Deserializer<R>,
    names: &[N],
    values: &mut [Field<'de>],
) -> serde_json::Result<()> {
    json.deserialize_map(Object { names, values })?;
    json.end()
}

struct Object<'a, 'de, N> {
    names: &'a [N],
    values: &'a mut [Field<'de>],
}

impl<'de, N: AsRef<str>> Visitor<'de> for Object<'_, 'de, N> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(found) = map.next_key_seed(Name(self.names))? {
            match found.and_then(|found| self.values.get_mut(found)) {
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
                Some(value @ Field::Missing) => *value = map.next_value_seed(Value)?,
                Some(value) => {
                    map.next_value::<IgnoredAny>()?;
                    *value = Field::Twice;
                }
            }
        }
        Ok(())
    }
}

/// Says which of the names that are looked for the name of a field is.
struct Name<'a, N>(&'a [N]);

impl<'de, N: AsRef<str>> DeserializeSeed<'de> for Name<'_, N> {
    type Value = Option<usize>;

    fn deserialize<D: serde::Deserializer<'de>>(self, name: D) -> Result<Option<usize>, D::Error> {
        name.deserialize_str(self)
    }
}

impl<N: AsRef<str>> Visitor<'_> for Name<'_, N> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|wanted| wanted.as_ref() == name))
    }
}

/// Takes a value.
struct Value;

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Field<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(self, value: D) -> Result<Field<'de>, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Field<'de>, E> {
        Ok(Field::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Field<'de>, E> {
        Ok(Field::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Field<'de>, E> {
        Ok(Field::Text(Cow::Owned(text)))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Field<'de>, E> {
        Ok(Field::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Field<'de>, E> {
        let positive = u64::try_from(value).map(Field::Positive);
        Ok(positive.unwrap_or(Field::Negative(value)))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Field<'de>, E> {
        Ok(Field::Positive(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Field<'de>, E> {
        Ok(Field::Double(value))
    }

    fn visit_unit<E: Error>(self) -> Result<Field<'de>, E> {
        Ok(Field::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Field<'de>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Field<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }
}
