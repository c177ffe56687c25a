//! Limits of a row's engine: file descriptors, and memory in a control group if one can be created.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

/// Maximum number of file descriptors of the engine.
pub const DESCRIPTORS: u64 = 1_024;
/// Memory limit of the control group, in bytes.
const MEMORY: u64 = 512 * 1024 * 1024;
/// File descriptors of this process, for the connections of all abusers.
const OWN_DESCRIPTORS: u64 = 16_384;

/// Limits of a row's engine.
pub struct Limits {
    group: Memory,
}

/// The kind of memory limit.
enum Memory {
    Unlimited,
    /// A control group created by this process.
    Group(Group),
    /// A scope of the service manager.
    Scope,
    /// No limit, for this reason.
    Unavailable(String),
}

/// A control group. [`Limits`] removes it when it is dropped.
#[derive(Clone)]
pub struct Group {
    directory: PathBuf,
    version: Version,
}

/// Usage of a control group.
pub struct Usage {
    /// Memory that cannot be reclaimed, in bytes.
    pub memory: Option<u64>,
    /// Number of processes that the kernel has killed because of the limit.
    pub killed: Option<u64>,
}

#[derive(Clone, Copy)]
enum Version {
    One,
    Two,
}

impl Limits {
    pub fn descriptors_only() -> Self {
        Self { group: Memory::Unlimited }
    }

    /// With a control group of 512 MB: version 2, version 1, or a scope of the service manager. A limit of the address
    /// space cannot replace it, because plugins reserve gigabytes of address space.
    pub fn with_control_group() -> Self {
        let group = match Group::make() {
            Ok(group) => Memory::Group(group),
            Err(_) if has_service_manager() => Memory::Scope,
            Err(error) => Memory::Unavailable(format!("{error:#}")),
        };
        Self { group }
    }

    pub fn description(&self) -> String {
        match &self.group {
            Memory::Unlimited => "memory is not limited".to_owned(),
            Memory::Group(group) => format!("control group {} of 512 MB", group.directory.display()),
            Memory::Scope => "control group of 512 MB by systemd-run".to_owned(),
            Memory::Unavailable(why) => {
                format!("no control group could be made, memory is not limited: {why}")
            }
        }
    }

    pub fn group(&self) -> Option<&Group> {
        match &self.group {
            Memory::Group(group) => Some(group),
            _ => None,
        }
    }

    /// Writes a program that sets the limits and executes `binary`. The directory must outlive it.
    ///
    /// # Errors
    /// If the program cannot be written.
    pub fn wrap(&self, binary: &Path) -> Result<(TempDir, PathBuf)> {
        let directory = tempfile::tempdir()?;
        let program = directory.path().join("limited-engine");
        let mut text = format!("#!/bin/sh\nset -e\nulimit -n {DESCRIPTORS}\n");
        let mut before = "";
        match &self.group {
            Memory::Group(group) => {
                writeln!(text, "echo $$ > {}", quoted(&group.directory.join("cgroup.procs")))?;
            }
            Memory::Scope => {
                before = "systemd-run --scope --quiet -p MemoryMax=512M -p MemorySwapMax=0 -- ";
            }
            Memory::Unlimited | Memory::Unavailable(_) => {}
        }
        writeln!(text, "exec {before}{} \"$@\"", quoted(binary))?;
        std::fs::write(&program, text)?;
        make_executable(&program)?;
        Ok((directory, program))
    }
}

impl Group {
    fn make() -> Result<Self> {
        let (parent, version) = Self::parent()?;
        let directory = parent.join(format!("hookwright-neighbours-{}", std::process::id()));
        std::fs::create_dir(&directory).with_context(|| format!("making {}", directory.display()))?;
        let group = Self { directory, version };
        let limit = match version {
            Version::One => "memory.limit_in_bytes",
            Version::Two => "memory.max",
        };
        group.write(limit, &MEMORY.to_string())?;
        if matches!(version, Version::Two) {
            // The file is missing without swap accounting.
            let _ = group.write("memory.swap.max", "0");
        }
        Ok(group)
    }

    /// Returns the control group of this process in the hierarchy with the memory controller.
    fn parent() -> Result<(PathBuf, Version)> {
        let own = std::fs::read_to_string("/proc/self/cgroup").context("reading /proc/self/cgroup")?;
        let of = |controllers: &str| {
            own.lines().find_map(|line| {
                let (_, rest) = line.split_once(':')?;
                let (names, path) = rest.split_once(':')?;
                let is_it = if controllers.is_empty() {
                    names.is_empty()
                } else {
                    names.split(',').any(|name| name == controllers)
                };
                is_it.then(|| path.trim_start_matches('/').to_owned())
            })
        };
        if let Some(path) = of("memory") {
            return Ok((Path::new("/sys/fs/cgroup/memory").join(path), Version::One));
        }
        let path = of("").context("this process is in no control group")?;
        let root = Path::new("/sys/fs/cgroup");
        let controllers = std::fs::read_to_string(root.join(&path).join("cgroup.subtree_control"));
        // A group with processes cannot enable controllers for child groups, so use its parent or the root.
        let parent = match controllers {
            Ok(names) if names.split_whitespace().any(|name| name == "memory") => root.join(path),
            _ => root.to_owned(),
        };
        Ok((parent, Version::Two))
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.directory.join(file);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }

    /// Current usage.
    pub fn usage(&self) -> Usage {
        let number = |file: &str, name: &str| -> Option<u64> {
            let text = std::fs::read_to_string(self.directory.join(file)).ok()?;
            text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        };
        let (memory, killed) = match self.version {
            Version::One => (number("memory.stat", "total_rss "), number("memory.oom_control", "oom_kill ")),
            Version::Two => (number("memory.stat", "anon "), number("memory.events", "oom_kill ")),
        };
        Usage { memory, killed }
    }
}

impl Drop for Limits {
    #[expect(clippy::disallowed_methods, reason = "there is no notification for an empty control group here")]
    fn drop(&mut self) {
        let Memory::Group(group) = &self.group else { return };
        // The last process may leave the group with a delay.
        for _ in 0..50 {
            if std::fs::remove_dir(&group.directory).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        eprintln!("{} could not be removed", group.directory.display());
    }
}

/// Raises the limit of file descriptors, up to the number that all abuses together need.
pub fn raise_own_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = maximum.map_or(OWN_DESCRIPTORS, |maximum| maximum.min(OWN_DESCRIPTORS));
    if setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum }).is_err()
        || current < OWN_DESCRIPTORS
    {
        eprintln!(
            "this process can open only {current} files, so abuses by connections are smaller than intended"
        );
    }
}

fn has_service_manager() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

fn make_executable(program: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o700))?)
}
