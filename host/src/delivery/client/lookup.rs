//! Names to addresses. Those of a tenant who ask for the same name at the same time share one look-up; nothing is remembered
//! after it, since how long a name's addresses hold good is for the system's resolver to know.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{AcquireError, Semaphore, SemaphorePermit, watch};

use super::own_failure::OwnFailure;
use crate::domain::TenantId;
use crate::tenant_limiter::{TenantLimiter, TenantPermit};

/// Names looked up at the same time. The system's resolver cannot be interrupted, and runs on threads that
/// others need, too.
pub(super) const MAX_LOOKUPS: usize = 128;
/// Of these, how many for one tenant: names whose servers never answer must hold up nobody else's.
pub(super) const MAX_LOOKUPS_OF_TENANT: usize = MAX_LOOKUPS / 4;

/// The addresses of a name, with port 0.
type Found = Result<Arc<[SocketAddr]>, NotFound>;

/// Why there are no addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotFound {
    /// In words, what is wrong with the name or its servers.
    Name(Arc<str>),
    /// The engine itself failed.
    Own(OwnFailure),
}

/// Finds a name's addresses. Blocks.
pub(super) type Resolver = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Whose look-up, and of which name.
type Key = (TenantId, Arc<str>);

/// The look-ups under way.
pub(super) struct Lookups {
    resolver: Arc<Resolver>,
    turns: Semaphore,
    turns_of_tenants: TenantLimiter,
    under_way: Mutex<UnderWay>,
}

/// By name, but not shared by tenants, of whom one may have to wait for its turn where another need not.
type UnderWay = HashMap<Key, watch::Sender<Option<Found>>>;

impl Lookups {
    /// Look-ups by the operating system's resolver.
    pub(super) fn by_the_system() -> Arc<Self> {
        Self::by(Arc::new(|host: &str| (host, 0).to_socket_addrs().map(Vec::from_iter)))
    }

    pub(super) fn by(resolver: Arc<Resolver>) -> Arc<Self> {
        let turns = Semaphore::new(MAX_LOOKUPS);
        let turns_of_tenants = TenantLimiter::new(MAX_LOOKUPS_OF_TENANT);
        Arc::new(Self { resolver, turns, turns_of_tenants, under_way: Mutex::default() })
    }

    /// The addresses of `host`, for a request of `tenant`.
    ///
    /// # Errors
    /// If there are none, or the engine itself failed.
    pub(super) async fn find(self: &Arc<Self>, tenant: TenantId, host: &str) -> Found {
        let mut answer = self.join(tenant, host);
        match answer.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(found)) => found.clone(),
            _ => Err(NotFound::Name("the look-up came to nothing".into())),
        }
    }

    /// Waits with others who look for the same name, or begins to look. In a task of its own: whoever was first
    /// may be the first to lose patience.
    fn join(self: &Arc<Self>, tenant: TenantId, host: &str) -> watch::Receiver<Option<Found>> {
        let key: Key = (tenant, host.into());
        let mut under_way = self.under_way();
        if let Some(lookup) = under_way.get(&key) {
            return lookup.subscribe();
        }
        let (sender, receiver) = watch::channel(None);
        under_way.insert(key.clone(), sender.clone());
        tokio::spawn(Arc::clone(self).look_up(key, sender));
        receiver
    }

    async fn look_up(self: Arc<Self>, key: Key, lookup: watch::Sender<Option<Found>>) {
        let found = loop {
            tokio::select! {
                turns = self.turns(key.0) => {
                    // Held until the resolver returns, which it may do long after all have ceased to wait. Those who
                    // ask while it runs wait with it, rather than have it asked once more.
                    let _turns = turns;
                    break self.resolve(&key.1).await;
                }
                () = lookup.closed() => {}
            }
            // Nobody waits for its turn any more. Who asks does so under the lock.
            let mut under_way = self.under_way();
            if lookup.receiver_count() == 0 {
                under_way.remove(&key);
                return;
            }
        };
        self.under_way().remove(&key);
        lookup.send_replace(Some(found));
    }

    /// One of the tenant's turns, then one of all.
    async fn turns(&self, tenant: TenantId) -> (TenantPermit, Result<SemaphorePermit<'_>, AcquireError>) {
        (self.turns_of_tenants.acquire(tenant).await, self.turns.acquire().await)
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

    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
