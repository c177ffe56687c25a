//! `GET /engine/hooks`: the hooks of all tenants that are not in order.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::Uri;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Caller;
use crate::api::page::{Page, PageRequest};
use crate::api::params::Params;
use crate::api::problem::{Kind, Problem};
use crate::api::v3::hooks::StateView;
use crate::api::v3::openapi::schemas;
use crate::directory::Directory;
use crate::domain::{Hook, HookId, Invalid, UnixMillis};
use crate::services::{HookState, HookStates};

const PARAMS: [&str; 3] = ["state", "limit", "cursor"];

/// A hook of any tenant, in short.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UnwellHook)]
pub(super) struct UnwellHookView {
    #[schema(value_type = schemas::HookId)]
    id: String,
    /// The tenant's id.
    #[schema(value_type = schemas::TenantId)]
    tenant: String,
    /// The tenant's name; null if it was deleted meanwhile.
    #[schema(value_type = Option<schemas::TenantName>)]
    tenant_name: Option<String>,
    /// A description for people.
    description: String,
    /// The URL to which requests go.
    url: String,
    /// Why it gets nothing, or what has become of its last attempts.
    state: StateView,
}

/// The place in the list: the latest change first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    since: Reverse<UnixMillis>,
    hook: HookId,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.since.0.0, self.hook)
    }
}

impl FromStr for Place {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (since, hook) = text.split_once('.').ok_or_else(|| Invalid::new("not a place"))?;
        let since = since.parse().map_err(|_| Invalid::new("not a time"))?;
        Ok(Self { since: Reverse(UnixMillis(since)), hook: hook.parse()? })
    }
}

/// List hooks of all tenants that are not in order
///
/// Requires the operator's key. Hooks whose state is not `ok`, those whose state changed last first. States are those that the
/// node that responds knows; nodes learn of each other's within seconds.
#[utoipa::path(
    get, path = "/api/v3/engine/hooks", tag = "engine",
    params(
        ("state" = Option<schemas::UnwellStates>, Query, description = "Only hooks in one of these states"),
        ("limit" = Option<schemas::Limit>, Query), ("cursor" = Option<schemas::Cursor>, Query),
    ),
    responses((status = 200, description = "A page of hooks, the latest change first", body = Page<UnwellHookView>)),
)]
pub(super) async fn list_unwell_hooks(
    State(directory): State<Arc<Directory>>,
    State(states): State<HookStates>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Page<UnwellHookView>>, Problem> {
    caller.must_read_as_operator()?;
    let params = Params::of(&uri, &PARAMS)?;
    let (wanted, page) = (read_states(params.get("state"))?, PageRequest::of(&params, "unwell hooks")?);
    // Off the I/O threads: there may be many hooks.
    let listed = tokio::task::spawn_blocking(move || {
        let mut found = states.unwell();
        found.retain(|(_, state, _)| wanted.is_empty() || wanted.contains(&state.name()));
        found.sort_unstable_by_key(place);
        page.select(found, place, |(hook, state, _)| view(&hook, state, &directory))
    });
    let listed = listed.await.map_err(|_| Problem::new(Kind::Internal, "the list could not be made"))?;
    Ok(Json(listed))
}

type Unwell = (Arc<Hook>, HookState, UnixMillis);

fn place((hook, _, since): &Unwell) -> Place {
    Place { since: Reverse(*since), hook: hook.id }
}

fn view(hook: &Hook, state: HookState, directory: &Directory) -> UnwellHookView {
    UnwellHookView {
        id: hook.id.to_string(),
        tenant: hook.tenant.to_string(),
        tenant_name: directory.tenant(hook.tenant).map(|tenant| tenant.name.clone()),
        description: hook.description.clone(),
        url: hook.url.to_string(),
        state: state.into(),
    }
}

fn read_states(text: Option<&str>) -> Result<Vec<&'static str>, Problem> {
    let names = text.into_iter().flat_map(|text| text.split(','));
    let known = |name| HookState::UNWELL.into_iter().find(|known| *known == name);
    let states: Option<Vec<_>> = names.map(known).collect();
    states.ok_or_else(|| {
        let states = HookState::UNWELL.join("`, `");
        let rule = format!("`state` is one of `{states}`, or several, separated by commas");
        Problem::parameter("state", rule)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_list_is_read_as_it_is_written() {
        let place = |since, hook| Place { since: Reverse(UnixMillis(since)), hook: HookId(hook) };
        assert!(place(2, 1) < place(1, 1) && place(1, 1) < place(1, 2), "the latest first");
        for place in [place(1_780_306_200_000, 7), place(-1, 1 << 60)] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for wrong in ["", "1", "1.", ".hook_0000000000001", "1.7", "x.hook_0000000000001"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn states_are_separated_by_commas() {
        assert_eq!(read_states(None).unwrap(), [""; 0]);
        assert_eq!(read_states(Some("failing,paused")).unwrap(), ["failing", "paused"]);
        for wrong in ["", "ok", "failing,", "failing, paused"] {
            assert!(read_states(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
