//! Query parameters, read as the original reads them: what is not known is passed over.

use std::collections::BTreeSet;

use http::Uri;
use url::form_urlencoded;

/// Where none is given, or what is given is no number from 1.
const DEFAULT_LIMIT: usize = 40;

/// The most that one answer holds: a domain may have ten thousand hooks.
const MAX_LIMIT: usize = 1_000;
/// The most members that may be asked for; a hook has fewer that are worth naming.
const MAX_COLUMNS: usize = 100;

/// The query parameters of a request.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

/// Which part of a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    /// So many items are left out before it.
    pub(super) skip: usize,
    /// At most so many are in it.
    pub(super) limit: usize,
}

impl Query {
    pub(super) fn of(uri: &Uri) -> Self {
        Self(form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// The first value of a parameter, unless that is empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
        value.filter(|value| !value.is_empty())
    }

    /// What `page` and `limit` ask for.
    pub(super) fn wanted(&self) -> Wanted {
        let number = |name| self.get(name)?.parse::<usize>().ok().filter(|number| *number > 0);
        let limit = number("limit").unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
        Wanted { skip: (number("page").unwrap_or(1) - 1).saturating_mul(limit), limit }
    }

    /// The members that `columns` asks for, each a path; none: all of them.
    pub(super) fn columns(&self) -> Vec<Vec<&str>> {
        let names = self.get("columns").unwrap_or_default().split(',').map(str::trim);
        let names: BTreeSet<_> = names.filter(|name| !name.is_empty()).take(MAX_COLUMNS).collect();
        names.into_iter().map(|name| name.split('.').collect()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::of(&format!("/x?{text}").parse().unwrap())
    }

    #[test]
    fn pages_are_counted_from_one_and_nonsense_is_the_default() {
        for (text, skip, limit) in [
            ("", 0, 40),
            ("page=1&limit=10", 0, 10),
            ("page=3&limit=10", 20, 10),
            ("page=2", 40, 40),
            ("page=0&limit=0", 0, 40),
            ("page=-1&limit=-5", 0, 40),
            ("page=two&limit=ten", 0, 40),
            ("page=2&limit=1.5", 40, 40),
            ("page=18446744073709551615&limit=18446744073709551615", usize::MAX, 1_000),
            ("limit=1000", 0, 1_000),
            ("page=3&limit=1001", 2_000, 1_000),
            ("limit=99999999999999999999", 0, 40),
        ] {
            assert_eq!(query(text).wanted(), Wanted { skip, limit }, "{text}");
        }
    }

    #[test]
    fn columns_are_paths() {
        assert_eq!(query("columns=event,action.url,event").columns(), [vec!["action", "url"], vec!["event"]]);
        assert_eq!(query("columns=,%20enable%20,").columns(), [["enable"]]);
        assert!(query("columns=").columns().is_empty() && query("").columns().is_empty());
        assert_eq!(query("domain=&domain=a").get("domain"), None);
    }
}
