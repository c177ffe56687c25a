//! Whether hooks fail, and circuit breakers: while nearly all attempts of a hook fail, its deliveries are held on disk, and
//! one at a time probes the receiver.
//!
//! A hook without failures has no record here, and its attempts cost the look at one number. Changes are stored by
//! [`HookHealthMonitor::sync`], and on several nodes those of others are taken over by it. To probe, a node must be the first
//! to move the end of the open circuit in storage: so there is one probe in all.

mod record;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use self::record::{HealthRecord, Probe, Shown};
use super::notices::{Notice, NoticeKind, Notices};
use super::work::Work;
use crate::domain::{Hook, HookHealth, HookId, OpenCircuit, Outcome, Trigger, UnixMillis};
use crate::storage::{HookStateStore, StorageError};

pub use self::record::HealthRules;

/// How long a probe may take beyond its hook's timeout, such as in plugins, before another one may follow.
const PROBE_MARGIN: Duration = Duration::from_secs(10);

/// See the module's head.
pub struct HookHealthMonitor {
    rules: HealthRules,
    notices: Notices,
    records: Mutex<FxHashMap<HookId, HealthRecord>>,
    /// How many hooks have a record.
    tracked: AtomicUsize,
    /// How many circuits are open.
    open: AtomicUsize,
    storage: Option<HealthStorage>,
    changed: Notify,
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
    /// One, if [`HookHealthMonitor::take_probe`] allows it.
    ProbeDue,
}

impl HookHealthMonitor {
    /// Creates a monitor that tells of changes through `notices`. Without `storage`, health ends with the process.
    #[must_use]
    pub fn new(rules: HealthRules, notices: Notices, storage: Option<HealthStorage>) -> Arc<Self> {
        Arc::new(Self {
            rules,
            notices,
            records: Mutex::default(),
            tracked: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            storage,
            changed: Notify::new(),
        })
    }

    /// A monitor with default rules that tells nobody.
    #[must_use]
    pub fn in_memory() -> Arc<Self> {
        let (notices, _) = Notices::channel();
        Self::new(HealthRules::default(), notices, None)
    }

    /// The health of a hook that is not well.
    pub fn unwell(&self, hook: HookId) -> Option<HookHealth> {
        if self.tracked.load(Relaxed) == 0 {
            return None;
        }
        self.records().get(&hook).filter(|record| record.is_unwell()).map(|record| record.stored(hook))
    }

    /// Whether deliveries of `hook` are held.
    pub fn is_shut(&self, hook: HookId) -> bool {
        self.open.load(Relaxed) > 0
            && self.records().get(&hook).is_some_and(|record| record.circuit.is_some())
    }

    /// Whether `hook`'s deliveries may be claimed at `now`.
    pub fn gate(&self, hook: HookId, now: UnixMillis) -> Gate {
        if self.open.load(Relaxed) == 0 {
            return Gate::Open;
        }
        match self.records().get(&hook).and_then(|record| record.circuit) {
            None => Gate::Open,
            Some(circuit) if circuit.until > now => Gate::ShutUntil(circuit.until),
            Some(_) => Gate::ProbeDue,
        }
    }

