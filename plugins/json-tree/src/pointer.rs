//! JSON pointers (RFC 6901).

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A JSON pointer (RFC 6901): empty for the whole document, or `/` and a token per level.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pointer {
    tokens: Vec<String>,
}

/// Why a text is not a JSON pointer.
#[derive(Debug, PartialEq, Eq)]
pub enum BadPointer {
    /// It is not empty and does not begin with `/` (section 3).
    NoSlash,
    /// A `~` is followed by neither `0` nor `1` (section 3).
    Tilde,
}

impl fmt::Display for BadPointer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            BadPointer::NoSlash => "a JSON pointer must begin with `/`, or be empty for the whole data",
            BadPointer::Tilde => "a JSON pointer must write `~` as `~0`, and `/` within a name as `~1`",
        })
    }
}

impl std::error::Error for BadPointer {}

impl Pointer {
    /// Parses a pointer.
    ///
    /// # Errors
    /// See [`BadPointer`].
    pub fn parse(text: &str) -> Result<Self, BadPointer> {
        if text.is_empty() {
            return Ok(Pointer { tokens: Vec::new() });
        }
        let rest = text.strip_prefix('/').ok_or(BadPointer::NoSlash)?;
        let tokens = rest.split('/').map(unescape_token).collect::<Result<_, _>>()?;
        Ok(Pointer { tokens })
    }

    /// Names of members, or indices, from the root.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// Returns the last token and the pointer to its parent; `None` for the whole document.
    pub fn parent(&self) -> Option<(&str, Pointer)> {
        let (last, before) = self.tokens.split_last()?;
        Some((last, Pointer { tokens: before.to_vec() }))
    }
}

/// Replaces both escapes in one pass, so that `~01` becomes `~1` and not `/` (section 4).
fn unescape_token(token: &str) -> Result<String, BadPointer> {
    let mut plain = String::with_capacity(token.len());
    let mut parts = token.split('~');
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (escaped, rest) = match part.as_bytes().first() {
            Some(b'0') => ('~', &part[1..]),
            Some(b'1') => ('/', &part[1..]),
            _ => return Err(BadPointer::Tilde),
        };
        plain.push(escaped);
        plain.push_str(rest);
    }
    Ok(plain)
}

impl fmt::Display for Pointer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for token in &self.tokens {
            write!(formatter, "/{}", token.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Pointer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PointerVisitor;
        impl Visitor<'_> for PointerVisitor {
            type Value = Pointer;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON pointer such as \"/user/name\"")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Pointer, E> {
                Pointer::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(PointerVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_parsed_according_to_rfc_6901() {
        let cases: [(&str, &[&str]); 7] = [
            ("", &[]),
            ("/", &[""]),
            ("/foo/0", &["foo", "0"]),
            ("/a~1b", &["a/b"]),
            ("/m~0n", &["m~n"]),
            ("/~01", &["~1"]),
            ("/ /é", &[" ", "é"]),
        ];
        for (text, tokens) in cases {
            let pointer = Pointer::parse(text).expect(text);
            assert_eq!(pointer.tokens(), tokens, "{text}");
            assert_eq!(pointer.to_string(), text);
        }
    }

    #[test]
    fn invalid_pointers_are_refused() {
        let cases = [
            ("a", BadPointer::NoSlash),
            ("a/b", BadPointer::NoSlash),
            ("/~", BadPointer::Tilde),
            ("/~2", BadPointer::Tilde),
            ("/a~é", BadPointer::Tilde),
        ];
        for (text, expected) in cases {
            assert_eq!(Pointer::parse(text), Err(expected), "{text}");
        }
    }
}
