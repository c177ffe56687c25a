//! The real binary in its own process.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use hookwright::vault::{Key, Keys};
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use sqlx_postgres::PgConnection;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::client::Client;
use crate::database::Database;
use crate::program::Program;
use crate::scratch;

/// The operator's key.
pub const ADMIN_KEY: &str = "test-operator-key-with-enough-characters";

/// The key that encrypts secrets, unless the settings of a test have another. On PostgreSQL there must be one.
const ENCRYPTION_KEY: &str = "dGhlIGtleSBvZiB0ZXN0cywgMzIgYnl0ZXMgbG9uZyE=";

/// A running engine. It is killed when it is dropped. What it stores is removed with the last server that uses it.
pub struct Server {
    child: Child,
    base: String,
    admin: Option<String>,
    stored: Stored,
    program: Program,
    environment: Vec<(String, String)>,
}

/// What an engine stores, and where.
#[derive(Clone)]
struct Stored {
    data_dir: PathBuf,
    database: Option<Arc<Database>>,
    /// Holds the data directory, unless the test has its own.
    _temporary: Option<Arc<tempfile::TempDir>>,
}

impl Stored {
    async fn new(program: &Program) -> Self {
        let mut stored = Self::on(None);
        stored.database = Self::at(program, &stored.data_dir).await.database;
        stored
    }

    fn on(database: Option<Arc<Database>>) -> Self {
        let temporary = scratch::directory();
        let data_dir = temporary.path().to_owned();
        Self { data_dir, database, _temporary: Some(Arc::new(temporary)) }
    }

    async fn at(program: &Program, data_dir: &Path) -> Self {
        let database = Database::create(program.database, data_dir).await.map(Arc::new);
        Self { data_dir: data_dir.to_owned(), database, _temporary: None }
    }
}

