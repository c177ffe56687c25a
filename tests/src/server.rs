//! The real binary in its own process.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::client::Client;

/// The operator's key.
pub const ADMIN_KEY: &str = "test-operator-key-with-enough-characters";

/// A running engine. It is killed when it is dropped. Its data directory is removed with the last server that uses it.
pub struct Server {
    child: Child,
    base: String,
    data_dir: Arc<tempfile::TempDir>,
    path: PathBuf,
    binary: PathBuf,
    environment: Vec<(String, String)>,
}

fn settings(environment: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut all = vec![
        ("HOOKWRIGHT_ADMIN_KEY".to_owned(), ADMIN_KEY.to_owned()),
        ("HOOKWRIGHT_EGRESS_ALLOW".to_owned(), "127.0.0.0/8".to_owned()),
        ("HOOKWRIGHT_LOG".to_owned(), "warn".to_owned()),
    ];
    for (name, value) in environment {
        all.retain(|(given, _)| given != name);
        all.push(((*name).to_owned(), (*value).to_owned()));
    }
    all
}

/// The settings with which the engine of a data directory has its database on a PostgreSQL server, if
/// `HOOKWRIGHT_TEST_ENGINES_ON` names one, such as `postgres://user@host:5432`. Creates the database if it is missing.
#[expect(clippy::disallowed_methods, reason = "the server of tests is no setting of the engine")]
async fn on_postgres(data_dir: &Path) -> Vec<(String, String)> {
    let Ok(server) = std::env::var("HOOKWRIGHT_TEST_ENGINES_ON") else { return Vec::new() };
    let mut hasher = DefaultHasher::new();
    data_dir.hash(&mut hasher);
    let name = format!("hookwright_engine_{:x}", hasher.finish());
    let sql = format!("CREATE DATABASE {name}");
    // It fails if there is one: an engine that is started again finds its own.
    let created =
        Command::new("psql").arg(format!("{server}/postgres")).args(["-q", "-c", &sql]).output().await;
    created.expect("`psql` is installed");
    vec![
        ("HOOKWRIGHT_DATABASE".to_owned(), format!("{server}/{name}")),
        ("HOOKWRIGHT_ENCRYPTION_KEY".to_owned(), "dGhlIGtleSBvZiB0ZXN0cywgMzIgYnl0ZXMgbG9uZyE=".to_owned()),
    ]
}

impl Server {
    /// Starts `binary` with an empty data directory. Deliveries to loopback are allowed.
    pub async fn start(binary: impl AsRef<Path>) -> Self {
        Self::start_with(binary, &[]).await
    }

    /// Like [`Self::start`], with additional settings as environment variables.
    ///
    /// # Panics
    /// If the process does not print its address.
    pub async fn start_with(binary: impl AsRef<Path>, environment: &[(&str, &str)]) -> Self {
        Self::start_logging_to(binary, environment, Stdio::inherit()).await
    }

    /// Like [`Self::start_with`], with the log written to `log`.
    ///
    /// # Panics
    /// See [`Self::start_with`].
    pub async fn start_logging_to(
        binary: impl AsRef<Path>,
        environment: &[(&str, &str)],
        log: impl Into<Stdio>,
    ) -> Self {
        let data_dir = Arc::new(tempfile::tempdir().expect("a temporary directory can be created"));
        let path = data_dir.path().to_owned();
        Self::launch(binary.as_ref().to_owned(), (data_dir, path), settings(environment), log.into()).await
    }

    /// Like [`Self::start_with`], with the data in `data_dir`, which is not removed.
    ///
    /// # Panics
    /// See [`Self::start_with`].
    pub async fn start_in(binary: impl AsRef<Path>, data_dir: &Path, environment: &[(&str, &str)]) -> Self {
        let unused = Arc::new(tempfile::tempdir().expect("a temporary directory can be created"));
        let data_dir = (unused, data_dir.to_owned());
        Self::launch(binary.as_ref().to_owned(), data_dir, settings(environment), Stdio::inherit()).await
    }

    async fn launch(
        binary: PathBuf,
        (data_dir, path): (Arc<tempfile::TempDir>, PathBuf),
        environment: Vec<(String, String)>,
        log: Stdio,
    ) -> Self {
        let mut child = Command::new(&binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&path)
            .env_remove("HOOKWRIGHT_CONFIG")
            .envs(on_postgres(&path).await)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        let stdout = child.stdout.take().expect("its output is piped");
        let mut lines = BufReader::new(stdout).lines();
        let address = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(at) = line.find("http://127.0.0.1:") {
                    let url: String = line[at..].chars().take_while(|c| !c.is_whitespace()).collect();
                    return Some(url.trim_end_matches('/').to_owned());
                }
            }
            None
        };
        let base = tokio::time::timeout(crate::TIMEOUT, address).await.ok().flatten();
        let base = base.unwrap_or_else(|| panic!("{} prints its address", binary.display()));
        // Read all further output, so that the process never blocks on a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, base, data_dir, path, binary, environment }
    }

    /// Kills it with SIGKILL and waits for its end.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("a child can be killed");
    }

    /// Sends SIGTERM and waits for its exit code.
    ///
    /// # Panics
    /// If it does not end in time.
    pub async fn terminate(&mut self) -> Option<i32> {
        let id = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().await.expect("`kill` exists");
        assert!(sent.success());
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
        let data_dir = (Arc::clone(&self.data_dir), self.path.clone());
        Self::launch(self.binary.clone(), data_dir, environment, Stdio::inherit()).await
    }

    /// Its base URL, such as `http://127.0.0.1:41234`.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Its data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.path
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
