//! Compiles in a process of its own, which may have so much of memory and processor time.
//!
//! How long a compiler takes, and how much memory, is not to be told from what it is given: a few hundred kilobytes can be made to
//! take gigabytes. What goes beyond the bounds ends its own process, and is refused. What it leaves behind in memory ends with it,
//! too.
//!
//! The process is this very program, started with [`COMMAND`]: WebAssembly comes in by its standard input, and compiled code
//! goes out by its standard output.

use std::io::{self, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};

use super::limits::{Limits, Size};
use super::{SandboxError, UploadError, engine};

/// The subcommand by which the program is started to compile.
pub const COMMAND: &str = "compile-plugin";

/// Memory that compiling may take, in bytes. A Python of 18 MB takes a third of it.
const MAX_MEMORY: usize = 1536 << 20;
/// Processor time that it may take, in seconds. The same Python takes 17.
const MAX_SECONDS: u64 = 60;
/// The most of compiled code, in bytes: some sixteen times the largest upload.
const MAX_CODE: u64 = 512 << 20;
/// How much kinder it is than the engine to what else wants to run.
const NICE: i32 = 5;

/// Where compiling happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compiler {
    /// In this process, without bounds: for tests, whose program has no [`COMMAND`].
    Here,
    /// In a process of this program's.
    Program(PathBuf),
}

impl Compiler {
    /// In a process of the program that is running.
    ///
    /// # Errors
    /// Where nobody knows which that is.
    pub fn apart() -> io::Result<Self> {
        // The very file that runs, also where another has been put in its place since.
        #[cfg(target_os = "linux")]
        let program = PathBuf::from("/proc/self/exe");
        #[cfg(not(target_os = "linux"))]
        let program = std::env::current_exe()?;
        Ok(Self::Program(program))
    }

    /// The code for a component that is valid.
    ///
    /// # Errors
    /// Where it cannot be compiled within the bounds.
    pub(super) fn compile(&self, limits: &Limits, wasm: &[u8]) -> Result<Vec<u8>, UploadError> {
        match self {
            Self::Here => precompile(limits, wasm).map_err(UploadError::Compile),
            Self::Program(program) => {
                let started = Command::new(program)
                    .arg(COMMAND)
                    .env_clear()
                    // So that what the allocator only sets aside does not count as taken.
                    .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn();
                let mut child = started.map_err(SandboxError::Compiler)?;
                let (code, words, status) = exchange(&mut child, wasm).map_err(SandboxError::Compiler)?;
                judge(status, &words).map(|()| code)
            }
        }
    }
}

/// Hands over WebAssembly, takes what comes back, and waits for the end.
fn exchange(child: &mut Child, wasm: &[u8]) -> io::Result<(Vec<u8>, String, ExitStatus)> {
    let (mut code, mut words) = (Vec::new(), Vec::new());
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends before it has read everything says why by its status.
        let _ = stdin.write_all(wasm);
    }
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MAX_CODE).read_to_end(&mut code)?;
    }
    if let Some(stderr) = child.stderr.take() {
        stderr.take(4096).read_to_end(&mut words)?;
    }
    let status = child.wait()?;
    Ok((code, String::from_utf8_lossy(&words).trim().to_owned(), status))
}

fn judge(status: ExitStatus, words: &str) -> Result<(), UploadError> {
    const KILL: i32 = rustix::process::Signal::KILL.as_raw();
    const TOO_LONG: i32 = rustix::process::Signal::XCPU.as_raw();
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(1), _) => Err(UploadError::Compile(words.to_owned())),
        (_, Some(TOO_LONG)) => Err(UploadError::TooComplex(format!(
            "to compile it takes more than {MAX_SECONDS} seconds of processor time"
        ))),
        // Nothing in here does that: somebody is short of memory, or of patience.
        (_, Some(KILL)) => {
            Err(SandboxError::Compiler(io::Error::other("the process that compiles was killed")).into())
        }
        // An allocation that fails ends in one of several signals.
        (_, Some(signal)) => {
            tracing::warn!(signal, words, "compiling a plugin ended by a signal");
            let most = Size(MAX_MEMORY);
            Err(UploadError::TooComplex(format!("to compile it takes more than {most} of memory")))
        }
        (code, None) => {
            let words = format!("the process that compiles ended with {code:?}: {words}");
            Err(SandboxError::Compiler(io::Error::other(words)).into())
        }
    }
}

/// What the process does that is started with [`COMMAND`].
#[must_use]
pub fn main() -> ExitCode {
    match compile_within_bounds() {
        Ok(()) => ExitCode::SUCCESS,
        Err(words) => {
            // Who started it may be gone.
            let _ = writeln!(io::stderr(), "{words}");
            ExitCode::FAILURE
        }
    }
}

fn compile_within_bounds() -> Result<(), String> {
    let words = |error: io::Error| error.to_string();
    bound().map_err(words)?;
    let mut wasm = Vec::new();
    io::stdin().lock().read_to_end(&mut wasm).map_err(words)?;
    let code = precompile(&Limits::default(), &wasm)?;
    io::stdout().lock().write_all(&code).map_err(words)
}

/// Bounds this process for good.
fn bound() -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, nice, setrlimit};
    let at_most = |most: u64| Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(Resource::Core, at_most(0))?;
    setrlimit(Resource::Cpu, at_most(MAX_SECONDS))?;
    // What can be written to. Addresses that are only set aside do not count, and wasmtime sets aside many.
    setrlimit(Resource::Data, at_most(MAX_MEMORY as u64))?;
    let _ = nice(NICE);
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    Ok(())
}

/// By an engine of its own with the same settings, since an engine keeps the compiler's buffers for as long as it lives:
/// megabytes, by the greatest function so far. What is compiled depends on none of the limits.
fn precompile(limits: &Limits, wasm: &[u8]) -> Result<Vec<u8>, String> {
    let compiled = engine::compiler(limits).and_then(|compiler| compiler.precompile_component(wasm));
    compiled.map_err(|error| format!("{error:#}"))
}
