//! One connection of a client, and what it shares with all others.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use http::HeaderMap;
use tokio::sync::Notify;

use super::address::{TrustedProxies, group};
use super::busy::{BusyConnections, TooManyBusy};
use super::limits::{Callers, ClientLimits};
use super::logins::FailedLogins;
use super::memory::{Budget, NoRoom, Reserved};
use crate::clock;
use crate::domain::TenantId;

/// In [`Client::last_used_ms`]: a request is under way.
const BUSY: u64 = u64::MAX;
/// After a response was handed over to be written, its client has this long to read it before the connection counts as idle.
const WRITE_TIMEOUT_MS: u64 = 30_000;
/// In [`Client::tenant`]: none is known.
const NO_TENANT: i64 = 0;
/// Failed logins on one connection, after which it ends.
pub(super) const MAX_FAILED_LOGINS: u32 = 20;
/// The header by which a proxy says whose request it passes on.
pub(super) const FORWARDED_FOR: &str = "x-forwarded-for";
/// The header by which a proxy says how its client is connected.
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// What all connections share.
#[derive(Debug)]
pub(super) struct Context {
    started: Instant,
    trusted_proxies: TrustedProxies,
    requests: Arc<Budget>,
    answers: Arc<Budget>,
    pub(super) busy: BusyConnections,
    pub(super) failed_logins: FailedLogins,
    callers: Callers,
    is_tls: bool,
}

/// One connection of a client.
#[derive(Debug)]
pub struct Client {
    pub(super) number: u64,
    pub(super) address: IpAddr,
    /// When it was last used, in milliseconds since the start, or [`BUSY`].
    last_used_ms: AtomicU64,
    requests: AtomicU64,
    /// The response to the last request has been handed over as a whole, but may wait to be written.
    is_answered: AtomicBool,
    /// When that was, in milliseconds since the start.
    answered_ms: AtomicU64,
    is_closed: AtomicBool,
    told_to_end: Notify,
    /// The tenant that the request under way is counted for, or [`NO_TENANT`].
    tenant: AtomicI64,
    failed_logins: AtomicU32,
    context: Arc<Context>,
}

impl Context {
    pub(super) fn new(limits: &ClientLimits) -> Self {
        Self {
            started: clock::monotonic(),
            trusted_proxies: limits.trusted_proxies.clone(),
            requests: Budget::new(limits.request_bytes),
            answers: Budget::new(limits.answer_bytes),
            busy: BusyConnections::new(limits.connections),
            failed_logins: FailedLogins::default(),
            callers: limits.callers,
            is_tls: limits.is_tls,
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(clock::elapsed(self.started).as_millis()).unwrap_or(BUSY - 1)
    }

    pub(super) fn is_proxy(&self, address: IpAddr) -> bool {
        self.trusted_proxies.contains(address)
    }
}

impl Client {
    pub(super) fn new(number: u64, address: IpAddr, context: &Arc<Context>) -> Self {
        Self {
            number,
            address,
            last_used_ms: AtomicU64::new(context.now_ms()),
            requests: AtomicU64::new(0),
            is_answered: AtomicBool::new(false),
            answered_ms: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
            told_to_end: Notify::new(),
            tenant: AtomicI64::new(NO_TENANT),
            failed_logins: AtomicU32::new(0),
            context: Arc::clone(context),
        }
    }

    /// Whose keys are accepted on this connection.
    #[must_use]
    pub fn callers(&self) -> Callers {
        self.context.callers
    }

    /// Whether the request comes over TLS: to this listener, or to a trusted proxy.
    #[must_use]
    pub fn is_secure(&self, headers: &HeaderMap) -> bool {
        let forwarded = || headers.get(FORWARDED_PROTO).is_some_and(|value| value == "https");
        self.context.is_tls || (self.context.is_proxy(self.address) && forwarded())
    }

    /// A request has arrived. Returns its number on this connection.
    pub fn begin_request(&self) -> u64 {
        self.last_used_ms.store(BUSY, Relaxed);
        self.is_answered.store(false, Relaxed);
        self.requests.fetch_add(1, Relaxed) + 1
    }

    /// The whole response to this request has been handed over to be written. hyper may have read the next request before it
    /// drops the response to the last one, so an earlier number changes nothing.
    pub fn response_handed_over(&self, request: u64) {
        if self.requests.load(Relaxed) == request {
            self.answered_ms.store(self.context.now_ms(), Relaxed);
            self.is_answered.store(true, Relaxed);
        }
    }

    /// Everything that was handed over has been written. If that was a whole response, the connection is idle.
    pub fn written(&self) {
        if self.is_answered.load(Relaxed) {
            self.is_answered.store(false, Relaxed);
            self.release_tenant();
            self.last_used_ms.store(self.context.now_ms(), Relaxed);
        }
    }

