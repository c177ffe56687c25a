//! What is moved: which rows of SQLite become which rows of PostgreSQL.
//!
//! A column that both tables have is copied as it is; the others are listed. Deliveries arrive as the next start on the data
//! directory would leave them: leases have ended, and each delivery has a row.

/// Rows that become rows of one table.
#[derive(Debug)]
pub struct Rows {
    /// What they are, for people.
    pub what: &'static str,
    /// The table of PostgreSQL.
    pub table: &'static str,
    /// The table of SQLite from which columns of the same name are copied.
    pub same: Option<&'static str>,
    /// Which rows, after `FROM`.
    pub from: &'static str,
    /// Other columns of `table`, and the SQL that selects them. `{now}` is the time in milliseconds.
    pub columns: &'static [(&'static str, &'static str)],
}

const fn plain(what: &'static str, table: &'static str) -> Rows {
    Rows { what, table, same: Some(table), from: table, columns: &[] }
}

/// Of deliveries whose only trace is in their event's row.
const NAMED: &str = "events e CROSS JOIN json_each(e.deliveries) d \
    WHERE e.key > (SELECT event_key FROM written_until) AND NOT EXISTS \
    (SELECT 1 FROM deliveries w WHERE w.tenant_id = e.tenant_id AND w.id = e.key + (d.value ->> 0))";

/// Everything that is moved, besides the engine's state. Rows of one table follow one another.
pub const ALL: &[Rows] = &[
    plain("tenants", "tenants"),
    plain("projects", "projects"),
    plain("keys", "api_keys"),
    plain("operators' keys", "operator_keys"),
    plain("audit log", "audit_log"),
    plain("logins", "logins"),
    plain("tokens", "domain_tokens"),
    // A hook whose secrets are damaged stays damaged.
    Rows { columns: &[("sealed", "ifnull(sealed, x'')")], ..plain("hooks", "hooks") },
    plain("states of hooks", "hook_health"),
    plain("statistics of hooks", "hook_stats"),
    plain("usage of tenants", "tenant_usage"),
    plain("deletions of tenants", "tenant_deletions"),
    // No node works on them.
    Rows { columns: &[("lease_id", "NULL")], ..plain("jobs", "jobs") },
    plain("notes on deliveries", "delivery_notes"),
    plain("plugin versions", "plugin_versions"),
    plain("plugin files", "plugin_blobs"),
    Rows {
        columns: &[
            ("lease_until", "NULL"),
            ("external_id", "ifnull(external_id, sender_id)"),
            (
                "delivery_ids",
                "(SELECT '{' || group_concat(events.key + (d.value ->> 0)) || '}' FROM json_each(events.deliveries) d)",
            ),
            (
                "hook_ids",
                "(SELECT '{' || group_concat(d.value ->> 1) || '}' FROM json_each(events.deliveries) d)",
            ),
        ],
        ..plain("events", "events")
    },
    Rows {
        what: "deduplication names",
        table: "event_names",
        same: Some("events"),
        // After its time, a name may have become that of another event.
        from: "events WHERE key IN (SELECT max(key) FROM events WHERE ifnull(external_id, sender_id) IS NOT NULL \
            GROUP BY tenant_id, ifnull(external_id, sender_id))",
        columns: &[
            ("kind", "0"),
            ("name", "ifnull(external_id, sender_id)"),
            ("external_id", "ifnull(external_id, sender_id)"),
            ("event_key", "key"),
        ],
    },
    Rows {
        what: "deduplication names",
        table: "event_names",
        same: Some("events"),
        from: "events WHERE key IN (SELECT max(key) FROM events WHERE ifnull(idempotency_key, sender_key) IS NOT NULL \
            GROUP BY tenant_id, ifnull(idempotency_key, sender_key))",
        columns: &[
            ("kind", "1"),
            ("name", "ifnull(idempotency_key, sender_key)"),
            ("external_id", "ifnull(external_id, sender_id)"),
            ("event_key", "key"),
        ],
    },
    Rows {
        what: "finished deliveries",
        table: "finished_deliveries",
        same: Some("deliveries"),
        // A test is sent once: a start cancels those that are left.
        from: "deliveries WHERE state >= 3 OR made_by = 1",
        columns: &[("state", "iif(state < 3, 6, state)")],
    },
    Rows {
        what: "unfinished deliveries",
        table: "unfinished_deliveries",
        same: Some("deliveries"),
        from: "deliveries WHERE state < 3 AND made_by <> 1",
        columns: &[
            ("state", "iif(state = 1, iif(attempts = 0, 0, 2), state)"),
            ("due_at", "ifnull(due_at, {now})"),
            ("lease_owner", "NULL"),
            ("lease_id", "NULL"),
            ("lease_until", "NULL"),
            // Before all numbers that the destination gives.
            ("ordering_seq", "ordering_seq - 9223372036854775807"),
        ],
    },
    Rows {
        what: "unfinished deliveries",
        table: "unfinished_deliveries",
        same: None,
        from: NAMED,
        columns: &[
            ("tenant_id", "e.tenant_id"),
            ("id", "e.key + (d.value ->> 0)"),
            ("hook_id", "d.value ->> 1"),
            ("event_key", "e.key"),
            ("event_type", "e.event_type"),
            ("made_by", "0"),
            ("state", "0"),
            ("attempts", "0"),
            ("failures", "0"),
            ("due_at", "{now}"),
        ],
    },
    plain("erased events", "erased_events"),
    plain("attempts", "attempts"),
    plain("kept bodies of requests", "kept_bodies"),
    // One whose URL and headers are damaged is rendered again.
    Rows {
        columns: &[("sealed", "ifnull(sealed, x'')")],
        ..plain("requests for retries", "rendered_requests")
    },
];

