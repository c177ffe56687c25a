//! One connection, and the exchanges that go over it.
//!
//! hyper gives a connection two halves: one to send by, and a future in which everything happens. Most clients
//! spawn the future. Here whoever has an exchange to make polls it on the way, in the same task. Both halves wake
//! each other through channels; since nobody else polls either, what waits for the future is asked again right
//! after it was polled, and its waker need wake nobody.

use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::{Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::unconstrained;

use super::Request;
use super::answer::Answer;
use super::endpoint::Endpoint;
use super::socket::Intake;
use super::stream::Stream;
use crate::domain::TenantId;

/// hyper's future, in which everything happens.
type HyperConnection = Connection<TokioIo<Stream>, Full<Bytes>>;

/// A connection to a receiver. Dropping it closes the socket.
pub(super) struct Link {
    /// Whose request it was opened for.
    tenant: TenantId,
    endpoint: Arc<Endpoint>,
    sender: SendRequest<Full<Bytes>>,
    /// None once it has ended.
    connection: Option<HyperConnection>,
    intake: Intake,
}

/// Why an exchange came to nothing.
pub(super) enum Failure {
    /// The connection was closed before anything was written; here is the request.
    Unsent(Box<Request>, hyper::Error),
    /// Some or all of the request was written, and the connection ended without a byte of an answer.
    Unheard(hyper::Error),
    /// The answer broke off, or is none.
    Broken(hyper::Error),
}

impl Failure {
    pub(super) fn into_error(self) -> hyper::Error {
        match self {
            Self::Unsent(_, error) | Self::Unheard(error) | Self::Broken(error) => error,
        }
    }
}

impl Link {
    pub(super) fn new(
        tenant: TenantId,
        endpoint: Arc<Endpoint>,
        sender: SendRequest<Full<Bytes>>,
        connection: HyperConnection,
        intake: Intake,
    ) -> Self {
        Self { tenant, endpoint, sender, connection: Some(connection), intake }
    }

    pub(super) fn tenant(&self) -> TenantId {
        self.tenant
    }

    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Sends `request` and waits for the head of the answer.
    pub(super) async fn request(mut self: Box<Self>, request: Request) -> Result<Answer, Failure> {
        self.intake.begin();
        let answering = self.sender.try_send_request(request);
        // Not counted against the task's budget: it does no work of its own, and when told to wait its turn it
        // would ask a waker that wakes nobody.
        let mut answering = pin!(unconstrained(answering));
        match self.drive(|context| answering.as_mut().poll(context)).await {
            Ok(response) => Ok(Answer::new(response, self)),
            Err(mut error) => Err(match error.take_message() {
                Some(request) => Failure::Unsent(Box::new(request), error.into_error()),
                None if self.intake.heard_anything() => Failure::Broken(error.into_error()),
                None => Failure::Unheard(error.into_error()),
            }),
        }
    }

    /// Polls the connection until `part` of an exchange is there.
    pub(super) async fn drive<T>(&mut self, mut part: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
        poll_fn(|context| {
            let mut nobody = Context::from_waker(Waker::noop());
            if let Poll::Ready(done) = part(&mut nobody) {
                return Poll::Ready(done);
            }
            poll_connection(&mut self.connection, context);
            part(&mut nobody)
        })
        .await
    }

    /// What is left after an exchange, if it can be used again: the answer does not end the connection, and the
    /// request was written whole.
    pub(super) fn rest(mut self: Box<Self>) -> Option<Box<Self>> {
        // So that hyper sees that the exchange is over, and that neither it nor the socket holds on to the waker of
        // a task with other things to do: a waker keeps the memory of a task that has ended.
        poll_once(&mut self.connection);
        if self.connection.is_some() && self.sender.is_ready() {
            return Some(self);
        }
        self.close();
        None
    }

    /// Ends a connection in order, as far as that goes without waiting: TLS says farewell.
    pub(super) fn close(self: Box<Self>) {
        let Self { sender, mut connection, .. } = *self;
        drop(sender);
        poll_once(&mut connection);
    }
}

/// Polls without a task behind it. Not counted against a budget that would have the connection look at nothing.
fn poll_once(connection: &mut Option<HyperConnection>) {
    let once = poll_fn(|context| {
        poll_connection(connection, context);
        Poll::Ready(())
    });
    let _ = pin!(unconstrained(once)).poll(&mut Context::from_waker(Waker::noop()));
}

/// A connection that has ended is dropped at once, since only then it gives back a request that it has not begun.
fn poll_connection(connection: &mut Option<HyperConnection>, context: &mut Context<'_>) {
    // What it failed of is told to whoever waits for a part of the exchange.
    if connection.as_mut().is_some_and(|connection| Pin::new(connection).poll(context).is_ready()) {
        *connection = None;
    }
}
