//! Pagination: `{"data": […], "next": "<cursor>" | null}`.
//!
//! A cursor holds the key of the last item that was returned or searched. So items that are added or deleted
//! between two requests neither repeat nor hide others. Cursors are opaque to clients and contain only data
//! that the client may read.

use std::fmt::Display;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use utoipa::ToSchema;

use super::params::Params;
use super::problem::Problem;
use crate::domain::Invalid;

/// The maximum number of items on a page.
pub const MAX_LIMIT: usize = 250;
/// The number of items on a page if the request has no `limit`.
pub const DEFAULT_LIMIT: usize = 50;
/// The maximum size of a page's items as JSON, in bytes. A larger item gets a page of its own.
pub const MAX_PAGE_LEN: usize = 2 << 20;
/// The query parameters of a list.
pub const PARAMS: [&str; 2] = ["limit", "cursor"];

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub data: Vec<T>,
    /// The `cursor` of the next page; null on the last page.
    pub next: Option<String>,
}

/// The requested page of a list that is ordered by `K`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest<K> {
    /// The maximum number of items.
    pub limit: usize,
    /// The last item of the page before, or the last that its search looked at.
    pub after: Option<K>,
    list: &'static str,
}

impl<K: FromStr + Display + Ord> PageRequest<K> {
    /// Parses `limit` and `cursor`. `list` names the list, so that a cursor of another list is rejected.
    ///
    /// # Errors
    /// Fails if `limit` is not between 1 and [`MAX_LIMIT`], or if this list did not issue the cursor.
    pub fn of(params: &Params, list: &'static str) -> Result<Self, Problem> {
        let limit = match params.get("limit") {
            None => DEFAULT_LIMIT,
            Some(text) => {
                text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit)).ok_or_else(|| {
                    Problem::parameter("limit", format!("`limit` is an integer from 1 to {MAX_LIMIT}"))
                })?
            }
        };
        let after = params.get("cursor").map(|cursor| decode(list, cursor)).transpose();
        let after = after.map_err(|Invalid(rule)| Problem::parameter("cursor", rule))?;
        Ok(Self { limit, after, list })
    }

    /// The first page, of at most `limit` items.
    pub fn first(limit: usize, list: &'static str) -> Self {
        Self { limit, after: None, list }
    }

    /// Takes what [`Self::cut`] needs from `items`, which are in ascending order of `key`.
    pub fn take<I>(&self, items: impl IntoIterator<Item = I>, key: impl Fn(&I) -> K) -> Vec<I> {
        let is_after = |item: &I| self.after.as_ref().is_none_or(|after| key(item) > *after);
        items.into_iter().filter(is_after).take(self.limit + 1).collect()
    }

    /// Selects the page from `items`, which are in ascending order of `key`.
    pub fn select<I, T: Serialize>(
        &self,
        items: impl IntoIterator<Item = I>,
        key: impl Fn(&I) -> K,
        view: impl Fn(I) -> T,
    ) -> Page<T> {
        self.cut(self.take(items, &key), None, key, view)
    }

    /// Builds the page from the `items` after the cursor. One item more than [`Self::limit`] shows that there
    /// is a next page. So does `searched_to`: the last key of a search that stopped early. A page ends early
    /// if it would exceed [`MAX_PAGE_LEN`].
    pub fn cut<I, T: Serialize>(
        &self,
        items: Vec<I>,
        searched_to: Option<K>,
        key: impl Fn(&I) -> K,
        view: impl Fn(I) -> T,
    ) -> Page<T> {
        let (mut data, mut len, mut last) = (Vec::new(), 0, None);
        for item in items {
            let this = key(&item);
            let shown = view(item);
            len += json_len(&shown);
            if data.len() == self.limit || (len > MAX_PAGE_LEN && !data.is_empty()) {
                let next = last.map(|last| encode(self.list, &last));
                return Page { data, next };
            }
            data.push(shown);
            last = Some(this);
        }
        Page { data, next: searched_to.map(|end| encode(self.list, &end)) }
    }
}

