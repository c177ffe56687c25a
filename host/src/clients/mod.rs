//! The clients that are connected: how many connections there may be, for all and for each address, and which of them
//! end to make room.
//!
//! Nobody waits to be accepted: a connection is taken in, or refused with 503. If there are too many, idle
//! connections end, the oldest ones of the address that has most. A new connection takes their place at once, out of a
//! spare that covers those that are still ending. A connection is idle unless it has a request that is not answered yet; an
//! unfinished head counts as idle, so it cannot hold a place.
//!
//! Addresses that are busy cannot shut others out: the last quarter of all places goes to addresses that have few, and an
//! idle connection ends only for an address that has fewer, or for its own.

mod address;
mod logins;
mod memory;

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
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
    /// Beside those, while as many are ending to make room.
    pub spare_connections: usize,
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
    of_address: HashMap<IpAddr, OfAddress>,
    /// The last searches for idle connections that found none: for which, and when in milliseconds.
    vain_search: HashMap<MayEnd, u64>,
    stopping: bool,
}

/// How many connections an address has.
#[derive(Debug, Clone, Copy, Default)]
struct OfAddress {
    staying: usize,
    /// Told to end.
    ending: usize,
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

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub struct Admitted(Arc<Client>);

/// Whose idle connections may end to make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum MayEnd {
    /// Those of this address.
    Own(IpAddr),
    /// Those of this address, which has so many, and of all that have more.
    OwnAndThoseOfMore(IpAddr, usize),
    /// Everybody's.
    All,
}

impl ClientLimits {
    /// An address that has fewer connections than this may use the last places.
    fn few_connections(&self) -> usize {
        self.connections.div_ceil(32)
    }
}

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

    /// Takes in a connection from `address`; `None` if there is no room, and no idle connection can make some.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Admitted> {
        let address = group(address);
        let (limits, now_ms) = (&self.limits, self.now_ms());
        let mut table = self.lock();
        if table.stopping {
            return None;
        }
        let OfAddress { staying: has, ending } = table.of_address.get(&address).copied().unwrap_or_default();
        let is_proxy = limits.trusted_proxies.contains(address);
        // A flood is known by those of its connections that are ending.
        let has_few = is_proxy || has + ending < limits.few_connections();
        if has >= limits.connections_per_address && !is_proxy {
            // Several at once, so that a flood of connections does not look through all for each.
            let most = limits.connections_per_address.div_ceil(16);
            if !table.end_idle(most, MayEnd::Own(address), now_ms) {
                return None;
            }
        }
        let places = if has_few { limits.connections } else { limits.connections / 4 * 3 };
        if table.open.len() - table.ending.len() >= places {
            let may_end =
                if is_proxy || has == 0 { MayEnd::All } else { MayEnd::OwnAndThoseOfMore(address, has) };
            if !table.end_idle(limits.connections.div_ceil(64), may_end, now_ms) {
                return None;
            }
        }
        let spare = if has_few { limits.spare_connections } else { limits.spare_connections / 2 };
        (table.open.len() < limits.connections + spare).then(|| Admitted(table.add(self, address)))
    }

    /// Waits until a connection has ended, or was about to when this was called.
    async fn freed(&self) {
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
        self.of_address.entry(address).or_default().staying += 1;
        client
    }

    /// Tells at most `most` idle connections to end, of those that may: first those of the address that has most
    /// connections; of them those that never had a request, and the oldest. Answers with whether there were any.
    fn end_idle(&mut self, most: usize, may_end: MayEnd, now_ms: u64) -> bool {
        if self.vain_search.get(&may_end).is_some_and(|at_ms| now_ms < at_ms + AFTER_VAIN_SEARCH_MS) {
            return false;
        }
        let of_address =
            |client: &Arc<Client>| self.of_address.get(&client.address).map_or(0, |it| it.staying);
        let is_wanted = |client: &&Arc<Client>| {
            let may_end = match may_end {
                MayEnd::All => true,
                MayEnd::Own(own) => client.address == own,
                MayEnd::OwnAndThoseOfMore(own, has) => client.address == own || of_address(client) > has,
            };
            may_end && client.is_idle() && !self.ending.contains(&client.number)
        };
        let mut idle: Vec<_> = self.open.values().filter(is_wanted).cloned().collect();
        idle.sort_by_cached_key(|client| {
            let has_served = client.has_served.load(Relaxed);
            (Reverse(of_address(client)), has_served, client.last_used_ms.load(Relaxed), client.number)
        });
        idle.truncate(most);
        for client in &idle {
            self.ending.insert(client.number);
            let of_address = self.of_address.entry(client.address).or_default();
            of_address.staying -= 1;
            of_address.ending += 1;
            client.told_to_end.notify_one();
        }
        if idle.is_empty() {
            self.vain_search.retain(|_, at_ms| now_ms < *at_ms + AFTER_VAIN_SEARCH_MS);
            self.vain_search.insert(may_end, now_ms);
        }
        !idle.is_empty()
    }

    fn remove(&mut self, client: &Client) {
        self.open.remove(&client.number);
        let was_ending = self.ending.remove(&client.number);
        if let Entry::Occupied(mut of_address) = self.of_address.entry(client.address) {
            let OfAddress { staying, ending } = of_address.get_mut();
            *if was_ending { &mut *ending } else { &mut *staying } -= 1;
            if *staying + *ending == 0 {
                of_address.remove();
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
