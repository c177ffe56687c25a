//! The end-to-end tests run on both databases.

use crate::Violation;
use crate::repository::file;

/// The target on SQLite, and the one on PostgreSQL.
const TARGETS: [&str; 2] = ["tests/tests/engine/main.rs", "tests/tests/engine_on_postgres/main.rs"];
/// The module of tests about files of SQLite.
const SQLITE_ONLY: &str = "sqlite";

/// Returns the modules of the first target that the second one lacks.
pub fn violations() -> Vec<Violation> {
    let [sqlite, postgres] = TARGETS.map(|target| modules(&file(target).text));
    let missing = sqlite.into_iter().filter(|name| name != SQLITE_ONLY && !postgres.contains(name));
    let message = |name: &str| {
        format!("{}: declare `{name}` here, too, so that its tests run on PostgreSQL", TARGETS[1])
    };
    missing.map(|name| Violation { message: message(&name), key: name }).collect()
}

/// Returns the names of the modules that a file declares.
fn modules(text: &str) -> Vec<String> {
    let declared = text.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    declared.map(str::to_owned).collect()
}
