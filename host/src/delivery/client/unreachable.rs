//! Why there is no answer.

use std::error::Error;

use crate::domain::attempt::UnreachableKind;

/// Becomes [`Outcome::Unreachable`](crate::domain::Outcome::Unreachable).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreachable {
    pub(super) kind: UnreachableKind,
    pub(super) message: String,
}

impl Unreachable {
    pub(super) fn new(kind: UnreachableKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Looks through an error and its sources for the one that says most.
    pub(super) fn classify(error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        let mut innermost = error.to_string();
        while let Some(current) = next {
            if let Some(tls) = current.downcast_ref::<rustls::Error>() {
                return Self::new(UnreachableKind::Tls, format!("TLS: {tls}"));
            }
            innermost = current.to_string();
            // An I/O error shows its inner error's source, not the inner error itself.
            let inner = current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            next = match inner {
                Some(inner) => Some(inner as &(dyn Error + 'static)),
                None => current.source(),
            };
        }
        Self::new(UnreachableKind::Protocol, innermost)
    }
}
