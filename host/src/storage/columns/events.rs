//! Events among the rows that a search for a tenant's newest event finds.

use crate::domain::{EventKey, EventType};
use crate::storage::WantedEvent;

/// Key, type and project of an event.
pub type RecentRow = (i64, String, Option<i64>);

/// The greatest key among the rows that are wanted.
pub fn newest_wanted(rows: Vec<RecentRow>, wanted: &WantedEvent<'_>) -> Option<EventKey> {
    let is_wanted = |(_, event_type, project): &RecentRow| {
        event_type.parse::<EventType>().is_ok_and(|event_type| wanted(&event_type, *project))
    };
    rows.into_iter().filter(is_wanted).map(|(key, ..)| EventKey(key)).max()
}
