//! Peak memory of the engine and its compiler processes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

/// Polling interval.
const INTERVAL: Duration = Duration::from_millis(50);

/// Polls a process and its children until it is dropped.
pub struct MemoryMonitor {
    process: u32,
    most: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl MemoryMonitor {
    pub fn start(process: u32) -> Self {
        let most = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&most);
        let task = tokio::spawn(async move {
            loop {
                let children: u64 =
                    children(process).into_iter().filter_map(|id| kilobytes(id, "VmRSS:")).sum();
                if let Some(own) = kilobytes(process, "VmRSS:") {
                    seen.fetch_max(own + children, Ordering::Relaxed);
                }
                tokio::time::sleep(INTERVAL).await;
            }
        });
        Self { process, most, task }
    }

    /// Peak resident memory of the process, and of the process with its children.
    pub fn peak(&self) -> Peak {
        let together = self.most.load(Ordering::Relaxed);
        // After the process has ended, the polled values remain.
        let own = kilobytes(self.process, "VmHWM:").unwrap_or(together);
        Peak { own: own as f64 / 1_000.0, together: together.max(own) as f64 / 1_000.0 }
    }
}

impl Drop for MemoryMonitor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Peak resident memory, in MB.
#[derive(Clone, Copy)]
pub struct Peak {
    pub own: f64,
    pub together: f64,
}

fn kilobytes(process: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Child processes of `process`.
fn children(process: u32) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    let lists =
        threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect()
}
