//! Counts the interim responses (RFC 9110, section 15.2) that come before an answer. hyper skips any number of them.

use std::fmt;

/// Interim responses, and empty lines, before an answer. `100 Continue`, `102 Processing` and a few `103 Early Hints` are
/// what honest receivers send.
const MAX_INTERIM: u32 = 8;
/// How an interim response begins; the question mark is any minor version. hyper takes 101 for an answer, and stops there.
const BEGINNING: &[u8] = b"HTTP/1.? 1";
/// The index of the question mark.
const MINOR_VERSION: usize = 7;

/// Where the bytes that came in for an exchange have got to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Interim {
    seen: u32,
    place: Place,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// At the beginning of a response: this many bytes are those of [`BEGINNING`].
    Beginning(usize),
    /// In the head of an interim response; an empty line ends it.
    Head { line_is_empty: bool },
    /// In the final response.
    Answer,
}

impl Default for Place {
    fn default() -> Self {
        Self::Beginning(0)
    }
}

/// More came than may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the receiver sent over {MAX_INTERIM} interim responses (1xx) before its answer")
    }
}

impl std::error::Error for TooMany {}

impl Interim {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// If too many interim responses have come.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), TooMany> {
        for byte in bytes {
            self.place = match self.place {
                Place::Answer => return Ok(()),
                Place::Beginning(0) if matches!(byte, b'\r' | b'\n') => {
                    self.seen += u32::from(*byte == b'\n');
                    Place::Beginning(0)
                }
                Place::Beginning(at) if at != MINOR_VERSION && BEGINNING[at] != *byte => Place::Answer,
                Place::Beginning(at) if at + 1 == BEGINNING.len() => Place::Head { line_is_empty: false },
                Place::Beginning(at) => Place::Beginning(at + 1),
                Place::Head { line_is_empty } => match byte {
                    b'\n' if line_is_empty => {
                        self.seen += 1;
                        Place::Beginning(0)
                    }
                    b'\n' => Place::Head { line_is_empty: true },
                    b'\r' => Place::Head { line_is_empty },
                    _ => Place::Head { line_is_empty: false },
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
    fn eight_interim_responses_may_come_before_an_answer() {
        let (continues, hints) = ("HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103\nlink: </a>\r\n\n");
        let answer = "HTTP/1.1 200 OK\r\n\r\n";
        check(&format!("{}{}{answer}", continues.repeat(4), hints.repeat(4)), Ok(()));
        check(&format!("{}{}{answer}", continues.repeat(5), hints.repeat(4)), Err(TooMany));
        check(&"\r\n".repeat(9), Err(TooMany));
        check(&"HTTP/1.0 199 x\n\n".repeat(9), Err(TooMany));
    }

    #[test]
    fn what_an_answer_holds_does_not_count() {
        check(&format!("HTTP/1.1 200 OK\r\n\r\n{}", "HTTP/1.1 100\r\n\r\n".repeat(20)), Ok(()));
        check("SSH-2.0-OpenSSH_9.6\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n", Ok(()));
        check(&format!("HTTP/1.1 103\r\nx: {}\r\n", "y".repeat(99)), Ok(()));
    }
}
