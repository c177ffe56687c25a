//! The clients that are connected: how many connections there may be, for all and for each address, and which of them
//! end to make room.
//!
//! Nobody waits to be accepted: a connection is taken in, or refused with 503. If there are too many, idle
//! connections end first, the oldest ones of the address that has most. A connection is idle unless it has a request that is
//! not answered yet; an unfinished head counts as idle, so it cannot hold a place.

mod address;
mod logins;
mod memory;

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use http::HeaderMap;
use tokio::sync::Notify;

pub use address::TrustedProxies;
use address::group;
use logins::FailedLogins;
pub use memory::{Budget, NoRoom, Reserved, UNCOUNTED};

use crate::domain::TenantId;

/// In [`Client::last_used_ms`]: a request is under way.
const BUSY: u64 = u64::MAX;
/// After no idle connection was found, none is looked for during this time: it means to look at all of them.
const AFTER_VAIN_SEARCH_MS: u64 = 10;
/// In [`Client::tenant`]: none is known.
const NOBODY: i64 = 0;
/// Failed logins on one connection, after which it ends.
const MAX_FAILED_LOGINS: u32 = 20;
/// The header by which a proxy says whose request it passes on.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// How many connections there may be.
#[derive(Debug, Clone)]
pub struct ClientLimits {
    /// From all addresses together.
    pub connections: usize,
    /// From one address, or one IPv6 network of 64 bits, unless it is a trusted proxy.
    pub connections_per_address: usize,
    /// Addresses that speak for many clients.
    pub trusted_proxies: TrustedProxies,
    /// Bytes of requests' bodies that are in memory at the same time.
    pub request_bytes: usize,
    /// Bytes of answers that are in memory at the same time, until they are sent.
    pub answer_bytes: usize,
}

/// See the module's head.
#[derive(Debug)]
pub struct Clients {
    limits: ClientLimits,
    started: Instant,
    table: Mutex<Table>,
    /// A connection has ended.
    freed: Notify,
    requests: Arc<Budget>,
    answers: Arc<Budget>,
    failed_logins: FailedLogins,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    open: HashMap<u64, Arc<Client>>,
    /// Those of `open` that were told to end.
    ending: HashSet<u64>,
    /// How many of `open` that are not ending each address has.
    of_address: HashMap<IpAddr, usize>,
    /// The last search for idle connections that found none: of which address, or of all, and when in milliseconds.
    vain_search: HashMap<Option<IpAddr>, u64>,
    stopping: bool,
}

/// One connection of a client.
#[derive(Debug)]
pub struct Client {
    number: u64,
    address: IpAddr,
    /// When it was last used, in milliseconds since the start, or [`BUSY`].
    last_used_ms: AtomicU64,
    /// It has had a request.
    has_served: AtomicBool,
    told_to_end: Notify,
    /// For whom the request under way acts; 0 until that is known.
    tenant: AtomicI64,
    failed_logins: AtomicU32,
    clients: Arc<Clients>,
}

/// Whether a connection is taken in.
#[derive(Debug)]
pub enum Admission {
    /// It is.
    Admitted(Admitted),
    /// Others are ending to make room; ask again after [`Clients::freed`].
    WhenFreed,
    /// All others are in use.
    Refused,
}

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub struct Admitted(Arc<Client>);

impl Clients {
    /// Nobody is connected yet.
    #[must_use]
    pub fn new(limits: ClientLimits) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            table: Mutex::default(),
            freed: Notify::new(),
            requests: Budget::new(limits.request_bytes),
            answers: Budget::new(limits.answer_bytes),
            failed_logins: FailedLogins::default(),
            limits,
        })
    }

    /// Takes in a connection from `address`, if there is room or idle ones can make some.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Admission {
        let address = group(address);
        let mut table = self.lock();
        if table.stopping {
            return Admission::Refused;
        }
        let limit = self.limits.connections_per_address;
        let has = table.of_address.get(&address).copied().unwrap_or(0);
        if has >= limit && !self.limits.trusted_proxies.contains(address) {
            // Several at once, so that a flood of connections does not look through all for each.
            if !table.end_idle(limit.div_ceil(16), Some(address), self.now_ms()) {
                return Admission::Refused;
            }
        }
        let limit = self.limits.connections;
        if table.open.len() >= limit {
            if !table.is_making_room() && !table.end_idle(limit.div_ceil(64), None, self.now_ms()) {
                return Admission::Refused;
            }
            return Admission::WhenFreed;
        }
        Admission::Admitted(Admitted(table.add(self, address)))
    }

    /// Waits until a connection has ended, or was about to when this was called.
    pub async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Tells all connections to end, idle ones at once, and waits until all have.
    pub async fn end_all(&self) {
        {
            let mut table = self.lock();
            table.stopping = true;
            table.open.values().for_each(|client| client.told_to_end.notify_one());
        }
        while !self.lock().open.is_empty() {
            self.freed().await;
        }
    }

    /// Logs how many logins failed since the last time. To be called about once a minute.
    pub fn report_failed_logins(&self) {
        self.failed_logins.report(self.now_ms());
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(BUSY - 1)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn add(&mut self, clients: &Arc<Clients>, address: IpAddr) -> Arc<Client> {
        let client = Arc::new(Client {
            number: self.next,
            address,
            last_used_ms: AtomicU64::new(clients.now_ms()),
            has_served: AtomicBool::new(false),
            told_to_end: Notify::new(),
            tenant: AtomicI64::new(NOBODY),
            failed_logins: AtomicU32::new(0),
            clients: Arc::clone(clients),
        });
        self.next += 1;
        self.open.insert(client.number, Arc::clone(&client));
        *self.of_address.entry(address).or_default() += 1;
        client
    }

    /// Whether a connection that was told to end is about to. One that got a request before it was told ends only after that.
    fn is_making_room(&self) -> bool {
        self.ending.iter().filter_map(|number| self.open.get(number)).any(|client| client.is_idle())
    }

    /// Tells at most `most` idle connections to end, of `address` or of all: first those of the address that has most
    /// connections; of them those that never had a request, and the oldest. Answers with whether there were any.
    fn end_idle(&mut self, most: usize, address: Option<IpAddr>, now_ms: u64) -> bool {
        if self.vain_search.get(&address).is_some_and(|at_ms| now_ms < at_ms + AFTER_VAIN_SEARCH_MS) {
            return false;
        }
        let is_wanted = |client: &&Arc<Client>| {
            client.is_idle()
                && address.is_none_or(|address| client.address == address)
                && !self.ending.contains(&client.number)
        };
        let mut idle: Vec<_> = self.open.values().filter(is_wanted).cloned().collect();
        idle.sort_by_cached_key(|client| {
            let of_address = self.of_address.get(&client.address).copied().unwrap_or(0);
            let has_served = client.has_served.load(Relaxed);
            (Reverse(of_address), has_served, client.last_used_ms.load(Relaxed), client.number)
        });
        idle.truncate(most);
        for client in &idle {
            self.ending.insert(client.number);
            self.uncount(client.address);
            client.told_to_end.notify_one();
        }
        if idle.is_empty() {
            self.vain_search.retain(|_, at_ms| now_ms < *at_ms + AFTER_VAIN_SEARCH_MS);
            self.vain_search.insert(address, now_ms);
        }
        !idle.is_empty()
    }

    fn remove(&mut self, client: &Client) {
        self.open.remove(&client.number);
        if !self.ending.remove(&client.number) {
            self.uncount(client.address);
        }
    }

    fn uncount(&mut self, address: IpAddr) {
        if let Some(count) = self.of_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.of_address.remove(&address);
            }
        }
    }
}

