//! Validates and compiles uploads in a subprocess that has limits on memory, CPU time and wall time.
//!
//! The size of an upload does not bound the time and memory that wrapping, validation and compilation take: a few
//! hundred kilobytes can take gigabytes. An upload that exceeds the limits ends the subprocess and is refused. The
//! engine's own process reads only the size and the first bytes of an upload.
//!
//! The subprocess is the same executable, started with [`COMMAND`]. It reads a request (one line of JSON) and the
//! upload from standard input, writes the compiled code to standard output, which is a file, and a response (one
//! line of JSON, the last one) to standard error. Dropping the future that waits for it kills the subprocess.

use std::fs::File;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::blocking::blocking;
use super::limits::{Limits, Size, shortened};
use super::validate::{self, Shape};
use super::{Refusal, SandboxError, UploadError, engine, memory_limit, upload};

/// Subcommand that runs the compiler.
pub const COMMAND: &str = "compile-plugin";

/// Maximum CPU time for one upload, in seconds. A Python component of 18 MB takes 17.
const MAX_CPU_SECONDS: u64 = 60;
/// Maximum wall time for one upload.
const MAX_WALL_TIME: Duration = Duration::from_secs(5 * 60);
/// Maximum size of compiled code, in bytes: eight times the largest upload. Python's code is twice its upload.
pub(super) const MAX_CODE: u64 = 256 << 20;
/// Maximum output on standard error that is read, in bytes.
const MAX_STDERR: u64 = 64 << 10;
/// Maximum length of an error message, in bytes.
const MAX_MESSAGE: usize = 4 << 10;
/// `nice` increment of the subprocess, so that the engine has priority.
const NICE: i32 = 5;

/// Exit code of a Rust program that panicked.
const PANIC_EXIT_CODE: i32 = 101;

/// Where plugins are compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compiler {
    /// In this process, without limits. For tests, whose executable has no [`COMMAND`].
    InProcess,
    /// In a subprocess that runs this executable.
    Subprocess(PathBuf),
}

/// Request to the subprocess.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CompileRequest {
    /// Memory limit of the subprocess, in bytes.
    process_memory: u64,
    /// The plugin's limit, as the following members; see [`Limits`].
    memory_bytes: usize,
    table_elements: usize,
    core_instances: u32,
    /// Whether to compile the upload, or only to validate it.
    with_code: bool,
}

/// Response of the subprocess.
#[derive(Debug, Serialize, Deserialize)]
enum CompileResponse {
    Accepted(Shape),
    Refused(Refusal),
    /// The subprocess failed; `disk_full` if the code could not be written because the disk is full.
    Failed {
        message: String,
        disk_full: bool,
    },
}

/// Error of a compilation.
#[derive(Debug)]
pub(super) enum Failure {
    Upload(UploadError),
    /// There is no space for the code.
    DiskFull,
}

impl<E: Into<UploadError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Upload(error.into())
    }
}

impl CompileRequest {
    /// Creates a request for plugins with these limits.
    pub(super) fn new(limits: &Limits, with_code: bool) -> Self {
        Self {
            process_memory: memory_limit::for_compiling(),
            memory_bytes: limits.memory_bytes,
            table_elements: limits.table_elements,
            core_instances: limits.core_instances,
            with_code,
        }
    }

    fn limits(&self) -> Limits {
        let Self { memory_bytes, table_elements, core_instances, .. } = *self;
        Limits { memory_bytes, table_elements, core_instances, ..Limits::default() }
    }
}

impl Compiler {
    /// A compiler that runs the current executable in a subprocess.
    ///
    /// # Errors
    /// If the path of the current executable is unknown.
    pub fn subprocess() -> io::Result<Self> {
        // This is the running file even if another has replaced it since.
        let program = if cfg!(target_os = "linux") {
            PathBuf::from("/proc/self/exe")
        } else {
            std::env::current_exe()?
        };
        if program.exists() {
            Ok(Self::Subprocess(program))
        } else {
            let message = format!("the engine's own executable {} does not exist", program.display());
            Err(io::Error::new(io::ErrorKind::NotFound, message))
        }
    }

    /// Validates an upload, and writes its compiled code to `code` if the request asks for it.
    ///
    /// # Errors
    /// If the upload is refused, exceeds a limit, or the engine fails.
    pub(super) async fn compile(
        &self,
        request: CompileRequest,
        upload: Bytes,
        code: File,
    ) -> Result<Shape, Failure> {
        match self {
            Self::InProcess => {
                let response = blocking(move || respond(&request, &upload, &mut &code)).await?;
                interpret_response(response)
            }
            Self::Subprocess(program) => run(program, MAX_WALL_TIME, &request, &upload, code).await,
        }
    }
}

