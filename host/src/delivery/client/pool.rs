//! Connections that are not in use. Pure bookkeeping, but for closing what is one too many.
//!
//! The newest is taken first: it is the likeliest to be open still, and the others get old enough to be closed. Where there
//! are too many, the tenant for whom most rest loses its oldest, so that no one's many receivers cost others a connection. There
//! is no bound for each receiver: one with many requests under way finds as many connections, and one that is asked seldom
//! loses its own first.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::endpoint::Endpoint;
use super::link::Link;
use crate::domain::TenantId;

/// The sweep looks at most this many times in an idle timeout; what would get too old before its next look is closed now.
const LOOKS: u32 = 60;

/// See the module's head.
pub(super) struct Pool {
    most: usize,
    idle_timeout: Duration,
    resting: Mutex<Resting>,
}

#[derive(Default)]
struct Resting {
    /// By the order in which they came.
    links: BTreeMap<u64, (Box<Link>, Instant)>,
    /// The numbers of each endpoint's links, in that order; never empty.
    endpoints: HashMap<Arc<Endpoint>, VecDeque<u64>>,
    next: u64,
}

impl Pool {
    /// A pool of at most `most` connections, each of which rests for at most `idle_timeout`.
    pub(super) fn new(most: usize, idle_timeout: Duration) -> Self {
        Self { most, idle_timeout, resting: Mutex::default() }
    }

    /// The newest connection to `endpoint`.
    pub(super) fn take(&self, endpoint: &Endpoint) -> Option<Box<Link>> {
        self.resting().take_newest(endpoint)
    }

    /// Keeps a connection for the next request.
    pub(super) fn put(&self, link: Box<Link>) {
        let too_many = {
            let mut resting = self.resting();
            resting.put(link);
            if resting.links.len() > self.most { resting.take_one_too_many() } else { None }
        };
        // Not under the lock: closing asks the system.
        if let Some(link) = too_many {
            link.close();
        }
    }

    /// Closes what is too old, and says when to look again.
    pub(super) fn close_old(&self, now: Instant) -> Instant {
        let soonest = now + self.idle_timeout / LOOKS;
        loop {
            let mut resting = self.resting();
            let oldest = resting.oldest().unwrap_or(now) + self.idle_timeout;
            if oldest > soonest {
                return oldest;
            }
            let link = resting.take_oldest();
            drop(resting);
            if let Some(link) = link {
                link.close();
            }
        }
    }

    fn resting(&self) -> MutexGuard<'_, Resting> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resting {
    fn put(&mut self, link: Box<Link>) {
        let number = self.next;
        self.next += 1;
        self.endpoints.entry(Arc::clone(link.endpoint())).or_default().push_back(number);
        self.links.insert(number, (link, Instant::now()));
    }

    fn take_newest(&mut self, endpoint: &Endpoint) -> Option<Box<Link>> {
        let numbers = self.endpoints.get_mut(endpoint)?;
        let newest = numbers.pop_back()?;
        if numbers.is_empty() {
            self.endpoints.remove(endpoint);
        }
        self.links.remove(&newest).map(|(link, _)| link)
    }

    fn take_oldest(&mut self) -> Option<Box<Link>> {
        let oldest = *self.links.first_key_value()?.0;
        self.take(oldest)
    }

    /// The oldest of the tenant for whom most rest; of those of several such tenants, the oldest. They are counted here, where one
    /// has just been opened, which takes far longer, and not each time that one comes or goes.
    fn take_one_too_many(&mut self) -> Option<Box<Link>> {
        let mut counts = HashMap::<TenantId, usize>::new();
        for (link, _) in self.links.values() {
            *counts.entry(link.tenant()).or_default() += 1;
        }
        let most = counts.values().max()?;
        let is_of_most = |(link, _): &(Box<Link>, Instant)| counts.get(&link.tenant()) == Some(most);
        let number = *self.links.iter().find(|(_, rests)| is_of_most(rests))?.0;
        self.take(number)
    }

    fn take(&mut self, number: u64) -> Option<Box<Link>> {
        let (link, _) = self.links.remove(&number)?;
        let numbers = self.endpoints.get_mut(link.endpoint())?;
        if let Ok(place) = numbers.binary_search(&number) {
            numbers.remove(place);
        }
        if numbers.is_empty() {
            self.endpoints.remove(link.endpoint());
        }
        Some(link)
    }

    fn oldest(&self) -> Option<Instant> {
        self.links.first_key_value().map(|(_, (_, since))| *since)
    }
}

/// Closes connections that have rested for long enough, until the pool is gone. One that comes while the sweep waits
/// is younger than what it waits for.
pub(super) async fn sweep(pool: Weak<Pool>) {
    while let Some(next) = pool.upgrade().map(|pool| pool.close_old(Instant::now())) {
        tokio::time::sleep_until(next.into()).await;
    }
}
