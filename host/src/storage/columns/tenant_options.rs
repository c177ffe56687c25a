//! Options of tenants from and to their JSON column.

use std::time::Duration;

use serde_json::{Map, Value};

use super::values::{damaged, from_json, to_json};
use crate::domain::{Limit, Rate, Retention, TenantLimits, TenantOptions, UnixMillis};
use crate::storage::StorageError;

/// Before the name of a limit. Limits are members of their own, so that a change keeps those of a newer build.
const LIMIT: &str = "limit_";

/// Members of an object that are taken out of it, so that what is left is unknown.
struct Members(Map<String, Value>);

impl Members {
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    fn time(&mut self, name: &str) -> Result<Option<UnixMillis>, StorageError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let time = value.as_i64().ok_or_else(|| damaged("tenant", format!("`{name}` is not a time")))?;
        Ok(Some(UnixMillis(time)))
    }

    fn count(&mut self, name: &str) -> Result<Option<u64>, StorageError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        value.as_u64().ok_or_else(|| damaged("tenant", format!("`{name}` is not a number"))).map(Some)
    }

    fn seconds(&mut self, name: &str) -> Result<Option<Duration>, StorageError> {
        Ok(self.count(name)?.map(Duration::from_secs))
    }

    fn rate(&mut self, name: &str) -> Result<Option<Rate>, StorageError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let rate = value.as_f64().ok_or_else(|| damaged("tenant", format!("`{name}` is not a number")))?;
        Ok(Some(Rate::nearest(rate)))
    }
}

/// The column for a tenant's options: only members that differ from the default.
pub fn tenant_options_to_json(options: &TenantOptions) -> Result<String, StorageError> {
    let mut members: Map<String, Value> = match options.unknown.as_deref() {
        Some(text) => from_json("tenant", text)?,
        None => Map::new(),
    };
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            members.insert(name.to_owned(), value);
        }
    };
    put("paused_since", options.paused_since.map(|time| time.0.into()));
    put("suspended_since", options.suspended_since.map(|time| time.0.into()));
    put("deleting_since", options.deleting_since.map(|time| time.0.into()));
    put("max_per_second", options.max_per_second.map(|rate| rate.as_f64().into()));
    let Retention { events, attempts, bodies } = options.retention;
    for (name, time) in RETENTION.into_iter().zip([events, attempts, bodies]) {
        put(name, time.map(|time| time.as_secs().into()));
    }
    for limit in Limit::ALL {
        let value = options.limits.as_deref().and_then(|limits| limits.get(*limit));
        put(&format!("{LIMIT}{}", limit.as_str()), value.map(Value::from));
    }
    to_json(&members)
}

/// The members of [`Retention`], in the order of its fields.
const RETENTION: [&str; 3] = ["retain_events_s", "retain_attempts_s", "retain_bodies_s"];

/// The options of a column.
pub fn tenant_options_from_json(text: &str) -> Result<TenantOptions, StorageError> {
    if text == "{}" {
        return Ok(TenantOptions::default());
    }
    let mut members = Members(from_json("tenant", text)?);
    let mut limits = TenantLimits::default();
    for limit in Limit::ALL {
        limits.set(*limit, members.count(&format!("{LIMIT}{}", limit.as_str()))?);
    }
    let [events, attempts, bodies] = RETENTION;
    let retention = Retention {
        events: members.seconds(events)?,
        attempts: members.seconds(attempts)?,
        bodies: members.seconds(bodies)?,
    };
    let options = TenantOptions {
        paused_since: members.time("paused_since")?,
        suspended_since: members.time("suspended_since")?,
        deleting_since: members.time("deleting_since")?,
        max_per_second: members.rate("max_per_second")?,
        limits: limits.into_option(),
        retention,
        unknown: None,
    };
    let Members(unknown) = members;
    let unknown = (!unknown.is_empty()).then(|| to_json(&unknown)).transpose()?;
    Ok(TenantOptions { unknown: unknown.map(Into::into), ..options })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_from_the_default_is_stored_and_what_a_newer_build_stored_is_kept() {
        let limits = TenantLimits::from_iter([(Limit::Hooks, 0), (Limit::StorageBytes, 1 << 40)]);
        let day = Some(Duration::from_secs(86_400));
        for (options, text) in [
            (TenantOptions::default(), "{}"),
            (
                TenantOptions {
                    paused_since: Some(UnixMillis(5)),
                    suspended_since: Some(UnixMillis(6)),
                    max_per_second: Rate::per_second(0.5).ok(),
                    ..TenantOptions::default()
                },
                r#"{"max_per_second":0.5,"paused_since":5,"suspended_since":6}"#,
            ),
            (
                TenantOptions {
                    deleting_since: Some(UnixMillis(7)),
                    limits: limits.into_option(),
                    retention: Retention { attempts: day, ..Retention::default() },
                    ..TenantOptions::default()
                },
                r#"{"deleting_since":7,"limit_hooks":0,"limit_storage_bytes":1099511627776,"retain_attempts_s":86400}"#,
            ),
        ] {
            let stored: Value = serde_json::from_str(&tenant_options_to_json(&options).unwrap()).unwrap();
            assert_eq!(stored, serde_json::from_str::<Value>(text).unwrap());
            assert_eq!(tenant_options_from_json(text).unwrap(), options);
        }
        let newer = r#"{"later":{"a":[1]},"limit_dreams":3,"paused_since":5}"#;
        let read = tenant_options_from_json(newer).unwrap();
        assert_eq!(read.paused_since, Some(UnixMillis(5)));
        let stored: Value = serde_json::from_str(&tenant_options_to_json(&read).unwrap()).unwrap();
        assert_eq!(stored, serde_json::from_str::<Value>(newer).unwrap());
        assert!(tenant_options_from_json(r#"{"limit_hooks":"many"}"#).is_err());
    }
}
