//! The HTTP APIs.

mod apizee;
mod audit_log;
mod bad_input;
mod connections;
mod document;
mod dry_runs;
mod engine;
mod event_ids;
mod find_events;
mod isolation;
mod keys;
mod last_attempts;
mod logins;
mod nodes;
mod operator_keys;
mod project_web_hook;
mod quotas;
mod raw;
mod resources;
mod retention;
mod snapshots;
mod tenants;
mod trial;
mod unsaved_pipelines;
mod webitel;
