//! Query parameters, parsed like in the original API: unknown parameters are ignored.

use std::collections::BTreeSet;

use http::Uri;
use url::form_urlencoded;

/// The number of items if `limit` is absent or not a number from 1.
const DEFAULT_LIMIT: usize = 40;

/// The maximum number of items in a response. A domain may have ten thousand hooks.
const MAX_LIMIT: usize = 1_000;
/// The maximum number of members in `columns`.
const MAX_COLUMNS: usize = 100;

/// The query parameters of a request.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

/// The requested page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageRequest {
    /// The number of items before the page.
    pub(super) skip: usize,
    /// The maximum number of items on the page.
    pub(super) limit: usize,
}

impl Query {
    pub(super) fn of(uri: &Uri) -> Self {
        Self(form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// The first value of a parameter; `None` if it is empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
        value.filter(|value| !value.is_empty())
    }

    /// The page that `page` and `limit` select.
    pub(super) fn page(&self) -> PageRequest {
        let number = |name| self.get(name)?.parse::<usize>().ok().filter(|number| *number > 0);
        let limit = number("limit").unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
        PageRequest { skip: (number("page").unwrap_or(1) - 1).saturating_mul(limit), limit }
    }

    /// The paths of the members that `columns` selects; empty for all members.
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
    fn pages_count_from_one_and_invalid_values_are_defaults() {
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
            assert_eq!(query(text).page(), PageRequest { skip, limit }, "{text}");
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
