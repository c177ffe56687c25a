//! A PostgreSQL server for the benchmark, and what it counts.
//!
//! It is started from the installed binaries in a temporary directory, syncs each commit to disk, and ends with the
//! benchmark. `HOOKWRIGHT_BENCH_POSTGRES` names another one, as `postgres://user@host:port`, which must have loaded
//! `pg_stat_statements`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use hookwright::storage::postgres::temporary::{self, TemporaryServer};

/// Of the server that is started: those in `host/docs/scale.md`, and loopback, over which nodes mostly connect.
const SETTINGS: &str = "listen_addresses = '127.0.0.1'\nmax_connections = 200\n\
    shared_preload_libraries = 'pg_stat_statements'\nshared_buffers = '512MB'\nmin_wal_size = '1GB'\nmax_wal_size = '4GB'\n\
    dynamic_shared_memory_type = 'posix'\n";
/// How many segments of its log a server has made before it is measured: one that runs for long uses them again and again.
const LOG_SEGMENTS: usize = 32;

/// A server. It ends with this value.
pub struct Postgres {
    /// Without the name of a database.
    url: String,
    binaries: PathBuf,
    /// None if another one is measured.
    _server: Option<TemporaryServer>,
}

impl Postgres {
    #[expect(clippy::disallowed_methods, reason = "a setting of the benchmark")]
    pub fn start() -> Result<Self> {
        let binaries = temporary::installed()
            .context("PostgreSQL is not installed (Debian: apt-get install postgresql)")?;
        let server = match std::env::var("HOOKWRIGHT_BENCH_POSTGRES") {
            Ok(url) => Self { url, binaries, _server: None },
            Err(_) => {
                let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
                let settings = format!("{SETTINGS}port = {port}\n");
                let server = TemporaryServer::start_with(&binaries, true, &settings)?;
                let url = format!("postgres://postgres@127.0.0.1:{port}");
                Self { url, binaries, _server: Some(server) }
            }
        };
        server.query("postgres", "CREATE EXTENSION IF NOT EXISTS pg_stat_statements")?;
        for _ in 0..LOG_SEGMENTS {
            server.query("postgres", "SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()")?;
        }
        server.query("postgres", "CHECKPOINT")?;
        Ok(server)
    }

    /// A new database. It is dropped with the returned value.
    pub fn database(&self, name: &str) -> Result<Database<'_>> {
        self.query("postgres", &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))?;
        self.query("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(Database { server: self, name: name.to_owned() })
    }

    fn psql(&self, database: &str) -> Command {
        let beside = self.binaries.join("psql");
        let mut psql = Command::new(if beside.exists() { beside } else { "psql".into() });
        psql.args(["-X", "-q", "-A", "-t", "-F", " ", "-v", "ON_ERROR_STOP=1"]);
        psql.arg(format!("{}/{database}", self.url)).stdin(Stdio::null());
        psql
    }

    fn query(&self, database: &str, sql: &str) -> Result<String> {
        let output = self.psql(database).args(["-c", sql]).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// CPU time of all processes of the server so far, if it runs on this machine.
    fn cpu_micros(&self) -> Option<f64> {
        let directory = self.query("postgres", "SHOW data_directory").ok()?;
        let pid = fs::read_to_string(Path::new(&directory).join("postmaster.pid")).ok()?;
        let pid: u32 = pid.lines().next()?.parse().ok()?;
        let mut ticks = 0;
        for process in fs::read_dir("/proc").ok()?.flatten() {
            let Ok(stat) = fs::read_to_string(process.path().join("stat")) else { continue };
            let Some((_, stat)) = stat.rsplit_once(')') else { continue };
            let fields: Vec<u64> =
                stat.split_whitespace().skip(1).map(|it| it.parse().unwrap_or(0)).collect();
            let is_parent = process.file_name().to_str() == Some(&pid.to_string());
            // The parent's id is the first field after the state; user and system time are the eleventh and the twelfth.
            if is_parent || fields.first() == Some(&u64::from(pid)) {
                ticks += fields.get(10)? + fields.get(11)?;
            }
            // Of processes that have ended.
            if is_parent {
                ticks += fields.get(12)? + fields.get(13)?;
            }
        }
        Some(ticks as f64 * 1e4)
    }
}

/// A database of one measurement.
pub struct Database<'a> {
    server: &'a Postgres,
    name: String,
}

impl Database<'_> {
    pub fn url(&self) -> String {
        format!("{}/{}", self.server.url, self.name)
    }

    pub fn query(&self, sql: &str) -> Result<String> {
        self.server.query(&self.name, sql)
    }

    /// A transaction that sees what is there now until the returned process is killed.
    pub fn snapshot(&self) -> Result<Child> {
        let sql = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM nodes; SELECT pg_sleep(3600)";
        Ok(self.server.psql(&self.name).args(["-c", sql]).stdout(Stdio::null()).spawn()?)
    }

    pub fn counters(&self) -> Result<Counters> {
        let sql = "SELECT coalesce(sum(calls), 0), pg_current_wal_insert_lsn() - '0/0' FROM pg_stat_statements \
            WHERE toplevel AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())";
        // In the database that has the extension.
        let sql = sql.replace("current_database()", &format!("'{}'", self.name));
        let text = self.server.query("postgres", &sql)?;
        let (calls, log_bytes) = text.split_once(' ').context("two columns")?;
        let cpu_micros = self.server.cpu_micros().unwrap_or(f64::NAN);
        Ok(Counters { calls: calls.parse()?, log_bytes: log_bytes.parse()?, cpu_micros })
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        let _ = self.server.query("postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// What a server has counted.
#[derive(Debug, Clone, Copy)]
pub struct Counters {
    /// Statements of clients. Each is a round trip.
    pub calls: f64,
    /// Bytes of the write-ahead log.
    pub log_bytes: f64,
    pub cpu_micros: f64,
}
