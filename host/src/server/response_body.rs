//! The body of a response, as hyper reads it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::access_log::Entry;
use crate::api::problem::{Kind, Problem};
use crate::clients::{Client, NoRoom, Reserved, UNCOUNTED};

/// The body of a response. When hyper drops it, it has taken all of it, though not written it yet.
pub(super) struct ResponseBody {
    body: Body,
    /// Memory for the body, until it is handed on with the bytes themselves.
    reserved: Option<Reserved>,
    client: Arc<Client>,
    /// The number of the request on its connection.
    request: u64,
    entry: Option<Box<Entry>>,
}

impl ResponseBody {
    /// `response` as it is sent to `client`. If clients of the tenant read too slowly for one more, it is replaced by a problem,
    /// unless the request may have changed something: its sender must learn the outcome.
    pub(super) fn of(
        response: Response,
        client: Arc<Client>,
        (request, only_reads): (u64, bool),
    ) -> hyper::Response<Self> {
        let (mut response, reserved) = match reserve(&response, &client, only_reads) {
            Ok(reserved) => (response, reserved),
            Err(NoRoom) => (no_room().into_response(), None),
        };
        if client.failed_too_often() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response.map(|body| Self { body, reserved, client, request, entry: None })
    }

    /// Has `entry` count what is handed over, and be logged with the end of it.
    pub(super) fn log(&mut self, entry: Box<Entry>) {
        self.entry = Some(entry);
    }
}

/// Memory for a response that is not small, if it is one piece. A stream reserves its own.
fn reserve(response: &Response, client: &Client, only_reads: bool) -> Result<Option<Reserved>, NoRoom> {
    let len = response.body().size_hint().exact().unwrap_or(0);
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    if len <= UNCOUNTED {
        return Ok(None);
    }
    if only_reads { client.reserve_answer(len) } else { Ok(client.force_answer(len)) }
}

fn no_room() -> Problem {
    let detail = "too many answers wait for clients that read slowly; read those, and try again in a moment";
    Problem::new(Kind::Unavailable, detail)
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.client.response_handed_over(self.request);
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = frame {
            if let (Some(entry), Some(data)) = (&mut self.entry, frame.data_ref()) {
                entry.add_bytes(data.len());
            }
            // hyper drops this body before the bytes are written, so the reservation goes with them.
            return Poll::Ready(Some(Ok(match self.reserved.take() {
                Some(reserved) => frame.map_data(|data| reserved.hold(data)),
                None => frame,
            })));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
