//! Whether hooks fail, and circuit breakers: while nearly all attempts of a hook fail, its deliveries are held on disk, and
//! one at a time probes the receiver.
//!
//! A hook without failures has no record here, and its attempts cost the look at one number. Changes are stored by
//! [`HookHealthMonitor::sync`], and on several nodes those of others are taken over by it. To probe, a node must be the first
//! to move the end of the open circuit in storage: so there is one probe in all.

mod fuel;
mod log;
mod record;
mod records;

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use rustc_hash::FxHashSet;
use tokio::sync::Notify;

use self::record::{Probe, Shown};
use self::records::HealthRecords;
use super::notices::{Notice, NoticeKind, Notices};
use super::reason::reason;
use super::work::Work;
use crate::domain::{Hook, HookHealth, HookId, Outcome, Trigger, UnixMillis};
use crate::storage::{HealthChanges, HookStateStore, ProbeClaim, StorageError};

pub use self::fuel::Fuel;
pub use self::record::HealthRules;

/// How long a probe may take beyond its hook's timeout, such as in plugins, before another one may follow.
const PROBE_MARGIN: Duration = Duration::from_secs(10);
/// So many calls of [`HookHealthMonitor::sync`] later, everything is read again, and deleted hooks are forgotten.
const WHOLE_EVERY: u32 = 60;
/// How many records of other nodes are taken over under one lock. Attempts wait for it.
const LOCKED_STEP: usize = 256;

/// See the module's head.
pub struct HookHealthMonitor {
    rules: RwLock<HealthRules>,
    notices: Notices,
    records: Mutex<HealthRecords>,
    /// How many hooks have a record.
    tracked: AtomicUsize,
    /// How many circuits are open.
    open: AtomicUsize,
    storage: Option<HealthStorage>,
    /// As of when changes of other nodes are known, by the database's clock. 0: everything must be read.
    read_at: AtomicI64,
    syncs: AtomicU32,
    changed: Notify,
    /// Hooks that are held because their tenant's fuel is used up.
    fuel: Fuel,
}

/// Where health is stored.
pub struct HealthStorage {
    /// The store.
    pub store: Arc<dyn HookStateStore>,
    /// Whether other nodes use it, too.
    pub is_shared: bool,
}

/// Whether deliveries of a hook may be claimed from disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// The circuit is closed.
    Open,
    /// None before this time.
    ShutUntil(UnixMillis),
    /// One, if [`HookHealthMonitor::take_probes`] allows it.
    ProbeDue,
}

impl HookHealthMonitor {
    /// Creates a monitor that tells of changes through `notices`. Without `storage`, health ends with the process.
    #[must_use]
    pub fn new(rules: HealthRules, notices: Notices, storage: Option<HealthStorage>) -> Arc<Self> {
        Arc::new(Self {
            rules: RwLock::new(rules),
            fuel: Fuel::new(notices.clone()),
            notices,
            records: Mutex::default(),
            tracked: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            storage,
            read_at: AtomicI64::new(0),
            syncs: AtomicU32::new(0),
            changed: Notify::new(),
        })
    }

    /// A monitor with default rules that tells nobody.
    #[must_use]
    pub fn in_memory() -> Arc<Self> {
        let (notices, _) = Notices::channel();
        Self::new(HealthRules::default(), notices, None)
    }

    /// Judges further attempts by these.
    pub fn replace_rules(&self, rules: HealthRules) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// The health of a hook that is not well.
    pub fn unwell(&self, hook: HookId) -> Option<HookHealth> {
        if self.tracked.load(Relaxed) == 0 {
            return None;
        }
        self.records().get(hook).filter(|record| record.is_unwell()).map(|record| record.stored(hook))
    }

    /// Whether deliveries of `hook` are held.
    pub fn is_shut(&self, hook: HookId) -> bool {
        let is_open = || self.records().get(hook).is_some_and(|record| record.circuit.is_some());
        (self.open.load(Relaxed) > 0 && is_open()) || self.fuel.held_until(hook).is_some()
    }

    /// The fuel of tenants, and the hooks that are held because it is used up.
    #[must_use]
    pub fn fuel(&self) -> &Fuel {
        &self.fuel
    }

