//! The member `types`: patterns of event types.

use crate::api::pointer::Pointer;
use crate::api::problem::Problem;
use crate::domain::{Subscription, TypePattern};

/// Parses patterns.
///
/// # Errors
/// Fails at the first one that is no pattern.
pub(in crate::api::v3) fn read_patterns(texts: &[String]) -> Result<Vec<TypePattern>, Problem> {
    let read = |(index, text): (usize, &String)| {
        text.parse().map_err(|rule| Problem::invalid(Pointer::to("types").index(index), rule))
    };
    texts.iter().enumerate().map(read).collect()
}

/// Parses what a hook subscribes to.
pub(super) fn read_types(texts: &[String]) -> Result<Subscription, Problem> {
    Subscription::new(read_patterns(texts)?).map_err(|rule| Problem::invalid(Pointer::to("types"), rule))
}
