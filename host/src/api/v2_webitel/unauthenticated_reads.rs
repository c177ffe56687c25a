//! A limit on bodies that are read before their sender is authenticated.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The maximum number of bodies that are read at the same time.
const MAX: usize = 32;

/// The bodies that are being read, in the order of their start. If there are too many, a new one aborts the
/// oldest body of the address that has the most. So stalled senders at one address block only each other.
#[derive(Debug)]
pub(super) struct UnauthenticatedReads(Mutex<VecDeque<Read>>);

/// A body that is being read. Its address is `None` in tests, which have no connection.
#[derive(Debug)]
struct Read {
    address: Option<IpAddr>,
    aborted: Arc<Notify>,
}

/// The registration of one body, until it is dropped.
struct Registration<'s> {
    reads: &'s UnauthenticatedReads,
    aborted: Arc<Notify>,
}

impl UnauthenticatedReads {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(VecDeque::new()))
    }

    /// Runs `reading` for a sender at `address`; `None` if a newer body aborted it.
    pub(super) async fn read<T>(
        &self,
        address: Option<IpAddr>,
        reading: impl Future<Output = T>,
    ) -> Option<T> {
        let registration = self.register(address);
        tokio::select! {
            biased;
            read = reading => Some(read),
            () = registration.aborted.notified() => None,
        }
    }

    fn register(&self, address: Option<IpAddr>) -> Registration<'_> {
        let aborted = Arc::new(Notify::new());
        let mut reads = self.lock();
        if reads.len() >= MAX
            && let Some(index) = next_to_abort(&reads)
            && let Some(read) = reads.remove(index)
        {
            read.aborted.notify_one();
        }
        reads.push_back(Read { address, aborted: Arc::clone(&aborted) });
        drop(reads);
        Registration { reads: self, aborted }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Read>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The index of the oldest body of the address that has the most.
fn next_to_abort(reads: &VecDeque<Read>) -> Option<usize> {
    let count = |address| reads.iter().filter(|other| other.address == address).count();
    let most = reads.iter().map(|read| count(read.address)).max()?;
    reads.iter().position(|read| count(read.address) == most)
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        self.reads.lock().retain(|other| !Arc::ptr_eq(&other.aborted, &self.aborted));
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::FutureExt as _;
    use futures_util::future::LocalBoxFuture;

    use super::*;

    /// Starts a read that does not end by itself.
    fn stalled(reads: &UnauthenticatedReads, host: u8) -> LocalBoxFuture<'_, Option<()>> {
        let mut read = reads.read(Some(IpAddr::from([192, 0, 2, host])), pending()).boxed_local();
        assert!((&mut read).now_or_never().is_none());
        read
    }

    #[test]
    fn a_new_read_aborts_the_oldest_and_always_starts() {
        let reads = UnauthenticatedReads::new();
        let mut waiting: Vec<_> = (0..MAX).map(|host| stalled(&reads, host as u8)).collect();
        assert_eq!(reads.read(None, ready(7)).now_or_never(), Some(Some(7)));
        assert_eq!((&mut waiting[0]).now_or_never(), Some(None));
        assert_eq!((&mut waiting[1]).now_or_never(), None);
        drop(waiting);
        assert!(reads.lock().is_empty());
    }

    #[test]
    fn reads_of_one_address_abort_only_each_other() {
        let reads = UnauthenticatedReads::new();
        let mut others: Vec<_> = (1..4).map(|host| stalled(&reads, host)).collect();
        let mut many: Vec<_> = (0..64).map(|_| stalled(&reads, 0)).collect();
        assert!(others.iter_mut().all(|read| read.now_or_never().is_none()), "another address is aborted");
        let aborted = many.iter_mut().filter_map(|read| read.now_or_never()).count();
        assert_eq!(aborted, 64 + 3 - MAX);
    }
}
