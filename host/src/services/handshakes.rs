//! The handshakes of hooks whose receivers must allow deliveries first.
//!
//! A handshake is made in the background when a hook needs one: it is created, enabled, or has another URL. The result is
//! stored with the hook, and until it allows deliveries they wait. What a crash or a failure of storage interrupted is made
//! later, by the node that has the hook's deliveries.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::delivery::Dispatcher;
use crate::delivery::client::DeliveryClient;
use crate::delivery::handshake::{Answer, ask};
use crate::directory::{Directory, DirectoryError};
use crate::domain::receiver_options::{Handshake, HandshakeState, is_dns_name};
use crate::domain::{Actor, Hook, HookId, TenantId, UnixMillis};
use crate::sources::Sources;
use crate::tenant_limiter::TenantLimiter;

/// The most handshakes at the same time.
const MAX: usize = 64;
/// The most of one tenant.
const MAX_OF_TENANT: usize = 8;
/// A handshake that is pending for longer was interrupted, or waits for others.
const INTERRUPTED_AFTER: Duration = Duration::from_secs(60);
/// How often a result is stored if other nodes change the hook meanwhile.
const STORE_TRIES: usize = 3;
/// The most characters of a reason.
const MAX_REASON: usize = 300;
/// The origin if neither the operator nor the tenant has a name that can be one.
const DEFAULT_ORIGIN: &str = "hookwright";

/// See the module's head. Clones share everything.
#[derive(Clone)]
pub struct Handshakes(Arc<HandshakeMaker>);

struct HandshakeMaker {
    sources: Sources,
    directory: Arc<Directory>,
    dispatcher: Arc<Dispatcher>,
    client: DeliveryClient,
    /// The operator's choice.
    origin: Option<String>,
    limit: Semaphore,
    tenant_limit: TenantLimiter,
    /// The hooks whose handshake is being made in the background.
    in_progress: Mutex<HashSet<HookId>>,
}

impl Handshakes {
    /// Makes handshakes with `client`. `origin` names the sender, instead of the tenant's name.
    #[must_use]
    pub fn new(
        sources: &Sources,
        directory: &Arc<Directory>,
        dispatcher: &Arc<Dispatcher>,
        client: DeliveryClient,
        origin: Option<String>,
    ) -> Self {
        Self(Arc::new(HandshakeMaker {
            sources: sources.clone(),
            directory: Arc::clone(directory),
            dispatcher: Arc::clone(dispatcher),
            client,
            origin,
            limit: Semaphore::new(MAX),
            tenant_limit: TenantLimiter::new(MAX_OF_TENANT),
            in_progress: Mutex::default(),
        }))
    }

    /// Makes the handshakes that are pending: all of them now, and later those that were interrupted.
    /// Ends when nothing else uses this any more.
    pub async fn run(self) {
        self.start_pending(|_| true);
        let this = Arc::downgrade(&self.0);
        drop(self);
        loop {
            tokio::time::sleep(INTERRUPTED_AFTER).await;
            let Some(this) = this.upgrade().map(Self) else { return };
            let now = this.0.sources.now();
            this.start_pending(|hook| {
                this.0.dispatcher.owns(hook.id, hook.tenant) && was_interrupted(hook, now)
            });
        }
    }

    fn start_pending(&self, which: impl Fn(&Hook) -> bool) {
        for tenant in self.0.directory.tenants() {
            for hook in self.0.directory.hooks(tenant.id).iter().filter(|hook| which(hook)) {
                self.start(hook);
            }
        }
    }

    /// Makes the hook's handshake in the background, if it needs one.
    pub fn start(&self, hook: &Hook) {
        if !needs_handshake(hook) || !self.0.in_progress().insert(hook.id) {
            return;
        }
        let (this, tenant, id) = (self.clone(), hook.tenant, hook.id);
        tokio::spawn(async move {
            let _entry = Entry(&this.0, id);
            // The hook may change meanwhile, and need another one.
            while this.0.directory.hook_of(tenant, id).is_some_and(|hook| needs_handshake(&hook)) {
                if let Err(error) = this.make(&Actor::ENGINE, tenant, id).await {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(hook = %id, error, "cannot store the result of a handshake");
                    return;
                }
            }
        });
    }

