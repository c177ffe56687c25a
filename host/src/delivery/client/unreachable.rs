//! Why there is no response.

use std::error::Error;

use super::own_failure::OwnFailure;
use crate::domain::attempt::UnreachableKind;

/// Why a request has no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoResponse {
    /// The receiver could not be reached, or did not speak HTTP.
    Unreachable(Unreachable),
    /// The engine itself failed.
    Own(OwnFailure),
}

/// Becomes [`Outcome::Unreachable`](crate::domain::Outcome::Unreachable).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreachable {
    pub(super) kind: UnreachableKind,
    pub(super) message: String,
}

impl From<Unreachable> for NoResponse {
    fn from(unreachable: Unreachable) -> Self {
        Self::Unreachable(unreachable)
    }
}

impl From<OwnFailure> for NoResponse {
    fn from(failure: OwnFailure) -> Self {
        Self::Own(failure)
    }
}

impl Unreachable {
    pub(super) fn new(kind: UnreachableKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Classifies an error by its innermost source.
    pub(super) fn classify(error: &(dyn Error + 'static)) -> Self {
        match innermost(error) {
            (true, message) => Self::new(UnreachableKind::Tls, format!("TLS: {message}")),
            (false, message) => Self::new(UnreachableKind::Protocol, message),
        }
    }

    /// Classifies an error of a TLS handshake. Its source may also be a closed connection, or bytes that are not TLS.
    pub(super) fn of_handshake(error: &(dyn Error + 'static)) -> Self {
        let (_, message) = innermost(error);
        Self::new(UnreachableKind::Tls, format!("TLS: {message}"))
    }
}

/// The message of the innermost error, or of the TLS library's error if there is one; and whether there is.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> (bool, String) {
    let mut next = Some(error);
    let mut words = error.to_string();
    while let Some(current) = next {
        if let Some(tls) = current.downcast_ref::<rustls::Error>() {
            return (true, tls.to_string());
        }
        words = current.to_string();
        // An I/O error shows its inner error's source, not the inner error itself.
        let inner = current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => current.source(),
        };
    }
    (false, words)
}
