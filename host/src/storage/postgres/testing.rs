//! PostgreSQL servers and databases for tests.
//!
//! A server is started from the installed binaries, in a temporary directory, once for each test process; it ends with the
//! process. `HOOKWRIGHT_TEST_POSTGRES` names a server that is used instead, as `postgres://user@host:port`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _};
use sqlx_postgres::PgConnection;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::database::PostgresDatabase;
use super::node_name::NodeName;
use super::open::{PostgresOptions, open};
use crate::vault::{Key, Vault};

/// How long a server may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A server that ends with this process.
struct Server {
    url: String,
    /// Its standard input is the sign of life: at its end, the server stops and its directory is removed.
    _shell: Option<Child>,
}

static SERVER: OnceCell<Option<Server>> = OnceCell::const_new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A database of its own for one test.
pub struct TestDatabase {
    url: String,
}

impl TestDatabase {
    /// Creates one; `None`, with a line that says how to run the test, if there is no PostgreSQL.
    pub async fn create() -> Option<Self> {
        let server = SERVER.get_or_init(start).await.as_ref()?;
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let name = format!("hookwright_test_{}_{number}", std::process::id());
        let mut connection = PgConnection::connect(&format!("{}/postgres", server.url)).await.unwrap();
        let sql = format!("CREATE DATABASE {name}");
        sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        Some(Self { url: format!("{}/{name}", server.url) })
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
async fn start() -> Option<Server> {
    if let Ok(url) = std::env::var("HOOKWRIGHT_TEST_POSTGRES") {
        return Some(Server { url, _shell: None });
    }
    let Some(binaries) = binaries() else {
        say_skipped();
        return None;
    };
    let dir = TempDir::new().unwrap().keep();
    let shell = run_server(&binaries, &dir);
    let host = dir.to_str().unwrap().replace('/', "%2F");
    let url = format!("postgres://postgres@{host}");
    let began = std::time::Instant::now();
    while PgConnection::connect(&format!("{url}/postgres")).await.is_err() {
        assert!(began.elapsed() < START_TIMEOUT, "PostgreSQL does not start; see {}/log", dir.display());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Some(Server { url, _shell: Some(shell) })
}

#[expect(clippy::print_stderr, reason = "the output of the tests must say that some did not run")]
fn say_skipped() {
    eprintln!(
        "SKIPPED: there is no PostgreSQL. Install it (Debian: apt-get install postgresql), or set HOOKWRIGHT_TEST_POSTGRES \
         to the URL of a server, such as postgres://user@host:5432"
    );
}

/// The directory of the newest installed server.
#[expect(clippy::disallowed_methods, reason = "the server of tests is no setting of the engine")]
fn binaries() -> Option<PathBuf> {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = debian.map(|entry| entry.path().join("bin")).collect();
    versions.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::env::split_paths(&path).chain(versions.into_iter().rev());
    all.into_iter().find(|dir| dir.join("initdb").exists() && dir.join("postgres").exists())
}

/// Starts a server that listens on a socket in `dir` alone. PostgreSQL refuses to run as root: then it runs as its own user.
fn run_server(binaries: &Path, dir: &Path) -> Child {
    let script = "\"$1/initdb\" -D \"$2/data\" -U postgres -A trust -N --locale=C -E UTF8 --no-instructions > \"$2/log\" 2>&1 || exit 1
        \"$1/postgres\" -D \"$2/data\" -k \"$2\" -c listen_addresses= -c fsync=off -c full_page_writes=off \
            -c max_connections=400 -c shared_buffers=32MB >> \"$2/log\" 2>&1 &
        cat > /dev/null
        kill -QUIT $!
        wait $!
        rm -rf \"$2/data\" \"$2\"/.s.* \"$2/log\"; rmdir \"$2\" 2> /dev/null";
    let is_root = rustix::process::geteuid().is_root();
    let mut command = if is_root {
        let owned = Command::new("chown").arg("postgres").arg(dir).status().unwrap();
        assert!(owned.success());
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    command.arg("-c").arg(script).arg("sh").arg(binaries).arg(dir);
    command.current_dir("/").stdin(Stdio::piped()).spawn().unwrap()
}
