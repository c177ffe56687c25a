//! Query parameters and path segments, read as strictly as bodies are.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use http::Uri;
use http::request::Parts;
use url::form_urlencoded;

use super::problem::{Kind, Problem, shorten};
use super::time::parse_time;
use crate::domain::{DeliveryId, EventId, HookId, Invalid, KeyId, PluginName, UnixMillis};

/// The query parameters of a request that takes some.
#[derive(Debug)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// # Errors
    /// Where there is one that isn't among `known`, or one stands twice.
    pub fn of(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let mut params: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            if !known.contains(&name.as_ref()) {
                return Err(unknown(&name, known));
            }
            if params.iter().any(|(other, _)| *other == name) {
                let detail = format!("`{name}` stands twice");
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

    /// The value of one parameter, as what it stands for.
    ///
    /// # Errors
    /// Where it breaks that type's rule.
    pub fn parse<T: FromStr<Err = Invalid>>(&self, name: &'static str) -> Result<Option<T>, Problem> {
        let value = self.get(name).map(str::parse).transpose();
        value.map_err(|Invalid(rule)| Problem::parameter(name, rule))
    }

    /// A point in time.
    ///
    /// # Errors
    /// Where it isn't one.
    pub fn time(&self, name: &'static str) -> Result<Option<UnixMillis>, Problem> {
        let value = self.get(name).map(parse_time).transpose();
        value.map_err(|Invalid(rule)| {
            Problem::parameter(name, format!("{rule}; in a query, `+` is written %2B"))
        })
    }
}

fn unknown(name: &str, known: &[&str]) -> Problem {
    let name = shorten(name).into_owned();
    let detail = match known {
        [] => format!("`{name}` is not known here; this request takes no query parameters"),
        _ => format!("`{name}` is not known here; known are {}", known.join(", ")),
    };
    Problem::new(Kind::UnknownParameter, detail).of_parameter(name)
}

/// Says that a request takes no query parameters, and refuses any.
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

/// What a path can name.
pub trait Named: Sized {
    /// What it is called in a refusal.
    const WHAT: &'static str;

    /// What the text names; none if nothing can have that name.
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
    KeyId, "key", |text| text.parse().ok();
    DeliveryId, "delivery", |text| text.parse().ok();
    PluginName, "plugin", |text| text.parse().ok();
    EventId, "event", |text| (text.len() <= EventId::MAX_LEN).then(|| EventId::from_path(text));
    i64, "project", |text| text.parse().ok();
    String, "name", |text| Some(text.to_owned());
}

/// The one segment of a path that varies. A text that can name nothing is answered as a name of nothing.
#[derive(Debug, Clone)]
pub struct Segment<T>(pub T);

impl<T: Named, S: Send + Sync> FromRequestParts<S> for Segment<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Ok(Path(text)) = Path::<String>::from_request_parts(parts, state).await else {
            return Err(Problem::new(
                Kind::NotFound,
                format!("the path names no {}: it is not UTF-8", T::WHAT),
            ));
        };
        T::named(&text).map(Self).ok_or_else(|| Problem::not_found(T::WHAT, &text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_known_and_stand_once() {
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
    fn a_time_can_be_asked_for() {
        let read =
            |query: &str| Params::of(&format!("/x?{query}").parse().unwrap(), &["since"])?.time("since");
        assert_eq!(read("since=1970-01-01T00:00:01%2B00:00"), Ok(Some(UnixMillis(1_000))));
        assert!(read("since=1970-01-01T00:00:01+00:00").unwrap_err().detail().contains("%2B"));
        assert_eq!(read(""), Ok(None));
    }
}
