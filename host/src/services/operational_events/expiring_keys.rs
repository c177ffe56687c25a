//! Tells tenants which of their keys expire soon, once for each of two periods before a key's end.
//!
//! Every node looks. The id of the event names the key, its end and the period, so the database stores it once.

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashSet;

use super::event::{self, Data, UnixTime};
use crate::delivery::Dispatcher;
use crate::directory::Directory;
use crate::domain::{ApiKey, KeyId, UnixMillis};
use crate::ingest::{Ingest, IngestError};
use crate::sources::Sources;

/// How often it looks. Then it looks at each key.
const EVERY: Duration = Duration::from_secs(60);
/// How often, while the node does not reach the database.
const EVERY_FENCED: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
/// How many days before its end a tenant is told of a key, the shortest period first.
const PERIODS_DAYS: [u32; 2] = [1, 7];

/// See the module's head.
pub struct ExpiringKeys {
    sources: Sources,
    directory: Arc<Directory>,
    ingest: Arc<Ingest>,
    dispatcher: Arc<Dispatcher>,
    /// What was told, of keys that have not expired.
    told: FxHashSet<Expiry>,
}

/// What is told once: a key, its end, and how many days before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Expiry {
    key: KeyId,
    end: UnixMillis,
    days: u32,
}

impl Expiry {
    /// What the tenant should know of `key` at `now`. Of a key that is made for a shorter time than a period, nobody has to be
    /// reminded in that period.
    fn of(key: &ApiKey, now: UnixMillis) -> Option<Self> {
        let end = key.expires_at.filter(|end| *end > now)?;
        let is_within = |from: UnixMillis, days: u32| from.plus(DAY.saturating_mul(days)) >= end;
        let days = PERIODS_DAYS.into_iter().find(|days| is_within(now, *days))?;
        (!is_within(key.created_at, days)).then_some(Self { key: key.id, end, days })
    }
}

impl ExpiringKeys {
    /// Creates the service.
    #[must_use]
    pub fn new(
        sources: Sources,
        directory: Arc<Directory>,
        ingest: Arc<Ingest>,
        dispatcher: Arc<Dispatcher>,
    ) -> Self {
        Self { sources, directory, ingest, dispatcher, told: FxHashSet::default() }
    }

    /// Runs until the future is dropped.
    pub async fn run(mut self) {
        loop {
            if self.dispatcher.membership().is_fenced() {
                tokio::time::sleep(EVERY_FENCED).await;
                continue;
            }
            self.look().await;
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn look(&mut self) {
        let now = self.sources.now();
        let expiring = self.directory.keys_that(|key| Expiry::of(key, now).is_some());
        let before = std::mem::take(&mut self.told);
        for key in expiring {
            let Some(expiry) = Expiry::of(&key, now) else { continue };
            let is_told = before.contains(&expiry);
            match if is_told { Ok(true) } else { self.tell(&key, expiry).await } {
                Ok(true) => self.told.insert(expiry),
                Ok(false) => continue,
                // The others would fail, too. The database knows what was told.
                Err(_) => {
                    self.told.extend(before);
                    return;
                }
            };
        }
    }

    /// Returns whether the tenant is told, now or before.
    async fn tell(&self, key: &ApiKey, expiry: Expiry) -> Result<bool, IngestError> {
        let name = "hookwright.key.expiring";
        let data = Data {
            key: Some(key.id.to_string()),
            name: Some(key.name.clone()),
            prefix: key.prefix.clone(),
            expires_at: Some(UnixTime(expiry.end)),
            ..Data::default()
        };
        let id = format!("{name}:{}:{}:{}", key.id, expiry.end.0, expiry.days);
        let Some(event) = event::event(key.tenant, name, &id, &data) else { return Ok(false) };
        event::store(&self.ingest, event, None).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Scopes, TenantId};

    #[test]
    fn a_tenant_is_told_seven_days_and_one_day_before_a_key_ends_unless_it_was_made_for_less() {
        let hours = |hours: i64| UnixMillis(hours * 3_600_000);
        for (created_at, expires_at, now, days) in [
            (0, Some(1_000), 831, None),
            (0, Some(1_000), 832, Some(7)),
            (0, Some(1_000), 975, Some(7)),
            (0, Some(1_000), 976, Some(1)),
            (0, Some(1_000), 999, Some(1)),
            (0, Some(1_000), 1_000, None),
            (0, None, 1_000, None),
            (832, Some(1_000), 832, None),
            (832, Some(1_000), 976, Some(1)),
            (976, Some(1_000), 976, None),
        ] {
            let key = ApiKey {
                id: KeyId(1),
                tenant: TenantId(1),
                name: String::new(),
                scopes: Scopes::all(),
                hash: [0; 32],
                prefix: None,
                expires_at: expires_at.map(hours),
                created_at: hours(created_at),
            };
            let told = Expiry::of(&key, hours(now)).map(|expiry| expiry.days);
            assert_eq!(told, days, "from {created_at} to {expires_at:?} at {now}");
        }
    }
}
