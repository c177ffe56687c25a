//! How much of an answer is kept, and how much of it read.

use hyper::body::Bytes;

use crate::domain::{HeaderList, Response, ShortText};

/// A body that goes on after what is kept is read to here, in bytes, so that the connection can be used again;
/// one that goes on further costs its connection.
const READ_AT_MOST: usize = 64 * 1024;
/// How much of a response's headers is kept, in bytes of names and values.
const MAX_KEPT_HEADERS: usize = 16 * 1024;

/// What has been read of a body.
#[derive(Default)]
pub(super) struct ReadBody {
    kept: Vec<u8>,
    total: usize,
}

impl ReadBody {
    /// Takes the next piece.
    pub(super) fn take(&mut self, piece: &Bytes) {
        let room = Response::MAX_KEPT_BODY - self.kept.len();
        self.kept.extend_from_slice(&piece[..piece.len().min(room)]);
        self.total += piece.len();
    }

    /// Whether it is longer than is worth reading.
    pub(super) fn is_too_long(&self) -> bool {
        self.total > READ_AT_MOST
    }

    /// The answer with what is kept of this body.
    pub(super) fn into_response(self, head: &http::response::Parts) -> Response {
        Response {
            status: head.status.as_u16(),
            headers: keep_headers(&head.headers),
            body_truncated: self.total > Response::MAX_KEPT_BODY,
            body: self.kept,
        }
    }
}

fn keep_headers(headers: &http::HeaderMap) -> HeaderList {
    let mut room = MAX_KEPT_HEADERS;
    let mut kept = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let size = name.as_str().len() + value.len();
        let Some(rest) = room.checked_sub(size) else { break };
        room = rest;
        kept.push((name.as_str().into(), ShortText::from_utf8_lossy(value.as_bytes())));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_headers_16_kib_are_kept() {
        let mut headers = http::HeaderMap::new();
        for n in 0..4 {
            headers.append("x", vec![b'a'; 4_095 + n].try_into().unwrap());
        }
        assert_eq!(keep_headers(&headers).len(), 3);
        headers.clear();
        headers.append("x", http::HeaderValue::from_bytes(b"a\xff").unwrap());
        assert_eq!(keep_headers(&headers), [("x".into(), "a\u{fffd}".into())]);
    }
}
