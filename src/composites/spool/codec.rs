//! From values to bytes and back.

use std::error::Error;
use std::fmt;

use postcard::ser_flavors::Flavor;
use postcard::{Deserializer, Serializer};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::composites::spool::buffer::Target;

/// Why a [`Codec`] cannot encode or decode a value.
pub type CodecError = Box<dyn Error + Send + Sync>;

/// How a [`Spool`](crate::Spool) makes bytes of values of a type, and values of bytes.
///
/// The bytes of each value are kept apart, so they need not say where they end, and those that are
/// decoded are always ones that were encoded by the same codec: blocks that a device damaged are found
/// before.
///
/// # Examples
///
/// ```
/// use outcore::spool::{Codec, CodecError, SpoolBuilder, Target};
/// use outcore::MemoryBudget;
/// use serde_json::Value;
///
/// /// For values that only a format with names can decode.
/// struct Json;
///
/// impl Codec<Value> for Json {
///     fn encode(&self, value: &Value, target: &mut Target<'_>) -> Result<(), CodecError> {
///         Ok(serde_json::to_writer(target, value)?)
///     }
///
///     fn decode(&self, bytes: &[u8]) -> Result<Value, CodecError> {
///         Ok(serde_json::from_slice(bytes)?)
///     }
/// }
///
/// let mut spool = SpoolBuilder::new(&MemoryBudget::new(16 << 20)).codec(Json).build();
/// spool.push(&serde_json::json!({ "name": "Ada", "born": 1815 }))?;
/// assert_eq!(spool.get(0)?.unwrap()["born"], 1815);
/// # Ok::<(), outcore::Error>(())
/// ```
pub trait Codec<T> {
    /// Writes a value to `target`. What is written before an error is taken back.
    ///
    /// # Errors
    ///
    /// Whatever the codec reports; it ends up in the message of an error of the kind
    /// [`Codec`](crate::ErrorKind::Codec).
    fn encode(&self, value: &T, target: &mut Target<'_>) -> Result<(), CodecError>;

    /// Makes a value of the bytes that [`encode`](Self::encode) wrote for it.
    ///
    /// # Errors
    ///
    /// As above.
    fn decode(&self, bytes: &[u8]) -> Result<T, CodecError>;
}

/// The usual codec: the format of the crate `postcard`, in which numbers are as short as they can be,
/// and structs have no names.
#[derive(Clone, Copy, Debug, Default)]
pub struct Postcard;

impl<T: Serialize + DeserializeOwned> Codec<T> for Postcard {
    #[inline]
    fn encode(&self, value: &T, target: &mut Target<'_>) -> Result<(), CodecError> {
        // As `serialize_with_flavor` does, which is not inlined.
        value.serialize(&mut Serializer {
            output: Writer(target),
        })?;
        Ok(())
    }

    #[inline]
    fn decode(&self, bytes: &[u8]) -> Result<T, CodecError> {
        // As `take_from_bytes` does, which is not inlined.
        let mut deserializer = Deserializer::from_bytes(bytes);
        let value = T::deserialize(&mut deserializer)?;
        match deserializer.finalize()? {
            [] => Ok(value),
            rest => Err(Box::new(TooLong(rest.len()))),
        }
    }
}

/// The end of a block, as postcard writes to it.
struct Writer<'a, 't>(&'a mut Target<'t>);

impl Flavor for Writer<'_, '_> {
    type Output = ();

    #[expect(clippy::inline_always, reason = "a call takes as long as the copy")]
    #[inline(always)]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        written(self.0.put(bytes))
    }

    #[expect(clippy::inline_always, reason = "a call takes as long as the copy")]
    #[inline(always)]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        written(self.0.put(&[byte]))
    }

    #[inline]
    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

#[expect(clippy::inline_always, reason = "a call takes as long as the copy")]
#[inline(always)]
fn written(was: bool) -> postcard::Result<()> {
    if was {
        Ok(())
    } else {
        Err(postcard::Error::SerializeBufferFull)
    }
}

/// For a `Deserialize` that does not read what `Serialize` wrote.
#[derive(Debug)]
struct TooLong(usize);

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of the value were not read", self.0)
    }
}

impl Error for TooLong {}
