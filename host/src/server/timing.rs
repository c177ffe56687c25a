//! Counts requests, with how long each takes until its response begins.

use std::time::Instant;

use axum::http::StatusCode;
use hyper::Request;

use crate::clock;
use crate::metrics::http_server::RequestKind;

/// A request without a response. It is counted when this is dropped.
#[derive(Debug)]
pub(super) struct Timing {
    kind: RequestKind,
    began: Instant,
    status: Option<u16>,
}

impl Timing {
    /// `request` begins now.
    pub(super) fn begin<B>(request: &Request<B>) -> Self {
        let kind = RequestKind::of(request.method().as_str(), request.uri().path());
        Self { kind, began: clock::monotonic(), status: None }
    }

    /// The client gets a response with `status`, which begins now.
    pub(super) fn answered(mut self, status: StatusCode) {
        self.status = Some(status.as_u16());
    }
}

impl Drop for Timing {
    fn drop(&mut self) {
        self.kind.ended(self.status, clock::elapsed(self.began));
    }
}
