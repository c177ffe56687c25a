//! The bodies of requests, which a hook may have kept for some time.

use std::time::Duration;

use super::{RequestBody, UnixMillis};

/// The beginning of a request's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptBody {
    body: RequestBody,
    /// Until when it is kept.
    pub until: UnixMillis,
}

impl KeptBody {
    /// How many bytes of a body are kept, at most.
    pub const MAX_LEN: usize = 64 * 1024;
    /// For how long a hook may have bodies kept, at most.
    pub const MAX_RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);

    /// What is kept of `body`.
    #[must_use]
    pub fn of(body: &RequestBody, until: UnixMillis) -> Self {
        let body = match body {
            RequestBody::Binary(bytes) => {
                RequestBody::Binary(bytes[..bytes.len().min(Self::MAX_LEN)].to_vec())
            }
            // Shared, not copied.
            RequestBody::Text(_) | RequestBody::None => body.clone(),
        };
        Self { body, until }
    }

    /// The bytes that are kept. A text may end within a character.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let bytes = self.body.as_bytes();
        &bytes[..bytes.len().min(Self::MAX_LEN)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_body_is_cut() {
        let max = KeptBody::MAX_LEN;
        for (len, kept) in [(0, 0), (9, 9), (max, max), (max + 1, max)] {
            for body in [RequestBody::Text("a".repeat(len).into()), RequestBody::Binary(vec![b'a'; len])] {
                assert_eq!(KeptBody::of(&body, UnixMillis(1)).bytes(), vec![b'a'; kept]);
            }
        }
        assert_eq!(KeptBody::of(&RequestBody::None, UnixMillis(1)).bytes(), b"");
    }
}
