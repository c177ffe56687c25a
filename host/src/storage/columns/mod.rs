//! Domain types from and to columns, as all databases store them.

mod attempts;
mod audit;
mod changes;
mod directory;
mod events;
mod hook_health;
mod hook_options;
mod hook_stats;
mod hooks;
mod jobs;
mod receiver_options;
mod records;
mod rendered;
mod tenant_options;
mod values;

pub use attempts::{
    AttemptColumns, AttemptRow, LastAttemptColumns, attempt_from_columns, last_attempts_from_columns,
};
pub(in crate::storage) use audit::audit_columns;
pub use audit::{AuditRow, audit_from_row, audit_to_row};
pub use changes::{OPERATORS, config_key_columns, config_key_from_row};
pub use directory::*;
pub(in crate::storage) use directory::{key_columns, operator_key_columns};
pub use events::{RecentRow, newest_wanted};
pub use hook_health::{HealthRow, health_from_row, health_to_row};
pub use hook_stats::{stats_from_text, stats_to_text};
pub use hooks::{HookRow, authorization_context_of, hook_context_of};
pub(in crate::storage) use jobs::job_columns;
pub use jobs::{
    JobRow, count_column, ids_to_text, job_context_of, job_from_row, job_state_code, job_work_to_text,
    pipeline_of_job, sealed_settings,
};
pub use records::{KeptBodyRow, RecordRow, RenderedChange};
pub use rendered::{
    RenderedRow, body_columns, request_context_of, request_from_row, seal_parts, warn_of_request,
};
pub use tenant_options::tenant_options_to_json;
pub use values::*;
