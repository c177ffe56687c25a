//! A temporary PostgreSQL server, started from the installed binaries, for tests and demonstrations.
//!
//! A shell supervises it. The shell's standard input is the sign of life: when it closes, however this process ends, the
//! server stops and its directory is removed.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use sqlx::{AssertSqlSafe, Connection as _};
use sqlx_postgres::PgConnection;

use crate::storage::StorageError;

/// The program of the shell.
const SCRIPT: &str = include_str!("temporary.sh");
/// Settings of the server besides its socket.
const SETTINGS: &str = "listen_addresses = ''\nmax_connections = 400\nshared_buffers = '32MB'\n\
    dynamic_shared_memory_type = 'mmap'\nmax_wal_size = '256MB'\n";
/// Settings that are faster, and lose data if the machine crashes.
const NOT_DURABLE: &str = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n";

/// A server that ends with this value, and with the process.
#[derive(Debug)]
pub struct TemporaryServer {
    dir: PathBuf,
    shell: Mutex<Shell>,
}

/// The running shell.
#[derive(Debug)]
struct Shell {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl TemporaryServer {
    /// Creates and starts a server with the programs in `binaries`, which listens on a socket in its directory alone.
    /// With `durable`, it syncs its log as usual. Blocks for a second or two.
    ///
    /// # Errors
    /// If the server cannot be started. The message has the last lines of its log.
    pub fn start(binaries: &Path, durable: bool) -> io::Result<Self> {
        Self::start_with(binaries, durable, "")
    }

    /// As [`Self::start`], with further lines of `postgresql.conf`, which replace earlier ones.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(binaries: &Path, durable: bool, settings: &str) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("hookwright-postgres-").tempdir()?;
        let socket = format!("unix_socket_directories = '{}'\n", dir.path().display());
        let durability = if durable { "" } else { NOT_DURABLE };
        let settings = [socket.as_str(), SETTINGS, durability, settings].concat();
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .args([binaries, dir.path(), Path::new(&settings)])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // A signal to the process group of this process must not end the shell before the server.
            .process_group(0)
            .spawn()?;
        let (Some(commands), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("a child without pipes"));
        };
        let shell = Shell { child, commands: Some(commands), answers: BufReader::new(answers) };
        // From here on, the shell removes the directory.
        let server = Self { dir: dir.keep(), shell: Mutex::new(shell) };
        server.command("create")?;
        server.command("start")?;
        Ok(server)
    }

    /// The URL of the server, without a database: `postgres://user@host`.
    pub fn url(&self) -> String {
        format!("postgres://postgres@{}", self.dir.display().to_string().replace('/', "%2F"))
    }

    /// Kills the server with SIGKILL. [`Self::start_again`] starts it on the same data.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&self) -> io::Result<()> {
        self.command("kill")
    }

    /// Stops the server at once, without a checkpoint, and waits for its end.
    ///
    /// # Errors
    /// If it does not run.
    pub fn stop(&self) -> io::Result<()> {
        self.command("stop")
    }

    /// Starts the server after [`Self::kill`] or [`Self::stop`], and waits until it accepts connections.
    ///
    /// # Errors
    /// If it does not start. The message has the last lines of its log.
    pub fn start_again(&self) -> io::Result<()> {
        self.command("start")
    }

    fn command(&self, command: &str) -> io::Result<()> {
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(commands) = &mut shell.commands {
            writeln!(commands, "{command}")?;
        }
        let mut answer = String::new();
        shell.answers.read_line(&mut answer)?;
        match answer.trim() {
            "ok" => Ok(()),
            log => Err(io::Error::other(format!("PostgreSQL: cannot {command}: {log}"))),
        }
    }
}

impl Drop for TemporaryServer {
    fn drop(&mut self) {
        let shell = self.shell.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(shell.commands.take());
        let _ = shell.child.wait();
    }
}

/// The directory with the programs of the newest server that is installed: in the path, or where Debian has them.
#[expect(clippy::disallowed_methods, reason = "where programs are is no setting of the engine")]
pub fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = debian.map(|entry| entry.path().join("bin")).collect();
    versions.sort();
    let all = std::env::split_paths(&path).chain(versions.into_iter().rev());
    all.into_iter().find(|dir| dir.join("initdb").exists() && dir.join("pg_ctl").exists())
}

/// Creates the database `name` on the server at `url`, which is without a database. The name must be an identifier.
///
/// # Errors
/// The error of the server, also if there is such a database.
pub async fn create_database(url: &str, name: &str) -> Result<(), StorageError> {
    let mut connection = PgConnection::connect(&format!("{url}/postgres")).await?;
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}
