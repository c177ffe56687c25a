//! The members of a hook that stand for its options.

use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::domain::{HookOptions, HookOrdering, OrderingScope};

/// The value of `ordering` for a hook without an order.
pub(in crate::api::v3) const NO_ORDERING: &str = "none";

/// The options; absent members get their defaults.
pub(super) fn read_options(paused: Option<bool>) -> HookOptions {
    HookOptions { paused: paused.unwrap_or(false), ..HookOptions::default() }
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
    let Some(scope) = ordering.filter(|text| *text != NO_ORDERING) else {
        if skip_after.is_some() {
            let rule = "the hook keeps no order: set `ordering`, or leave out `ordering_skip_after`";
            return Err(Problem::at(Kind::InvalidValue, skip(), rule));
        }
        return Ok(None);
    };
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
