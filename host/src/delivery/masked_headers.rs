//! The headers that the operator has masked in records of attempts.

use std::sync::{PoisonError, RwLock};

use crate::domain::{Hook, SentRequest, ShortText};

/// Their names. They can be exchanged while attempts are made.
#[derive(Debug, Default)]
pub struct MaskedHeaders(RwLock<Vec<ShortText>>);

impl MaskedHeaders {
    /// Masks these.
    #[must_use]
    pub fn new(names: Vec<ShortText>) -> Self {
        Self(RwLock::new(names))
    }

    /// Masks these instead in further attempts.
    pub fn replace(&self, names: Vec<ShortText>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// Masks the values of a request to `hook`.
    pub(super) fn mask(&self, sent: &mut SentRequest, hook: &Hook) {
        sent.mask(hook, &self.0.read().unwrap_or_else(PoisonError::into_inner));
    }
}
