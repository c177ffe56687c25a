//! Rows of SQLite in the text format of PostgreSQL's `COPY`.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, TypeInfo as _, ValueRef as _};

use crate::storage::StorageError;
use crate::storage::columns::damaged;

/// What PostgreSQL's text cannot hold is replaced by this.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// Lines for `COPY`.
#[derive(Debug, Default)]
pub struct CopyText {
    /// Complete lines.
    pub bytes: Vec<u8>,
    /// The columns of the last line, by index, in which something was replaced.
    pub replaced: Vec<usize>,
}

impl CopyText {
    /// Adds a line.
    ///
    /// # Errors
    /// If a value cannot be read.
    pub fn push(&mut self, row: &SqliteRow) -> Result<(), StorageError> {
        self.replaced.clear();
        for index in 0..row.len() {
            if index > 0 {
                self.bytes.push(b'\t');
            }
            let value = row.try_get_raw(index)?;
            if value.is_null() {
                self.bytes.extend_from_slice(b"\\N");
                continue;
            }
            match value.type_info().name() {
                "INTEGER" | "BOOLEAN" => {
                    let number: i64 = row.try_get_unchecked(index)?;
                    self.bytes.extend_from_slice(number.to_string().as_bytes());
                }
                "TEXT" => {
                    let text: &[u8] = row.try_get_unchecked(index)?;
                    if !self.push_text(text) {
                        self.replaced.push(index);
                    }
                }
                "BLOB" => self.push_bytes(row.try_get_unchecked(index)?),
                other => return Err(damaged("value", format_args!("its type is {other}"))),
            }
        }
        self.bytes.push(b'\n');
        Ok(())
    }

    /// Returns whether PostgreSQL can hold all of it.
    fn push_text(&mut self, text: &[u8]) -> bool {
        let mut whole = true;
        for chunk in text.utf8_chunks() {
            for byte in chunk.valid().bytes() {
                match byte {
                    0 => {
                        self.bytes.extend_from_slice(REPLACEMENT);
                        whole = false;
                    }
                    b'\\' => self.bytes.extend_from_slice(b"\\\\"),
                    b'\t' => self.bytes.extend_from_slice(b"\\t"),
                    b'\n' => self.bytes.extend_from_slice(b"\\n"),
                    b'\r' => self.bytes.extend_from_slice(b"\\r"),
                    other => self.bytes.push(other),
                }
            }
            if !chunk.invalid().is_empty() {
                self.bytes.extend_from_slice(REPLACEMENT);
                whole = false;
            }
        }
        whole
    }

    fn push_bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(b"\\\\x");
        let start = self.bytes.len();
        self.bytes.resize(start + 2 * bytes.len(), 0);
        // The room is twice as large as the bytes.
        let _ = hex::encode_to_slice(bytes, &mut self.bytes[start..]);
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Connection as _;
    use sqlx::sqlite::SqliteConnection;

    use super::*;

    #[tokio::test]
    async fn values_are_escaped_and_what_text_cannot_hold_is_replaced() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let sql = "SELECT -7, NULL, 'a\\b' || char(9, 10, 13) || 'é', x'00ff', '', x'', 'n' || char(0) || 'l', \
            CAST(x'41ff' AS TEXT)";
        let row = sqlx::query(sql).fetch_one(&mut connection).await.unwrap();
        let mut text = CopyText::default();
        text.push(&row).unwrap();
        let expected = "-7\t\\N\ta\\\\b\\t\\n\\ré\t\\\\x00ff\t\t\\\\x\tn\u{fffd}l\tA\u{fffd}\n";
        assert_eq!(String::from_utf8(text.bytes).unwrap(), expected);
        assert_eq!(text.replaced, [6, 7]);
    }
}