impl Client {
    /// A request has arrived.
    pub fn begin_request(&self) {
        self.last_used_ms.store(BUSY, Relaxed);
        self.has_served.store(true, Relaxed);
        self.tenant.store(NOBODY, Relaxed);
    }

    /// The request under way is one of `tenant`.
    pub fn acts_for(&self, tenant: TenantId) {
        self.tenant.store(tenant.0, Relaxed);
    }

    /// Reserves memory for a request's body.
    ///
    /// # Errors
    /// If its tenant, or all together, have too much under way.
    pub fn reserve_request(&self, bytes: usize) -> Result<Reserved, NoRoom> {
        self.clients.requests.reserve(self.tenant(), bytes)
    }

    /// Reserves memory for an answer. One to nobody's request is small, or kept ready for all, and not counted.
    ///
    /// # Errors
    /// If its tenant's clients, or all together, have too much that is not sent yet.
    pub fn reserve_answer(&self, bytes: usize) -> Result<Option<Reserved>, NoRoom> {
        let tenant = self.tenant();
        tenant.map(|_| self.clients.answers.reserve_one(tenant, bytes)).transpose()
    }

    /// As [`Self::reserve_answer`], of an answer that is sent even if there is no room for it.
    #[must_use]
    pub fn force_answer(&self, bytes: usize) -> Option<Reserved> {
        let tenant = self.tenant();
        tenant.map(|_| self.clients.answers.force(tenant, bytes))
    }

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant.load(Relaxed)).filter(|id| *id != NOBODY).map(TenantId)
    }

    /// Counts a failed login. Answers with whether its address has had too many, so that it is not to be told more.
    pub fn login_failed(&self, headers: &HeaderMap) -> bool {
        self.failed_logins.fetch_add(1, Relaxed);
        self.clients.failed_logins.count(self.origin(headers), self.clients.now_ms())
    }

    /// Whether the address has had so many failed logins that no key is looked at that may have been guessed. A proxy that
    /// does not say whose requests it passes on never has.
    #[must_use]
    pub fn is_throttled(&self, headers: &HeaderMap) -> bool {
        let origin = self.origin(headers);
        !self.clients.limits.trusted_proxies.contains(origin)
            && self.clients.failed_logins.is_throttled(origin, self.clients.now_ms())
    }

    /// Whether the connection has had so many failed logins that it ends.
    #[must_use]
    pub fn failed_too_often(&self) -> bool {
        self.failed_logins.load(Relaxed) >= MAX_FAILED_LOGINS
    }

    /// Where the request comes from, by the word of a trusted proxy if it came through one.
    fn origin(&self, headers: &HeaderMap) -> IpAddr {
        let proxies = &self.clients.limits.trusted_proxies;
        if !proxies.contains(self.address) {
            return self.address;
        }
        // The last that is no proxy: what stands before it is the client's own word.
        let named = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let mut addresses: Vec<_> = named.flat_map(|value| value.split(',')).collect();
        while let Some(address) = addresses.pop() {
            match address.trim().parse() {
                Ok(address) if proxies.contains(address) => {}
                Ok(address) => return group(address),
                Err(_) => break,
            }
        }
        self.address
    }

    /// The request is answered.
    pub fn end_request(&self) {
        self.last_used_ms.store(self.clients.now_ms(), Relaxed);
    }

    /// Whether no request is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.last_used_ms.load(Relaxed) != BUSY
    }
}

impl Admitted {
    /// The connection.
    #[must_use]
    pub fn client(&self) -> &Arc<Client> {
        &self.0
    }

    /// Completes when the connection is to end: at once if it [is idle](Client::is_idle), else after its answer.
    pub async fn told_to_end(&self) {
        self.0.told_to_end.notified().await;
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let clients = &self.0.clients;
        clients.lock().remove(&self.0);
        clients.freed.notify_one();
    }
}

#[cfg(test)]
mod tests;
