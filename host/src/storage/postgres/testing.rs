//! PostgreSQL servers and databases for tests.
//!
//! A server is started from the installed binaries, in a temporary directory, once for each test process; it ends with the
//! process. `HOOKWRIGHT_TEST_POSTGRES` names a server that is used instead, as `postgres://user@host:port`.

use std::io::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use super::database::PostgresDatabase;
use super::node_name::NodeName;
use super::open::{PostgresOptions, open};
use super::temporary::{self, TemporaryServer};
use crate::vault::{Key, Vault};

/// What to do about it.
const MISSING: &str = "There is no PostgreSQL: install it (Debian: apt-get install postgresql), or set \
    HOOKWRIGHT_TEST_POSTGRES to the URL of a server, such as postgres://user@host:5432";

/// The URL of the server; `None` if there is none.
static URL: OnceLock<Option<String>> = OnceLock::new();
/// The server of this process.
static SERVER: OnceLock<TemporaryServer> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A database of its own for one test.
pub struct TestDatabase {
    url: String,
}

impl TestDatabase {
    /// Creates one; `None`, with a line that says how to run the test, if there is no PostgreSQL.
    pub async fn create() -> Option<Self> {
        let server = URL.get_or_init(start).as_ref()?;
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let name = format!("hookwright_test_{}_{number}", std::process::id());
        temporary::create_database(server, &name).await.unwrap();
        Some(Self { url: format!("{server}/{name}") })
    }

    /// One that may not be there.
    pub fn at(url: String) -> Self {
        Self { url }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Opens it as the node `name`, with a key of the byte `key`.
    pub async fn try_open(
        &self,
        name: &str,
        key: u8,
    ) -> Result<PostgresDatabase, crate::storage::StorageError> {
        let options = PostgresOptions {
            url: self.url.clone(),
            connections: 8,
            node_name: NodeName::of(name),
            address: "127.0.0.1:0".to_owned(),
        };
        let key =
            Key::from_text(&base64::Engine::encode(&base64::prelude::BASE64_STANDARD, [key; 32])).unwrap();
        open(options, Arc::new(Vault::new(key))).await
    }

    /// Opens it as the node `name`.
    pub async fn open(&self, name: &str) -> PostgresDatabase {
        self.try_open(name, 7).await.unwrap()
    }
}

#[expect(clippy::disallowed_methods, reason = "the server of tests is no setting of the engine")]
fn start() -> Option<String> {
    if let Ok(url) = std::env::var("HOOKWRIGHT_TEST_POSTGRES") {
        return Some(url);
    }
    let Some(binaries) = temporary::installed() else {
        assert!(std::env::var_os("HOOKWRIGHT_TEST_REQUIRE_POSTGRES").is_none(), "{MISSING}");
        // Not `eprintln`: tests that pass hide what it writes.
        let _ = writeln!(std::io::stderr(), "SKIPPED: the tests of storage on PostgreSQL. {MISSING}");
        return None;
    };
    Some(SERVER.get_or_init(|| TemporaryServer::start(&binaries, false).unwrap()).url())
}
