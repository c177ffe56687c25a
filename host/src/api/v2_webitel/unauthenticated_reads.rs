//! A limit on bodies that are read before their sender is authenticated.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The maximum number of bodies that are read at the same time.
const MAX: usize = 32;

/// The bodies that are being read, in the order of their start. If there are too many, a new one aborts the
/// oldest, so that stalled senders cannot block others.
#[derive(Debug)]
pub(super) struct UnauthenticatedReads(Mutex<VecDeque<Arc<Notify>>>);

/// The registration of one body, until it is dropped.
struct Place<'s> {
    senders: &'s UnauthenticatedReads,
    given_up: Arc<Notify>,
}

impl UnauthenticatedReads {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(VecDeque::new()))
    }

    /// Runs `reading`; `None` if a newer body aborted it.
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
    fn a_new_body_aborts_the_oldest_and_always_starts() {
        let senders = UnauthenticatedReads::new();
        let mut waiting: Vec<_> = (0..MAX).map(|_| senders.read(pending::<()>()).boxed_local()).collect();
        assert!(waiting.iter_mut().all(|sender| sender.now_or_never().is_none()));
        assert_eq!(senders.read(ready(7)).now_or_never(), Some(Some(7)));
        assert_eq!((&mut waiting[0]).now_or_never(), Some(None));
        assert_eq!((&mut waiting[1]).now_or_never(), None);
        drop(waiting);
        assert!(senders.lock().is_empty());
    }
}