/// In `engine_state`: what concerns only the one database or its machine's clock.
pub const LOCAL_STATE: &[&str] =
    &["clock-step", "plain-text-to-forget", "probe", "rendered-sealed", "wall-clock"];

impl Rows {
    /// The columns of [`Self::table`] that are written, and the statement that selects them.
    pub fn select(&self, target: &[String], source: &[String], now: i64) -> (Vec<String>, String) {
        let (mut columns, mut values) = (Vec::new(), Vec::new());
        for name in target {
            let value = match self.columns.iter().find(|(column, _)| column == name) {
                Some((_, sql)) => (*sql).replace("{now}", &now.to_string()),
                None if source.contains(name) => format!("\"{name}\""),
                None => continue,
            };
            columns.push(format!("\"{name}\""));
            values.push(value);
        }
        let sql = format!("SELECT {} FROM {}", values.join(", "), self.from);
        (columns, sql)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::storage::sqlite::{Source, SqliteOptions, open};

    /// What has no column of the same name, `table.column`, or is not moved at all.
    const ELSEWHERE: &[&str] = &[
        "_sqlx_migrations",
        "directory_changes",         // nodes follow from where they begin
        "engine_state",              // moved by itself
        "events.content",            // in `event_names`
        "events.deliveries",         // in `delivery_ids` and `hook_ids`
        "events.delivery_count",     // in `event_names`
        "events.idempotency_key",    // in `event_names`
        "events.sender_id",          // in `external_id`
        "events.sender_key",         // in `event_names`
        "deliveries.ready_at",       // follows from others
        "hook_id_buckets",           // an index
        "known_names",               // hashes of names, which `event_names` has
        "hook_secrets",              // empty once hooks are sealed
        "name_buckets",              // as `known_names`
        "nodes",                     // the destination has its own
        "recent_names",              // as `known_names`
        "rendered_requests.headers", // sealed
        "rendered_requests.url",     // sealed
        "written_until",             // each delivery has a row
    ];

    #[tokio::test]
    async fn every_column_of_every_table_is_moved_or_listed_with_a_reason() {
        let Some(target) = crate::storage::postgres::TestDatabase::create().await else { return };
        target.open("a").await;
        let mut target = crate::storage::postgres::Target::connect(target.url()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let opened = open(dir.path(), SqliteOptions::default()).await.unwrap();
        crate::storage::Database::close(&opened).await.unwrap();
        drop(opened);
        let mut source = Source::open(dir.path()).await.unwrap();
        let mut left = BTreeSet::new();
        for table in source.tables().await.unwrap() {
            let all: Vec<_> = ALL.iter().filter(|rows| rows.same == Some(table.as_str())).collect();
            if all.is_empty() {
                left.insert(table);
                continue;
            }
            let mut columns: BTreeSet<String> = source.columns(&table).await.unwrap().into_iter().collect();
            for rows in all.iter().filter(|rows| rows.table != "event_names") {
                for column in target.columns(rows.table).await.unwrap() {
                    columns.remove(&column);
                }
            }
            left.extend(columns.into_iter().map(|column| format!("{table}.{column}")));
        }
        let listed: BTreeSet<String> = ELSEWHERE.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(left, listed);
    }
}
