//! The body of an answer, as hyper reads it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::clients::Client;

/// The body of an answer. While it exists, its connection has a request under way.
pub(super) struct Answer {
    body: Body,
    client: Arc<Client>,
}

impl Answer {
    /// `response` as it is sent to `client`.
    pub(super) fn of(response: Response, client: Arc<Client>) -> hyper::Response<Self> {
        response.map(|body| Self { body, client })
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.client.end_request();
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
