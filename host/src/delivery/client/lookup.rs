//! Resolves names to addresses. Requests of one tenant that ask for the same name at the same time share a look-up. Nothing is
//! cached: how long the addresses of a name are valid is known to the system's resolver.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{AcquireError, Semaphore, SemaphorePermit, watch};

use super::own_failure::OwnFailure;
use crate::domain::TenantId;
use crate::tenant_limiter::{TenantLimiter, TenantPermit};

/// The most look-ups at the same time. The system's resolver cannot be interrupted, and runs on threads that are also needed
/// for other work.
pub(super) const MAX_LOOKUPS: usize = 128;
/// The most of one tenant: names whose servers never answer must not delay other tenants.
pub(super) const MAX_LOOKUPS_OF_TENANT: usize = MAX_LOOKUPS / 4;

/// The addresses of a name, with port 0.
type Found = Result<Arc<[SocketAddr]>, NotFound>;

/// Why there are no addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotFound {
    /// What is wrong with the name or its servers.
    Name(Arc<str>),
    /// The engine itself failed.
    Own(OwnFailure),
}

/// Resolves a name, and blocks meanwhile.
pub(super) type Resolver = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// The tenant and the name.
type Key = (TenantId, Arc<str>);

/// The look-ups in progress.
pub(super) struct Lookups {
    resolver: Arc<Resolver>,
    limit: Semaphore,
    tenant_limit: TenantLimiter,
    in_progress: Mutex<InProgress>,
}

/// By tenant and name. Tenants do not share look-ups, because one may have to wait for its limit while another need not.
type InProgress = HashMap<Key, watch::Sender<Option<Found>>>;

impl Lookups {
    /// Look-ups by the operating system's resolver.
    pub(super) fn by_the_system() -> Arc<Self> {
        Self::by(Arc::new(|host: &str| (host, 0).to_socket_addrs().map(Vec::from_iter)))
    }

    pub(super) fn by(resolver: Arc<Resolver>) -> Arc<Self> {
        let limit = Semaphore::new(MAX_LOOKUPS);
        let tenant_limit = TenantLimiter::new(MAX_LOOKUPS_OF_TENANT);
        Arc::new(Self { resolver, limit, tenant_limit, in_progress: Mutex::default() })
    }

    /// Resolves `host` for a request of `tenant`.
    ///
    /// # Errors
    /// Fails if there are no addresses, or if the engine itself failed.
    pub(super) async fn find(self: &Arc<Self>, tenant: TenantId, host: &str) -> Found {
        let mut answer = self.join(tenant, host);
        match answer.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(found)) => found.clone(),
            _ => Err(NotFound::Name("the look-up was aborted".into())),
        }
    }

    /// Joins a look-up of the same name, or starts one. It runs in a task of its own, because the first request may be the
    /// first to time out.
    fn join(self: &Arc<Self>, tenant: TenantId, host: &str) -> watch::Receiver<Option<Found>> {
        let key: Key = (tenant, host.into());
        let mut in_progress = self.in_progress();
        if let Some(lookup) = in_progress.get(&key) {
            return lookup.subscribe();
        }
        let (sender, receiver) = watch::channel(None);
        in_progress.insert(key.clone(), sender.clone());
        tokio::spawn(Arc::clone(self).look_up(key, sender));
        receiver
    }

    async fn look_up(self: Arc<Self>, key: Key, lookup: watch::Sender<Option<Found>>) {
        let found = loop {
            tokio::select! {
                permits = self.permits(key.0) => {
                    // Held until the resolver returns, possibly long after the last request has timed out. Requests that
                    // come meanwhile join this look-up.
                    let _permits = permits;
                    break self.resolve(&key.1).await;
                }
                () = lookup.closed() => {}
            }
            // No request waits any more, unless one has joined since, which it does under the lock.
            let mut in_progress = self.in_progress();
            if lookup.receiver_count() == 0 {
                in_progress.remove(&key);
                return;
            }
        };
        self.in_progress().remove(&key);
        lookup.send_replace(Some(found));
    }

    /// A permit of the tenant, then one of all.
    async fn permits(&self, tenant: TenantId) -> (TenantPermit, Result<SemaphorePermit<'_>, AcquireError>) {
        (self.tenant_limit.acquire(tenant).await, self.limit.acquire().await)
    }

    async fn resolve(&self, name: &Arc<str>) -> Found {
        let (resolver, asked) = (Arc::clone(&self.resolver), Arc::clone(name));
        let resolved = tokio::task::spawn_blocking(move || {
            resolver(&asked).map_err(|error| match OwnFailure::of_lookup(&error) {
                Some(failure) => NotFound::Own(failure),
                None => NotFound::Name(error.to_string().into()),
            })
        });
        match resolved.await {
            Ok(Ok(addresses)) if addresses.is_empty() => {
                Err(NotFound::Name("the name has no address".into()))
            }
            Ok(Ok(addresses)) => Ok(addresses.into()),
            Ok(Err(why)) => Err(why),
            Err(error) => Err(NotFound::Name(error.to_string().into())),
        }
    }

    fn in_progress(&self) -> MutexGuard<'_, InProgress> {
        self.in_progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
