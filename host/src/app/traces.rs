//! The export of traces, if the settings name a collector.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::config::Config;
use crate::delivery::client::Connector;
use crate::delivery::egress::EgressPolicy;
use crate::delivery::tls;
use crate::delivery::trace_export::TraceExporter;
use crate::domain::{EgressRule, NodeNumber};
use crate::sources::Sources;
use crate::traces::{Resource, Traces};

/// How long a shutdown waits for the collector, at most.
const LAST_EXPORT: Duration = Duration::from_secs(2);

/// What exports the spans that `traces` takes.
#[derive(Default)]
pub(super) struct Exporting {
    pub(super) traces: Traces,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Exporting {
    /// Exports from now on, if `config` says so.
    ///
    /// # Errors
    /// If the certificates in `egress_ca_file` cannot be read, or the address of the collector is too long.
    pub(super) fn start(config: &Config, sources: &Sources, node: NodeNumber) -> Result<Self> {
        let Some(url) = config.otlp_endpoint.clone() else { return Ok(Self::default()) };
        // The collector is the operator's own, and usually in a private network.
        let everything = ["0.0.0.0/0", "::/0"].iter().filter_map(|rule| EgressRule::parse(rule).ok());
        let policy = EgressPolicy::new(everything.collect(), Vec::new(), Arc::new(|_| None));
        let tls = tls::client_config(config.egress_ca_file.as_deref());
        let tls = tls.context("cannot use the setting `egress_ca_file`")?;
        let connector = Arc::new(Connector::new(policy, tls));
        let (clock, random) = (Arc::clone(&sources.clock), Arc::clone(&sources.random));
        let traces = Traces::sampling(config.otlp_sample_ratio, clock, random);
        let url = url.as_str().parse::<http::Uri>().context("cannot use the setting `otlp_endpoint`")?;
        let target = (url, config.otlp_headers.clone());
        let exporter = TraceExporter::new(traces.clone(), resource(sources, node), &connector, target);
        let stop = CancellationToken::new();
        let task = Some(tokio::spawn(exporter.run(stop.clone())));
        Ok(Self { traces, stop, task })
    }

    /// Exports what is left, at most until `deadline`, and ends.
    pub(super) async fn finish(self, deadline: Instant) {
        self.stop.cancel();
        if let Some(task) = self.task {
            let latest = Instant::from_std(clock::monotonic()) + LAST_EXPORT;
            // What a collector does not take now is lost.
            let _ = tokio::time::timeout_at(latest.min(deadline), task).await;
        }
    }
}

/// By the semantic conventions of OpenTelemetry.
fn resource(sources: &Sources, node: NodeNumber) -> Resource {
    let instance: [u8; 16] = sources.random.bytes();
    Resource(vec![
        ("service.name", env!("CARGO_PKG_NAME").to_owned()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", hex::encode(instance)),
        ("hookwright.node", node.0.to_string()),
    ])
}