fn settings(environment: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut all = vec![
        ("HOOKWRIGHT_ADMIN_KEY".to_owned(), ADMIN_KEY.to_owned()),
        ("HOOKWRIGHT_EGRESS_ALLOW".to_owned(), "127.0.0.0/8".to_owned()),
        ("HOOKWRIGHT_LOG".to_owned(), "warn".to_owned()),
        ("HOOKWRIGHT_ADMIN_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
    ];
    for (name, value) in environment {
        all.retain(|(given, _)| given != name);
        all.push(((*name).to_owned(), (*value).to_owned()));
    }
    all
}

/// The addresses in a line of the greeting, which is text or JSON.
fn addresses_in(line: &str) -> Vec<String> {
    if let Ok(line) = serde_json::from_str::<serde_json::Value>(line) {
        return ["listen", "admin"]
            .iter()
            .filter_map(|name| line[name].as_str().map(str::to_owned))
            .collect();
    }
    let at = ["http://127.0.0.1:", "https://127.0.0.1:"].iter().find_map(|start| line.find(start));
    let url = at.and_then(|at| line[at..].split_whitespace().next());
    url.map(|url| url.trim_end_matches('/').to_owned()).into_iter().collect()
}

impl Server {
    /// Starts `program` with nothing stored. Deliveries to loopback are allowed.
    pub async fn start(program: impl Into<Program>) -> Self {
        Self::start_with(program, &[]).await
    }

    /// Like [`Self::start`], with additional settings as environment variables.
    ///
    /// # Panics
    /// If the process does not print its address.
    pub async fn start_with(program: impl Into<Program>, environment: &[(&str, &str)]) -> Self {
        Self::start_logging_to(program, environment, Stdio::inherit()).await
    }

    /// Like [`Self::start_with`], with the log written to `log`.
    ///
    /// # Panics
    /// See [`Self::start_with`].
    pub async fn start_logging_to(
        program: impl Into<Program>,
        environment: &[(&str, &str)],
        log: impl Into<Stdio>,
    ) -> Self {
        let program = program.into();
        let stored = Stored::new(&program).await;
        Self::launch(program, stored, settings(environment), log.into()).await
    }

    /// Like [`Self::start_with`], with the data in `data_dir`, which is not removed. A database on PostgreSQL is.
    ///
    /// # Panics
    /// See [`Self::start_with`].
    pub async fn start_in(
        program: impl Into<Program>,
        data_dir: &Path,
        environment: &[(&str, &str)],
    ) -> Self {
        let program = program.into();
        let stored = Stored::at(&program, data_dir).await;
        Self::launch(program, stored, settings(environment), Stdio::inherit()).await
    }

    /// Like [`Self::start_with`], on this database.
    ///
    /// # Panics
    /// See [`Self::start_with`].
    pub async fn start_on(program: Program, database: Database, environment: &[(&str, &str)]) -> Self {
        let stored = Stored::on(Some(Arc::new(database)));
        Self::launch(program, stored, settings(environment), Stdio::inherit()).await
    }

    async fn launch(
        program: Program,
        stored: Stored,
        environment: Vec<(String, String)>,
        log: Stdio,
    ) -> Self {
        let on_postgres = stored.database.as_ref().map(|database| {
            [
                ("HOOKWRIGHT_DATABASE", database.url()),
                ("HOOKWRIGHT_ENCRYPTION_KEY", ENCRYPTION_KEY.to_owned()),
            ]
        });
        let mut child = program
            .command()
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&stored.data_dir)
            .envs(on_postgres.into_iter().flatten())
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let stdout = child.stdout.take().expect("its output is piped");
        let mut lines = BufReader::new(stdout).lines();
        let addresses = async {
            let mut urls = Vec::new();
            while let Ok(Some(line)) = lines.next_line().await {
                let is_last = line.contains("/openapi.json");
                // As text, the last line has the address of the first one again.
                if urls.is_empty() || !is_last {
                    urls.extend(addresses_in(&line));
                }
                if is_last {
                    break;
                }
            }
            urls.into_iter()
        };
        let mut urls = tokio::time::timeout(crate::TIMEOUT, addresses).await.unwrap_or_default();
        let base = urls.next().unwrap_or_else(|| panic!("{program} prints its address"));
        let admin = urls.next();
        // Read all further output, so that the process never blocks on a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, base, admin, stored, program, environment }
    }

    /// Whether the process has ended.
    ///
    /// # Panics
    /// If that cannot be found out.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_some()
    }

    /// Kills it with SIGKILL and waits for its end.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("a child can be killed");
    }

    /// Sends a signal, such as `-HUP`.
    ///
    /// # Panics
    /// If it has ended.
    pub async fn signal(&self, signal: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args([signal, &id]).status().await.expect("`kill` exists");
        assert!(sent.success());
    }

    /// Sends SIGTERM and waits for its exit code.
    ///
    /// # Panics
    /// If it does not end in time.
    pub async fn terminate(&mut self) -> Option<i32> {
        self.signal("-TERM").await;
        let ended = tokio::time::timeout(crate::TIMEOUT, self.child.wait()).await.expect("it ends in time");
        ended.expect("a child can be waited for").code()
    }

    /// Starts it again with the same data and settings, after it has ended.
    #[must_use]
    pub async fn restart(self) -> Self {
        let environment = self.environment.clone();
        self.launch_again(environment).await
    }

    /// Like [`Self::restart`], with these settings instead.
    #[must_use]
    pub async fn restart_with(self, environment: &[(&str, &str)]) -> Self {
        self.launch_again(settings(environment)).await
    }

    async fn launch_again(self, environment: Vec<(String, String)>) -> Self {
        Self::launch(self.program, self.stored, environment, Stdio::inherit()).await
    }

    /// Starts another node on the same database, with a data directory of its own.
    ///
    /// # Panics
    /// If the database is not on PostgreSQL. See [`Self::start_with`].
    pub async fn another_node(&self) -> Self {
        assert!(self.stored.database.is_some(), "the database is not on PostgreSQL");
        let stored = Stored::on(self.stored.database.clone());
        Self::launch(self.program.clone(), stored, self.environment.clone(), Stdio::inherit()).await
    }

    /// Its base URL, such as `http://127.0.0.1:41234`.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The URL of its admin listener, if it has one.
    #[must_use]
    pub fn admin(&self) -> Option<&str> {
        self.admin.as_deref()
    }

    /// Its data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.stored.data_dir
    }

    /// The keys with which it encrypts secrets.
    #[must_use]
    pub fn encryption_keys(&self) -> Keys {
        let given = self.environment.iter().find(|(name, _)| name == "HOOKWRIGHT_ENCRYPTION_KEY");
        let default = self.stored.database.is_some().then_some(ENCRYPTION_KEY);
        let text = given.map(|(_, value)| value.as_str()).or(default);
        Keys { current: text.and_then(Key::from_text), previous: Vec::new() }
    }

    /// The files of its data directory and the tables of its database that contain these bytes.
    ///
    /// # Panics
    /// If they cannot be read.
    pub async fn stored_with(&self, bytes: &[u8]) -> Vec<String> {
        let files = std::fs::read_dir(self.data_dir()).expect("the data directory can be read");
        let mut found: Vec<String> = files
            .map(|entry| entry.expect("a directory can be read").path())
            // The reserve file contains only zeroes.
            .filter(|path| !path.ends_with("hookwright.reserve"))
            .filter(|path| {
                let content = std::fs::read(path);
                content.is_ok_and(|content| content.windows(bytes.len()).any(|window| window == bytes))
            })
            .map(|path| path.display().to_string())
            .collect();
        if let Some(database) = &self.stored.database {
            found.extend(database.tables_with(bytes).await);
        }
        found
    }

    /// Runs SQL on its database. One on SQLite must not run.
    ///
    /// # Panics
    /// If the SQL fails.
    pub async fn execute(&self, sql: &'static str) {
        if let Some(database) = &self.stored.database {
            let mut connection = PgConnection::connect(&database.url()).await.expect("the server is there");
            sqlx::raw_sql(sql).execute(&mut connection).await.expect("the SQL is right");
            return;
        }
        let file = SqliteConnectOptions::new().filename(self.data_dir().join("hookwright.db"));
        let mut connection = file.connect().await.expect("the file is there");
        sqlx::raw_sql(sql).execute(&mut connection).await.expect("the SQL is right");
        connection.close().await.expect("the file is there");
    }

    /// The process id.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Creates a client with the operator's key.
    #[must_use]
    pub fn operator(&self) -> Client {
        Client::new(&self.base, ADMIN_KEY)
    }

    /// Creates a tenant called `name` and a client with a key that has all scopes.
    ///
    /// # Panics
    /// If the tenant cannot be created.
    pub async fn tenant(&self, name: &str) -> Client {
        Client::new(&self.base, &self.tenant_key(name).await)
    }

    /// Creates a tenant called `name` and returns its key.
    ///
    /// # Panics
    /// If the tenant cannot be created.
    pub async fn tenant_key(&self, name: &str) -> String {
        self.operator().post("/tenants", json!({"name": name})).await.expect(201);
        let operator = self.operator().with_header("hookwright-tenant", name);
        let key = operator.post("/keys", json!({"name": "test"})).await.expect(201);
        key["key"].as_str().expect("a new key is shown").to_owned()
    }
}
