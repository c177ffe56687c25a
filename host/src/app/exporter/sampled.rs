//! Figures that are read from time to time: of the database, and those for which each hook is looked at.
//!
//! What cannot be read any more is not shown any more, and alerts see that it is missing.

use std::fmt;

use super::page::Page;
use crate::services::{COUNTED_STATES, EngineFigures, ReadFigures, SampledFigures};

pub(super) fn write(figures: &EngineFigures, page: &mut Page<'_>) -> fmt::Result {
    let SampledFigures { hooks, read } = figures.latest();
    page.gauges_by(
        ("hookwright_hooks", "Hooks of all tenants."),
        "state",
        COUNTED_STATES.into_iter().zip(hooks),
    )?;
    let queue = figures.queue();
    let in_memory = [("queued", queue.queued as u64), ("delivering", queue.unfinished as u64)];
    let on_disk =
        read.map(|ReadFigures { storage, .. }| [("pending", storage.pending), ("waiting", storage.waiting)]);
    let head = ("hookwright_deliveries", "Deliveries that are not finished.");
    page.gauges_by(head, "state", in_memory.into_iter().chain(on_disk.into_iter().flatten()))?;
    read.map_or(Ok(()), |read| write_read(page, &read))
}

fn write_read(page: &mut Page<'_>, read: &ReadFigures) -> fmt::Result {
    let head = (
        "hookwright_tenants_waiting",
        "Tenants with deliveries that could start and wait for a free request.",
    );
    page.gauge(head, read.tenants_waiting)?;
    let head = (
        "hookwright_oldest_due_seconds",
        "For how long the oldest delivery has waited only for this engine.",
    );
    page.gauge(head, read.oldest_due.as_secs_f64())?;
    let storage = &read.storage;
    let head = ("hookwright_replay_jobs", "Jobs that are not finished.");
    page.gauges_by(head, "state", [("running", storage.running_jobs), ("paused", storage.paused_jobs)])?;
    page.gauge(
        ("hookwright_database_bytes", "The size of the database, without its log."),
        storage.database_bytes,
    )?;
    storage.log_bytes.map_or(Ok(()), |bytes| {
        page.gauge(("hookwright_wal_bytes", "The size of the database's write-ahead log."), bytes)
    })
}
