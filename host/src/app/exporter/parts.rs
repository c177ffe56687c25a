//! What parts of the engine know at once.

use std::fmt;
use std::sync::Arc;

use super::page::Page;
use crate::app::certificates::Certificates;
use crate::clock::{self, Clock};
use crate::delivery::Dispatcher;
use crate::directory::Directory;
use crate::domain::TenantId;
use crate::domain::hook_stats::AttemptEnd;
use crate::metrics::{stalls, tenants};
use crate::sandbox::Sandbox;
use crate::services::{EngineFigures, RetentionCounters};

/// The parts of the engine that have figures.
pub(in crate::app) struct Parts {
    pub(in crate::app) clock: Arc<dyn Clock>,
    pub(in crate::app) figures: Arc<EngineFigures>,
    pub(in crate::app) directory: Arc<Directory>,
    pub(in crate::app) dispatcher: Arc<Dispatcher>,
    pub(in crate::app) sandbox: Sandbox,
    pub(in crate::app) monitored: Monitored,
    /// Whether to count by tenant.
    pub(in crate::app) by_tenant: bool,
}

/// What retention has deleted, and the certificates of the listeners.
pub(in crate::app) type Monitored = (Arc<RetentionCounters>, Certificates);

impl Parts {
    pub(super) fn write(&self, page: &mut Page<'_>) -> fmt::Result {
        let schema = self.figures.schema().to_string();
        let labels = vec![
            ("version", env!("CARGO_PKG_VERSION")),
            ("commit", option_env!("HOOKWRIGHT_COMMIT").unwrap_or("unknown")),
            ("schema", schema.as_str()),
        ];
        page.gauges(("hookwright_build_info", "Which engine this is; always 1."), [(labels, 1_u32)])?;
        let queue = self.dispatcher.figures();
        let head = ("hookwright_requests_in_flight", "Requests to receivers in flight.");
        page.gauge(head, queue.in_flight)?;
        let head =
            ("hookwright_requests_in_flight_limit", "How many requests to receivers may be in flight.");
        page.gauge(head, queue.in_flight_limit)?;
        let (waiting, oldest) = self.sandbox.waiting_for_compiler();
        let head =
            ("hookwright_compile_queue", "Uploads and deliveries that wait for a compilation to begin.");
        page.gauge(head, waiting)?;
        let head = ("hookwright_compile_queue_oldest_seconds", "For how long the first of them waits.");
        page.gauge(head, oldest.as_secs_f64())?;
        let head = ("hookwright_retention_deleted", "What retention has deleted.");
        page.counters_by(head, "kind", self.monitored.0.by_kind())?;
        let stalled = stalls::longest(clock::since_boot_ms()).as_secs_f64();
        let head = (
            "hookwright_runtime_stall_current_seconds",
            "For how long a thread that serves connections is blocked.",
        );
        page.gauge(head, stalled)?;
        self.write_tenants(page)?;
        self.write_node(page)?;
        self.write_certificates(page)?;
        self.write_disk(page)
    }

    fn write_tenants(&self, page: &mut Page<'_>) -> fmt::Result {
        let Some(counted) = tenants::all() else { return Ok(()) };
        // A tenant that is deleted has no name any more.
        let name = |tenant: Option<TenantId>| match tenant {
            Some(id) => {
                self.directory.tenant(id).map_or_else(|| id.to_string(), |tenant| tenant.name.clone())
            }
            None => String::new(),
        };
        let counted: Vec<_> = counted.into_iter().map(|counts| (name(counts.tenant), counts)).collect();
        let head = ("hookwright_tenant_events_accepted", "Events stored, by tenant.");
        let accepted =
            counted.iter().map(|(name, counts)| (vec![("tenant", name.as_str())], counts.accepted));
        page.counters(head, accepted)?;
        let head = ("hookwright_tenant_attempts", "Attempts that ended, by tenant.");
        let attempts = counted.iter().flat_map(|(name, counts)| {
            let ends = AttemptEnd::ALL.into_iter().zip(counts.attempts);
            ends.map(move |(end, count)| (vec![("tenant", name.as_str()), ("outcome", end.as_str())], count))
        });
        page.counters(head, attempts)
    }

    fn write_node(&self, page: &mut Page<'_>) -> fmt::Result {
        let membership = self.dispatcher.membership();
        let nodes = membership.with_members(|members| members.view().members().len());
        page.gauge(("hookwright_nodes", "Nodes that this one sees, itself included."), nodes)?;
        let head =
            ("hookwright_fenced", "Whether this node has lost the database, and accepts and starts nothing.");
        page.gauge(head, u32::from(membership.is_fenced()))?;
        let paused = self.directory.engine_paused_since().is_some();
        page.gauge(
            ("hookwright_engine_paused", "Whether the operator has paused deliveries."),
            u32::from(paused),
        )
    }

    fn write_certificates(&self, page: &mut Page<'_>) -> fmt::Result {
        let head = (
            "hookwright_certificate_expires_timestamp_seconds",
            "When the certificate of a listener expires.",
        );
        let expiries = self.monitored.1.expiries();
        page.gauges_by(head, "listener", expiries.map(|(listener, at)| (listener, at.unix_seconds())))
    }

    fn write_disk(&self, page: &mut Page<'_>) -> fmt::Result {
        let Some(space) = self.figures.disk_space() else { return Ok(()) };
        page.gauge(("hookwright_disk_free_bytes", "What is free of the volume of data_dir."), space.free)?;
        page.gauge(("hookwright_disk_size_bytes", "The size of the volume of data_dir."), space.size)
    }
}