    /// Whether `hook`'s deliveries may be claimed at `now`.
    pub fn gate(&self, hook: HookId, now: UnixMillis) -> Gate {
        if let Some(until) = self.fuel.held_until(hook).filter(|until| *until > now) {
            return Gate::ShutUntil(until);
        }
        if self.open.load(Relaxed) == 0 {
            return Gate::Open;
        }
        match self.records().get(hook).and_then(|record| record.circuit) {
            None => Gate::Open,
            Some(circuit) if circuit.until > now => Gate::ShutUntil(circuit.until),
            Some(_) => Gate::ProbeDue,
        }
    }

    /// Takes the right to probe for the next delivery of each of these hooks, given their timeouts. Returns those for which
    /// no other node was first.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn take_probes(
        &self,
        hooks: &[(HookId, Duration)],
        now: UnixMillis,
    ) -> Result<FxHashSet<HookId>, StorageError> {
        let (mut taken, mut claims) = (FxHashSet::default(), Vec::new());
        let shared = self.storage.as_ref().filter(|storage| storage.is_shared);
        self.with(|records| {
            for (hook, timeout) in hooks {
                let until = now.plus(*timeout + PROBE_MARGIN);
                let Some((expected, is_dirty)) =
                    records.get(*hook).and_then(|it| Some((it.circuit?.until, it.is_dirty)))
                else {
                    taken.insert(*hook);
                    continue;
                };
                // A circuit that could not be stored is probed all the same: others do not know of it.
                if shared.is_none() || is_dirty {
                    taken.insert(*hook);
                    records.change(*hook, |record| record.may_probe(expected, until));
                } else {
                    claims.push(ProbeClaim { hook: *hook, expected, until });
                }
            }
        });
        let Some(HealthStorage { store, .. }) = shared.filter(|_| !claims.is_empty()) else {
            return Ok(taken);
        };
        let first = store.take_probes(&claims).await?;
        taken.extend(first);
        self.with(|records| {
            for ProbeClaim { hook, expected, until } in claims {
                if taken.contains(&hook) {
                    records.change(hook, |record| record.may_probe(expected, until));
                } else {
                    // What is known of it here is old.
                    records.change(hook, |record| record.probe = Probe::None);
                    self.read_at.store(0, Relaxed);
                }
            }
        });
        Ok(taken)
    }

    /// Whether `work` is held because the circuit of its hook is open. The first one that asks after
    /// [`Self::take_probes`] is the probe.
    pub(super) fn holds(&self, work: &Work) -> bool {
        if self.open.load(Relaxed) == 0 || work.trigger == Trigger::Test {
            return false;
        }
        let holds = |record: &mut record::HealthRecord| match record.probe {
            _ if record.circuit.is_none() => false,
            Probe::Next => {
                record.probe = Probe::By(work.delivery);
                false
            }
            Probe::By(delivery) => delivery != work.delivery,
            Probe::None => true,
        };
        self.with(|records| records.change(work.hook, holds)).unwrap_or(false)
    }

    /// Takes in an attempt. Returns why to disable the hook, if it must be.
    pub(super) fn observe(
        &self,
        hook: &Hook,
        work: &Work,
        outcome: &Outcome,
        now: UnixMillis,
    ) -> Option<String> {
        let shown = match outcome {
            Outcome::Response(response) if response.is_success() => Shown::Success,
            Outcome::Dropped { .. } => {
                self.probe_ended(work, now);
                return None;
            }
            // A test that fails shows how far a person has come in mending the hook.
            _ if work.trigger == Trigger::Test => return None,
            Outcome::Faulted { .. } => Shown::Failure { reason: reason(outcome), of_receiver: false },
            _ => Shown::Failure { reason: reason(outcome), of_receiver: true },
        };
        let nothing_to_mend = shown == Shown::Success && self.tracked.load(Relaxed) == 0;
        let counts = work.trigger == Trigger::Event || self.is_shut(hook.id);
        if nothing_to_mend || !counts {
            return None;
        }
        let is_success = shown == Shown::Success;
        let add = |record: &mut record::HealthRecord| {
            let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
            let changes = record.add(shown, work.delivery, (now, hook.updated_at), &rules);
            (changes != record::Changes::default()).then(|| (changes, record.stored(hook.id)))
        };
        let changed = self.with(|records| match is_success {
            true => records.change(hook.id, add),
            false => records.change_or_add((hook.id, hook.tenant), add),
        });
        let (changes, health) = changed.flatten()?;
        if changes.circuit || changes.began_to_fail || changes.recovered_from.is_some() {
            self.changed.notify_one();
        }
        log::log(hook, work, (outcome, &health), changes);
        self.tell(hook, work, &health, changes);
        changes.disable.then_some(health.reason)
    }

    fn tell(&self, hook: &Hook, work: &Work, health: &HookHealth, changes: record::Changes) {
        let kind = if changes.began_to_fail {
            NoticeKind::HookFailing {
                since: health.failing_since.unwrap_or_default(),
                failed: health.failed,
                attempts: health.attempts,
                reason: health.reason.clone(),
            }
        } else if let Some(failing_since) = changes.recovered_from {
            NoticeKind::HookRecovered { failing_since }
        } else {
            return;
        };
        if !work.event.event_type.is_operational() {
            self.notices.send(Notice { tenant: hook.tenant, hook: Some(hook.id), kind });
        }
    }

    /// The attempt has shown nothing of the receiver. If it was the probe, another one may follow at once.
    pub(super) fn probe_ended(&self, work: &Work, now: UnixMillis) {
        if self.open.load(Relaxed) == 0 {
            return;
        }
        self.with(|records| {
            records.change(work.hook, |record| {
                if record.probe == Probe::By(work.delivery) {
                    record.probe_again(now);
                }
            })
        });
    }

    /// The hook was changed: if its circuit is open, its receiver is probed at once.
    pub fn hook_changed(&self, hook: HookId, now: UnixMillis) {
        if self.open.load(Relaxed) > 0 {
            self.with(|records| records.change(hook, |record| record.probe_again(now)));
        }
    }

    /// Loads what is stored.
    ///
    /// # Errors
    /// If storage cannot be read.
    pub async fn load(&self) -> Result<(), StorageError> {
        let Some(HealthStorage { store, .. }) = &self.storage else { return Ok(()) };
        let stored = store.unwell_hooks().await?;
        self.with(|records| stored.iter().for_each(|one| records.take_over(one)));
        Ok(())
    }

    /// Waits until something has changed that storage needs soon, or that lets deliveries go.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Whether, since the last call, a circuit has closed or is probed earlier than before: what is held may go.
    pub fn take_released(&self) -> bool {
        self.records().take_released()
    }

    /// Stores what has changed, and takes over what other nodes have stored. `exists` tells whether there is such a hook.
    ///
    /// # Errors
    /// If storage fails. What has changed is stored by the next call.
    pub async fn sync(&self, exists: impl Fn(HookId) -> bool + Send) -> Result<(), StorageError> {
        let Some(HealthStorage { store, is_shared }) = &self.storage else { return Ok(()) };
        let is_whole = self.syncs.fetch_add(1, Relaxed).is_multiple_of(WHOLE_EVERY);
        if is_whole {
            let mut deleted = self.records().hooks();
            deleted.retain(|hook| !exists(*hook));
            self.with(|records| records.forget(&deleted));
        }
        let (unwell, well) = self.with(HealthRecords::take_dirty);
        if !(unwell.is_empty() && well.is_empty())
            && let Err(error) = store.save_health(unwell.clone(), well.clone()).await
        {
            self.with(|records| records.not_stored(&unwell, &well));
            return Err(error);
        }
        if *is_shared {
            let read_at = self.read_at.swap(0, Relaxed);
            let since = (!is_whole && read_at != 0).then_some(UnixMillis(read_at));
            let changes = store.health_since(since).await?;
            self.read_at.store(changes.read_at.0, Relaxed);
            self.take_over(changes);
        }
        Ok(())
    }

    fn take_over(&self, HealthChanges { unwell, well, .. }: HealthChanges) {
        for some in unwell.chunks(LOCKED_STEP) {
            self.with(|records| some.iter().for_each(|one| records.take_over(one)));
        }
        let well = well.unwrap_or_else(|| {
            let known: FxHashSet<HookId> = unwell.iter().map(|one| one.hook).collect();
            let mut stored = self.records().stored_hooks();
            stored.retain(|hook| !known.contains(hook));
            stored
        });
        self.with(|records| well.iter().for_each(|hook| records.recovered(*hook)));
    }

    /// Changes records, and notes how many there are then.
    fn with<T>(&self, change: impl FnOnce(&mut HealthRecords) -> T) -> T {
        let mut records = self.records();
        let was_released = records.is_released();
        let result = change(&mut records);
        self.tracked.store(records.len(), Relaxed);
        self.open.store(records.open(), Relaxed);
        if records.is_released() && !was_released {
            self.changed.notify_one();
        }
        result
    }

    fn records(&self) -> MutexGuard<'_, HealthRecords> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
