//! How much of a response is read, and how much of it is kept.

use std::pin::Pin;

use hyper::body::{Body as _, Bytes, Incoming};
use tokio::task::coop::consume_budget;

use super::connection::Connection;
use crate::domain::{BodyFailure, HeaderList, Response, ShortText};

/// A body is read up to this size, in bytes, so that its connection can be used again. If it is longer, the connection is
/// closed.
const MAX_READ: usize = 64 * 1024;
/// The same in pieces, such as chunks.
const MAX_PIECES: usize = 1024;
/// How many bytes of headers are kept, names and values together.
const MAX_KEPT_HEADERS: usize = 16 * 1024;

/// A response whose head has arrived, and the connection that its body arrives over.
pub(super) struct ResponseInFlight {
    head: http::response::Parts,
    body: Incoming,
    read: ReadBody,
    connection: Box<Connection>,
}

impl ResponseInFlight {
    pub(super) fn new(response: http::Response<Incoming>, connection: Box<Connection>) -> Self {
        let (head, body) = response.into_parts();
        Self { head, body, read: ReadBody::default(), connection }
    }

    /// Reads the body to its end or its limit. What has been read stays if this future is dropped.
    ///
    /// # Errors
    /// Fails if the connection breaks before the end.
    pub(super) async fn read_body(&mut self) -> Result<(), hyper::Error> {
        while !self.read.is_enough() {
            if self.body.is_end_stream() {
                self.read.ended = true;
                break;
            }
            // Most pieces have arrived already, and a receiver may send many: other tasks run between them.
            consume_budget().await;
            let Self { body, connection, .. } = self;
            match connection.drive(|context| Pin::new(&mut *body).poll_frame(context)).await {
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

    /// The response with what is kept of its body, and the connection if it can be used again. `failure` says why the body
    /// is incomplete, if it is.
    pub(super) fn finish(self, failure: Option<BodyFailure>) -> (Response, Option<Box<Connection>>) {
        let Self { head, body, read, connection } = self;
        drop(body);
        let response = Response {
            status: head.status.as_u16(),
            headers: keep_headers(&head.headers),
            body_truncated: !read.ended || read.total > read.kept.len(),
            body: read.kept,
            body_failure: failure,
        };
        (response, if read.ended { connection.into_idle() } else { None })
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

    /// Whether the body has ended or reached its limit.
    fn is_enough(&self) -> bool {
        self.ended || self.total > MAX_READ || self.pieces > MAX_PIECES
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
    fn sixteen_kib_of_headers_are_kept() {
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
