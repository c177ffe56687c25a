//! The list of abuses.

mod cold_plugins;
mod configuration;
mod dry_runs;
mod failing_hooks;
mod far_lists;
mod half_sent_batches;
mod hanging_receivers;
mod idle_connections;
mod interim_responses;
mod large_responses;
mod large_settings;
mod plugin_loops;
mod slow_readers;
mod stored_attempts;
mod unfinished_heads;
mod uploads;
mod wrong_keys;

use crate::abuse::Abuse;

/// All abuses, in the order of the table.
pub fn all() -> Vec<Box<dyn Abuse>> {
    vec![
        Box::new(uploads::Uploads),
        Box::new(dry_runs::DryRuns),
        Box::new(half_sent_batches::HalfSentBatches),
        Box::new(slow_readers::SlowDownloads),
        Box::new(slow_readers::SlowAttempts),
        Box::new(unfinished_heads::UnfinishedHeads),
        Box::new(idle_connections::IdleConnections),
        Box::new(large_settings::LargeSettings),
        Box::new(plugin_loops::ScriptLoops),
        Box::new(plugin_loops::MemoryLoops),
        Box::new(cold_plugins::ColdPlugins::default()),
        Box::new(hanging_receivers::HangingReceivers),
        Box::new(interim_responses::InterimResponses),
        Box::new(large_responses::LargeResponses),
        Box::new(stored_attempts::StoredAttempts),
        Box::new(failing_hooks::FailingHooks),
        Box::new(far_lists::FarLists),
        Box::new(configuration::Configuration),
        Box::new(wrong_keys::WrongKeys),
    ]
}
