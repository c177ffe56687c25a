//! Idle connections. Pure bookkeeping, except that it closes connections beyond the limit.
//!
//! The newest is taken first: it is the likeliest to be open still, and the others become old enough to be closed. If there
//! are too many, the tenant with most of them loses its oldest, so that one tenant's many receivers cost no other tenant a
//! connection. There is no limit for each receiver: one with many requests in flight needs as many connections, and one with
//! few requests loses its own first.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::endpoint::Endpoint;
use crate::clock;
use crate::domain::TenantId;

/// How often the sweep looks during an idle timeout. What would become too old before the next look is closed now.
const LOOKS: u32 = 60;

/// See the module's head.
pub(super) struct Pool {
    limit: usize,
    idle_timeout: Duration,
    idle: Mutex<IdleConnections>,
}

#[derive(Default)]
struct IdleConnections {
    /// In the order in which they became idle, with the time.
    connections: BTreeMap<u64, (Box<Connection>, Instant)>,
    /// The numbers of each endpoint's connections in that order, never empty.
    endpoints: HashMap<Arc<Endpoint>, VecDeque<u64>>,
    next: u64,
}

impl Pool {
    /// A pool of at most `limit` connections, each idle for at most `idle_timeout`.
    pub(super) fn new(limit: usize, idle_timeout: Duration) -> Self {
        Self { limit, idle_timeout, idle: Mutex::default() }
    }

    /// Takes the newest connection to `endpoint` that requests of `tenant` may go over.
    pub(super) fn take(&self, endpoint: &Endpoint, tenant: TenantId) -> Option<Box<Connection>> {
        self.idle().take_newest(endpoint, tenant)
    }

    /// Keeps a connection for the next request.
    pub(super) fn put(&self, connection: Box<Connection>) {
        let too_many = {
            let mut idle = self.idle();
            idle.put(connection);
            if idle.connections.len() > self.limit { idle.take_from_largest_tenant() } else { None }
        };
        // Not under the lock: closing makes a system call.
        if let Some(connection) = too_many {
            connection.close();
        }
    }

    /// Closes connections that are too old, and returns when to look again.
    pub(super) fn close_old(&self, now: Instant) -> Instant {
        let soonest = now + self.idle_timeout / LOOKS;
        loop {
            let mut idle = self.idle();
            let oldest = idle.oldest().unwrap_or(now) + self.idle_timeout;
            if oldest > soonest {
                return oldest;
            }
            let connection = idle.take_oldest();
            drop(idle);
            if let Some(connection) = connection {
                connection.close();
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, IdleConnections> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IdleConnections {
    fn put(&mut self, connection: Box<Connection>) {
        let number = self.next;
        self.next += 1;
        self.endpoints.entry(Arc::clone(connection.endpoint())).or_default().push_back(number);
        self.connections.insert(number, (connection, clock::monotonic()));
    }

    fn take_newest(&mut self, endpoint: &Endpoint, tenant: TenantId) -> Option<Box<Connection>> {
        let may_serve =
            |number: &&u64| self.connections.get(number).is_some_and(|(it, _)| it.may_serve(tenant));
        let newest = *self.endpoints.get(endpoint)?.iter().rev().find(may_serve)?;
        self.take(newest)
    }

    fn take_oldest(&mut self) -> Option<Box<Connection>> {
        let oldest = *self.connections.first_key_value()?.0;
        self.take(oldest)
    }

    /// Takes the oldest connection of the tenant with most of them. They are counted here, after a connection was opened, which
    /// takes far longer, and not each time that one comes or goes.
    fn take_from_largest_tenant(&mut self) -> Option<Box<Connection>> {
        let mut counts = HashMap::<TenantId, usize>::new();
        for (connection, _) in self.connections.values() {
            *counts.entry(connection.tenant()).or_default() += 1;
        }
        let most = counts.values().max()?;
        let is_of_largest =
            |(connection, _): &(Box<Connection>, Instant)| counts.get(&connection.tenant()) == Some(most);
        let number = *self.connections.iter().find(|(_, idle)| is_of_largest(idle))?.0;
        self.take(number)
    }

    fn take(&mut self, number: u64) -> Option<Box<Connection>> {
        let (connection, _) = self.connections.remove(&number)?;
        let numbers = self.endpoints.get_mut(connection.endpoint())?;
        if let Ok(index) = numbers.binary_search(&number) {
            numbers.remove(index);
        }
        if numbers.is_empty() {
            self.endpoints.remove(connection.endpoint());
        }
        Some(connection)
    }

    fn oldest(&self) -> Option<Instant> {
        self.connections.first_key_value().map(|(_, (_, since))| *since)
    }
}

/// Closes connections that are too old, until the pool is dropped. A connection that becomes idle while the sweep sleeps is
/// younger than the one that it waits for.
pub(super) async fn sweep(pool: Weak<Pool>) {
    while let Some(next) = pool.upgrade().map(|pool| pool.close_old(clock::monotonic())) {
        tokio::time::sleep_until(next.into()).await;
    }
}
