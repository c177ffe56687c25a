//! Which deliveries a request names.

use crate::api::params::Params;
use crate::api::problem::Problem;
use crate::domain::{DeliveryFilter, DeliveryState, EventId, Invalid, TypePattern};
use crate::storage::NoteFilter;

/// The filters in the query of a request.
///
/// # Errors
/// Fails if one of them is not valid.
pub(super) fn filter_of(params: &Params) -> Result<DeliveryFilter, Problem> {
    let event = params.get("event");
    if event.is_some_and(|id| id.len() > EventId::MAX_LEN) {
        let rule = format!("an event's id has at most {} bytes", EventId::MAX_LEN);
        return Err(Problem::parameter("event", rule));
    }
    let event_type = params.parse("type")?;
    let (states, hook) = (states(params.get("state"))?, params.parse("hook")?);
    let (since, until) = params.since_and_until()?;
    Ok(DeliveryFilter {
        states,
        hook,
        event: event.map(EventId::from_path),
        event_type: event_type.filter(|pattern| *pattern != TypePattern::Any),
        since,
        until,
    })
}

/// The filters on notes in the query of a request; none if there are none.
///
/// # Errors
/// Fails if one of them is not valid.
pub(super) fn notes_of(params: &Params) -> Result<Option<NoteFilter>, Problem> {
    let filter = NoteFilter { job: params.parse("job")?, interrupted: params.flag("interrupted")? };
    Ok((filter != NoteFilter::default()).then_some(filter))
}

fn states(text: Option<&str>) -> Result<Vec<DeliveryState>, Problem> {
    let states = text.into_iter().flat_map(|text| text.split(',')).map(str::parse);
    let states: Result<Vec<DeliveryState>, Invalid> = states.collect();
    let states = states.map_err(|Invalid(rule)| {
        Problem::parameter("state", format!("{rule}; several states are separated by commas"))
    })?;
    Ok(each_once(states))
}

/// The states in their order, each once.
pub(in crate::api::v3) fn each_once(mut states: Vec<DeliveryState>) -> Vec<DeliveryState> {
    states.sort_unstable_by_key(|state| *state as u8);
    states.dedup();
    states
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_separated_by_commas() {
        use DeliveryState::*;
        assert_eq!(states(None).unwrap(), []);
        assert_eq!(states(Some("waiting")).unwrap(), [Waiting]);
        assert_eq!(states(Some("exhausted,waiting,exhausted")).unwrap(), [Waiting, Exhausted]);
        for wrong in ["", "waiting,", "waiting, exhausted", "other"] {
            assert!(states(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
