//! Compiles in a process of its own, which may have so much of memory and processor time.
//!
//! How long a compiler takes, and how much memory, is not to be told from what it is given: a few hundred kilobytes can be made to
//! take gigabytes. What goes beyond the bounds ends its own process, and is refused. What it leaves behind in memory ends with it,
//! too.
//!
//! The process is this very program, started with [`COMMAND`]: WebAssembly comes in by its standard input, and compiled code
//! goes out by its standard output.

use std::io::{self, Read as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Output, Stdio};

use super::limits::{Limits, Size, shortened};
use super::{SandboxError, UploadError, engine};

/// The subcommand by which the program is started to compile.
pub const COMMAND: &str = "compile-plugin";

/// Memory that compiling may take, in bytes. A Python of 18 MB takes a third of it.
const MAX_MEMORY: usize = 1536 << 20;
/// Processor time that it may take, in seconds. The same Python takes 17.
const MAX_SECONDS: u64 = 60;
/// The most of compiled code, in bytes: eight times the largest upload. A Python's is twice as large as its upload.
const MAX_CODE: usize = 256 << 20;
/// The most of what is said about a failure, in bytes.
const MAX_WORDS: usize = 4 << 10;
/// How much kinder it is than the engine to what else wants to run.
const NICE: i32 = 5;

/// The process's exit code where the compiler refuses; where something else failed, it is [`BROKEN`].
const REFUSED: u8 = 1;
const BROKEN: u8 = 3;

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
        let program = if cfg!(target_os = "linux") {
            PathBuf::from("/proc/self/exe")
        } else {
            std::env::current_exe()?
        };
        if program.exists() {
            Ok(Self::Program(program))
        } else {
            let words =
                format!("{} is not there, by which the engine starts itself to compile", program.display());
            Err(io::Error::new(io::ErrorKind::NotFound, words))
        }
    }

    /// The code for a component that is valid.
    ///
    /// # Errors
    /// Where it cannot be compiled within the bounds.
    pub(super) fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, UploadError> {
        match self {
            Self::Here => precompile(wasm).map_err(UploadError::Compile),
            Self::Program(program) => {
                let started = Command::new(program)
                    .arg(COMMAND)
                    .env_clear()
                    // So that what the allocator only sets aside does not count as taken.
                    .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
                    // What is typed at the engine's terminal is for the engine.
                    .process_group(0)
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn();
                let ended = started.and_then(|child| exchange(child, wasm));
                judge(ended.map_err(SandboxError::Compiler)?)
            }
        }
    }
}

/// Hands over WebAssembly while it takes what comes back, and waits for the end.
fn exchange(mut child: Child, wasm: &[u8]) -> io::Result<Output> {
    let stdin = child.stdin.take();
    std::thread::scope(|scope| {
        if let Some(mut stdin) = stdin {
            let hand_over = move || {
                // One that ends before it has read everything says why by its status.
                let _ = stdin.write_all(wasm);
            };
            std::thread::Builder::new().spawn_scoped(scope, hand_over)?;
        }
        child.wait_with_output()
    })
}

/// The code, or what the end of the process says.
fn judge(ended: Output) -> Result<Vec<u8>, UploadError> {
    use rustix::process::Signal;
    const TOO_LONG: i32 = Signal::XCPU.as_raw();
    // How programs end whose allocations fail.
    const TOO_LARGE: [i32; 5] = [
        Signal::ABORT.as_raw(),
        Signal::SEGV.as_raw(),
        Signal::BUS.as_raw(),
        Signal::ILL.as_raw(),
        Signal::TRAP.as_raw(),
    ];
    let Output { status, stdout, stderr } = ended;
    let words = String::from_utf8_lossy(&stderr);
    let words = words.trim();
    if status.success() {
        return Ok(stdout);
    }
    if status.code() == Some(REFUSED.into()) {
        return Err(UploadError::Compile(words.to_owned()));
    }
    match status.signal() {
        Some(TOO_LONG) => Err(UploadError::TooComplex(format!(
            "to compile it takes more than {MAX_SECONDS} seconds of processor time"
        ))),
        Some(signal) if TOO_LARGE.contains(&signal) => {
            tracing::warn!(signal, words, "compiling a plugin ended by a signal");
            let most = Size(MAX_MEMORY);
            Err(UploadError::TooComplex(format!("to compile it takes more than {most} of memory")))
        }
        // Somebody ended it, or it could not work: no fault of the plugin's.
        _ => {
            let words = format!("the process that compiles ended with {status}: {words}");
            Err(SandboxError::Compiler(io::Error::other(words)).into())
        }
    }
}

