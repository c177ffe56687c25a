//! Failed logins: counted per address, logged in one line a minute, and throttled.
//!
//! Nobody guesses a generated key, but each try makes the engine work, and its operator should know. An address with too many
//! failures is answered with 429. A tenant's key, which cannot be guessed, is still accepted from there; the operator's key,
//! which people choose, is not. Addresses beyond the first [`MAX_ADDRESSES`] share one count, and only their failures are throttled:
//! else an attacker with many addresses would lock the operator out.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::metrics::http_server;

/// Failed logins that an address may have in a row before it is throttled.
const BURST: u64 = 60;
/// One more is allowed after each such interval.
const REFILL_MS: u64 = 1_000;
/// Addresses with a count of their own.
const MAX_ADDRESSES: usize = 4_096;
/// Lines that are logged in one interval.
const MAX_LINES: usize = 20;

/// See the module's head.
#[derive(Debug, Default)]
pub struct FailedLogins(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// By address; `None` for those that share one count.
    of_address: HashMap<Option<IpAddr>, Failures>,
    /// Lines that were logged since the last report.
    lines: usize,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    /// Failures that count, as of `at_ms`.
    level: u64,
    at_ms: u64,
    not_logged: u64,
}

impl Failures {
    fn new(now_ms: u64) -> Self {
        Self { level: 0, at_ms: now_ms, not_logged: 0 }
    }

    fn decay(&mut self, now_ms: u64) {
        let steps = now_ms.saturating_sub(self.at_ms) / REFILL_MS;
        self.level = self.level.saturating_sub(steps);
        self.at_ms = if self.level == 0 { now_ms } else { self.at_ms + steps * REFILL_MS };
    }
}

impl FailedLogins {
    /// Counts a failed login from `address`. Returns whether it is throttled.
    pub(super) fn count(&self, address: IpAddr, now_ms: u64) -> bool {
        http_server::FAILED_LOGINS.increment();
        let mut table = self.lock();
        let key = table.key(address);
        let is_first = !table.of_address.contains_key(&key);
        let failures = table.of_address.entry(key).or_insert_with(|| Failures::new(now_ms));
        failures.decay(now_ms);
        let is_throttled = failures.level >= BURST;
        failures.level = (failures.level + 1).min(BURST);
        failures.not_logged += 1;
        // The first is logged at once, the others together.
        if is_first && table.lines < MAX_LINES {
            table.lines += 1;
            table.log(key);
        }
        is_throttled
    }

    /// Whether the next failed login from `address` would be throttled. False for an address without a count of its own, because
    /// its failures may be those of others.
    pub(super) fn is_throttled(&self, address: IpAddr, now_ms: u64) -> bool {
        let mut table = self.lock();
        let Some(failures) = table.of_address.get_mut(&Some(address)) else { return false };
        failures.decay(now_ms);
        failures.level >= BURST
    }

    /// Logs what was not logged yet, and forgets addresses without recent failures. Called once a minute.
    pub(super) fn report(&self, now_ms: u64) {
        let mut table = self.lock();
        table.lines = 0;
        let mut failing: Vec<_> = table.of_address.iter().filter(|(_, it)| it.not_logged > 0).collect();
        failing.sort_unstable_by_key(|(_, failures)| Reverse(failures.not_logged));
        let failing: Vec<_> = failing.into_iter().map(|(key, _)| *key).collect();
        for key in failing.iter().take(MAX_LINES) {
            table.log(*key);
        }
        if let Some(others) = failing.get(MAX_LINES..).filter(|others| !others.is_empty()) {
            let failures: u64 =
                others.iter().filter_map(|key| table.of_address.get(key)).map(|it| it.not_logged).sum();
            tracing::warn!(addresses = others.len(), failures, "failed logins from more addresses");
        }
        table.forget(now_ms);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn key(&self, address: IpAddr) -> Option<IpAddr> {
        let key = Some(address);
        let has_own_count = self.of_address.contains_key(&key) || self.of_address.len() < MAX_ADDRESSES;
        key.filter(|_| has_own_count)
    }

    fn log(&mut self, key: Option<IpAddr>) {
        let Some(failures) = self.of_address.get_mut(&key) else { return };
        let count = std::mem::take(&mut failures.not_logged);
        match key {
            Some(address) => tracing::warn!(%address, failures = count, "failed logins"),
            None => tracing::warn!(failures = count, "failed logins from other addresses"),
        }
    }

    fn forget(&mut self, now_ms: u64) {
        self.of_address.retain(|_, failures| {
            failures.not_logged = 0;
            failures.decay(now_ms);
            failures.level > 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    #[test]
    fn an_address_that_fails_too_often_is_throttled_for_a_while() {
        let logins = FailedLogins::default();
        assert!((0..BURST).all(|_| !logins.count(address(1), 0)));
        assert!(logins.count(address(1), 0));
        assert!(logins.is_throttled(address(1), 0));
        assert!(!logins.is_throttled(address(2), 0));
        assert!(!logins.count(address(1), REFILL_MS));
        assert!(logins.count(address(1), REFILL_MS));
        assert!(!logins.is_throttled(address(1), BURST * REFILL_MS * 2));
    }

    #[test]
    fn counts_are_bounded_and_forgotten() {
        let logins = FailedLogins::default();
        for n in 0..10_000 {
            logins.count(address(n), 0);
        }
        assert_eq!(logins.lock().of_address.len(), MAX_ADDRESSES + 1);
        assert!(logins.count(address(20_000), 0), "failures that share one count are throttled together");
        assert!(!logins.is_throttled(address(20_000), 0), "others locked out an address that never failed");
        logins.report(BURST * REFILL_MS);
        assert_eq!(logins.lock().of_address.len(), 0);
    }

    #[test]
    fn many_failures_are_one_line() {
        let logins = FailedLogins::default();
        for _ in 0..1_000 {
            logins.count(address(1), 0);
        }
        let table = logins.lock();
        assert_eq!((table.lines, table.of_address[&Some(address(1))].not_logged), (1, 999));
    }
}
