//! In which state hooks are, what they have missed, and pausing tenants and the engine.

use std::sync::Arc;

use crate::delivery::Dispatcher;
use crate::directory::Directory;
use crate::domain::{
    Actor, DeliveryId, Disabled, DisabledWhy, EventKey, EventType, Flow, Hook, HookId, UnixMillis,
};
use crate::sources::Sources;
use crate::storage::{Missed, MissedQuery, Storage, StorageError};

/// Counts of deliveries that are held end here.
pub const MAX_HELD: u32 = 10_000;
/// How many deliveries one transaction of a recovery makes.
const RECOVERED_AT_ONCE: u32 = 250;
/// How many deliveries one call of a recovery makes, about.
const MAX_RECOVERED: usize = 10_000;
/// How many searches one call makes. Each visits some thousand events.
const MAX_SEARCHES: usize = 40;

/// Tells states of hooks, and changes what is held. Clones share one service.
#[derive(Clone)]
pub struct HookStates {
    sources: Sources,
    directory: Arc<Directory>,
    storage: Storage,
    dispatcher: Arc<Dispatcher>,
}

/// The state of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookState {
    /// Its last attempts succeeded, or there were none.
    Ok,
    /// Its attempts fail.
    Failing {
        /// Since when.
        since: UnixMillis,
        /// How many of the last attempts failed.
        failed: u32,
        /// How many attempts are the last ones.
        attempts: u32,
        /// Why the last one failed.
        reason: String,
    },
    /// Nearly all attempts fail: deliveries are held until a probe succeeds.
    CircuitOpen {
        /// Since when.
        since: UnixMillis,
        /// When the receiver is probed.
        until: UnixMillis,
        /// Why the last attempt failed.
        reason: String,
    },
    /// Deliveries are held until the receiver allows them.
    AwaitingPermission {
        /// Since when.
        since: UnixMillis,
        /// Why the receiver has not allowed them, if it was asked.
        reason: Option<String>,
    },
    /// Deliveries are held.
    Paused {
        /// Since when.
        since: UnixMillis,
        /// What is paused: `hook`, `tenant` or `engine`.
        paused: &'static str,
    },
    /// It gets no deliveries of new events.
    Disabled(Disabled),
}

impl HookState {
    /// The names of all states but `ok`.
    pub const UNWELL: [&str; 5] = ["failing", "circuit_open", "awaiting_permission", "paused", "disabled"];

    /// The name in APIs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failing { .. } => "failing",
            Self::CircuitOpen { .. } => "circuit_open",
            Self::AwaitingPermission { .. } => "awaiting_permission",
            Self::Paused { .. } => "paused",
            Self::Disabled(_) => "disabled",
        }
    }

    /// Since when it is in this state; `None` if it is in order.
    #[must_use]
    pub fn since(&self) -> Option<UnixMillis> {
        match self {
            Self::Ok => None,
            Self::Failing { since, .. }
            | Self::CircuitOpen { since, .. }
            | Self::AwaitingPermission { since, .. }
            | Self::Paused { since, .. } => Some(*since),
            Self::Disabled(disabled) => Some(disabled.since),
        }
    }
}

/// What a call of [`HookStates::recover`] has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// How many deliveries.
    pub deliveries: usize,
    /// After which event to go on; `None` if all is done.
    pub searched_to: Option<EventKey>,
}

impl HookStates {
    /// Creates the service from the parts of the engine that it uses.
    #[must_use]
    pub fn new(
        sources: Sources,
        directory: Arc<Directory>,
        storage: Storage,
        dispatcher: Arc<Dispatcher>,
    ) -> Self {
        Self { sources, directory, storage, dispatcher }
    }

    /// The state of `hook`: the first of disabled, paused, awaiting permission, circuit open and failing that it is in.
    #[must_use]
    pub fn state_of(&self, hook: &Hook) -> HookState {
        if !hook.enabled {
            // An older node does not say why it disabled a hook.
            let unknown = Disabled { why: DisabledWhy::ByHand, since: hook.updated_at };
            return HookState::Disabled(hook.options.disabled.unwrap_or(unknown));
        }
        let of_hook = hook.options.paused.then(|| hook.options.paused_since.unwrap_or(hook.updated_at));
        let paused = of_hook
            .map(|since| (since, "hook"))
            .or_else(|| Some((self.directory.tenant_paused_since(hook.tenant)?, "tenant")))
            .or_else(|| Some((self.directory.engine_paused_since()?, "engine")));
        if let Some((since, paused)) = paused {
            return HookState::Paused { since, paused };
        }
        if let Some(handshake) = hook.handshake().filter(|handshake| !handshake.is_allowed()) {
            return HookState::AwaitingPermission {
                since: handshake.since,
                reason: handshake.reason.clone(),
            };
        }
        let Some(health) = self.dispatcher.health().unwell(hook.id) else { return HookState::Ok };
        match (health.circuit, health.failing_since) {
            (Some(circuit), _) => {
                HookState::CircuitOpen { since: circuit.since, until: circuit.until, reason: health.reason }
            }
            (None, Some(since)) => HookState::Failing {
                since,
                failed: health.failed,
                attempts: health.attempts,
                reason: health.reason,
            },
            (None, None) => HookState::Ok,
        }
    }

