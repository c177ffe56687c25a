//! JSON pointers (RFC 6901): the position of a problem in a request's body.

use std::fmt;

use serde::Serialize;
use serde_path_to_error::{Path, Segment};

/// The position of a value in a JSON document. The empty pointer is the whole document.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Pointer(String);

impl Pointer {
    /// The whole document.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// A member of the document.
    #[must_use]
    pub fn to(member: &str) -> Self {
        Self::root().member(member)
    }

    /// A member of the object that `self` points to. `~` and `/` are escaped (RFC 6901, section 3).
    #[must_use]
    pub fn member(mut self, name: &str) -> Self {
        self.0.push('/');
        for letter in name.chars() {
            match letter {
                '~' => self.0.push_str("~0"),
                '/' => self.0.push_str("~1"),
                other => self.0.push(other),
            }
        }
        self
    }

    /// An element of the array that `self` points to, counted from 0.
    #[must_use]
    pub fn index(mut self, index: usize) -> Self {
        use fmt::Write as _;
        // Writing to a string cannot fail.
        let _ = write!(self.0, "/{index}");
        self
    }

    /// Appends `rest`, a pointer that is relative to `self`.
    #[must_use]
    pub fn join(mut self, rest: &Self) -> Self {
        self.0.push_str(&rest.0);
        self
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&Path> for Pointer {
    /// Ends at the parent of the first segment that serde could not name.
    fn from(path: &Path) -> Self {
        let mut pointer = Self::root();
        for segment in path {
            pointer = match segment {
                Segment::Seq { index } => pointer.index(*index),
                Segment::Map { key } => pointer.member(key),
                Segment::Enum { variant } => pointer.member(variant),
                Segment::Unknown => return pointer,
            };
        }
        pointer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_escaped() {
        for (names, text) in [
            (&["a"] as &[_], "/a"),
            (&["a/b", "c~d"], "/a~1b/c~0d"),
            (&["~1"], "/~01"),
            (&[""], "/"),
            (&[], ""),
        ] {
            let pointer = names.iter().fold(Pointer::root(), |pointer, name| pointer.member(name));
            assert_eq!(pointer.as_str(), text);
        }
    }

    #[test]
    fn pointers_are_joined() {
        assert_eq!(Pointer::root().index(3).join(&Pointer::to("type")).as_str(), "/3/type");
    }
}
