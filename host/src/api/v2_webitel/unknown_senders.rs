//! Senders of whom nothing is known until their bodies are read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Bodies that are read at the same time.
const MAX: usize = 32;

/// A bounded number of senders whose bodies are being read. A newcomer ends the oldest if there are too many: senders that
/// send nothing block nobody, and a body that arrives as fast as bodies do is never the oldest for long.
#[derive(Debug)]
pub(super) struct UnknownSenders(Mutex<VecDeque<Arc<Notify>>>);

/// A sender's place, until it is dropped.
struct Place<'s> {
    senders: &'s UnknownSenders,
    given_up: Arc<Notify>,
}

impl UnknownSenders {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(VecDeque::new()))
    }

    /// Runs `reading`; `None` if newer senders needed the place.
    pub(super) async fn read<T>(&self, reading: impl Future<Output = T>) -> Option<T> {
        let place = self.enter();
        tokio::select! {
            biased;
            read = reading => Some(read),
            () = place.given_up.notified() => None,
        }
    }

    fn enter(&self) -> Place<'_> {
        let given_up = Arc::new(Notify::new());
        let mut senders = self.lock();
        if senders.len() >= MAX
            && let Some(oldest) = senders.pop_front()
        {
            oldest.notify_one();
        }
        senders.push_back(Arc::clone(&given_up));
        drop(senders);
        Place { senders: self, given_up }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.senders.lock().retain(|other| !Arc::ptr_eq(other, &self.given_up));
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_newcomer_ends_the_oldest_and_is_never_shut_out() {
        let senders = UnknownSenders::new();
        let mut waiting: Vec<_> = (0..MAX).map(|_| senders.read(pending::<()>()).boxed_local()).collect();
        assert!(waiting.iter_mut().all(|sender| sender.now_or_never().is_none()));
        assert_eq!(senders.read(ready(7)).now_or_never(), Some(Some(7)));
        assert_eq!((&mut waiting[0]).now_or_never(), Some(None));
        assert_eq!((&mut waiting[1]).now_or_never(), None);
        drop(waiting);
        assert!(senders.lock().is_empty());
    }
}
