//! The member `expires_at` of keys.

use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::api::time::parse_time;
use crate::domain::UnixMillis;

/// When a key expires; `None` if it does not.
///
/// # Errors
/// Fails if the text is not a time, or one that has passed.
pub(super) fn read_end(text: Option<&str>, now: UnixMillis) -> Result<Option<UnixMillis>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let here = || Pointer::to("expires_at");
    let end = parse_time(text).map_err(|rule| Problem::invalid(here(), rule))?;
    if end > now {
        return Ok(Some(end));
    }
    let rule = "`expires_at` is not in the future; delete the key to end it at once";
    Err(Problem::at(Kind::InvalidValue, here(), rule))
}
