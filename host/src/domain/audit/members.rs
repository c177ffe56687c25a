//! Which members differ between two states of an object, for its entry in the audit log.
//!
//! A new object has no state before, a deleted one none after: then the members that it has differ.

use std::time::Duration;

use super::{MemberChange, MemberValue};
use crate::domain::{
    ApiKey, DomainToken, Hook, Limit, Login, OperatorKey, Pipeline, PluginVersion, Project, Rate, Scope,
    Tenant, UnixMillis,
};

/// A value that is longer is not shown, in bytes.
const MAX_SHOWN_LEN: usize = 1_024;

/// Compares an object's members one by one.
struct Comparison<'a, T> {
    before: Option<&'a T>,
    after: Option<&'a T>,
    changes: Vec<MemberChange>,
}

impl<'a, T> Comparison<'a, T> {
    fn new(before: Option<&'a T>, after: Option<&'a T>) -> Self {
        Self { before, after, changes: Vec::new() }
    }

    /// A member whose values are never secret.
    fn shown(mut self, member: &str, read: impl Fn(&'a T) -> MemberValue) -> Self {
        let of = |state: Option<&'a T>| state.map_or(MemberValue::Absent, &read);
        let (old, new) = (of(self.before), of(self.after));
        if old != new {
            let fits = old.len() <= MAX_SHOWN_LEN && new.len() <= MAX_SHOWN_LEN;
            self.add(member, fits.then_some((old, new)));
        }
        self
    }

    /// A member whose values are not shown; `read` returns `None` if there is none.
    fn hidden<V: PartialEq>(mut self, member: &str, read: impl Fn(&'a T) -> Option<V>) -> Self {
        if self.before.and_then(&read) != self.after.and_then(&read) {
            self.add(member, None);
        }
        self
    }

    /// A member that is partly secret: `show` returns what is not, `read` all of it.
    fn partly_shown<V: PartialEq>(
        mut self,
        member: &str,
        read: impl Fn(&'a T) -> V,
        show: impl Fn(&'a T) -> MemberValue,
    ) -> Self {
        if self.before.map(&read) != self.after.map(&read) {
            let named = self.changes.len();
            self = self.shown(member, show);
            if self.changes.len() == named {
                self.add(member, None);
            }
        }
        self
    }

    fn add(&mut self, member: &str, values: Option<(MemberValue, MemberValue)>) {
        self.changes.push(MemberChange { member: member.to_owned(), values });
    }
}

impl MemberValue {
    /// About how long it is as text.
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::List(texts) => texts.iter().map(|text| text.len() + 3).sum(),
            Self::Absent | Self::Flag(_) | Self::Integer(_) | Self::Number(_) => 8,
        }
    }
}

impl From<bool> for MemberValue {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<i64> for MemberValue {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u64> for MemberValue {
    fn from(number: u64) -> Self {
        i64::try_from(number).map_or(Self::Number(number as f64), Self::Integer)
    }
}

impl From<&str> for MemberValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<UnixMillis> for MemberValue {
    /// Times are milliseconds since 1970, as in storage.
    fn from(time: UnixMillis) -> Self {
        Self::Integer(time.0)
    }
}

impl From<Rate> for MemberValue {
    fn from(rate: Rate) -> Self {
        Self::Number(rate.as_f64())
    }
}

impl<V: Into<Self>> From<Option<V>> for MemberValue {
    fn from(value: Option<V>) -> Self {
        value.map_or(Self::Absent, Into::into)
    }
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> MemberValue {
    let texts: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if texts.is_empty() { MemberValue::Absent } else { MemberValue::List(texts) }
}

fn millis(duration: Duration) -> MemberValue {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).into()
}

fn seconds(duration: Option<Duration>) -> MemberValue {
    duration.map(|duration| duration.as_secs()).into()
}

fn set(flag: bool) -> MemberValue {
    if flag { MemberValue::Flag(true) } else { MemberValue::Absent }
}

fn plugins(pipeline: &Pipeline) -> MemberValue {
    list(pipeline.0.iter().map(|step| &step.plugin))
}

/// The members of a hook that differ.
#[must_use]
pub fn hook_changes(before: Option<&Hook>, after: Option<&Hook>) -> Vec<MemberChange> {
    let hook = Comparison::new(before, after)
        // A path or a query may contain a secret; a host does not.
        .partly_shown("url", |it| &it.url, |it| it.url.origin().ascii_serialization().as_str().into())
        .shown("types", |it| list(it.subscription.patterns()))
        .shown("project", |it| it.project.into())
        .shown("enabled", |it| it.enabled.into())
        .hidden("description", |it| Some(&it.description).filter(|text| !text.is_empty()))
        .hidden("headers", |it| Some(&it.headers).filter(|headers| !headers.is_empty()))
        .shown("masked_headers", |it| list(&it.masked_headers))
        .hidden("authorization", |it| it.authorization.as_ref())
        .partly_shown("preflight", |it| &it.preflight, |it| plugins(&it.preflight))
        .partly_shown("pipeline", |it| &it.pipeline, |it| plugins(&it.pipeline))
        .shown("timeout_ms", |it| millis(it.timeout))
        .shown("retry", |it| list(it.retry.waits().iter().map(Duration::as_secs_f64)))
        .shown("signing", |it| it.signing.as_str().into())
        .hidden("secret", |it| Some(&it.secrets).filter(|secrets| !secrets.is_empty()))
        .hidden("surface_settings", |it| Some(&it.origin.members).filter(|members| &***members != "{}"));
    with_options(hook).changes
}

fn with_options(hook: Comparison<'_, Hook>) -> Comparison<'_, Hook> {
    let flow = |it: &Hook| it.options.flow.clone();
    hook.shown("paused", |it| set(it.options.paused))
        .shown("disabled_why", |it| it.options.disabled.map(|it| it.why.as_str()).into())
        .shown("max_in_flight", |it| flow(it).and_then(|flow| flow.max_in_flight).map(i64::from).into())
        .shown("max_per_second", |it| flow(it).and_then(|flow| flow.max_per_second).into())
        .hidden("batch", |it| it.batch())
        .shown("ordering", |it| it.options.ordering.map(|it| it.scope.as_str()).into())
        .shown("ordering_skip_after", |it| {
            it.options.ordering.and_then(|it| it.skip_after).map(i64::from).into()
        })
        .shown("retain_bodies_s", |it| Some(it.options.retain_bodies.as_secs()).filter(|it| *it > 0).into())
        .hidden("signature_headers", Hook::signature_headers)
        .hidden("signing_keys", |it| {
            Some(it.signing_keys().iter().map(|key| (key.thumbprint(), key.expires_at)).collect::<Vec<_>>())
                .filter(|keys| !keys.is_empty())
        })
        .hidden("client_certificate", |it| it.tls().and_then(|tls| tls.client()))
        .hidden("ca_certificates", |it| it.tls().and_then(|tls| tls.authorities()))
        .hidden("oauth2", Hook::oauth)
        .partly_shown("handshake", Hook::handshake, |it| it.handshake().map(|it| it.state.as_str()).into())
}

/// The members of a tenant that differ.
#[must_use]
pub fn tenant_changes(before: Option<&Tenant>, after: Option<&Tenant>) -> Vec<MemberChange> {
    let tenant = Comparison::new(before, after)
        .shown("name", |it| it.name.as_str().into())
        .shown("client_id", |it| it.client_id.into())
        .shown("paused", |it| set(it.options.paused_since.is_some()))
        .shown("suspended", |it| set(it.options.suspended_since.is_some()))
        .shown("max_per_second", |it| it.options.max_per_second.into())
        .shown("retain_events_s", |it| seconds(it.options.retention.events))
        .shown("retain_attempts_s", |it| seconds(it.options.retention.attempts))
        .shown("retain_bodies_s", |it| seconds(it.options.retention.bodies));
    let of =
        |limit| move |it: &Tenant| it.options.limits.as_ref().and_then(|limits| limits.get(limit)).into();
    let limits = Limit::ALL.iter().map(|limit| (format!("limits.{}", limit.as_str()), of(*limit)));
    limits.fold(tenant, |tenant, (name, limit)| tenant.shown(&name, limit)).changes
}

/// The members of a project that differ.
#[must_use]
pub fn project_changes(before: Option<&Project>, after: Option<&Project>) -> Vec<MemberChange> {
    Comparison::new(before, after).shown("name", |it| it.name.as_deref().into()).changes
}

/// The members of an API key that differ.
#[must_use]
pub fn key_changes(before: Option<&ApiKey>, after: Option<&ApiKey>) -> Vec<MemberChange> {
    Comparison::new(before, after)
        .shown("name", |it| it.name.as_str().into())
        .shown("scopes", |it| list(it.scopes.iter().map(Scope::as_str)))
        .shown("expires_at", |it| it.expires_at.into())
        .changes
}

/// The members of an operator's key that differ.
#[must_use]
pub fn operator_key_changes(before: Option<&OperatorKey>, after: Option<&OperatorKey>) -> Vec<MemberChange> {
    Comparison::new(before, after)
        .shown("name", |it| it.name.as_str().into())
        .shown("role", |it| it.role.as_str().into())
        .shown("expires_at", |it| it.expires_at.into())
        .changes
}

/// The members of a login that differ.
#[must_use]
pub fn login_changes(before: Option<&Login>, after: Option<&Login>) -> Vec<MemberChange> {
    Comparison::new(before, after).hidden("secret", |it| Some(&it.secret)).changes
}

/// The members of a domain token that differ.
#[must_use]
pub fn token_changes(before: Option<&DomainToken>, after: Option<&DomainToken>) -> Vec<MemberChange> {
    Comparison::new(before, after)
        .shown("role", |it| Some(it.role.as_str()).filter(|role| !role.is_empty()).into())
        .shown("enabled", |it| it.enabled.into())
        .shown("expires_at", |it| it.expires_at.into())
        .changes
}

/// The members of a version of a plugin that differ.
#[must_use]
pub fn plugin_changes(before: Option<&PluginVersion>, after: Option<&PluginVersion>) -> Vec<MemberChange> {
    Comparison::new(before, after)
        .shown("version", |it| i64::from(it.version).into())
        .shown("digest", |it| it.digest.to_string().as_str().into())
        .shown("roles", |it| list(it.roles.iter().map(|role| role.as_str())))
        .shown("size_bytes", |it| it.size_bytes.into())
        .changes
}
