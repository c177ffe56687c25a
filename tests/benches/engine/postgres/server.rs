//! A PostgreSQL server for the benchmark, and what it counts.
//!
//! It is started from the installed binaries in a temporary directory, syncs each commit to disk, and ends with the
//! benchmark. `HOOKWRIGHT_BENCH_POSTGRES` names another one, as `postgres://user@host:port`, which must have loaded
//! `pg_stat_statements`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

/// How long a server may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How many segments of its log a server has made before it is measured: one that runs for long uses them again and again.
const LOG_SEGMENTS: usize = 32;

/// A server. It ends with this value.
pub struct Postgres {
    /// Without the name of a database.
    url: String,
    binaries: PathBuf,
    /// Its standard input is the sign of life: at its end, the server stops and its directory is removed.
    _shell: Option<Child>,
}

impl Postgres {
    #[expect(clippy::disallowed_methods, reason = "a setting of the benchmark")]
    pub fn start() -> Result<Self> {
        let binaries =
            binaries().context("PostgreSQL is not installed (Debian: apt-get install postgresql)")?;
        let server = match std::env::var("HOOKWRIGHT_BENCH_POSTGRES") {
            Ok(url) => Self { url, binaries, _shell: None },
            Err(_) => {
                let directory = TempDir::new()?.keep();
                let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
                let shell = run_server(&binaries, &directory, port)?;
                let url = format!("postgres://postgres@127.0.0.1:{port}");
                Self { url, binaries, _shell: Some(shell) }
            }
        };
        let began = Instant::now();
        while server.query("postgres", "SELECT 1").is_err() {
            ensure!(began.elapsed() < START_TIMEOUT, "PostgreSQL does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
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

/// The directory of the newest installed server.
#[expect(clippy::disallowed_methods, reason = "where programs are is no setting of the engine")]
fn binaries() -> Option<PathBuf> {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = debian.map(|entry| entry.path().join("bin")).collect();
    versions.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::env::split_paths(&path).chain(versions.into_iter().rev());
    all.into_iter().find(|dir| dir.join("initdb").exists() && dir.join("postgres").exists())
}

/// Starts a server on loopback. PostgreSQL refuses to run as root: then it runs as its own user.
fn run_server(binaries: &Path, dir: &Path, port: u16) -> Result<Child> {
    let script = "\"$1/initdb\" -D \"$2/data\" -U postgres -A trust --locale=C -E UTF8 --no-instructions > \"$2/log\" 2>&1 || exit 1
        \"$1/postgres\" -D \"$2/data\" -k \"$2\" -p \"$3\" -c listen_addresses=127.0.0.1 -c max_connections=200 \
            -c shared_preload_libraries=pg_stat_statements -c shared_buffers=512MB -c min_wal_size=1GB -c max_wal_size=4GB \
            >> \"$2/log\" 2>&1 &
        cat > /dev/null
        kill -INT $!
        wait $!
        rm -rf \"$2/data\" \"$2\"/.s.* \"$2/log\"; rmdir \"$2\" 2> /dev/null";
    let mut command = if rustix::process::geteuid().is_root() {
        ensure!(
            Command::new("chown").arg("postgres").arg(dir).status()?.success(),
            "cannot give the directory away"
        );
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    command.arg("-c").arg(script).arg("sh").arg(binaries).arg(dir).arg(port.to_string());
    Ok(command.current_dir("/").stdin(Stdio::piped()).spawn()?)
}
