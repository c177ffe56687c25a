//! What is counted where it happens.

use std::fmt;

use super::page::Page;
use crate::directory::STANDARD_PLUGINS;
use crate::domain::{DeliveryState, FaultKind};
use crate::metrics::events::{self, EventSource, Rejection};
use crate::metrics::{Counters, Label, deliveries, http_client, http_server, logs, plugins, stalls, storage};
use crate::traces;

/// What all plugins of tenants are called.
const TENANTS: &str = "tenant";

pub(super) fn write(page: &mut Page<'_>) -> fmt::Result {
    write_events(page)?;
    write_deliveries(page)?;
    write_http(page)?;
    write_plugins(page)?;
    page.histogram(
        ("hookwright_commit_seconds", "How long transactions took that store events, attempts or leases."),
        &storage::COMMIT_SECONDS.snapshot(),
    )?;
    page.histogram(
        ("hookwright_commit_rows", "Rows of such a transaction."),
        &storage::COMMIT_ROWS.snapshot(),
    )?;
    page.counter(
        ("hookwright_commit_failures", "Such transactions that failed."),
        storage::COMMIT_FAILURES.get(),
    )?;
    page.counter(
        ("hookwright_log_dropped", "Log lines dropped because their reader is too slow."),
        logs::DROPPED.get(),
    )?;
    page.counter(
        ("hookwright_spans_dropped", "Spans dropped because their collector is too slow."),
        traces::dropped_spans(),
    )?;
    page.histogram(
        (
            "hookwright_runtime_stall_seconds",
            "How much too late a timer ran on a thread that serves connections.",
        ),
        &stalls::STALL_SECONDS.snapshot(),
    )
}

fn write_events(page: &mut Page<'_>) -> fmt::Result {
    let head = ("hookwright_events_accepted", "Events stored, without repetitions of earlier ones.");
    page.counters_by(head, "surface", named::<EventSource, 4>(&events::ACCEPTED))?;
    let head = ("hookwright_events_duplicate", "Events that were stored before, and are answered as then.");
    page.counter(head, events::DUPLICATES.get())?;
    let head = ("hookwright_events_rejected", "Events that were not accepted.");
    page.counters_by(head, "reason", named::<Rejection, 10>(&events::REJECTED))
}

fn write_deliveries(page: &mut Page<'_>) -> fmt::Result {
    let head = ("hookwright_attempts", "Attempts that ended.");
    page.counters(head, deliveries::attempts().map(|(labels, count)| (labels.to_vec(), count)))?;
    let head = ("hookwright_deliveries_finished", "Deliveries that this node brought to a final state.");
    let is_final = |index: usize| DeliveryState::ALL[index].is_final();
    let finished = named::<DeliveryState, 7>(&deliveries::FINISHED).enumerate();
    page.counters_by(head, "state", finished.filter(|(index, _)| is_final(*index)).map(|(_, value)| value))?;
    page.histogram(
        (
            "hookwright_acceptance_to_arrival_seconds",
            "From the acceptance of an event to the sending of its first request to a hook.",
        ),
        &deliveries::ACCEPTANCE_TO_ARRIVAL.snapshot(),
    )
}

fn write_http(page: &mut Page<'_>) -> fmt::Result {
    page.histograms(
        (
            "http_server_request_duration_seconds",
            "Requests, until their responses begin or their clients give up.",
        ),
        http_server::requests(),
    )?;
    page.histograms(
        ("http_client_request_duration_seconds", "Requests to receivers, until their responses end."),
        http_client::requests(),
    )?;
    let head = ("hookwright_failed_logins", "Requests with a wrong key, login or token.");
    page.counter(head, http_server::FAILED_LOGINS.get())
}

fn write_plugins(page: &mut Page<'_>) -> fmt::Result {
    let head = ("hookwright_plugin_call_seconds", "How long steps of pipelines took, by plugin.");
    let each = || {
        let standard = STANDARD_PLUGINS.iter().enumerate();
        let standard = standard.map(|(index, plugin)| (plugin.name, plugins::figures(Some(index))));
        standard.chain([(TENANTS, plugins::figures(None))])
    };
    page.histograms(head, each().map(|(name, figures)| ([("plugin", name)], figures.seconds.snapshot())))?;
    let head = ("hookwright_plugin_fuel", "Fuel that steps of pipelines used, by plugin.");
    page.counters_by(head, "plugin", each().map(|(name, figures)| (name, figures.fuel.get())))?;
    let head = ("hookwright_plugin_faults", "Steps of pipelines that failed, by plugin.");
    let faults = each().flat_map(|(name, figures)| {
        let faults = named::<FaultKind, 8>(&figures.faults).filter(|(_, count)| *count > 0);
        faults.map(move |(kind, count)| (vec![("plugin", name), ("kind", kind)], count))
    });
    page.counters(head, faults)?;
    let head = ("hookwright_compile_seconds", "How long the compilations of plugins took.");
    page.histogram(head, &plugins::COMPILE_SECONDS.snapshot())
}

/// The counters with the names of their label's values.
fn named<L: Label, const N: usize>(counters: &Counters<N>) -> impl Iterator<Item = (&'static str, u64)> {
    L::NAMES.iter().copied().zip(counters.all())
}