    /// Takes the right to probe for the next delivery of `hook`. False if another node was first.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn take_probe(&self, hook: &Hook, now: UnixMillis) -> Result<bool, StorageError> {
        let circuit = self.records().get(&hook.id).and_then(|record| record.circuit);
        let Some(expected) = circuit.map(|circuit| circuit.until) else { return Ok(true) };
        let until = now.plus(hook.timeout + PROBE_MARGIN);
        if let Some(HealthStorage { store, is_shared: true }) = &self.storage
            && !store.take_probe(hook.id, expected, until).await?
        {
            return Ok(false);
        }
        let mut records = self.records();
        let Some(record) = records.get_mut(&hook.id) else { return Ok(true) };
        // Another call may have taken over the new time already.
        let is_same = |circuit: &&mut OpenCircuit| circuit.until == expected || circuit.until == until;
        if let Some(circuit) = record.circuit.as_mut().filter(is_same) {
            circuit.until = until;
            record.probe = Probe::Next;
        }
        Ok(true)
    }

    /// Whether `work` is held because the circuit of its hook is open. The first one that asks after
    /// [`Self::take_probe`] is the probe.
    pub(super) fn holds(&self, work: &Work) -> bool {
        if self.open.load(Relaxed) == 0 || work.trigger == Trigger::Test {
            return false;
        }
        let mut records = self.records();
        let Some(record) = records.get_mut(&work.hook).filter(|record| record.circuit.is_some()) else {
            return false;
        };
        match record.probe {
            Probe::Next => {
                record.probe = Probe::By(work.delivery);
                false
            }
            Probe::By(delivery) => delivery != work.delivery,
            Probe::None => true,
        }
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
        let mut records = self.records();
        if shown == Shown::Success && !records.contains_key(&hook.id) {
            return None;
        }
        let record = records.entry(hook.id).or_insert_with(|| HealthRecord::new(hook.tenant));
        let changes = record.add(shown, work.delivery, (now, hook.updated_at), &self.rules);
        let health = record.stored(hook.id);
        if record.is_clean() {
            records.remove(&hook.id);
        }
        self.count(&records);
        drop(records);
        if changes.circuit || changes.began_to_fail || changes.recovered_from.is_some() {
            self.changed.notify_one();
        }
        self.tell(hook, work, &health, changes);
        changes.disable.then_some(health.reason)
    }

    fn tell(&self, hook: &Hook, work: &Work, health: &HookHealth, changes: record::Changes) {
        if changes.circuit {
            match health.circuit {
                Some(circuit) => {
                    let (until, reason) = (circuit.until.0, &health.reason);
                    tracing::warn!(tenant = %hook.tenant, hook = %hook.id, until, reason, "the circuit of a hook is open: its deliveries are held");
                }
                None => {
                    tracing::warn!(tenant = %hook.tenant, hook = %hook.id, "the circuit of a hook is closed");
                }
            }
        }
        let kind = if changes.began_to_fail {
            tracing::warn!(tenant = %hook.tenant, hook = %hook.id, reason = health.reason, "a hook is failing");
            NoticeKind::HookFailing {
                since: health.failing_since.unwrap_or_default(),
                failed: health.failed,
                attempts: health.attempts,
                reason: health.reason.clone(),
            }
        } else if let Some(failing_since) = changes.recovered_from {
            tracing::warn!(tenant = %hook.tenant, hook = %hook.id, "a hook has recovered");
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
        if let Some(record) =
            self.records().get_mut(&work.hook).filter(|it| it.probe == Probe::By(work.delivery))
        {
            record.probe_again(now);
        }
    }

    /// The hook was changed: if its circuit is open, its receiver is probed at once.
    pub fn hook_changed(&self, hook: HookId, now: UnixMillis) {
        if self.open.load(Relaxed) > 0
            && let Some(record) = self.records().get_mut(&hook)
        {
            record.probe_again(now);
        }
    }

    /// Loads what is stored.
    ///
    /// # Errors
    /// If storage cannot be read.
    pub async fn load(&self) -> Result<(), StorageError> {
        let Some(HealthStorage { store, .. }) = &self.storage else { return Ok(()) };
        let stored = store.unwell_hooks().await?;
        let mut records = self.records();
        records.extend(stored.iter().map(|one| (one.hook, HealthRecord::of(one))));
        self.count(&records);
        Ok(())
    }

    /// Waits until something has changed.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Stores what has changed, and takes over what other nodes have stored. `exists` tells whether there is such a hook.
    /// Returns whether circuits have changed by that.
    ///
    /// # Errors
    /// If storage fails. What has changed is stored by the next call.
    pub async fn sync(&self, exists: impl Fn(HookId) -> bool + Send) -> Result<bool, StorageError> {
        let Some(HealthStorage { store, is_shared }) = &self.storage else { return Ok(false) };
        if !is_shared && self.tracked.load(Relaxed) == 0 {
            return Ok(false);
        }
        let (unwell, well) = self.take_dirty(exists);
        if !(unwell.is_empty() && well.is_empty()) {
            let saved = store.save_health(unwell.clone(), well.clone()).await;
            if let Err(error) = saved {
                let mut records = self.records();
                for hook in unwell.iter().map(|one| one.hook).chain(well) {
                    records.entry(hook).and_modify(|record| record.is_dirty = true);
                }
                return Err(error);
            }
        }
        if !is_shared {
            return Ok(false);
        }
        let stored = store.unwell_hooks().await?;
        Ok(self.take_over(&stored))
    }

    fn take_dirty(&self, exists: impl Fn(HookId) -> bool) -> (Vec<HookHealth>, Vec<HookId>) {
        let mut records = self.records();
        let (mut unwell, mut well) = (Vec::new(), Vec::new());
        records.retain(|hook, _| exists(*hook));
        for (hook, record) in records.iter_mut().filter(|(_, record)| record.is_dirty) {
            record.is_dirty = false;
            record.is_stored = record.is_unwell();
            if record.is_stored {
                unwell.push(record.stored(*hook));
            } else {
                well.push(*hook);
            }
        }
        records.retain(|_, record| !record.is_clean());
        self.count(&records);
        (unwell, well)
    }

    fn take_over(&self, stored: &[HookHealth]) -> bool {
        let mut records = self.records();
        let mut changed = false;
        let known: rustc_hash::FxHashSet<HookId> = stored.iter().map(|one| one.hook).collect();
        for one in stored {
            let record = records.entry(one.hook).or_insert_with(|| HealthRecord::of(one));
            if !record.is_dirty {
                changed |= record.circuit != one.circuit;
                record.adopt(one);
            }
        }
        // Another node has seen a success.
        for (_, record) in
            records.iter_mut().filter(|(hook, it)| it.is_stored && !it.is_dirty && !known.contains(hook))
        {
            changed |= record.circuit.is_some();
            *record = HealthRecord::new(record.tenant);
        }
        records.retain(|_, record| !record.is_clean());
        self.count(&records);
        changed
    }

    fn count(&self, records: &FxHashMap<HookId, HealthRecord>) {
        self.tracked.store(records.len(), Relaxed);
        self.open.store(open_circuits(records), Relaxed);
    }

    fn records(&self) -> MutexGuard<'_, FxHashMap<HookId, HealthRecord>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open_circuits(records: &FxHashMap<HookId, HealthRecord>) -> usize {
    records.values().filter(|record| record.circuit.is_some()).count()
}

/// Why an attempt failed, in words.
pub(super) fn reason(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Response(response) => format!("the receiver answered with status {}", response.status),
        Outcome::TimedOut { after } => format!("no response within {} ms", after.as_millis()),
        Outcome::Unreachable { message, .. } => format!("the receiver cannot be reached: {message}"),
        Outcome::Faulted { step, fault } => format!("the plugin of step {step} failed: {}", fault.message),
        Outcome::Dropped { .. } => "a plugin dropped the event".to_owned(),
    }
}