    /// The hooks of all tenants whose state is not `ok`, and since when it is what it is. Looks at every hook.
    #[must_use]
    pub fn unwell(&self) -> Vec<(Arc<Hook>, HookState, UnixMillis)> {
        let hooks = self.directory.all_hooks().into_iter();
        let of_hook = |hook: Arc<Hook>| {
            let state = self.state_of(&hook);
            let since = state.since()?;
            Some((hook, state, since))
        };
        hooks.filter_map(of_hook).collect()
    }

    /// Whether deliveries of `hook` may wait because of a limit of its own or its tenant's, or for one another.
    #[must_use]
    pub fn is_limited(&self, hook: &Hook) -> bool {
        let has_limit = |flow: Arc<Flow>| flow.max_per_second.is_some() || flow.max_in_flight.is_some();
        let tenant = self.directory.tenant(hook.tenant);
        hook.ordering().is_some()
            || hook.flow().is_some_and(has_limit)
            || tenant.is_some_and(|tenant| tenant.options.max_per_second.is_some())
    }

    /// How many deliveries of `hook` are not final, up to [`MAX_HELD`].
    ///
    /// # Errors
    /// If storage fails.
    pub async fn unfinished(&self, hook: HookId) -> Result<u32, StorageError> {
        self.storage.hook_states.unfinished(hook, MAX_HELD).await
    }

    /// Pauses the engine on all nodes, or resumes it. Returns since when it is paused.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn pause_engine(
        &self,
        actor: &Actor,
        paused: bool,
    ) -> Result<Option<UnixMillis>, StorageError> {
        let since = self.directory.by(actor).pause_engine(paused).await?;
        self.dispatcher.wake();
        Ok(since)
    }

    /// Events that `hook` subscribes to and has no delivery of, oldest first: at most `limit`, accepted between the
    /// keys of `range`. Also says after which key to search on.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn missed(
        &self,
        hook: &Hook,
        range: (EventKey, EventKey),
        limit: u32,
    ) -> Result<Missed, StorageError> {
        self.search(hook, range, limit, &mut { MAX_SEARCHES }).await
    }

    /// The same, with at most so many `searches`. It leaves those that it does not need.
    async fn search(
        &self,
        hook: &Hook,
        (mut after, before): (EventKey, EventKey),
        limit: u32,
        searches: &mut usize,
    ) -> Result<Missed, StorageError> {
        let mut found = Missed { events: Vec::new(), searched_to: Some(after) };
        while *searches > 0 {
            *searches -= 1;
            let left = limit.saturating_sub(u32::try_from(found.events.len()).unwrap_or(limit));
            let query = MissedQuery { tenant: hook.tenant, hook: hook.id, after, before, limit: left };
            let wanted = |event_type: &EventType, project| hook.wants(event_type, project);
            let Missed { events, searched_to } = self.storage.hook_states.missed(&query, &wanted).await?;
            found.events.extend(events);
            found.searched_to = searched_to;
            match searched_to {
                Some(last) => after = last,
                None => break,
            }
            if found.events.len() >= limit as usize {
                break;
            }
        }
        Ok(found)
    }

    /// Makes deliveries of what `hook` has missed, oldest first. A call makes a limited number: go on after
    /// [`Recovered::searched_to`]. Each event gets one delivery, however often this is called.
    ///
    /// # Errors
    /// If storage fails. What was made before stays.
    pub async fn recover(
        &self,
        hook: &Hook,
        (mut after, before): (EventKey, EventKey),
    ) -> Result<Recovered, StorageError> {
        let (mut deliveries, mut searches) = (0, MAX_SEARCHES);
        while searches > 0 && deliveries < MAX_RECOVERED {
            let missed = self.search(hook, (after, before), RECOVERED_AT_ONCE, &mut searches).await?;
            let now = self.sources.now();
            let ids = &self.sources.ids;
            let new = missed.events.into_iter().map(|event| (event, DeliveryId::generate(ids, now)));
            let made = self
                .storage
                .hook_states
                .replay(hook.tenant, (hook.id, hook.ordering()), new.collect(), now)
                .await?;
            deliveries += made.len();
            if !made.is_empty() {
                self.dispatcher.stored_on_disk(hook.id, hook.tenant);
            }
            match missed.searched_to {
                Some(last) => after = last,
                None => return Ok(Recovered { deliveries, searched_to: None }),
            }
        }
        Ok(Recovered { deliveries, searched_to: Some(after) })
    }
}
