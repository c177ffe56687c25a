//! How much of an answer is kept, and how much of it read.

use std::pin::Pin;

use hyper::body::{Body as _, Bytes, Incoming};
use tokio::task::coop::consume_budget;

use super::link::Link;
use crate::domain::{BodyFailure, HeaderList, Response, ShortText};

/// A body that goes on after what is kept is read to here, in bytes, so that the connection can be used again;
/// one that goes on further costs its connection.
const READ_AT_MOST: usize = 64 * 1024;
/// The same, in pieces, which chunks divide a body into.
const PIECES_AT_MOST: usize = 1024;
/// How much of a response's headers is kept, in bytes of names and values.
const MAX_KEPT_HEADERS: usize = 16 * 1024;

/// An answer whose head is here, and the connection over which its body comes.
pub(super) struct Answer {
    head: http::response::Parts,
    body: Incoming,
    read: ReadBody,
    link: Box<Link>,
}

impl Answer {
    pub(super) fn new(response: http::Response<Incoming>, link: Box<Link>) -> Self {
        let (head, body) = response.into_parts();
        Self { head, body, read: ReadBody::default(), link }
    }

    /// Reads the body to its end, or as far as it is worth reading. What has been read stays if this is dropped.
    ///
    /// # Errors
    /// If the connection breaks before the end.
    pub(super) async fn read_body(&mut self) -> Result<(), hyper::Error> {
        while !self.read.is_enough() {
            if self.body.is_end_stream() {
                self.read.ended = true;
                break;
            }
            // Most pieces are here already, and a receiver may send many: others have their turn between them.
            consume_budget().await;
            let Self { body, link, .. } = self;
            match link.drive(|context| Pin::new(&mut *body).poll_frame(context)).await {
                None => self.read.ended = true,
                Some(frame) => {
                    if let Some(piece) = frame?.data_ref() {
                        self.read.take(piece);
                    }
                }
            }
        }
        Ok(())
    }

    /// The answer with what is kept of its body; and the connection, if it can be used again. `failure` says why the body
    /// has no end, if it has none.
    pub(super) fn finish(self, failure: Option<BodyFailure>) -> (Response, Option<Box<Link>>) {
        let Self { head, body, read, link } = self;
        drop(body);
        let response = Response {
            status: head.status.as_u16(),
            headers: keep_headers(&head.headers),
            body_truncated: !read.ended || read.total > read.kept.len(),
            body: read.kept,
            body_failure: failure,
        };
        (response, if read.ended { link.rest() } else { None })
    }
}

/// What has been read of a body.
#[derive(Default)]
struct ReadBody {
    kept: Vec<u8>,
    total: usize,
    pieces: usize,
    ended: bool,
}

impl ReadBody {
    fn take(&mut self, piece: &Bytes) {
        let room = Response::MAX_RECORDED_BODY - self.kept.len();
        self.kept.extend_from_slice(&piece[..piece.len().min(room)]);
        self.total += piece.len();
        self.pieces += 1;
    }

    /// Whether there is nothing more to read, or it is not worth reading.
    fn is_enough(&self) -> bool {
        self.ended || self.total > READ_AT_MOST || self.pieces > PIECES_AT_MOST
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
