//! A store that shows how it is called.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::Semaphore;

use crate::domain::{
    Attempt, AttemptId, Delivery, DeliveryId, EventKey, HookId, LastAttempt, Lease, NodeNumber, TenantId,
    UnixMillis,
};
use crate::storage::{
    Backlog, Cancelled, Changed, Claims, DeliveryQuery, DeliveryStore, HookClaim, Listed, Record,
    RetryPolicy, StorageError,
};

/// Passes calls on to another store, and notes them.
pub(crate) struct SpyStore {
    inner: Arc<dyn DeliveryStore>,
    /// The claims that were made.
    pub claims: Mutex<Vec<Vec<HookClaim>>>,
    /// How often the backlog was read.
    pub looks: Mutex<usize>,
    /// How often it was checked. Checks wait as records do.
    pub checks: AtomicUsize,
    /// What happens after the next time that the backlog is read.
    pub after_look: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// What was recorded, and how recording behaves.
    pub records: Records,
}

/// What was recorded, and how recording behaves.
pub(crate) struct Records {
    /// The records of each call.
    pub batches: Mutex<Vec<Vec<Record>>>,
    /// Calls wait while this has no permits.
    pub write_gate: Semaphore,
    /// Calls fail.
    pub fails: AtomicBool,
}

impl SpyStore {
    pub(crate) fn new(inner: Arc<dyn DeliveryStore>) -> Arc<Self> {
        let records = Records {
            batches: Mutex::default(),
            write_gate: Semaphore::new(1),
            fails: AtomicBool::new(false),
        };
        let (claims, looks, checks, after_look) = Default::default();
        Arc::new(Self { inner, claims, looks, checks, after_look, records })
    }
}

#[async_trait]
impl DeliveryStore for SpyStore {
    async fn recover(&self, node: NodeNumber, now: UnixMillis) -> Result<u64, StorageError> {
        self.inner.recover(node, now).await
    }
    async fn end_unused_leases(&self, node: NodeNumber, now: UnixMillis) -> Result<u64, StorageError> {
        self.inner.end_unused_leases(node, now).await
    }
    async fn bring_forward(&self, now: UnixMillis, by: std::time::Duration) -> Result<(), StorageError> {
        self.inner.bring_forward(now, by).await
    }
    async fn check(&self) -> Result<(), StorageError> {
        self.checks.fetch_add(1, Relaxed);
        drop(self.records.write_gate.acquire().await);
        self.inner.check().await
    }
    async fn backlog(&self) -> Result<Vec<Backlog>, StorageError> {
        *self.looks.lock().unwrap() += 1;
        let backlog = self.inner.backlog().await;
        if let Some(then) = self.after_look.lock().unwrap().take() {
            then();
        }
        backlog
    }
    async fn due_between(
        &self,
        from: UnixMillis,
        until: UnixMillis,
        known: &[HookId],
    ) -> Result<Option<Vec<Backlog>>, StorageError> {
        self.inner.due_between(from, until, known).await
    }
    async fn claim(
        &self,
        hooks: Vec<HookClaim>,
        now: UnixMillis,
        lease: Lease,
        max_bytes: u64,
    ) -> Vec<Result<Claims, StorageError>> {
        self.claims.lock().unwrap().push(hooks.clone());
        self.inner.claim(hooks, now, lease, max_bytes).await
    }
    async fn record(&self, records: Vec<Record>, retries: RetryPolicy) -> Result<(), StorageError> {
        let gate = self.records.write_gate.acquire().await;
        drop(gate);
        self.records.batches.lock().unwrap().push(records.clone());
        match self.records.fails.load(Relaxed) {
            true => Err(StorageError::NoSpace),
            false => self.inner.record(records, retries).await,
        }
    }
    async fn delivery(&self, tenant: TenantId, id: DeliveryId) -> Result<Option<Delivery>, StorageError> {
        self.inner.delivery(tenant, id).await
    }
    async fn list(&self, tenant: TenantId, query: &DeliveryQuery) -> Result<Listed, StorageError> {
        self.inner.list(tenant, query).await
    }
    async fn of_event(&self, tenant: TenantId, event: EventKey) -> Result<Vec<Delivery>, StorageError> {
        self.inner.of_event(tenant, event).await
    }
    async fn with_attempts(
        &self,
        tenant: TenantId,
        id: DeliveryId,
        before: Option<AttemptId>,
        limit: u32,
    ) -> Result<Option<(Delivery, Vec<Attempt>)>, StorageError> {
        self.inner.with_attempts(tenant, id, before, limit).await
    }
    async fn last_attempts(
        &self,
        tenant: TenantId,
        deliveries: &[DeliveryId],
    ) -> Result<HashMap<DeliveryId, LastAttempt>, StorageError> {
        self.inner.last_attempts(tenant, deliveries).await
    }
    async fn retry(
        &self,
        tenant: TenantId,
        id: DeliveryId,
        now: UnixMillis,
    ) -> Result<Option<Changed>, StorageError> {
        self.inner.retry(tenant, id, now).await
    }
    async fn cancel(&self, tenant: TenantId, id: DeliveryId) -> Result<Option<Cancelled>, StorageError> {
        self.inner.cancel(tenant, id).await
    }
    async fn numbered(&self, tenant: TenantId, number: i64) -> Result<Vec<DeliveryId>, StorageError> {
        self.inner.numbered(tenant, number).await
    }
}
