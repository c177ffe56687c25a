//! A database into which an installation is moved.
//!
//! All rows arrive in one transaction: they are there as a whole or not at all. From before it until its end, the key check is
//! [`MOVING`], with which no engine starts.

use sqlx::{AssertSqlSafe, Connection as _};
use sqlx_postgres::{PgConnection, PgCopyIn};

use super::{connect, engine_state, partitions, schema};
use crate::storage::StorageError;
use crate::storage::sealing::{KEY_CHECK, MOVING};

/// Tables that have rows as soon as an engine or a move has used the database.
const USED: [&str; 5] = ["nodes", "tenants", "hooks", "events", "plugin_versions"];

/// A connection that writes what is moved.
#[derive(Debug)]
pub struct Target {
    connection: PgConnection,
}

/// What a database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Empty,
    /// What an interrupted move left: no rows, but no engine may start.
    Interrupted,
}

impl Target {
    /// Connects.
    ///
    /// # Errors
    /// The error of the database; [`StorageError::CannotMove`] if another move into it is under way.
    pub async fn connect(url: &str) -> Result<Self, StorageError> {
        let mut connection = connect::connect(url, "hookwright migrate").await?;
        // A large table takes longer than the role's statements may.
        sqlx::query("SET statement_timeout = 0").execute(&mut connection).await?;
        let sql = "SELECT pg_try_advisory_lock(1213681235, 2)";
        if !sqlx::query_scalar::<_, bool>(sql).fetch_one(&mut connection).await? {
            return Err(StorageError::CannotMove(
                "another `hookwright migrate` writes into this database, or was ended a moment ago"
                    .to_owned(),
            ));
        }
        Ok(Self { connection })
    }

    /// What the database holds.
    ///
    /// # Errors
    /// [`StorageError::CannotMove`] if it is in use; else the error of the database.
    pub async fn look(&mut self) -> Result<Found, StorageError> {
        if !engine_state::exists(&mut self.connection).await? {
            return Ok(Found::Empty);
        }
        let mut used = Vec::new();
        for table in USED {
            let sql = AssertSqlSafe(format!("SELECT EXISTS (SELECT FROM {table})"));
            if sqlx::query_scalar(sql).fetch_one(&mut self.connection).await? {
                used.push(table);
            }
        }
        let check = engine_state::get(&mut self.connection, KEY_CHECK).await?;
        match check {
            _ if !used.is_empty() => Err(not_empty(&format!("there are rows in {}", used.join(", ")))),
            None => Ok(Found::Empty),
            Some(value) if value == MOVING => Ok(Found::Interrupted),
            Some(_) => Err(not_empty("an engine has started on it")),
        }
    }

    /// Makes the tables, keeps engines away, and begins the transaction of all rows.
    ///
    /// # Errors
    /// As [`Self::look`].
    pub async fn begin(&mut self) -> Result<(), StorageError> {
        let connection = &mut self.connection;
        schema::migrate(&mut *connection).await?;
        self.look().await?;
        let connection = &mut self.connection;
        let sql = "INSERT INTO engine_state (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        sqlx::query(sql).bind(KEY_CHECK).bind(MOVING).execute(&mut *connection).await?;
        // Once more: an engine may have been faster.
        self.look().await?;
        let connection = &mut self.connection;
        partitions::make(connection.begin().await?).await?;
        make_past_partitions(connection).await?;
        sqlx::query("BEGIN").execute(connection).await?;
        Ok(())
    }

    /// The names of the columns of a table, in order.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn columns(&mut self, table: &str) -> Result<Vec<String>, StorageError> {
        let sql = "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 \
            AND NOT attisdropped AND attgenerated = '' ORDER BY attnum";
        Ok(sqlx::query_scalar(sql).bind(table).fetch_all(&mut self.connection).await?)
    }

    /// Begins to write rows in the text format of `COPY`.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn copy(
        &mut self,
        table: &str,
        columns: &[String],
    ) -> Result<PgCopyIn<&mut PgConnection>, StorageError> {
        let sql = format!("COPY {table} ({}) FROM STDIN", columns.join(", "));
        Ok(self.connection.copy_in_raw(&sql).await?)
    }

    /// How many rows a table has.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn count(&mut self, table: &str) -> Result<u64, StorageError> {
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&mut self.connection).await?;
        Ok(count.unsigned_abs())
    }

    /// Sets a value of the engine's state.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn set_state(&mut self, name: &str, value: &[u8]) -> Result<(), StorageError> {
        engine_state::set(&mut self.connection, name, value).await
    }

    /// Commits, and lets engines start.
    ///
    /// # Errors
    /// The error of the database: then nothing is there.
    pub async fn commit(&mut self) -> Result<(), StorageError> {
        // The first start cancels what waits for them.
        let sql = "INSERT INTO deleted_hooks SELECT DISTINCT hook_id FROM unfinished_deliveries \
            WHERE hook_id NOT IN (SELECT id FROM hooks)";
        sqlx::query(sql).execute(&mut self.connection).await?;
        sqlx::query("COMMIT").execute(&mut self.connection).await?;
        // Autovacuum would do so some time after the first start.
        if let Err(error) = sqlx::query("ANALYZE").execute(&mut self.connection).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "everything is moved, but ANALYZE failed: run it before the first start");
        }
        Ok(())
    }

    /// Ends the connection, and with it a transaction that is not committed. The next move may begin at once.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn close(mut self) -> Result<(), StorageError> {
        sqlx::query("ROLLBACK").execute(&mut self.connection).await?;
        sqlx::query("SELECT pg_advisory_unlock(1213681235, 2)").execute(&mut self.connection).await?;
        Ok(self.connection.close().await?)
    }
}

fn not_empty(why: &str) -> StorageError {
    StorageError::CannotMove(format!(
        "the destination is not empty: {why}. Nothing was changed in it. Create an empty database (CREATE DATABASE), and name \
         that one"
    ))
}

/// Makes a partition for everything before the first day that has one of its own. In the default partition, these rows would
/// be read each time a day gets its partition.
async fn make_past_partitions(connection: &mut PgConnection) -> Result<(), StorageError> {
    let sql = "DO $$ DECLARE
        v_table text;
        v_first date;
    BEGIN
        FOREACH v_table IN ARRAY ARRAY['events', 'finished_deliveries', 'attempts'] LOOP
            SELECT min(to_date(right(relname, 8), 'YYYYMMDD')) INTO v_first FROM pg_inherits JOIN pg_class ON oid = inhrelid
                WHERE inhparent = to_regclass(v_table) AND relname ~ ('^' || v_table || '_[0-9]{8}$');
            EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES FROM (MINVALUE) TO (%s)',
                v_table || '_past', v_table, ((v_first - date '2020-01-01') * 86400000::bigint) << 22);
        END LOOP;
    END $$";
    sqlx::query(sql).execute(connection).await?;
    Ok(())
}