    /// Makes the hook's handshake on behalf of `actor` and stores the result, if it has one.
    ///
    /// # Errors
    /// Fails if the result cannot be stored.
    pub async fn make(&self, actor: &Actor, tenant: TenantId, id: HookId) -> Result<(), DirectoryError> {
        let this = &*self.0;
        let _of_tenant = this.tenant_limit.acquire(tenant).await;
        let _of_all = this.limit.acquire().await;
        let Some(hook) = this.directory.hook_of(tenant, id) else { return Ok(()) };
        let Some(asked) = hook.handshake().filter(|_| !hook.unreadable) else { return Ok(()) };
        let origin = this.origin_of(tenant);
        let answer = ask(&this.client, &hook, &origin).await.unwrap_or_else(|_| {
            Answer::Refused("the engine could not send the request; make the handshake once more".to_owned())
        });
        let mut result = Handshake { origin, ..Handshake::pending(asked.requested_rate, this.sources.now()) };
        match answer {
            Answer::Allowed(rate) => (result.state, result.allowed_rate) = (HandshakeState::Allowed, rate),
            Answer::Refused(reason) => {
                result.state = HandshakeState::Refused;
                result.reason = Some(reason.chars().take(MAX_REASON).collect());
            }
        }
        this.store(actor, &hook, (asked, result)).await?;
        this.dispatcher.wake();
        Ok(())
    }
}

impl HandshakeMaker {
    /// Stores what came of the handshake, unless the hook needs another one now.
    async fn store(
        &self,
        actor: &Actor,
        hook: &Hook,
        (asked, result): (&Handshake, Handshake),
    ) -> Result<(), DirectoryError> {
        let mut tries = STORE_TRIES;
        loop {
            let change = |current: &Hook| {
                let mut changed = current.clone();
                let handshake = changed.options.receiver.as_mut().and_then(|it| it.handshake.as_mut());
                let is_same = |now: &&mut Handshake| {
                    current.url == hook.url
                        && now.requested_rate == asked.requested_rate
                        && now.since == asked.since
                };
                if let Some(handshake) = handshake.filter(is_same) {
                    *handshake = result.clone();
                }
                Ok::<_, DirectoryError>(changed)
            };
            tries -= 1;
            match self.directory.by(actor).change_hook(hook.tenant, hook.id, change).await {
                Err(DirectoryError::InUse(_)) if tries > 0 => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// The DNS name that identifies the sender.
    fn origin_of(&self, tenant: TenantId) -> String {
        let of_tenant = || self.directory.tenant(tenant).map(|tenant| tenant.name.clone());
        let origin = self.origin.clone().or_else(|| of_tenant().filter(|name| is_dns_name(name)));
        origin.unwrap_or_else(|| DEFAULT_ORIGIN.to_owned())
    }

    fn in_progress(&self) -> MutexGuard<'_, HashSet<HookId>> {
        self.in_progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn needs_handshake(hook: &Hook) -> bool {
    let is_pending = |handshake: &Handshake| handshake.state == HandshakeState::Pending;
    hook.enabled && !hook.unreadable && hook.handshake().is_some_and(is_pending)
}

/// Whether the node that began the hook's handshake will not end it.
fn was_interrupted(hook: &Hook, now: UnixMillis) -> bool {
    hook.handshake().is_some_and(|handshake| handshake.since.until(now) >= INTERRUPTED_AFTER)
}

/// Ends the work on a hook when it is dropped.
struct Entry<'a>(&'a HandshakeMaker, HookId);

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.0.in_progress().remove(&self.1);
    }
}
