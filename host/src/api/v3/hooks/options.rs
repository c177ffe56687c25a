//! The members of a hook that stand for its options.

use std::time::Duration;

use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::domain::kept_body::KeptBody;
use crate::domain::{HookOptions, HookOrdering, Invalid, OrderingScope};

/// The value of `ordering` for a hook without an order.
pub(in crate::api::v3) const NO_ORDERING: &str = "none";

/// Validates the options; absent members get their defaults.
///
/// # Errors
/// Fails with the first member that breaks a rule.
pub(super) fn read_options(
    paused: Option<bool>,
    retain_bodies_s: Option<u64>,
) -> Result<HookOptions, Problem> {
    let retain_bodies = Duration::from_secs(retain_bodies_s.unwrap_or(0));
    if retain_bodies > KeptBody::MAX_RETENTION {
        let rule = format!("bodies are kept for at most {} seconds", KeptBody::MAX_RETENTION.as_secs());
        return Err(Problem::invalid(Pointer::to("retain_bodies_s"), Invalid::new(rule)));
    }
    Ok(HookOptions { paused: paused.unwrap_or(false), retain_bodies, ..HookOptions::default() })
}

/// Validates the members about the order.
///
/// # Errors
/// Fails with the first member that breaks a rule.
pub(super) fn read_ordering(
    ordering: Option<&str>,
    skip_after: Option<u32>,
) -> Result<Option<HookOrdering>, Problem> {
    let skip = || Pointer::to("ordering_skip_after");
    if let Some(attempts) = skip_after {
        HookOrdering::check_skip_after(attempts).map_err(|rule| Problem::invalid(skip(), rule))?;
    }
    let Some(scope) = ordering.filter(|text| *text != NO_ORDERING) else { return Ok(None) };
    let scope: Result<OrderingScope, _> = scope.parse();
    let scope = scope.map_err(|_| {
        let names = OrderingScope::NAMES.join(", ");
        Problem::at(
            Kind::InvalidValue,
            Pointer::to("ordering"),
            format!("expected one of {NO_ORDERING}, {names}"),
        )
    })?;
    Ok(Some(HookOrdering { scope, skip_after }))
}
