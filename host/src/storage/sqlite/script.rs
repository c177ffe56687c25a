//! Statements over many rows, and all statements of a transaction as one script.
//!
//! A statement for each row costs ten times what one over all rows does, and each call to SQLite's thread costs a switch
//! there and back, which on a busy machine takes longer than the work. So the statements of a transaction are gathered in
//! a [`Script`]. Rows are padded with NULLs to a power of two, so that few different scripts occur and their prepared
//! statements are reused.

use sqlx::error::BoxDynError;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments as _, AssertSqlSafe};

/// The most rows in one statement.
const MAX_ROWS: usize = 256;

/// Binds one row's values.
pub type Bind<T> = fn(&T, &mut SqliteArguments) -> Result<(), BoxDynError>;

/// A statement with a list of `VALUES`, for any number of rows. A row whose values are all NULL must have
/// no effect.
///
/// Statements for every event and every attempt say `OR ROLLBACK`: if one fails, the whole transaction is rolled back
/// anyway, and SQLite need not keep a journal to undo a single statement.
#[derive(Debug)]
pub struct MultiRow {
    /// For 1, 2, 4, … rows.
    statements: Vec<Box<str>>,
    columns: usize,
}

impl MultiRow {
    /// `head`, then `row` once for each row, separated by commas, then `tail`.
    /// Every `?` in `row` is a value: SQLite would have to search numbered parameters.
    pub fn new(head: &str, row: &str, tail: &str) -> Self {
        let sizes = (0..=MAX_ROWS.ilog2()).map(|power| 1 << power);
        let statements = sizes.map(|rows| format!("{head} {} {tail};", vec![row; rows].join(",")).into());
        Self { statements: statements.collect(), columns: row.matches('?').count() }
    }
}

/// Statements to run one after the other, with their values.
#[derive(Default)]
pub struct Script {
    sql: String,
    values: SqliteArguments,
}

/// Begins a transaction that writes, without beginning a read transaction first.
pub const BEGIN: &str = "BEGIN IMMEDIATE;";
/// Commits the transaction to disk.
pub const COMMIT: &str = "COMMIT;";

impl Script {
    /// Adds a statement without values; it ends in a semicolon.
    pub fn push(&mut self, statement: &'static str) {
        self.sql.push_str(statement);
    }

    /// Adds a statement with one value; it ends in a semicolon.
    pub fn push_value(&mut self, statement: &'static str, value: i64) -> Result<(), sqlx::Error> {
        self.sql.push_str(statement);
        self.values.add(value).map_err(sqlx::Error::Encode)
    }

    /// Adds `statement` for all `rows`, in order.
    pub fn push_rows<T>(
        &mut self,
        statement: &MultiRow,
        mut rows: &[T],
        bind: Bind<T>,
    ) -> Result<(), sqlx::Error> {
        while !rows.is_empty() {
            let (chunk, rest) = rows.split_at(rows.len().min(MAX_ROWS));
            let size = chunk.len().next_power_of_two();
            self.sql.push_str(&statement.statements[size.ilog2() as usize]);
            self.values.reserve(size * statement.columns, 0);
            for row in chunk {
                bind(row, &mut self.values).map_err(sqlx::Error::Encode)?;
            }
            for _ in 0..(size - chunk.len()) * statement.columns {
                self.values.add(None::<i64>).map_err(sqlx::Error::Encode)?;
            }
            rows = rest;
        }
        Ok(())
    }

    /// Runs all that was added.
    pub async fn run(self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        if self.sql.is_empty() {
            return Ok(());
        }
        sqlx::query_with(AssertSqlSafe(self.sql), self.values).execute(connection).await.map(drop)
    }
}

/// Ids as a JSON array, for `json_each`.
pub fn json_ids(ids: impl IntoIterator<Item = i64>) -> String {
    let ids: Vec<i64> = ids.into_iter().collect();
    serde_json::Value::from(ids).to_string()
}

/// Tenants and ids as a JSON array of pairs, for [`is_among`].
pub fn json_keys(keys: impl IntoIterator<Item = (i64, i64)>) -> String {
    let keys: Vec<_> = keys.into_iter().map(|(tenant, id)| vec![tenant, id]).collect();
    serde_json::Value::from(keys).to_string()
}

/// Whether a delivery is among those whose [`json_keys`] are bound.
macro_rules! is_among {
    () => {
        "(tenant_id, id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))"
    };
}
pub(super) use is_among;
