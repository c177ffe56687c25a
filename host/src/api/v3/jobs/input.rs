//! What the requests that start jobs have in common.

use crate::api::params::{UNTIL_TOO_EARLY, is_empty_range};
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::api::time::parse_time;
use crate::api::v3::deliveries::each_once;
use crate::api::v3::hooks::read_patterns;
use crate::domain::{DeliveryState, Invalid, JobRate, Subscription, TypePattern, UnixMillis};

/// The member `name` as a time.
pub(super) fn time(name: &'static str, text: Option<&str>) -> Result<Option<UnixMillis>, Problem> {
    text.map(parse_time).transpose().map_err(|rule| Problem::invalid(Pointer::to(name), rule))
}

/// `until` must be later than `since`.
pub(super) fn check_range(since: Option<UnixMillis>, until: Option<UnixMillis>) -> Result<(), Problem> {
    match is_empty_range(since, until) {
        true => Err(Problem::at(Kind::InvalidValue, Pointer::to("until"), UNTIL_TOO_EARLY)),
        false => Ok(()),
    }
}

/// The member `types`.
pub(super) fn types(texts: Option<&[String]>) -> Result<Vec<TypePattern>, Problem> {
    let Some(texts) = texts else { return Ok(Vec::new()) };
    if texts.is_empty() || texts.len() > Subscription::MAX_PATTERNS {
        let rule = format!("`types` has 1 to {} patterns; omit it for all types", Subscription::MAX_PATTERNS);
        return Err(Problem::at(Kind::InvalidValue, Pointer::to("types"), rule));
    }
    read_patterns(texts)
}

/// The member `states`: some of `allowed`, or all of `default` if it is absent. `why` says why others are not allowed.
pub(super) fn states(
    texts: Option<&[String]>,
    allowed: &[DeliveryState],
    default: &[DeliveryState],
    why: &str,
) -> Result<Vec<DeliveryState>, Problem> {
    let Some(texts) = texts else { return Ok(default.to_vec()) };
    if texts.is_empty() {
        let rule = "`states` is empty; name a state, or omit it";
        return Err(Problem::at(Kind::InvalidValue, Pointer::to("states"), rule));
    }
    let parse = |(index, text): (usize, &String)| {
        let state = text.parse().ok().filter(|state| allowed.contains(state));
        state.ok_or_else(|| {
            let names: Vec<_> = allowed.iter().map(|state| state.as_str()).collect();
            let rule = format!("expected one of {}{why}", names.join(", "));
            Problem::at(Kind::InvalidValue, Pointer::to("states").index(index), rule)
        })
    };
    texts.iter().enumerate().map(parse).collect::<Result<_, _>>().map(each_once)
}

/// The member `max_per_second`.
pub(super) fn rate(per_second: Option<f64>) -> Result<JobRate, Problem> {
    let rate = per_second.map(JobRate::per_second).transpose();
    let rate = rate.map_err(|rule: Invalid| Problem::invalid(Pointer::to("max_per_second"), rule))?;
    Ok(rate.unwrap_or(JobRate::DEFAULT))
}
