//! The settings of how long data is kept.

use crate::config::read;
use crate::config::setting::{Setting, setting};
use crate::domain::Retention;

const MAX_S: u64 = Retention::MAX.as_secs();

pub(super) static SETTINGS: &[Setting] = &[
    setting!(
        "retain_events_s",
        "SECONDS",
        Some("2592000"),
        "How long events are kept, with their deliveries and all that belongs to them, for tenants that have no time of their own; `off`: for ever. An event with a delivery that is not final is kept until that is final",
        retain_events = |text| read::or_off(text, |text| read::seconds(text, 1..=MAX_S))
    ),
    setting!(
        "retain_attempts_s",
        "SECONDS",
        Some("off"),
        "How long attempts are kept; `off`: as long as their events",
        retain_attempts = |text| read::or_off(text, |text| read::seconds(text, 1..=MAX_S))
    ),
    setting!(
        "retain_bodies_s",
        "SECONDS",
        Some("off"),
        "How long the bodies of responses and the kept bodies of requests are kept; `off`: as long as their attempts",
        retain_bodies = |text| read::or_off(text, |text| read::seconds(text, 1..=MAX_S))
    ),
    setting!(
        "retain_ids_s",
        "SECONDS",
        Some("604800"),
        "How long the ids that senders give to events, and idempotency keys, are known, so that a repetition is not accepted again, whether or not the event is kept as long",
        retain_ids = |text| read::seconds(text, 60..=MAX_S)
    ),
    setting!(
        "secure_delete",
        "BOOL",
        Some("false"),
        "Whether an SQLite database overwrites with zeros whatever is deleted, at the price of more writes. What `DELETE /api/v3/events/{id}` erases is overwritten in any case",
        secure_delete = read::boolean
    ),
];
