//! What the last attempts of one hook came to, and what follows from it. Pure: it reads no clock.
//!
//! A hook is *failing* after three failures in a row, or if at least half of the last ten or more attempts failed. Its circuit
//! opens if nearly all of the last attempts failed. While it is open, one delivery at a time probes the receiver: a success
//! closes the circuit, a failure keeps it open for longer.

use std::time::Duration;

use crate::domain::{DeliveryId, HookHealth, HookId, OpenCircuit, TenantId, UnixMillis};

/// So many failures in a row make a hook failing.
const IN_A_ROW: u32 = 3;
/// A share of failures counts from this many attempts on.
const MIN_ATTEMPTS: u32 = 10;

/// When circuits open, for how long, and when a hook is disabled.
#[derive(Debug, Clone)]
pub struct HealthRules {
    /// The share of the last attempts, in percent, that must fail for the circuit to open. `None`: it never opens.
    pub circuit_percent: Option<u32>,
    /// How many attempts are the last ones: 5 to 64.
    pub circuit_attempts: u32,
    /// How long the circuit is open at first. Each failed probe doubles it.
    pub open: Duration,
    /// How long it is open at most.
    pub max_open: Duration,
    /// After how long without a success a hook is disabled. `None`: never.
    pub disable_after: Option<Duration>,
}

impl Default for HealthRules {
    fn default() -> Self {
        Self {
            circuit_percent: Some(90),
            circuit_attempts: 20,
            open: Duration::from_secs(30),
            max_open: Duration::from_secs(600),
            disable_after: Some(Duration::from_secs(5 * 24 * 3600)),
        }
    }
}

/// What an attempt shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shown {
    /// The receiver accepted the delivery.
    Success,
    /// The receiver failed, or a plugin did.
    Failure {
        /// Why, in words.
        reason: String,
        /// Whether it was the receiver. The circuit protects receivers, not plugins.
        of_receiver: bool,
    },
}

/// What has changed by an attempt.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Changes {
    /// The hook is failing, and was not.
    pub began_to_fail: bool,
    /// Since when it failed that is not failing any more.
    pub recovered_from: Option<UnixMillis>,
    /// The circuit has opened or closed, or stays open for longer.
    pub circuit: bool,
    /// No attempt has succeeded for so long that the hook is disabled.
    pub disable: bool,
}

/// Who may probe the receiver while the circuit is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// Nobody.
    None,
    /// The next delivery that starts.
    Next,
    /// This delivery.
    By(DeliveryId),
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct HealthRecord {
    pub tenant: TenantId,
    /// The last attempts, the newest in the lowest bit: 1 is a failure.
    window: u64,
    attempts: u32,
    in_a_row: u32,
    all_failed_since: Option<UnixMillis>,
    pub failing_since: Option<UnixMillis>,
    pub reason: String,
    pub circuit: Option<OpenCircuit>,
    pub probe: Probe,
    /// Whether storage lacks what has changed.
    pub is_dirty: bool,
    /// Whether storage has a row.
    pub is_stored: bool,
}

impl HealthRecord {
    pub(super) fn new(tenant: TenantId) -> Self {
        Self {
            tenant,
            window: 0,
            attempts: 0,
            in_a_row: 0,
            all_failed_since: None,
            failing_since: None,
            reason: String::new(),
            circuit: None,
            probe: Probe::None,
            is_dirty: false,
            is_stored: false,
        }
    }

    /// Of what storage has. Which of the last attempts failed is not stored: the newest are taken for the failed ones.
    pub(super) fn of(stored: &HookHealth) -> Self {
        let mut record = Self::new(stored.tenant);
        record.adopt(stored);
        let failed = stored.failed.min(64);
        record.window = if failed == 64 { u64::MAX } else { (1 << failed) - 1 };
        record.attempts = stored.attempts.min(64);
        record.in_a_row = if stored.all_failed_since.is_some() { failed } else { 0 };
        record
    }

    /// Takes over what another node stored, or an earlier process.
    pub(super) fn adopt(&mut self, stored: &HookHealth) {
        self.failing_since = stored.failing_since;
        self.all_failed_since = stored.all_failed_since;
        self.reason.clone_from(&stored.reason);
        if stored.all_failed_since.is_none() {
            self.in_a_row = 0;
        }
        // A probe of this node may be younger than what was read.
        let is_older = match (self.circuit, stored.circuit) {
            (Some(own), Some(read)) => self.probe != Probe::None && read.until < own.until,
            _ => false,
        };
        if self.circuit != stored.circuit && !is_older {
            self.probe = Probe::None;
            self.circuit = stored.circuit;
        }
        self.is_stored = true;
    }

    /// What storage keeps.
    pub(super) fn stored(&self, hook: HookId) -> HookHealth {
        HookHealth {
            hook,
            tenant: self.tenant,
            failing_since: self.failing_since,
            all_failed_since: self.all_failed_since,
            failed: self.failed(),
            attempts: self.attempts,
            reason: self.reason.clone(),
            circuit: self.circuit,
        }
    }

