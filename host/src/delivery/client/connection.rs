//! One connection, and the exchanges that go over it.
//!
//! hyper gives a connection two halves: one that sends requests, and a future that does all the work. Most clients spawn the
//! future. Here the task that makes the exchange polls it. The halves wake each other through channels. Since nothing else
//! polls either of them, what waits for the future is polled again right after it, and its waker need not wake anything.

use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::unconstrained;

use super::endpoint::Endpoint;
use super::request::Request;
use super::socket::Intake;
use super::stream::Stream;
use crate::domain::TenantId;

/// hyper's future, which does all the work.
type HyperConnection = http1::Connection<TokioIo<Stream>, Full<Bytes>>;

/// A connection to a receiver. Dropping it closes the socket.
pub(super) struct Connection {
    permit: Permit,
    endpoint: Arc<Endpoint>,
    sender: SendRequest<Full<Bytes>>,
    /// None once it has ended.
    hyper: Option<HyperConnection>,
    intake: Intake,
}

/// What the operator's policy permitted when a connection was opened.
pub(super) struct Permit {
    /// The tenant for whose request it was opened.
    pub(super) tenant: TenantId,
    /// Whether the policy permits it to that tenant only.
    pub(super) is_private: bool,
    /// The generation of the policy.
    pub(super) generation: u64,
}

/// Why an exchange failed.
pub(super) enum Failure {
    /// The connection was closed before anything was written. The request is given back.
    Unsent(Box<Request>, hyper::Error),
    /// Some or all of the request was written, and the connection was closed before a byte of the response.
    ClosedBeforeResponse(hyper::Error),
    /// The response is incomplete or malformed.
    Broken(hyper::Error),
}

impl Failure {
    pub(super) fn into_error(self) -> hyper::Error {
        match self {
            Self::Unsent(_, error) | Self::ClosedBeforeResponse(error) | Self::Broken(error) => error,
        }
    }
}

impl Connection {
    pub(super) fn new(
        permit: Permit,
        endpoint: Arc<Endpoint>,
        sender: SendRequest<Full<Bytes>>,
        hyper: HyperConnection,
        intake: Intake,
    ) -> Self {
        Self { permit, endpoint, sender, hyper: Some(hyper), intake }
    }

    pub(super) fn tenant(&self) -> TenantId {
        self.permit.tenant
    }

    /// The generation of the policy that permitted it.
    pub(super) fn generation(&self) -> u64 {
        self.permit.generation
    }

    /// Whether requests of `tenant` may go over it.
    pub(super) fn may_serve(&self, tenant: TenantId) -> bool {
        !self.permit.is_private || self.permit.tenant == tenant
    }

    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Sends `request` and waits for the head of the response.
    pub(super) async fn send(
        mut self: Box<Self>,
        request: Request,
    ) -> Result<(http::Response<Incoming>, Box<Self>), Failure> {
        self.intake.begin();
        let response = self.sender.try_send_request(request);
        // Not counted against the task's budget: it does no work of its own, and if it had to yield, it would wait for a
        // waker that wakes nothing.
        let mut response = pin!(unconstrained(response));
        match self.drive(|context| response.as_mut().poll(context)).await {
            Ok(response) => Ok((response, self)),
            Err(mut error) => Err(match error.take_message() {
                Some(request) => Failure::Unsent(Box::new(request), error.into_error()),
                None if self.intake.has_response_bytes() => Failure::Broken(error.into_error()),
                None => Failure::ClosedBeforeResponse(error.into_error()),
            }),
        }
    }

    /// Polls the connection until `part` of an exchange is ready.
    pub(super) async fn drive<T>(&mut self, mut part: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
        poll_fn(|context| {
            let mut no_wake = Context::from_waker(Waker::noop());
            if let Poll::Ready(done) = part(&mut no_wake) {
                return Poll::Ready(done);
            }
            poll_connection(&mut self.hyper, context);
            part(&mut no_wake)
        })
        .await
    }

    /// Returns the connection after an exchange if it can be used again: the response does not end it, and the request was
    /// written whole.
    pub(super) fn into_idle(mut self: Box<Self>) -> Option<Box<Self>> {
        // Lets hyper see that the exchange is over, and release the task's waker, which would keep the memory of a task that
        // has ended.
        poll_once(&mut self.hyper);
        if self.hyper.is_some() && self.sender.is_ready() {
            return Some(self);
        }
        self.close();
        None
    }

    /// Closes the connection, and sends TLS's `close_notify` if that does not block.
    pub(super) fn close(self: Box<Self>) {
        let Self { sender, mut hyper, .. } = *self;
        drop(sender);
        poll_once(&mut hyper);
    }
}

/// Polls outside of any task, so that no budget makes the connection yield.
fn poll_once(connection: &mut Option<HyperConnection>) {
    let once = poll_fn(|context| {
        poll_connection(connection, context);
        Poll::Ready(())
    });
    let _ = pin!(unconstrained(once)).poll(&mut Context::from_waker(Waker::noop()));
}

/// Drops a connection that has ended at once, since only then it gives back a request that it has not begun.
fn poll_connection(connection: &mut Option<HyperConnection>, context: &mut Context<'_>) {
    // Its error also goes to what waits for a part of the exchange.
    if connection.as_mut().is_some_and(|connection| Pin::new(connection).poll(context).is_ready()) {
        *connection = None;
    }
}
