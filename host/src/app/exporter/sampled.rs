//! Figures that are read from time to time: of the database, and those for which each hook is looked at.

use std::fmt;

use super::page::Page;
use crate::services::{COUNTED_STATES, EngineFigures, SampledFigures};
use crate::storage::StorageFigures;

pub(super) fn write(figures: &EngineFigures, page: &mut Page<'_>) -> fmt::Result {
    let SampledFigures { hooks, tenants_waiting, oldest_due, storage, at: _ } = figures.latest();
    page.gauges_by(
        ("hookwright_hooks", "Hooks of all tenants."),
        "state",
        COUNTED_STATES.into_iter().zip(hooks),
    )?;
    let head = (
        "hookwright_tenants_waiting",
        "Tenants with deliveries that could start and wait for a free request.",
    );
    page.gauge(head, tenants_waiting)?;
    let head = (
        "hookwright_oldest_due_seconds",
        "For how long the oldest delivery has waited only for this engine.",
    );
    page.gauge(head, oldest_due.as_secs_f64())?;
    let queue = figures.queue();
    let in_memory = [("queued", queue.queued as u64), ("delivering", queue.unfinished as u64)];
    let on_disk = storage.map(|storage| [("pending", storage.pending), ("waiting", storage.waiting)]);
    let head = ("hookwright_deliveries", "Deliveries that are not finished.");
    page.gauges_by(head, "state", in_memory.into_iter().chain(on_disk.into_iter().flatten()))?;
    storage.map_or(Ok(()), |storage| write_storage(page, &storage))
}

fn write_storage(page: &mut Page<'_>, figures: &StorageFigures) -> fmt::Result {
    let head = ("hookwright_replay_jobs", "Jobs that are not finished.");
    page.gauges_by(head, "state", [("running", figures.running_jobs), ("paused", figures.paused_jobs)])?;
    page.gauge(
        ("hookwright_database_bytes", "The size of the database, without its log."),
        figures.database_bytes,
    )?;
    if let Some(bytes) = figures.log_bytes {
        page.gauge(("hookwright_wal_bytes", "The size of the database's write-ahead log."), bytes)?;
    }
    let labels = vec![
        ("version", env!("CARGO_PKG_VERSION")),
        ("commit", option_env!("HOOKWRIGHT_COMMIT").unwrap_or("unknown")),
    ];
    let schema = figures.schema.to_string();
    let labels = labels.into_iter().chain([("schema", schema.as_str())]).collect();
    page.gauges(("hookwright_build_info", "Which engine this is; always 1."), [(labels, 1_u32)])
}
