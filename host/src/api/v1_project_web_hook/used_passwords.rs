//! Time-based passwords that have been used.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use crate::domain::{TenantId, UnixMillis};

/// The maximum difference between a request's timestamp and the engine's clock, in seconds.
pub(super) const MAX_CLOCK_DIFFERENCE: u64 = 300;
/// How long a password may be reused after its first use: clients send several requests with the same
/// password.
const MAX_REUSE_MS: i64 = 60_000;
/// The maximum number of passwords recorded for one tenant. Beyond it the oldest are forgotten, and can be
/// used until they expire.
const MAX_OF_TENANT: usize = 10_000;

/// The first use of each password of a tenant, by the timestamp and login of the password.
type FirstUses = BTreeMap<(i64, String), UnixMillis>;

/// The first use of each password.
#[derive(Debug, Default)]
pub struct UsedPasswords(Mutex<HashMap<TenantId, FirstUses>>);

impl UsedPasswords {
    /// Whether the password of the login `name` for `timestamp`, in Unix seconds, may be used at `now`.
    pub(super) fn may_be_used(&self, tenant: TenantId, name: &str, timestamp: i64, now: UnixMillis) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let used = all.entry(tenant).or_default();
        // Expired passwords are rejected by their timestamp.
        let oldest = now.unix_seconds().saturating_sub_unsigned(MAX_CLOCK_DIFFERENCE);
        *used = used.split_off(&(oldest, String::new()));
        let first = *used.entry((timestamp, name.to_owned())).or_insert(now);
        if used.len() > MAX_OF_TENANT {
            used.pop_first();
        }
        now.0.saturating_sub(first.0) <= MAX_REUSE_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: TenantId = TenantId(1);

    fn at(seconds: i64) -> UnixMillis {
        UnixMillis(seconds * 1_000)
    }

    #[test]
    fn a_password_can_be_used_for_a_minute_after_its_first_use() {
        let used = UsedPasswords::default();
        for (name, timestamp, now, expected) in [
            ("a", 1_000, 1_100, true),
            ("a", 1_000, 1_160, true),
            ("a", 1_000, 1_161, false),
            ("b", 1_000, 1_161, true),
            ("a", 1_161, 1_161, true),
        ] {
            assert_eq!(used.may_be_used(ONE, name, timestamp, at(now)), expected, "{name} {timestamp} {now}");
        }
    }

    #[test]
    fn the_number_of_recorded_passwords_is_limited() {
        let used = UsedPasswords::default();
        for n in 0..MAX_OF_TENANT as i64 + 100 {
            assert!(used.may_be_used(ONE, &n.to_string(), 1_000, at(1_000)));
        }
        assert_eq!(used.0.lock().unwrap()[&ONE].len(), MAX_OF_TENANT);
        assert!(used.may_be_used(ONE, "a", 2_000, at(2_000)));
        assert_eq!(used.0.lock().unwrap()[&ONE].len(), 1);
    }
}
