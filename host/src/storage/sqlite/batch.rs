//! Statements over many rows.
//!
//! A statement for each row costs ten times what one over all rows does. Rows are taken in powers of two up to
//! 256, so that nine prepared statements serve every number of rows.

use std::sync::Arc;

use sqlx::AssertSqlSafe;
use sqlx::error::BoxDynError;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};

/// The most rows in one statement.
const MAX_ROWS: usize = 256;

/// What binds one row's values.
pub type Bind<T> = fn(&T, &mut SqliteArguments) -> Result<(), BoxDynError>;

/// A statement with a list of `VALUES`, for any number of rows.
#[derive(Debug)]
pub struct MultiRow {
    /// For 1, 2, 4, … rows.
    statements: Vec<Arc<str>>,
    columns: usize,
}

impl MultiRow {
    /// `head`, then `row` once for each row with commas between, then `tail`.
    /// Every `?` in `row` is a value: numbered parameters would make SQLite search them.
    pub fn new(head: &str, row: &str, tail: &str) -> Self {
        let sizes = (0..=MAX_ROWS.ilog2()).map(|power| 1 << power);
        let statements = sizes.map(|rows| format!("{head} {} {tail}", vec![row; rows].join(",")).into());
        Self { statements: statements.collect(), columns: row.matches('?').count() }
    }

    /// Runs it for all `rows`, in order.
    pub async fn execute<T: Sync>(
        &self,
        connection: &mut SqliteConnection,
        mut rows: &[T],
        bind: Bind<T>,
    ) -> Result<(), sqlx::Error> {
        while !rows.is_empty() {
            let power = rows.len().min(MAX_ROWS).ilog2();
            let (chunk, rest) = rows.split_at(1 << power);
            let mut arguments = SqliteArguments::default();
            sqlx::Arguments::reserve(&mut arguments, chunk.len() * self.columns, 0);
            for row in chunk {
                bind(row, &mut arguments).map_err(sqlx::Error::Encode)?;
            }
            let sql = AssertSqlSafe(Arc::clone(&self.statements[power as usize]));
            sqlx::query_with(sql, arguments).execute(&mut *connection).await?;
            rows = rest;
        }
        Ok(())
    }
}

/// Ids as a JSON array, to be read by `json_each`.
pub fn json_ids(ids: impl IntoIterator<Item = i64>) -> String {
    let ids: Vec<i64> = ids.into_iter().collect();
    serde_json::Value::from(ids).to_string()
}
