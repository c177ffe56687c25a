//! `GET /metrics`: the figures of the engine, in the Prometheus text format or in OpenMetrics.
//!
//! A scrape reads the statics of [`metrics`](crate::metrics) and what parts of the engine know at once. What takes longer is read
//! from time to time in the background: see [`EngineFigures`](crate::services::EngineFigures).

mod counted;
mod page;
mod parts;
mod process;
mod sampled;

use std::fmt;
use std::future::ready;
use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode, header};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text, text};
use prometheus_client::registry::Registry;

use page::Page;
pub(super) use parts::{Monitored, Parts};
use process::Process;

use crate::metrics::tenants;

/// What the text format of Prometheus is called (version 0.0.4).
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The media type of OpenMetrics, and what version 1.0.0 of it is called.
const OPEN_METRICS: &str = "application/openmetrics-text";
const OPEN_METRICS_1: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// See the module's head.
#[derive(Clone)]
pub(super) struct Exporter(Arc<Registry>);

/// Everything that is exported.
struct Figures {
    parts: Parts,
    process: Process,
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Figures")
    }
}

impl Collector for Figures {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut page = Page::new(encoder);
        counted::write(&mut page)?;
        self.parts.write(&mut page)?;
        sampled::write(&self.parts.figures, &mut page)?;
        self.process.write(&mut page)
    }
}

impl Exporter {
    /// Exports figures of `parts`.
    pub(super) fn new(parts: Parts) -> Self {
        if parts.by_tenant {
            tenants::enable();
        }
        let process = Process::new(parts.clock.now());
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Figures { parts, process }));
        Self(Arc::new(registry))
    }

    /// The route.
    pub(super) fn routes(self) -> Router {
        Router::new().route("/metrics", get(move |headers: HeaderMap| ready(self.scrape(&headers))))
    }

    fn scrape(&self, headers: &HeaderMap) -> Response {
        let mut page = String::with_capacity(64 << 10);
        let wants_open_metrics = accepts_open_metrics(headers);
        let (written, content_type) = match wants_open_metrics {
            true => (text::encode(&mut page, &self.0), OPEN_METRICS_1),
            false => (prometheus_text::encode(&mut page, &self.0), PROMETHEUS),
        };
        match written {
            Ok(()) => ([(header::CONTENT_TYPE, content_type)], page).into_response(),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot write the metrics");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

/// Whether the client accepts OpenMetrics: Prometheus prefers it if it names it at all.
fn accepts_open_metrics(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges = accepted.flat_map(|value| value.split(','));
    ranges.any(|range| {
        range.split(';').next().is_some_and(|range| range.trim().eq_ignore_ascii_case(OPEN_METRICS))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_those_who_name_it() {
        for (accept, expected) in [
            (None, false),
            (Some("*/*"), false),
            (Some("text/plain;version=0.0.4;q=0.5,*/*;q=0.1"), false),
            (Some("application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3"), true),
            (Some("text/html, Application/OpenMetrics-Text"), true),
        ] {
            let header = accept.map(|accept| (header::ACCEPT, accept.parse().unwrap()));
            assert_eq!(accepts_open_metrics(&header.into_iter().collect()), expected, "{accept:?}");
        }
    }
}
