//! When two events are the same.

use super::incoming::IncomingEvent;
use crate::domain::hash::sha256;

/// Two events with the same id are the same event if type, project, time, ordering key and data are equal.
pub(super) fn content_digest(event: &IncomingEvent) -> [u8; 32] {
    let event_type = event.event_type.as_str();
    let length = (event_type.len() as u64).to_le_bytes();
    let project = event.project.unwrap_or(-1).to_le_bytes();
    let occurred_at = event.occurred_at.map_or(i64::MIN, |time| time.0).to_le_bytes();
    let parts = [&length, event_type.as_bytes(), &project, &occurred_at, event.data.as_bytes()];
    match &event.ordering_key {
        None => sha256(&parts),
        // Data is JSON: it does not begin with a zero, so no event without a key has the same digest.
        Some(key) => {
            let [first, second, third, fourth, data] = parts;
            let key_length = (key.as_str().len() as u64).to_be_bytes();
            sha256(&[first, second, third, fourth, &key_length, key.as_str().as_bytes(), data])
        }
    }
}