/// What the process does that is started with [`COMMAND`].
#[must_use]
pub fn main() -> ExitCode {
    let (code, words) = match compile_within_bounds() {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(refused)) => (REFUSED, refused),
        Err(error) => (BROKEN, error.to_string()),
    };
    // Who started it may be gone.
    let _ = writeln!(io::stderr(), "{}", shortened(&words, MAX_WORDS));
    ExitCode::from(code)
}

/// `Ok(Err(…))`: why the compiler refuses.
fn compile_within_bounds() -> io::Result<Result<(), String>> {
    bound()?;
    let mut wasm = Vec::new();
    io::stdin().lock().read_to_end(&mut wasm)?;
    let code = match precompile(&wasm) {
        Ok(code) if code.len() <= MAX_CODE => code,
        Ok(code) => {
            let (size, most) = (Size(code.len()), Size(MAX_CODE));
            return Ok(Err(format!("its code has {size}; {most} is the most")));
        }
        Err(refused) => return Ok(Err(refused)),
    };
    io::stdout().lock().write_all(&code).map(Ok)
}

/// Bounds this process for good.
fn bound() -> io::Result<()> {
    use rustix::process::{Resource, nice};
    limit(Resource::Core, 0, 0)?;
    // At the first bound it is told by a signal of its own, at the second it is killed.
    limit(Resource::Cpu, MAX_SECONDS, MAX_SECONDS + 5)?;
    // What can be written to. Addresses that are only set aside do not count, and wasmtime sets aside many.
    limit(Resource::Data, MAX_MEMORY as u64, MAX_MEMORY as u64)?;
    // Where either cannot be set, it is only less kind.
    let _ = nice(NICE);
    #[cfg(target_os = "linux")]
    {
        // Where the machine is short of memory, this goes before the engine.
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    }
    Ok(())
}

/// Sets a bound, or leaves the lower one that the system's administrator has set.
fn limit(resource: rustix::process::Resource, first: u64, last: u64) -> io::Result<()> {
    let given = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let bound = rustix::process::Rlimit { current: Some(first.min(given)), maximum: Some(last.min(given)) };
    Ok(rustix::process::setrlimit(resource, bound)?)
}

/// By an engine of its own with the same settings, since an engine keeps the compiler's buffers for as long as it lives:
/// megabytes, by the greatest function so far. What is compiled depends on none of the limits.
fn precompile(wasm: &[u8]) -> Result<Vec<u8>, String> {
    let compiled =
        engine::compiler(&Limits::default()).and_then(|compiler| compiler.precompile_component(wasm));
    compiled.map_err(|error| format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn the_end_of_the_process_says_whose_fault_it_was() {
        // As `wait` tells it: a signal, or an exit code in the second byte.
        for (status, words) in [
            (24, "this plugin is too complex: to compile it takes more than 60 seconds of processor time"),
            (6, "this plugin is too complex: to compile it takes more than 1,536 MiB of memory"),
            (11, "this plugin is too complex: to compile it takes more than 1,536 MiB of memory"),
            (0x100, "this plugin cannot be compiled: said"),
            (9, "a plugin cannot be compiled"),
            (15, "a plugin cannot be compiled"),
            (0x300, "a plugin cannot be compiled"),
        ] {
            let (status, stdout) = (ExitStatus::from_raw(status), Vec::new());
            let error = judge(Output { status, stdout, stderr: b"said\n".to_vec() }).unwrap_err();
            assert_eq!(error.to_string(), words, "{status}");
        }
        let output = Output { status: ExitStatus::from_raw(0), stdout: vec![1], stderr: Vec::new() };
        assert_eq!(judge(output).unwrap(), [1]);
    }
}
