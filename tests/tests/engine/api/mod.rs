//! The HTTP APIs.

mod apizee;
mod bad_input;
mod connections;
mod document;
mod dry_runs;
mod event_ids;
mod find_events;
mod isolation;
mod logins;
mod nodes;
mod project_web_hook;
mod quotas;
mod raw;
mod resources;
mod retention;
mod snapshots;
mod tenants;
mod trial;
mod webitel;
