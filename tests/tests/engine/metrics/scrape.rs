//! Scrapes an engine, and reads the text format of Prometheus.

use std::collections::BTreeMap;

use hookwright_tests::{Client, Response, Server, TIMEOUT};

/// What was scraped.
#[derive(Debug, Clone)]
pub struct Scrape {
    /// The value of each series: the name with its labels, as it is written.
    values: BTreeMap<String, f64>,
    /// The type of each figure.
    pub types: BTreeMap<String, String>,
}

/// The response to a scrape.
pub async fn response(server: &Server, headers: &[(&str, &str)]) -> Response {
    let admin = Client::new(server.admin().expect("it has an admin listener"), "").without_key();
    admin.send("GET", "/metrics", "", headers).await
}

/// Scrapes `server`.
pub async fn scrape(server: &Server) -> Scrape {
    let response = response(server, &[]).await;
    assert_eq!(response.status, 200);
    Scrape::of(std::str::from_utf8(&response.bytes).unwrap())
}

/// Scrapes until the figures are as `wanted`.
pub async fn scrape_until(server: &Server, wanted: impl Fn(&Scrape) -> bool) -> Scrape {
    let began = std::time::Instant::now();
    loop {
        let scrape = scrape(server).await;
        if wanted(&scrape) {
            return scrape;
        }
        assert!(began.elapsed() < TIMEOUT, "still {:#?}", scrape.values);
        tokio::task::yield_now().await;
    }
}

impl Scrape {
    fn of(page: &str) -> Self {
        let (mut values, mut types) = (BTreeMap::new(), BTreeMap::new());
        for line in page.lines() {
            if let Some(described) = line.strip_prefix("# TYPE ") {
                let (name, kind) = described.split_once(' ').unwrap();
                assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} occurs twice");
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let is_new = values.insert(series.to_owned(), value.parse().unwrap()).is_none();
                assert!(is_new, "{series} occurs twice");
            }
        }
        Self { values, types }
    }

    /// The value of a series, such as `name{label="value"}`; 0 if there is none.
    pub fn value(&self, series: &str) -> f64 {
        self.values.get(series).copied().unwrap_or(0.0)
    }

    /// The sum of the series of `name` that have all these labels, such as `state="ok"`.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let is_wanted = |series: &str| {
            let named =
                series.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'));
            named && labels.iter().all(|label| series.contains(label))
        };
        self.values.iter().filter(|(series, _)| is_wanted(series)).map(|(_, value)| value).sum()
    }

    /// Whether there is such a figure.
    pub fn has(&self, name: &str) -> bool {
        self.types.contains_key(name)
    }

    /// The labels of all series, by their name.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.keys().map(|series| series.split_once('{').unwrap_or((series.as_str(), "}")))
    }
}
