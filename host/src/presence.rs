//! Whether the client of a request is still connected.
//!
//! Handlers run detached from their connections (see [`server`](crate::server)), because a change that is half made must
//! be finished. A handler that only computes a response takes a [`ClientPresence`] and stops when the client disconnects.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The connection of a request, as its handler sees it. Clones refer to the same connection.
///
/// [`serve`](crate::server::serve) puts one into the extensions of each request; as an extractor it never fails. A request
/// without a connection, as in tests of the router, has a client that stays.
///
/// hyper notices that a connection breaks while it waits for the handler. If the client has already sent a part of its next
/// request, hyper does not read on, and the client counts as connected until the response is written.
#[derive(Debug, Clone, Default)]
pub struct ClientPresence(CancellationToken);

/// Owned by the connection. Dropping it means that the client is gone.
#[derive(Debug)]
pub struct Connected(#[expect(dead_code, reason = "it does its work when it is dropped")] DropGuard);

impl ClientPresence {
    /// A new connection, which lasts until the [`Connected`] is dropped.
    #[must_use]
    pub fn connected() -> (Self, Connected) {
        let token = CancellationToken::new();
        (Self(token.clone()), Connected(token.drop_guard()))
    }

    /// Whether the client is gone already.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Completes when the client is gone.
    pub async fn gone(&self) {
        self.0.cancelled().await;
    }

    /// Runs `work`; drops it and returns `None` if the client disconnects first.
    pub async fn or_gone<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.0.run_until_cancelled(work).await
    }
}

impl<S: Sync> FromRequestParts<S> for ClientPresence {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn work_runs_while_the_client_is_connected() {
        let (presence, connected) = ClientPresence::connected();
        assert!(!presence.is_gone());
        assert_eq!(presence.or_gone(ready(1)).await, Some(1));
        drop(connected);
        presence.gone().await;
        assert!(presence.is_gone());
        assert_eq!(presence.or_gone(pending::<()>()).await, None);
    }

    #[tokio::test]
    async fn a_request_without_a_connection_has_a_client_that_stays() {
        assert!(!ClientPresence::default().is_gone());
    }
}
