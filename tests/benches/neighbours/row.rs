//! Measurement of one row: an engine, the well-behaved tenant, and abuses.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use hookwright::private_file::COMPILED_DIR;
use hookwright_tests::Server;
use tokio::runtime::Handle;

use crate::abuse::Abuse;
use crate::limits::Limits;
use crate::memory::{MemoryMonitor, Peak};
use crate::site::Site;
use crate::victim::{Figures, Victim};

/// Time between the start of the abuse and the measurement.
const RAMP_UP: Duration = Duration::from_secs(1);

/// The setting of a row.
pub struct Setting<'a> {
    pub name: &'static str,
    pub abuses: &'a [&'a dyn Abuse],
    pub limits: &'a Limits,
}

/// The result of a row.
pub struct Row {
    pub name: &'static str,
    pub figures: Figures,
    pub peak: Peak,
    /// Peak memory of the control group that cannot be reclaimed, in MB.
    pub group: Option<f64>,
    /// Growth of the data directory during the measurement, in MB.
    pub stored: f64,
    /// Notes, for example that the engine has ended.
    pub remarks: Vec<String>,
}

/// Measures the well-behaved tenant beside abuse.
///
/// # Errors
/// If the engine cannot be started, or fails before the abuse starts.
pub async fn measure(setting: &Setting<'_>, abusers: &Handle) -> Result<Row> {
    let (_program, program) = setting.limits.wrap(&binary())?;
    // Warnings about abuse are expected, so discard them.
    let log = std::process::Stdio::null();
    let server = Server::start_logging_to(program, &[("HOOKWRIGHT_LOG", "error")], log).await;
    let (site, is_upgraded) = prepare(server, setting, abusers).await?;
    let process = site.server.process_id().context("the engine runs")?;
    let key = site.server.tenant_key("well-behaved").await;
    let began = Instant::now();
    let victim = Victim::start(site.address(), site.peer(), key).await?;
    let mut remarks = Vec::new();
    if is_upgraded {
        let seconds = began.elapsed().as_secs_f64();
        remarks.push(format!("first deliveries {seconds:.1} s after the upgrade"));
    }
    let stored_before = stored(site.server.data_dir());
    let monitor = MemoryMonitor::start(process);
    let group = GroupPeak::watch(setting.limits);

    let mut guards = Vec::new();
    for abuse in setting.abuses {
        guards.push(abuse.start(&site).await.with_context(|| abuse.name())?);
    }
    if !guards.is_empty() {
        site.begin();
        tokio::time::sleep(RAMP_UP).await;
    }
    let figures = victim.measure().await?;

    if !responds(&site).await {
        remarks.push("the engine no longer responds".to_owned());
    }
    let (peak, (in_group, killed)) = (monitor.peak(), group.peak(setting.limits));
    if killed > 0 {
        remarks.push(format!("{killed} killed for want of memory"));
    }
    drop(guards);
    let stored = stored(site.server.data_dir()).saturating_sub(stored_before) as f64 / 1e6;
    let mut site = site;
    site.server.kill().await;
    Ok(Row { name: setting.name, figures, peak, group: in_group, stored, remarks })
}

/// Prepares the engine, and returns whether it was restarted without compiled code.
async fn prepare(mut server: Server, setting: &Setting<'_>, abusers: &Handle) -> Result<(Site, bool)> {
    let mut needs_upgrade = false;
    let site = Site::new(server, abusers.clone())?;
    for abuse in setting.abuses {
        needs_upgrade |= abuse.prepare(&site).await.with_context(|| abuse.name())?;
    }
    if !needs_upgrade {
        return Ok((site, false));
    }
    server = site.server;
    server.terminate().await;
    std::fs::remove_dir_all(server.data_dir().join(COMPILED_DIR)).context("compiled code is there")?;
    Ok((Site::new(server.restart().await, abusers.clone())?, true))
}

/// Total size of the files in a directory.
fn stored(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => stored(&entry.path()),
        Ok(metadata) => metadata.len(),
        // Temporary files may disappear meanwhile.
        Err(_) => 0,
    };
    entries.map(size).sum()
}

/// The measured engine: the one built with this benchmark, or another build for a comparison.
fn binary() -> PathBuf {
    let built = env!("CARGO_BIN_EXE_hookwright-under-test");
    #[expect(clippy::disallowed_methods, reason = "the only setting of the benchmark")]
    std::env::var_os("HOOKWRIGHT_BENCH_BINARY").filter(|path| !path.is_empty()).unwrap_or(built.into()).into()
}

/// Whether the engine responds to its operator, with retries.
async fn responds(site: &Site) -> bool {
    const TIMEOUT: Duration = Duration::from_secs(5);
    const INTERVAL: Duration = Duration::from_millis(100);
    let operator = site.server.operator();
    let asking = async {
        while operator
            .try_send("GET", "/health", "", &[])
            .await
            .map_or(true, |response| response.status != 200)
        {
            tokio::time::sleep(INTERVAL).await;
        }
    };
    tokio::time::timeout(TIMEOUT, asking).await.is_ok()
}

/// Polls the memory of a control group.
struct GroupPeak {
    most: std::sync::Arc<std::sync::atomic::AtomicU64>,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl GroupPeak {
    fn watch(limits: &Limits) -> Self {
        use std::sync::atomic::Ordering;
        const INTERVAL: Duration = Duration::from_millis(50);
        let most = std::sync::Arc::<std::sync::atomic::AtomicU64>::default();
        let task = limits.group().cloned().map(|group| {
            let seen = std::sync::Arc::clone(&most);
            tokio::spawn(async move {
                loop {
                    if let Some(bytes) = group.usage().memory {
                        seen.fetch_max(bytes, Ordering::Relaxed);
                    }
                    tokio::time::sleep(INTERVAL).await;
                }
            })
        });
        Self { most, task }
    }

    /// Peak memory in MB, if there is a group, and the number of killed processes.
    fn peak(&self, limits: &Limits) -> (Option<f64>, u64) {
        let most = self.most.load(std::sync::atomic::Ordering::Relaxed);
        let killed = limits.group().and_then(|group| group.usage().killed).unwrap_or(0);
        (self.task.is_some().then_some(most as f64 / 1e6), killed)
    }
}

impl Drop for GroupPeak {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