    /// Whether no request is under way: none has arrived, or the last byte of the last response has been written. A client
    /// that takes longer than [`WRITE_TIMEOUT_MS`] for what was handed over counts as idle, so that it cannot keep its place
    /// by reading slowly.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.last_used_ms.load(Relaxed) != BUSY
            || (self.is_answered.load(Relaxed)
                && self.context.now_ms().saturating_sub(self.answered_ms.load(Relaxed)) >= WRITE_TIMEOUT_MS)
    }

    /// How many requests it has had.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    pub(super) fn last_used_ms(&self) -> u64 {
        self.last_used_ms.load(Relaxed)
    }

    pub(super) fn tell_to_end(&self) {
        self.told_to_end.notify_one();
    }

    pub(super) async fn told_to_end(&self) {
        self.told_to_end.notified().await;
    }

    /// The request under way is one of `tenant`, from now until its response is written.
    ///
    /// # Errors
    /// If too many connections have a request of the tenant under way.
    pub fn act_for(&self, tenant: TenantId) -> Result<(), TooManyBusy> {
        let mut counts = self.context.busy.lock();
        let counted = self.tenant();
        // A handler may run on after its connection has ended, which then counts no more.
        if counted == Some(tenant) || self.is_closed.load(Relaxed) {
            return Ok(());
        }
        if let Some(other) = counted {
            counts.remove(other);
            self.tenant.store(NO_TENANT, Relaxed);
        }
        self.context.busy.add(&mut counts, tenant)?;
        self.tenant.store(tenant.0, Relaxed);
        Ok(())
    }

    /// The connection has ended.
    pub(super) fn close(&self) {
        let counts = self.context.busy.lock();
        self.is_closed.store(true, Relaxed);
        drop(counts);
        self.release_tenant();
    }

    fn release_tenant(&self) {
        if self.tenant().is_none() {
            return;
        }
        let mut counts = self.context.busy.lock();
        if let Some(tenant) = self.tenant() {
            self.tenant.store(NO_TENANT, Relaxed);
            counts.remove(tenant);
        }
    }

    /// Reserves memory for a request's body.
    ///
    /// # Errors
    /// If its tenant, or all together, have too much under way.
    pub fn reserve_request(&self, bytes: usize) -> Result<Reserved, NoRoom> {
        self.context.requests.reserve(self.tenant(), bytes)
    }

    /// Reserves memory for a response. Without a tenant a response is small, or the same for all, and is not counted.
    ///
    /// # Errors
    /// If its tenant's clients, or all together, have too much that is not sent yet.
    pub fn reserve_answer(&self, bytes: usize) -> Result<Option<Reserved>, NoRoom> {
        let tenant = self.tenant();
        tenant.map(|_| self.context.answers.reserve_one(tenant, bytes)).transpose()
    }

    /// As [`Self::reserve_answer`], for a response that is sent even if there is no room for it.
    #[must_use]
    pub fn force_answer(&self, bytes: usize) -> Option<Reserved> {
        let tenant = self.tenant();
        tenant.map(|_| self.context.answers.force(tenant, bytes))
    }

    /// The tenant that the request under way is counted for.
    #[must_use]
    pub fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant.load(Relaxed)).filter(|id| *id != NO_TENANT).map(TenantId)
    }

    /// Counts a failed login. Returns whether its address has had too many, so that it gets no more details.
    pub fn login_failed(&self, headers: &HeaderMap) -> bool {
        self.failed_logins.fetch_add(1, Relaxed);
        self.context.failed_logins.count(self.origin(headers), self.context.now_ms())
    }

    /// Whether the address has had so many failed logins that the engine checks no key from there that may have been guessed.
    /// A proxy that does not say whose requests it passes on is never throttled.
    #[must_use]
    pub fn is_throttled(&self, headers: &HeaderMap) -> bool {
        let origin = self.origin(headers);
        !self.context.is_proxy(origin)
            && self.context.failed_logins.is_throttled(origin, self.context.now_ms())
    }

    /// Whether the connection has had so many failed logins that it ends.
    #[must_use]
    pub fn failed_too_often(&self) -> bool {
        self.failed_logins.load(Relaxed) >= MAX_FAILED_LOGINS
    }

    /// The address that the request comes from. If the connection is a trusted proxy's, the proxy's word counts.
    #[must_use]
    pub fn origin(&self, headers: &HeaderMap) -> IpAddr {
        if !self.context.is_proxy(self.address) {
            return self.address;
        }
        // The last one that is no proxy. What comes before it is the client's own word.
        let named = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let mut addresses: Vec<_> = named.flat_map(|value| value.split(',')).collect();
        while let Some(address) = addresses.pop() {
            match address.trim().parse() {
                Ok(address) if self.context.is_proxy(address) => {}
                Ok(address) => return group(address),
                Err(_) => break,
            }
        }
        self.address
    }
}
