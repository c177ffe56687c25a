//! Databases of engines on PostgreSQL, on one server for all tests of a process.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::OnceLock;

use hookwright::storage::postgres::temporary::{self, TemporaryServer};
use sqlx::{AssertSqlSafe, Connection as _};
use sqlx_postgres::PgConnection;

use crate::program::DatabaseKind;

/// The URL of the server of this process.
static URL: OnceLock<String> = OnceLock::new();
/// It ends with this process.
static SERVER: OnceLock<TemporaryServer> = OnceLock::new();

/// A database. It is removed when it is dropped.
#[derive(Debug)]
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// Creates a database for the engine with this data directory; `None` if that is on SQLite.
    pub(crate) async fn create(kind: DatabaseKind, data_dir: &Path) -> Option<Self> {
        let server = match kind {
            DatabaseKind::Sqlite => return None,
            DatabaseKind::Postgres => server().to_owned(),
            DatabaseKind::Chosen => variable("HOOKWRIGHT_TEST_ENGINES_ON")?,
        };
        let mut hasher = DefaultHasher::new();
        data_dir.hash(&mut hasher);
        Some(Self::on(&server, &format!("hookwright_engine_{:x}", hasher.finish())).await)
    }

    /// Creates the database `name` on the server with this URL, which is without a database.
    ///
    /// # Panics
    /// If it cannot be created.
    pub async fn on(server: &str, name: &str) -> Self {
        temporary::create_database(server, name).await.expect("a database can be created");
        Self { server: server.to_owned(), name: name.to_owned() }
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    /// The tables with rows that contain these bytes, also within binary columns.
    ///
    /// # Panics
    /// If the server does not answer.
    pub async fn tables_with(&self, bytes: &[u8]) -> Vec<String> {
        let mut connection = PgConnection::connect(&self.url()).await.expect("the server is there");
        let sql = "SELECT c.oid::regclass::text FROM pg_class c \
            WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace";
        let tables: Vec<String> =
            sqlx::query_scalar(sql).fetch_all(&mut connection).await.expect("a catalog");
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut found = Vec::new();
        for table in tables {
            let sql = format!(
                "SELECT EXISTS (SELECT FROM {table} t WHERE strpos(t::text, $1) > 0 OR strpos(t::text, $2) > 0)"
            );
            let query =
                sqlx::query_scalar(AssertSqlSafe(sql)).bind(String::from_utf8_lossy(bytes)).bind(&hex);
            if query.fetch_one(&mut connection).await.expect("a table can be searched") {
                found.push(table);
            }
        }
        found
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A runtime of its own: the test's may be ending, and may have one thread.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&format!("{server}/postgres")).await.ok()?;
                let sql = format!("DROP DATABASE {name} WITH (FORCE)");
                sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.ok()
            })
        });
        let _ = dropping.join();
    }
}

/// The URL of the server, without a database: of a temporary one, or of that which `HOOKWRIGHT_TEST_POSTGRES` names.
///
/// # Panics
/// If there is none.
pub fn server() -> &'static str {
    URL.get_or_init(|| {
        variable("HOOKWRIGHT_TEST_POSTGRES").unwrap_or_else(|| {
            let binaries = temporary::installed().expect(
                "PostgreSQL is installed (Debian: apt-get install postgresql), or HOOKWRIGHT_TEST_POSTGRES is the URL of a \
                 server",
            );
            SERVER.get_or_init(|| TemporaryServer::start(&binaries, false).expect("PostgreSQL starts")).url()
        })
    })
}

#[expect(clippy::disallowed_methods, reason = "settings of the tests are no settings of the engine")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
