//! Query parameters and path segments, parsed as strictly as bodies.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use http::Uri;
use http::request::Parts;
use url::form_urlencoded;

use super::problem::{Kind, Problem, shorten};
use super::time::parse_time;
use crate::domain::{
    AttemptId, DeliveryId, EventId, HookId, Invalid, JobId, KeyId, OperatorKeyId, PluginName, TenantId,
    UnixMillis,
};

/// The query parameters of a request.
#[derive(Debug)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Parses the query.
    ///
    /// # Errors
    /// Fails if a parameter is not among `known` or is duplicated.
    pub fn of(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let mut params: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            if !known.contains(&name.as_ref()) {
                return Err(unknown(&name, known));
            }
            if params.iter().any(|(other, _)| *other == name) {
                let detail = format!("duplicate parameter `{name}`");
                return Err(Problem::parameter(name.into_owned(), detail));
            }
            params.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(params))
    }

    /// The value of one parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Whether a parameter is `true`; it is `false` if it is left out.
    ///
    /// # Errors
    /// Fails if the value is neither `true` nor `false`.
    pub fn flag(&self, name: &'static str) -> Result<bool, Problem> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::parameter(name, format!("`{name}` is `true` or `false`"))),
        }
    }

    /// The parsed value of one parameter.
    ///
    /// # Errors
    /// Fails if the value is not a valid `T`.
    pub fn parse<T: FromStr<Err = Invalid>>(&self, name: &'static str) -> Result<Option<T>, Problem> {
        let value = self.get(name).map(str::parse).transpose();
        value.map_err(|Invalid(rule)| Problem::parameter(name, rule))
    }

    /// The value of one parameter, as a time.
    ///
    /// # Errors
    /// Fails if the value is not a time of RFC 3339.
    pub fn time(&self, name: &'static str) -> Result<Option<UnixMillis>, Problem> {
        let value = self.get(name).map(parse_time).transpose();
        value.map_err(|Invalid(rule)| {
            Problem::parameter(name, format!("{rule}; in a query, write `+` as `%2B`"))
        })
    }

    /// The values of `since` and `until`: from when on, and before which time.
    ///
    /// # Errors
    /// As [`Self::time`]; and if `until` is not later than `since`.
    pub fn since_and_until(&self) -> Result<(Option<UnixMillis>, Option<UnixMillis>), Problem> {
        let (since, until) = (self.time("since")?, self.time("until")?);
        match is_empty_range(since, until) {
            true => Err(Self::until_too_early()),
            false => Ok((since, until)),
        }
    }

    /// `until` is not later than `since`.
    #[must_use]
    pub fn until_too_early() -> Problem {
        Problem::parameter("until", UNTIL_TOO_EARLY)
    }
}

/// Says why a range is empty.
pub const UNTIL_TOO_EARLY: &str = "`until` must be later than `since`";

/// Whether nothing is both at `since` or later and before `until`.
#[must_use]
pub fn is_empty_range(since: Option<UnixMillis>, until: Option<UnixMillis>) -> bool {
    since.zip(until).is_some_and(|(since, until)| since >= until)
}

fn unknown(name: &str, known: &[&str]) -> Problem {
    let name = shorten(name).into_owned();
    let detail = match known {
        [] => format!("unknown parameter `{name}`; this request has no query parameters"),
        [only] => format!("unknown parameter `{name}`; expected `{only}`"),
        _ => format!("unknown parameter `{name}`; expected one of `{}`", known.join("`, `")),
    };
    Problem::new(Kind::UnknownParameter, detail).of_parameter(name)
}

/// An extractor that rejects all query parameters.
#[derive(Debug, Clone, Copy)]
pub struct NoParams;

impl<S: Sync> FromRequestParts<S> for NoParams {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match parts.uri.query() {
            None => Ok(Self),
            Some(_) => Params::of(&parts.uri, &[]).map(|_| Self),
        }
    }
}

/// A resource that a path segment can name.
pub trait Named: Sized {
    /// What messages call the resource.
    const WHAT: &'static str;

    /// Parses the segment; `None` if no resource can have that name.
    fn named(text: &str) -> Option<Self>;
}

macro_rules! named {
    ($($type:ty, $what:literal, $parse:expr;)+) => {
        $(impl Named for $type {
            const WHAT: &'static str = $what;

            fn named(text: &str) -> Option<Self> {
                let parse: fn(&str) -> Option<Self> = $parse;
                parse(text)
            }
        })+
    };
}

named! {
    HookId, "hook", |text| text.parse().ok();
    TenantId, "tenant", |text| text.parse().ok();
    KeyId, "key", |text| text.parse().ok();
    OperatorKeyId, "operator's key", |text| text.parse().ok();
    DeliveryId, "delivery", |text| text.parse().ok();
    AttemptId, "attempt", |text| text.parse().ok();
    JobId, "job", |text| text.parse().ok();
    PluginName, "plugin", |text| text.parse().ok();
    EventId, "event", |text| (text.len() <= EventId::MAX_LEN).then(|| EventId::from_path(text));
    i64, "project", |text| text.parse().ok();
    String, "name", |text| Some(text.to_owned());
}

/// The variable segment of a path. A segment that is not a valid name gets the same 404 as an unknown name.
#[derive(Debug, Clone)]
pub struct Segment<T>(pub T);

impl<T: Named, S: Send + Sync> FromRequestParts<S> for Segment<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Ok(Path(text)) = Path::<String>::from_request_parts(parts, state).await else {
            return Err(not_utf8::<T>());
        };
        named(&text).map(Self)
    }
}

/// The two variable segments of a path, as [`Segment`].
#[derive(Debug, Clone)]
pub struct Segments<T, U>(pub T, pub U);

impl<T: Named, U: Named, S: Send + Sync> FromRequestParts<S> for Segments<T, U> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Ok(Path((first, second))) = Path::<(String, String)>::from_request_parts(parts, state).await
        else {
            return Err(not_utf8::<T>());
        };
        Ok(Self(named(&first)?, named(&second)?))
    }
}

fn named<T: Named>(text: &str) -> Result<T, Problem> {
    T::named(text).ok_or_else(|| Problem::not_found(T::WHAT, text))
}

fn not_utf8<T: Named>() -> Problem {
    Problem::new(Kind::NotFound, format!("there is no such {}: the path is not UTF-8", T::WHAT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_duplicate_parameters_are_refused() {
        let known = ["limit", "since"];
        for (query, kind) in [
            ("", None),
            ("limit=5&since=2026-06-01T00:00:00Z", None),
            ("limt=5", Some(Kind::UnknownParameter)),
            ("=", Some(Kind::UnknownParameter)),
            ("%FF=1", Some(Kind::UnknownParameter)),
            ("limit=5&limit=6", Some(Kind::InvalidParameter)),
        ] {
            let uri = format!("/x?{query}").parse().unwrap();
            assert_eq!(Params::of(&uri, &known).err().map(|problem| problem.kind()), kind, "{query}");
        }
    }

    #[test]
    fn times_are_parsed() {
        let read =
            |query: &str| Params::of(&format!("/x?{query}").parse().unwrap(), &["since"])?.time("since");
        assert_eq!(read("since=1970-01-01T00:00:01%2B00:00"), Ok(Some(UnixMillis(1_000))));
        assert!(read("since=1970-01-01T00:00:01+00:00").unwrap_err().detail().contains("%2B"));
        assert_eq!(read(""), Ok(None));
    }
}
