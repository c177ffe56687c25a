//! The clients that are connected: how many connections there may be, in total, per address and per tenant, and which of them
//! end to make room.
//!
//! A new connection is accepted at once, or refused with 503. If there are too many, idle connections end, the oldest ones of the
//! address that has most. A new connection does not wait for that: a spare covers those that are still ending.
//!
//! A connection is busy from the arrival of a request's head until the last byte of the response is written. An unfinished head does
//! not make it busy, so it cannot hold a place.
//!
//! Busy addresses cannot lock out others: only an address with few connections gets one of the last quarter, and an idle
//! connection ends only for an address that has fewer, or for its own. Busy tenants cannot either: see [`busy`].

mod address;
mod busy;
mod connection;
mod limits;
mod logins;
mod memory;
mod table;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

pub use address::TrustedProxies;
use address::group;
pub use busy::TooManyBusy;
pub use connection::Client;
use connection::Context;
pub use limits::{Callers, ClientLimits};
pub use memory::{Budget, NoRoom, Reserved, UNCOUNTED};
use table::{AddressCount, MayEnd, Table};

/// See the module's head.
#[derive(Debug)]
pub struct Clients {
    limits: ClientLimits,
    table: Mutex<Table>,
    /// The last connection has ended.
    emptied: Notify,
    context: Arc<Context>,
}

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub struct Admitted {
    client: Arc<Client>,
    clients: Arc<Clients>,
}

impl Clients {
    /// No client is connected yet.
    #[must_use]
    pub fn new(limits: ClientLimits) -> Arc<Self> {
        let context = Context::new(&limits);
        Arc::new(Self { limits, table: Mutex::default(), emptied: Notify::new(), context: Arc::new(context) })
    }

    /// Accepts a connection from `address`; `None` if there is no room, and no idle connection can make some.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Admitted> {
        let address = group(address);
        let (limits, now_ms) = (&self.limits, self.context.now_ms());
        let mut table = self.lock();
        if table.stopping {
            return None;
        }
        let AddressCount { staying, ending } = table.count_of(address);
        let is_proxy = self.context.is_proxy(address);
        // The connections that are ending give a flood away.
        let has_few = is_proxy || staying + ending < limits.few_connections();
        let spare = if has_few { limits.spare_connections } else { limits.spare_connections / 2 };
        if table.open.len() >= limits.connections + spare {
            return None;
        }
        if staying >= limits.connections_per_address && !is_proxy {
            // Several at once, so that a flood of connections does not look through all for each.
            let most = limits.connections_per_address.div_ceil(16);
            if !table.end_idle(most, MayEnd::Own(address), now_ms) {
                return None;
            }
        }
        let places = if has_few { limits.connections } else { limits.connections / 4 * 3 };
        if table.open.len() - table.ending.len() >= places {
            let may_end = if is_proxy || staying == 0 {
                MayEnd::All
            } else {
                MayEnd::OwnAndThoseOfMore(address, staying)
            };
            if !table.end_idle(limits.connections.div_ceil(64), may_end, now_ms) {
                return None;
            }
        }
        let client = table.add(address, &self.context);
        Some(Admitted { client, clients: Arc::clone(self) })
    }

    /// Tells all connections to end, idle ones at once, and waits until all have.
    pub async fn end_all(&self) {
        {
            let mut table = self.lock();
            table.stopping = true;
            table.open.values().for_each(|client| client.tell_to_end());
        }
        while !self.lock().open.is_empty() {
            self.emptied.notified().await;
        }
    }

    /// Logs how many logins failed since the last time. Called about once a minute.
    pub fn report_failed_logins(&self) {
        self.context.failed_logins.report(self.context.now_ms());
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admitted {
    /// The connection.
    #[must_use]
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Completes when the connection must end: at once if it [is idle](Client::is_idle), else after its response.
    pub async fn told_to_end(&self) {
        self.client.told_to_end().await;
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.client.close();
        let is_last = {
            let mut table = self.clients.lock();
            table.remove(&self.client);
            table.open.is_empty()
        };
        if is_last {
            self.clients.emptied.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
