//! How the bytes of a key are compared: the letters of GNU sort.

use std::fmt;

/// What a key is taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Bytes.
    #[default]
    Bytes,
    /// `n`: a decimal number of any length.
    Number,
    /// `g`: whatever C's `strtold` reads.
    General,
    /// `h`: a decimal number and a letter such as K or G.
    Human,
    /// `M`: the first three letters of an English month.
    Month,
    /// `V`: text with numbers in it.
    Version,
}

/// Which bytes count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Counted {
    #[default]
    All,
    /// `d`: blanks, letters and digits of ASCII.
    Dictionary,
    /// `i`: what ASCII prints.
    Printable,
}

/// How a key is compared.
#[expect(
    clippy::struct_excessive_bools,
    reason = "letters that are there or not"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) kind: Kind,
    pub(crate) counted: Counted,
    /// `f`: small letters count as capital ones.
    pub(crate) fold: bool,
    /// `r`
    pub(crate) reverse: bool,
    /// `b` where the key starts.
    pub(crate) skip_blanks: bool,
    /// `b` where the key ends.
    pub(crate) skip_blanks_at_end: bool,
    /// More than one kind was named.
    is_mixed: bool,
}

/// Which of the two positions of a key a letter stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Start,
    End,
    Both,
}

/// Why letters are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It stands for nothing.
    Unknown(char),
    /// Two that do not go together.
    Incompatible,
    /// A random order.
    Random,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(letter) => write!(f, "'{letter}' is none of the letters bdfghiMnrV"),
            Self::Incompatible => {
                f.write_str("of the letters g, h, M, n, and V or d or i, only one can be meant")
            }
            Self::Random => f.write_str("R is not supported; outcore shuf shuffles"),
        }
    }
}

impl Flags {
    /// Returns whether nothing is said about the order, so that what is said for all keys counts.
    pub(crate) fn is_default(self) -> bool {
        self == Self::default()
    }

    /// Returns whether bytes are compared as they are, in one direction or the other.
    pub(crate) fn keeps_bytes(mut self) -> bool {
        self.reverse = false;
        self.is_default()
    }

    /// Takes a letter in.
    ///
    /// # Errors
    ///
    /// It stands for nothing.
    pub(crate) fn add(&mut self, letter: u8, at: At) -> Result<(), Refused> {
        match letter {
            b'b' => {
                self.skip_blanks |= at != At::End;
                self.skip_blanks_at_end |= at != At::Start;
            }
            b'd' => self.counted = Counted::Dictionary,
            b'i' if self.counted == Counted::All => self.counted = Counted::Printable,
            b'i' => {}
            b'f' => self.fold = true,
            b'r' => self.reverse = true,
            b'g' => self.set(Kind::General),
            b'h' => self.set(Kind::Human),
            b'M' => self.set(Kind::Month),
            b'n' => self.set(Kind::Number),
            b'V' => self.set(Kind::Version),
            b'R' => return Err(Refused::Random),
            other => return Err(Refused::Unknown(char::from(other))),
        }
        Ok(())
    }

    fn set(&mut self, kind: Kind) {
        self.is_mixed |= self.kind != Kind::Bytes && self.kind != kind;
        self.kind = kind;
    }

    /// Looks whether the letters go together. Those for all keys need not, where no key takes them.
    ///
    /// # Errors
    ///
    /// They do not.
    pub(crate) fn check(self) -> Result<(), Refused> {
        let counts_all = self.counted == Counted::All;
        let is_text = matches!(self.kind, Kind::Bytes | Kind::Version);
        if self.is_mixed || !(counts_all || is_text) {
            return Err(Refused::Incompatible);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(letters: &str) -> Result<Flags, Refused> {
        let mut flags = Flags::default();
        for letter in letters.bytes() {
            flags.add(letter, At::Both)?;
        }
        flags.check().map(|()| flags)
    }

    #[test]
    fn letters_go_together_as_in_gnu_sort() {
        for good in ["", "nr", "fbV", "dV", "iV", "di", "nn", "Mfb", "rhb"] {
            assert!(flags(good).is_ok(), "{good}");
        }
        for bad in ["ng", "hM", "nV", "dn", "gi"] {
            assert_eq!(flags(bad), Err(Refused::Incompatible), "{bad}");
        }
        assert_eq!(flags("nx"), Err(Refused::Unknown('x')));
        assert_eq!(flags("id").unwrap().counted, Counted::Dictionary);
        assert_eq!(flags("di").unwrap().counted, Counted::Dictionary);
    }
}