/// Runs `program` to handle the request, for at most this much wall time.
async fn run(
    program: &Path,
    wall: Duration,
    request: &CompileRequest,
    upload: &Bytes,
    code: File,
) -> Result<Shape, Failure> {
    let mut command = Command::new(program);
    command
        .arg(COMMAND)
        .env_clear()
        // Memory that the allocator only reserves must not count against the limit.
        .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
        // Signals of the engine's terminal must not reach the subprocess.
        .process_group(0)
        .kill_on_drop(true)
        .stdin(Stdio::piped())
        .stdout(code)
        .stderr(Stdio::piped());
    let child = command.spawn();
    // The command holds the output file open.
    drop(command);
    let exchanged = async { exchange(child?, request, upload).await };
    if let Ok(ended) = tokio::time::timeout(wall, exchanged).await {
        let (status, stderr) = ended.map_err(SandboxError::Compiler)?;
        return interpret_exit(status, &stderr, request.process_memory);
    }
    // Dropping the child has killed it.
    Err(too_complex(format!("more than {} seconds", wall.as_secs())))
}

/// Sends the request and the upload, reads standard error at the same time, and waits for the exit.
async fn exchange(
    mut child: Child,
    request: &CompileRequest,
    upload: &Bytes,
) -> io::Result<(ExitStatus, Vec<u8>)> {
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    let send = async {
        if let Some(mut stdin) = stdin {
            // If the subprocess exits before it has read everything, its response or its status says why.
            if stdin.write_all(&line).await.is_ok() {
                let _ = stdin.write_all(upload).await;
            }
        }
    };
    let receive = async {
        let mut output = Vec::new();
        if let Some(stderr) = stderr {
            stderr.take(MAX_STDERR).read_to_end(&mut output).await?;
        }
        io::Result::Ok(output)
    };
    let ((), output) = tokio::join!(send, receive);
    Ok((child.wait().await?, output?))
}

/// Interprets the exit status and the response.
fn interpret_exit(status: ExitStatus, stderr: &[u8], memory: u64) -> Result<Shape, Failure> {
    use rustix::process::Signal;
    const TOO_LONG: i32 = Signal::XCPU.as_raw();
    const TOO_MUCH_CODE: i32 = Signal::XFSZ.as_raw();
    // Signals that end a program whose allocation failed.
    const TOO_LARGE: [i32; 5] = [
        Signal::ABORT.as_raw(),
        Signal::SEGV.as_raw(),
        Signal::BUS.as_raw(),
        Signal::ILL.as_raw(),
        Signal::TRAP.as_raw(),
    ];
    let text = String::from_utf8_lossy(stderr);
    let text = text.trim();
    if status.success() {
        let last = text.lines().next_back().unwrap_or_default();
        return match serde_json::from_str(last) {
            Ok(response) => interpret_response(response),
            Err(error) => Err(engine_failure(format!("invalid response of the compiler process: {error}"))),
        };
    }
    if status.code() == Some(PANIC_EXIT_CODE) {
        tracing::error!(stderr = %shortened(text, MAX_MESSAGE), "the compiler process panicked");
        let message = "the compiler failed; build the plugin with another version of its toolchain";
        return Err(UploadError::Compile(message.to_owned()).into());
    }
    match status.signal() {
        Some(TOO_LONG) => Err(too_complex(format!("more than {MAX_CPU_SECONDS} seconds of CPU time"))),
        Some(TOO_MUCH_CODE) => Err(too_much_code()),
        Some(signal) if TOO_LARGE.contains(&signal) => {
            tracing::warn!(signal, stderr = %shortened(text, MAX_MESSAGE), "a signal ended the compiler process");
            let most = Size(usize::try_from(memory).unwrap_or(usize::MAX));
            Err(too_complex(format!("more than {most} of memory")))
        }
        // It was killed, or it could not run: not the plugin's fault.
        _ => Err(engine_failure(format!("the compiler process ended with {status}: {text}"))),
    }
}

fn interpret_response(response: CompileResponse) -> Result<Shape, Failure> {
    match response {
        CompileResponse::Accepted(shape) => Ok(shape.checked()?),
        CompileResponse::Refused(refusal) => Err(refusal.into()),
        CompileResponse::Failed { disk_full: true, .. } => Err(Failure::DiskFull),
        CompileResponse::Failed { message, .. } => Err(engine_failure(message)),
    }
}

