//! Requests to the API, by OpenTelemetry's semantic conventions for HTTP servers.
//!
//! A series is made when its first request ends. There is room for a fixed number of them, and what does not fit counts in
//! one series for each status: clients cannot make series without end.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use super::counter::Counter;
use super::histogram::{Histogram, Snapshot};

/// How many series there may be.
const SERIES: usize = 512;
/// How many statuses may be told apart of what has no room among them.
const REST: usize = 64;
/// At how many places a series is looked for.
const MAX_PROBES: usize = 64;
/// The methods that are told apart. All others are one, as the conventions say.
const METHODS: [&str; 8] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "_OTHER"];
/// The type of error of a request whose connection ended before its response began.
pub const DISCONNECTED: &str = "disconnected";
/// Upper bounds of durations, in microseconds.
static BOUNDS: [u64; 10] =
    [5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000];

/// The routes of the API.
static ROUTES: OnceLock<Routes> = OnceLock::new();
static TABLE: Table = Table::new();
/// Requests with a wrong key, login or token.
pub static FAILED_LOGINS: Counter = Counter::new();

struct Routes {
    templates: Vec<String>,
    finder: matchit::Router<u16>,
}

struct Table {
    series: [Series; SERIES],
    /// By status alone: what has neither a route nor a known method, and what there was no room for.
    rest: [Series; REST],
}

struct Series {
    /// Which one it is; 0 as long as it is free.
    key: AtomicU32,
    seconds: Histogram<10>,
}

/// The method and the route of a request, as a part of the [key](key_of) of its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestKind(u32);

