//! Counts the interim responses (RFC 9110, section 15.2) before a final response. hyper skips any number of them.

use std::fmt;

/// The most interim responses and empty lines before a final response. Honest receivers send `100 Continue`,
/// `102 Processing`, and a few `103 Early Hints`.
const MAX_INTERIM: u32 = 8;
/// How an interim response begins. The question mark stands for any minor version. hyper treats 101 as final.
const BEGINNING: &[u8] = b"HTTP/1.? 1";
/// The index of the question mark.
const MINOR_VERSION: usize = 7;

/// Follows the bytes that are received for an exchange.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Interim {
    seen: u32,
    position: Position,
}

#[derive(Debug, Clone, Copy)]
enum Position {
    /// At the beginning of a response, with this many bytes of [`BEGINNING`].
    Beginning(usize),
    /// In the head of an interim response, which an empty line ends.
    Head { line_is_empty: bool },
    /// In the final response.
    Final,
}

impl Default for Position {
    fn default() -> Self {
        Self::Beginning(0)
    }
}

/// There are too many interim responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the receiver sent over {MAX_INTERIM} interim responses (1xx) before its response")
    }
}

impl std::error::Error for TooMany {}

impl Interim {
    /// Reads the next bytes.
    ///
    /// # Errors
    /// Fails if there are too many interim responses.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), TooMany> {
        for byte in bytes {
            self.position = match self.position {
                Position::Final => return Ok(()),
                Position::Beginning(0) if matches!(byte, b'\r' | b'\n') => {
                    self.seen += u32::from(*byte == b'\n');
                    Position::Beginning(0)
                }
                Position::Beginning(at) if at != MINOR_VERSION && BEGINNING[at] != *byte => Position::Final,
                Position::Beginning(at) if at + 1 == BEGINNING.len() => {
                    Position::Head { line_is_empty: false }
                }
                Position::Beginning(at) => Position::Beginning(at + 1),
                Position::Head { line_is_empty } => match byte {
                    b'\n' if line_is_empty => {
                        self.seen += 1;
                        Position::Beginning(0)
                    }
                    b'\n' => Position::Head { line_is_empty: true },
                    b'\r' => Position::Head { line_is_empty },
                    _ => Position::Head { line_is_empty: false },
                },
            };
            if self.seen > MAX_INTERIM {
                return Err(TooMany);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `text` in pieces of every length, which must not matter.
    fn check(text: &str, expected: Result<(), TooMany>) {
        for length in 1..=text.len() {
            let mut interim = Interim::default();
            let taken = text.as_bytes().chunks(length).try_for_each(|piece| interim.take(piece));
            assert_eq!(taken, expected, "{length} {text:?}");
        }
    }

    #[test]
    fn eight_interim_responses_are_accepted() {
        let (continues, hints) = ("HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103\nlink: </a>\r\n\n");
        let answer = "HTTP/1.1 200 OK\r\n\r\n";
        check(&format!("{}{}{answer}", continues.repeat(4), hints.repeat(4)), Ok(()));
        check(&format!("{}{}{answer}", continues.repeat(5), hints.repeat(4)), Err(TooMany));
        check(&"\r\n".repeat(9), Err(TooMany));
        check(&"HTTP/1.0 199 x\n\n".repeat(9), Err(TooMany));
    }

    #[test]
    fn what_is_in_the_final_response_does_not_count() {
        check(&format!("HTTP/1.1 200 OK\r\n\r\n{}", "HTTP/1.1 100\r\n\r\n".repeat(20)), Ok(()));
        check("SSH-2.0-OpenSSH_9.6\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n", Ok(()));
        check(&format!("HTTP/1.1 103\r\nx: {}\r\n", "y".repeat(99)), Ok(()));
    }
}