    /// Whether there is anything to tell others.
    pub(super) fn is_unwell(&self) -> bool {
        self.failing_since.is_some() || self.circuit.is_some()
    }

    /// Whether it can be forgotten.
    pub(super) fn is_clean(&self) -> bool {
        !self.is_unwell() && self.window == 0 && !self.is_dirty && !self.is_stored
    }

    pub(super) fn failed(&self) -> u32 {
        self.window.count_ones()
    }

    /// Takes in an attempt of `delivery` that ended at `now`, of a hook that was last changed at `changed_at`.
    pub(super) fn add(
        &mut self,
        shown: Shown,
        delivery: DeliveryId,
        (now, changed_at): (UnixMillis, UnixMillis),
        rules: &HealthRules,
    ) -> Changes {
        let mut changes = Changes::default();
        let is_failure = shown != Shown::Success;
        self.window = (self.window << 1) | u64::from(is_failure);
        if rules.circuit_attempts < 64 {
            self.window &= (1 << rules.circuit_attempts) - 1;
        }
        self.attempts = (self.attempts + 1).min(rules.circuit_attempts);
        match shown {
            Shown::Success => self.succeeded(&mut changes),
            Shown::Failure { reason, of_receiver } => {
                self.reason = reason;
                self.in_a_row += 1;
                // Others must know that a success ended, or theirs would end these failures.
                self.is_dirty |= self.is_stored && self.all_failed_since.is_none();
                let since = *self.all_failed_since.get_or_insert(now);
                // Other nodes know since when it is failing, from an earlier attempt on: a success of one of them would
                // have ended it. A change of the hook starts the time again.
                if let (Some(after), Some(failing_since)) = (rules.disable_after, self.failing_since) {
                    let since = since.max(failing_since).max(changed_at);
                    changes.disable = self.in_a_row >= IN_A_ROW && since.until(now) >= after;
                }
                if of_receiver || self.probe == Probe::By(delivery) {
                    changes.circuit = self.open(delivery, now, rules);
                }
            }
        }
        let is_failing = self.is_failing(rules) || self.circuit.is_some();
        match self.failing_since {
            None if is_failing => {
                self.failing_since = self.all_failed_since.or(Some(now));
                changes.began_to_fail = true;
            }
            Some(since) if !is_failing => {
                self.failing_since = None;
                changes.recovered_from = Some(since);
            }
            _ => {}
        }
        self.is_dirty |= changes.began_to_fail || changes.recovered_from.is_some() || changes.circuit;
        changes
    }

    fn succeeded(&mut self, changes: &mut Changes) {
        self.in_a_row = 0;
        // Others count from it.
        self.is_dirty |= self.is_stored && self.all_failed_since.is_some();
        self.all_failed_since = None;
        if self.circuit.take().is_some() {
            // The failures before would open it again at once.
            (self.window, self.attempts) = (0, 1);
            self.probe = Probe::None;
            changes.circuit = true;
        }
    }

    fn is_failing(&self, rules: &HealthRules) -> bool {
        let enough = self.attempts >= MIN_ATTEMPTS.min(rules.circuit_attempts);
        self.in_a_row >= IN_A_ROW || (enough && 2 * self.failed() >= self.attempts)
    }

    /// Opens the circuit if enough attempts failed, or keeps it open for longer after a failed probe. Returns whether it did.
    fn open(&mut self, delivery: DeliveryId, now: UnixMillis, rules: &HealthRules) -> bool {
        let (since, failed_probes) = match self.circuit {
            Some(circuit) if self.probe == Probe::By(delivery) => (circuit.since, circuit.failed_probes + 1),
            // It started before the circuit opened.
            Some(_) => return false,
            None => (now, 0),
        };
        let opens = rules.circuit_percent.is_some_and(|percent| {
            self.attempts >= rules.circuit_attempts && 100 * self.failed() >= percent * self.attempts
        });
        if self.circuit.is_none() && !opens {
            return false;
        }
        let open = rules.open.saturating_mul(1 << failed_probes.min(20)).min(rules.max_open);
        self.circuit = Some(OpenCircuit { since, until: now.plus(open), failed_probes });
        self.probe = Probe::None;
        true
    }

    /// The next delivery that starts is the probe, and no other one before `until`, if the circuit is still open until
    /// `expected`. Another call may have taken over `until` already.
    pub(super) fn may_probe(&mut self, expected: UnixMillis, until: UnixMillis) {
        if let Some(circuit) = &mut self.circuit
            && (circuit.until == expected || circuit.until == until)
        {
            circuit.until = until;
            self.probe = Probe::Next;
        }
    }

    /// The probe has shown nothing, or the hook was changed: another one may follow at once.
    pub(super) fn probe_again(&mut self, now: UnixMillis) {
        if let Some(circuit) = &mut self.circuit {
            circuit.until = circuit.until.min(now);
            self.probe = Probe::None;
            self.is_dirty = true;
        }
    }
}

#[cfg(test)]
mod tests;
