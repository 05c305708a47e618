//! Items that are text: appended to a `String`, checked or unchecked.
#![expect(unsafe_code, reason = "appends bytes to a string; see docs/safety.md")]

use crate::containers::arena::{Arena, Location};
use crate::error::{Error, ErrorKind, Result};

impl Arena {
    /// Appends an item to `target` as text.
    ///
    /// # Errors
    ///
    /// [`InvalidUtf8`](ErrorKind::InvalidUtf8): the item is not UTF-8; otherwise those of
    /// [`get_into`](Self::get_into). `target` is unchanged.
    ///
    /// # Cost
    ///
    /// That of [`get_into`](Self::get_into), and a check of each byte.
    pub fn get_str_into(&self, location: Location, target: &mut String) -> Result<()> {
        if self.inner.archive().is_some() {
            // What reads the file may be the caller's code, and may panic.
            let bytes = self.get(location)?;
            let text = std::str::from_utf8(&bytes).map_err(|invalid| not_text(&invalid))?;
            if target.try_reserve(text.len()).is_err() {
                let reason = "there is no memory for the item";
                return Err(Error::refused(ErrorKind::OutOfMemory, READ, reason));
            }
            target.push_str(text);
            return Ok(());
        }
        let before = target.len();
        // SAFETY: the appended bytes are removed again below unless they are UTF-8, and nothing
        // between can panic.
        let bytes = unsafe { target.as_mut_vec() };
        self.get_into(location, bytes)?;
        let valid = std::str::from_utf8(bytes.get(before..).unwrap_or_default());
        let Err(invalid) = valid else { return Ok(()) };
        bytes.truncate(before);
        Err(not_text(&invalid))
    }

    /// Appends an item to `target` as text, without checking it. It is checked nevertheless if the
    /// arena was opened from a file, whose bytes other programs can change.
    ///
    /// # Errors
    ///
    /// Those of [`get_into`](Self::get_into); `target` is unchanged.
    ///
    /// # Safety
    ///
    /// The item was pushed as UTF-8.
    pub unsafe fn get_str_into_unchecked(
        &self,
        location: Location,
        target: &mut String,
    ) -> Result<()> {
        if self.inner.archive().is_some() {
            return self.get_str_into(location, target);
        }
        // SAFETY: `get_into` appends the item, which is UTF-8 (duty of the caller), or nothing.
        let bytes = unsafe { target.as_mut_vec() };
        self.get_into(location, bytes)
    }
}

/// How it is named in errors.
const READ: &str = "read an item as text";

#[cold]
fn not_text(invalid: &std::str::Utf8Error) -> Error {
    let at = invalid.valid_up_to();
    let reason = format!("it is not UTF-8 from byte {at} on");
    Error::refused(ErrorKind::InvalidUtf8, READ, reason)
}