/// The size of `value` as JSON, in bytes.
fn json_len(value: &impl Serialize) -> usize {
    struct Counter(usize);

    impl std::io::Write for Counter {
        fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
            self.0 += part.len();
            Ok(part.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let mut counter = Counter(0);
    // An error shows up again when the response is serialized.
    let _ = serde_json::to_writer(&mut counter, value);
    counter.0
}

fn encode(list: &str, key: &impl Display) -> String {
    URL_SAFE_NO_PAD.encode(format!("{list}:{key}"))
}

fn decode<K: FromStr>(list: &str, cursor: &str) -> Result<K, Invalid> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let key = text.as_deref().and_then(|text| text.strip_prefix(list)?.strip_prefix(':')?.parse().ok());
    key.ok_or_else(|| {
        Invalid::new("not a cursor of this list; send the `next` of the previous page unchanged")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(query: &str) -> Result<PageRequest<i64>, Problem> {
        let uri = format!("/x?{query}").parse().unwrap();
        PageRequest::of(&Params::of(&uri, &PARAMS).unwrap(), "numbers")
    }

    #[test]
    fn pages_have_no_gap_and_no_overlap() {
        let (mut seen, mut query) = (Vec::new(), "limit=3".to_owned());
        loop {
            let page = wanted(&query).unwrap().select(1..=7, |item| *item, |item| item);
            seen.extend(page.data);
            let Some(next) = page.next else { break };
            query = format!("limit=3&cursor={next}");
        }
        assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7]);
        let full = wanted("limit=7").unwrap().select(1..=7, |item| *item, |item| item);
        assert_eq!(full.next, None);
    }

    #[test]
    fn a_search_that_stopped_early_continues_where_it_stopped() {
        let wanted = wanted("limit=2").unwrap();
        for (items, searched_to, next) in [
            (vec![], None, None),
            (vec![], Some(7), Some(7)),
            (vec![1, 2], None, None),
            (vec![1, 2], Some(7), Some(7)),
            (vec![1, 2, 3], Some(7), Some(2)),
        ] {
            let page = wanted.cut(items.clone(), searched_to, |item| *item, |item| item);
            assert_eq!(
                page.next,
                next.map(|next: i64| encode("numbers", &next)),
                "{items:?} {searched_to:?}"
            );
        }
    }

    #[test]
    fn a_page_ends_before_it_is_too_large_and_no_item_is_skipped() {
        let large = "x".repeat(MAX_PAGE_LEN / 2);
        let mut after = None;
        for (first, len) in [(1, 1), (2, 1), (3, 3), (6, 1)] {
            let wanted = PageRequest { limit: 50, after, list: "numbers" };
            let view = |item: i64| if item < 3 || item == 6 { large.repeat(3) } else { String::new() };
            let page = wanted.select(1..=6, |item| *item, view);
            assert_eq!(page.data.len(), len, "from {first}");
            let last = first + len as i64 - 1;
            assert_eq!(page.next, (last < 6).then(|| encode("numbers", &last)));
            after = Some(last);
        }
    }

    #[test]
    fn limits_and_cursors_are_checked() {
        let foreign = encode("hooks", &1);
        for query in [
            "limit=0",
            "limit=251",
            "limit=-1",
            "limit=x",
            "limit=",
            "cursor=",
            "cursor=%00",
            "cursor=bnVtYmVyczp4",
        ]
        .map(str::to_owned)
        .into_iter()
        .chain([format!("cursor={foreign}")])
        {
            assert!(wanted(&query).is_err(), "{query}");
        }
        assert_eq!(wanted("limit=250").unwrap().limit, 250);
        assert_eq!(wanted(&format!("cursor={}", encode("numbers", &-4))).unwrap().after, Some(-4));
    }
}
