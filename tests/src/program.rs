//! Which program is tested, and on which database.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;

use tokio::process::Command;

/// Variables of the tests. An engine would warn that they are no settings.
const TEST_VARIABLES: [&str; 3] =
    ["HOOKWRIGHT_TEST_POSTGRES", "HOOKWRIGHT_TEST_REQUIRE_POSTGRES", "HOOKWRIGHT_TEST_ENGINES_ON"];

/// The program of an engine, and where it has its database.
#[derive(Debug, Clone)]
pub struct Program {
    path: Cow<'static, str>,
    pub(crate) database: DatabaseKind,
}

/// Where an engine has its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DatabaseKind {
    /// A file in the data directory.
    Sqlite,
    /// On the PostgreSQL server of the tests.
    Postgres,
    /// On the PostgreSQL server that `HOOKWRIGHT_TEST_ENGINES_ON` names, such as `postgres://user@host:5432`; without the
    /// variable, in the data directory.
    Chosen,
}

impl Program {
    /// The program at `path`, with its database in its data directory.
    #[must_use]
    pub const fn on_sqlite(path: &'static str) -> Self {
        Self { path: Cow::Borrowed(path), database: DatabaseKind::Sqlite }
    }

    /// The program at `path`, with its database on the PostgreSQL server of the tests.
    #[must_use]
    pub const fn on_postgres(path: &'static str) -> Self {
        Self { path: Cow::Borrowed(path), database: DatabaseKind::Postgres }
    }

    /// A program that starts this one, such as a script, with the same database.
    ///
    /// # Panics
    /// If the path is not text.
    #[must_use]
    pub fn started_by(self, path: PathBuf) -> Self {
        let path = path.into_os_string().into_string().expect("a path of a test is text");
        Self { path: path.into(), ..self }
    }

    /// A command that starts it, without a file of settings and without variables of the tests.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(self);
        for name in TEST_VARIABLES.into_iter().chain(["HOOKWRIGHT_CONFIG"]) {
            command.env_remove(name);
        }
        command
    }

    /// Whether its database is on PostgreSQL.
    #[must_use]
    pub fn is_on_postgres(&self) -> bool {
        self.database == DatabaseKind::Postgres
    }
}

impl From<PathBuf> for Program {
    fn from(path: PathBuf) -> Self {
        Self { path: Cow::Borrowed(""), database: DatabaseKind::Chosen }.started_by(path)
    }
}

impl AsRef<OsStr> for Program {
    fn as_ref(&self) -> &OsStr {
        OsStr::new(&*self.path)
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}