/// The labels of a series, with their values.
pub type Labels = [(&'static str, String); 4];

/// Says which routes there are, as templates such as `/api/v3/hooks/{id}`. Only the first call counts.
pub fn set_routes(templates: Vec<String>) {
    ROUTES.get_or_init(|| Routes::new(templates));
}

impl RequestKind {
    /// That of a request with this method and path.
    #[must_use]
    pub fn of(method: &str, path: &str) -> Self {
        let method = METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len() - 1);
        Self(key_of(ROUTES.get().map_or(0, |routes| routes.find(path)), method, 0))
    }

    /// Counts such a request that was answered with `status`, or whose connection ended before.
    pub fn ended(self, status: Option<u16>, duration: Duration) {
        TABLE.series(self.0 | status_bits(status.unwrap_or(0))).seconds.observe(duration);
    }
}

/// Each series: its labels, and what was counted.
pub fn requests() -> impl Iterator<Item = (Labels, Snapshot)> {
    TABLE.all().map(|(key, snapshot)| (labels(ROUTES.get(), key), snapshot))
}

impl Routes {
    fn new(templates: Vec<String>) -> Self {
        let mut finder = matchit::Router::new();
        for (template, number) in templates.iter().zip(1..) {
            // Two that conflict are not told apart.
            let _ = finder.insert(template.as_str(), number);
        }
        Self { templates, finder }
    }

    /// The number of the route of a path, 0 if there is none.
    fn find(&self, path: &str) -> u16 {
        let find = |path| self.finder.at(path).ok().map(|found| *found.value);
        let bare = || path.strip_suffix('/').and_then(find);
        find(path).or_else(bare).unwrap_or(0)
    }
}

impl Series {
    const fn new() -> Self {
        Self { key: AtomicU32::new(0), seconds: Histogram::of_durations(&BOUNDS) }
    }
}

impl Table {
    const fn new() -> Self {
        Self { series: [const { Series::new() }; SERIES], rest: [const { Series::new() }; REST] }
    }

    /// The series with this key, which is made if there is none.
    fn series(&self, key: u32) -> &Series {
        let bare = without_route(key);
        // By a multiplication whose high bits depend on all bits of the key.
        let start = (key.wrapping_mul(0x9e37_79b9) >> 23) as usize % SERIES;
        for at in (start..SERIES).chain(0..start).take(if key == bare { 0 } else { MAX_PROBES }) {
            let series = &self.series[at];
            let taken = match series.key.load(Relaxed) {
                0 => series.key.compare_exchange(0, key, Relaxed, Relaxed).unwrap_or_else(|taken| taken),
                taken => taken,
            };
            if taken == key || taken == 0 {
                return series;
            }
        }
        // Clients can use up the room, but they do not choose statuses.
        let place = |series: &&Series| {
            let taken = series.key.compare_exchange(0, bare, Relaxed, Relaxed).unwrap_or_else(|taken| taken);
            taken == bare || taken == 0
        };
        self.rest.iter().find(place).unwrap_or(&self.rest[REST - 1])
    }

    /// The keys of all series, and what was counted.
    fn all(&self) -> impl Iterator<Item = (u32, Snapshot)> {
        let all = self.series.iter().chain(&self.rest);
        let used = all.map(|series| (series.key.load(Relaxed), series.seconds.snapshot()));
        used.filter(|(key, _)| *key != 0)
    }
}

/// Bits: one that is set, 12 of the route, 3 of the method, 10 of the status.
fn key_of(route: u16, method: usize, status: u16) -> u32 {
    (1 << 25) | (u32::from(route & 0xfff) << 13) | ((method as u32 & 7) << 10) | status_bits(status)
}

/// The key of the same status without a route and a known method.
fn without_route(key: u32) -> u32 {
    key_of(0, METHODS.len() - 1, (key & 0x3ff) as u16)
}

fn status_bits(status: u16) -> u32 {
    u32::from(status & 0x3ff)
}

fn labels(routes: Option<&Routes>, key: u32) -> Labels {
    let (route, method, status) = (((key >> 13) & 0xfff) as usize, ((key >> 10) & 7) as usize, key & 0x3ff);
    let template = route.checked_sub(1).and_then(|index| routes?.templates.get(index));
    let error_type = match status {
        0 => DISCONNECTED.to_owned(),
        // The conventions: for a server, other statuses are no errors.
        500.. => status.to_string(),
        _ => String::new(),
    };
    [
        ("error_type", error_type),
        ("http_request_method", METHODS[method].to_owned()),
        ("http_route", template.cloned().unwrap_or_default()),
        ("http_response_status_code", if status == 0 { String::new() } else { status.to_string() }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_the_route_whose_template_it_matches() {
        let routes = Routes::new(["/api/v3/hooks", "/api/v3/hooks/{id}"].map(str::to_owned).to_vec());
        let paths = ["/api/v3/hooks", "/api/v3/hooks/", "/api/v3/hooks/hook_1", "/elsewhere", "*"];
        assert_eq!(paths.map(|path| routes.find(path)), [1, 1, 2, 0, 0]);
        let values = labels(Some(&routes), key_of(2, 1, 404)).map(|(_, value)| value);
        assert_eq!(values, ["", "POST", "/api/v3/hooks/{id}", "404"]);
        assert_eq!(labels(None, key_of(0, 7, 503)).map(|(_, value)| value), ["503", "_OTHER", "", "503"]);
        assert_eq!(labels(None, key_of(0, 0, 0)).map(|(_, value)| value), ["disconnected", "GET", "", ""]);
    }

    #[test]
    fn there_is_no_end_of_keys_but_one_of_series() {
        let table = Box::new(Table::new());
        let keys = (1..200).flat_map(|route| [200, 400, 404, 500].map(|status| key_of(route, 0, status)));
        let count = keys.map(|key| table.series(key).seconds.observe(Duration::ZERO)).count() as u64;
        assert_eq!(table.all().map(|(_, snapshot)| snapshot.count).sum::<u64>(), count);
        assert!(table.all().count() <= SERIES + REST);
        let keys: std::collections::BTreeSet<_> = table.all().map(|(key, _)| key).collect();
        assert_eq!(keys.len(), table.all().count(), "each series is there once");
        let late = table.series(key_of(201, 1, 503));
        assert_eq!(late.key.load(Relaxed) & 0x3ff, 503, "its status is told");
        let first = key_of(1, 0, 200);
        assert!(table.all().any(|(key, snapshot)| key == first && snapshot.count == 1));
    }
}