fn too_complex(what: String) -> Failure {
    UploadError::TooComplex(format!("compiling it takes {what}")).into()
}

fn too_much_code() -> Failure {
    let limit = Size(usize::try_from(MAX_CODE).unwrap_or(usize::MAX));
    UploadError::TooComplex(format!("its compiled code is larger than {limit}")).into()
}

fn engine_failure(message: String) -> Failure {
    SandboxError::Compiler(io::Error::other(shortened(&message, MAX_MESSAGE))).into()
}

/// Entry point of the subprocess that [`COMMAND`] starts.
#[must_use]
pub fn main() -> ExitCode {
    let response = respond_within_limits().unwrap_or_else(|error| CompileResponse::Failed {
        message: error.to_string(),
        disk_full: is_full(&error),
    });
    // The parent may have exited, so ignore a failed write.
    let Ok(line) = serde_json::to_string(&response) else { return ExitCode::FAILURE };
    let _ = writeln!(io::stderr(), "\n{line}");
    ExitCode::SUCCESS
}

fn respond_within_limits() -> io::Result<CompileResponse> {
    let mut stdin = io::stdin().lock();
    let mut line = String::new();
    stdin.read_line(&mut line)?;
    let request: CompileRequest = serde_json::from_str(&line)?;
    limit_process(request.process_memory)?;
    let mut wasm = Vec::new();
    stdin.read_to_end(&mut wasm)?;
    Ok(respond(&request, &wasm, &mut io::stdout().lock()))
}

/// Validates and compiles an upload, and writes its code.
fn respond(request: &CompileRequest, wasm: &[u8], code: &mut impl io::Write) -> CompileResponse {
    let compiled = match compile_upload(request, wasm) {
        Ok(compiled) => compiled,
        Err(refusal) => return CompileResponse::Refused(refusal.shortened(MAX_MESSAGE)),
    };
    match code.write_all(&compiled.code).and_then(|()| code.flush()) {
        Ok(()) => CompileResponse::Accepted(compiled.shape),
        Err(error) => CompileResponse::Failed { message: error.to_string(), disk_full: is_full(&error) },
    }
}

struct Compiled {
    shape: Shape,
    /// Empty if the request asks only for validation.
    code: Vec<u8>,
}

fn compile_upload(request: &CompileRequest, wasm: &[u8]) -> Result<Compiled, Refusal> {
    let limits = request.limits();
    // Compiled code does not depend on the limits, so the default limits give code that every engine accepts.
    let failed = |error: wasmtime::Error| Refusal::Compile(format!("{error:#}"));
    let engine = engine::compiler(&Limits::default()).map_err(failed)?;
    let component = upload::component(wasm)?;
    let shape = validate::component(&component, engine::features(&engine), &limits)?;
    if !request.with_code {
        return Ok(Compiled { shape, code: Vec::new() });
    }
    let code = engine.precompile_component(&component).map_err(failed)?;
    if code.len() as u64 > MAX_CODE {
        let (size, limit) = (Size(code.len()), Size(usize::try_from(MAX_CODE).unwrap_or(usize::MAX)));
        return Err(Refusal::TooComplex(format!("its compiled code has {size}; the limit is {limit}")));
    }
    Ok(Compiled { shape, code })
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Sets the limits of this process. They cannot be raised again.
fn limit_process(memory: u64) -> io::Result<()> {
    use rustix::process::{Resource, nice};
    limit(Resource::Core, 0, 0)?;
    // The soft limit sends SIGXCPU, the hard limit SIGKILL.
    limit(Resource::Cpu, MAX_CPU_SECONDS, MAX_CPU_SECONDS + 5)?;
    // Limit writable memory, not address space: wasmtime reserves large ranges that it never uses.
    limit(Resource::Data, memory, memory)?;
    limit(Resource::Fsize, MAX_CODE, MAX_CODE)?;
    // A failure only means that the process keeps a higher priority.
    let _ = nice(NICE);
    #[cfg(target_os = "linux")]
    {
        // Let the kernel kill this process before the engine if memory runs out.
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    }
    Ok(())
}

/// Sets a limit, but does not exceed the hard limit that the administrator has set.
fn limit(resource: rustix::process::Resource, soft: u64, hard: u64) -> io::Result<()> {
    let maximum = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let bound =
        rustix::process::Rlimit { current: Some(soft.min(maximum)), maximum: Some(hard.min(maximum)) };
    Ok(rustix::process::setrlimit(resource, bound)?)
}

#[cfg(test)]
mod tests;
