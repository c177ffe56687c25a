//! Days that are too old, on PostgreSQL.

use anyhow::Result;
use sqlx::{AssertSqlSafe, Connection as _};
use sqlx_postgres::PgConnection;

/// The first day that is a month old, counted back from today.
const OLD: u64 = 32;

/// Makes days with events as the newest one, each with its delivery and attempt. All are too old.
pub async fn fill(url: &str, days: u64, events: u64) -> Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    for day in OLD..OLD + days {
        let sql = format!(
            "DO $$ DECLARE v_day bigint := (now() AT TIME ZONE 'UTC')::date - date '2020-01-01' - {day}; v_table text; \
             BEGIN FOREACH v_table IN ARRAY ARRAY['events', 'finished_deliveries', 'attempts'] LOOP \
             EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%s) TO (%s)', \
             v_table || to_char(date '2020-01-01' + v_day::integer, '_YYYYMMDD'), v_table, \
             (v_day * 86400000) << 22, ((v_day + 1) * 86400000) << 22); END LOOP; END $$"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
        let keys = format!(
            "(SELECT ((((now() AT TIME ZONE 'UTC')::date - date '2020-01-01' - {day})::bigint * 86400000) << 22) \
             + n * ((86400000::bigint << 22) / {events}) AS key FROM generate_series(0, {events}::bigint - 1) n) k"
        );
        let sql = format!(
            "INSERT INTO events (key, tenant_id, event_type, occurred_at, lease_until, delivery_ids, hook_ids, data) \
             SELECT k.key, e.tenant_id, e.event_type, e.occurred_at, e.lease_until, ARRAY[k.key + 1], e.hook_ids, e.data \
             FROM (SELECT * FROM events ORDER BY key DESC LIMIT 1) e, {keys}; \
             INSERT INTO finished_deliveries \
             SELECT f.tenant_id, k.key + 1, f.hook_id, k.key, f.event_type, f.made_by, f.state, f.attempts, f.failures \
             FROM (SELECT * FROM finished_deliveries ORDER BY id DESC LIMIT 1) f, {keys}; \
             INSERT INTO attempts \
             SELECT k.key + 1, k.key + 1, a.number, a.started_at, a.duration_ns, a.outcome, a.status, a.detail, a.body, \
             a.steps, a.request FROM (SELECT * FROM attempts ORDER BY id DESC LIMIT 1) a, {keys}"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    }
    sqlx::raw_sql("ANALYZE; CHECKPOINT").execute(&mut connection).await?;
    Ok(connection.close().await?)
}

/// The size of the database, and how many days there are that are too old.
pub async fn size(url: &str) -> Result<(u64, u64)> {
    let sql = "SELECT pg_database_size(current_database()), (SELECT count(*) FROM pg_class \
        WHERE relname ~ '^events_[0-9]{8}$' AND to_date(right(relname, 8), 'YYYYMMDD') < now()::date - 30)";
    let mut connection = PgConnection::connect(url).await?;
    let (bytes, days): (i64, i64) = sqlx::query_as(sql).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok((u64::try_from(bytes)?, u64::try_from(days)?))
}
