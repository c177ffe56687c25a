//! Looks into uploads and compiles them in a process of its own, which has limits on memory, processor time and wall time.
//!
//! How long wrapping, validating and compiling take, and how much memory, cannot be told from the size of the input: a few hundred
//! kilobytes can be made to take gigabytes. What goes beyond the limits ends that process and is refused. The engine's own
//! process looks at an upload's first bytes and its size, and at nothing else.
//!
//! The process is this very program, started with [`COMMAND`]. It reads an order (one line of JSON) and the upload from its
//! standard input, writes the compiled code to its standard output, which is a file, and its answer (one line of JSON, the last
//! one) to its standard error. Dropping the future that waits for it ends the process.

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

use super::limits::{Limits, Size, shortened};
use super::validate::{self, Shape};
use super::{Refusal, SandboxError, UploadError, compile, engine, memory_limit, upload};

/// The subcommand by which the program is started to compile.
pub const COMMAND: &str = "compile-plugin";

/// Processor time that one upload may take, in seconds. A Python of 18 MB takes 17.
const MAX_SECONDS: u64 = 60;
/// Wall time that one upload may take, however busy the machine is.
const MAX_WALL: Duration = Duration::from_secs(5 * 60);
/// The most of compiled code, in bytes: eight times the largest upload. A Python's is twice as large as its upload.
pub(super) const MAX_CODE: u64 = 256 << 20;
/// The most that the process may say, in bytes.
const MAX_ANSWER: u64 = 64 << 10;
/// The most of what is said about a failure, in bytes.
const MAX_WORDS: usize = 4 << 10;
/// The process's `nice` increment: it gives way to the engine.
const NICE: i32 = 5;

/// The exit code of a Rust program that panicked.
const PANICKED: i32 = 101;

/// Where compiling happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compiler {
    /// In this process, without limits: for tests, whose program has no [`COMMAND`].
    Here,
    /// In a process of this program's.
    Program(PathBuf),
}

/// What the process is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Order {
    /// Memory that the process may take, in bytes.
    process_memory: u64,
    /// As in [`Limits`], of the plugin.
    memory_bytes: usize,
    table_elements: usize,
    core_instances: u32,
    /// Without, an upload is only looked into.
    with_code: bool,
}

/// What the process says.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Taken(Shape),
    Refused(Refusal),
    /// It could not do its work; `disk_full` if there was no room for the code.
    Failed {
        words: String,
        disk_full: bool,
    },
}

/// How compiling fails.
#[derive(Debug)]
pub(super) enum Failure {
    Upload(UploadError),
    /// There is no room for the code where it should go.
    DiskFull,
}

impl<E: Into<UploadError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Upload(error.into())
    }
}

impl Order {
    /// An order to look into an upload, for plugins that have these limits.
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

    /// What the upload is; its code is in `code` afterwards, if the order asks for code.
    ///
    /// # Errors
    /// Where it is refused, or takes more than the limits.
    pub(super) async fn compile(&self, order: Order, upload: Bytes, code: File) -> Result<Shape, Failure> {
        match self {
            Self::Here => {
                let done = compile::blocking(move || answer(&order, &upload, &mut &code)).await?;
                judge_answer(done)
            }
            Self::Program(program) => run(program, MAX_WALL, &order, &upload, code).await,
        }
    }
}

/// Has `program` do it, which may take this much wall time.
async fn run(
    program: &Path,
    wall: Duration,
    order: &Order,
    upload: &Bytes,
    code: File,
) -> Result<Shape, Failure> {
    let mut command = Command::new(program);
    command
        .arg(COMMAND)
        .env_clear()
        // So that what the allocator only sets aside does not count as taken.
        .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
        // What is typed at the engine's terminal is for the engine.
        .process_group(0)
        .kill_on_drop(true)
        .stdin(Stdio::piped())
        .stdout(code)
        .stderr(Stdio::piped());
    let child = command.spawn();
    // The command holds the file open.
    drop(command);
    let exchanged = async { exchange(child?, order, upload).await };
    if let Ok(ended) = tokio::time::timeout(wall, exchanged).await {
        let (status, said) = ended.map_err(SandboxError::Compiler)?;
        return judge(status, &said, order.process_memory);
    }
    // The child has been dropped, and is killed by that.
    Err(too_complex(format!("more than {} seconds", wall.as_secs())))
}

/// Hands over the order and the upload while it takes what comes back, and waits for the end.
async fn exchange(mut child: Child, order: &Order, upload: &Bytes) -> io::Result<(ExitStatus, Vec<u8>)> {
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let mut line = serde_json::to_vec(order)?;
    line.push(b'\n');
    let hand_over = async {
        if let Some(mut stdin) = stdin {
            // One that ends before it has read everything says why by its answer or its status.
            if stdin.write_all(&line).await.is_ok() {
                let _ = stdin.write_all(upload).await;
            }
        }
    };
    let listen = async {
        let mut said = Vec::new();
        if let Some(stderr) = stderr {
            stderr.take(MAX_ANSWER).read_to_end(&mut said).await?;
        }
        io::Result::Ok(said)
    };
    let ((), said) = tokio::join!(hand_over, listen);
    Ok((child.wait().await?, said?))
}

/// What the answer or the end of the process means.
fn judge(status: ExitStatus, said: &[u8], memory: u64) -> Result<Shape, Failure> {
    use rustix::process::Signal;
    const TOO_LONG: i32 = Signal::XCPU.as_raw();
    const TOO_MUCH_CODE: i32 = Signal::XFSZ.as_raw();
    // How programs end whose allocations fail.
    const TOO_LARGE: [i32; 5] = [
        Signal::ABORT.as_raw(),
        Signal::SEGV.as_raw(),
        Signal::BUS.as_raw(),
        Signal::ILL.as_raw(),
        Signal::TRAP.as_raw(),
    ];
    let text = String::from_utf8_lossy(said);
    let text = text.trim();
    if status.success() {
        let last = text.lines().next_back().unwrap_or_default();
        return match serde_json::from_str(last) {
            Ok(answer) => judge_answer(answer),
            Err(error) => Err(broken(format!("the process that compiles says what it should not: {error}"))),
        };
    }
    if status.code() == Some(PANICKED) {
        tracing::error!(words = %shortened(text, MAX_WORDS), "the compiler panicked");
        let words =
            "the compiler fails on it; build it anew, with another version of its toolchain if need be";
        return Err(UploadError::Compile(words.to_owned()).into());
    }
    match status.signal() {
        Some(TOO_LONG) => Err(too_complex(format!("more than {MAX_SECONDS} seconds of processor time"))),
        Some(TOO_MUCH_CODE) => Err(too_much_code()),
        Some(signal) if TOO_LARGE.contains(&signal) => {
            tracing::warn!(signal, words = %shortened(text, MAX_WORDS), "compiling a plugin ended by a signal");
            let most = Size(usize::try_from(memory).unwrap_or(usize::MAX));
            Err(too_complex(format!("more than {most} of memory")))
        }
        // Somebody ended it, or it could not work: no fault of the plugin's.
        _ => Err(broken(format!("the process that compiles ended with {status}: {text}"))),
    }
}

fn judge_answer(answer: Answer) -> Result<Shape, Failure> {
    match answer {
        Answer::Taken(shape) => Ok(shape.checked()?),
        Answer::Refused(refusal) => Err(refusal.into()),
        Answer::Failed { disk_full: true, .. } => Err(Failure::DiskFull),
        Answer::Failed { words, .. } => Err(broken(words)),
    }
}

fn too_complex(what: String) -> Failure {
    UploadError::TooComplex(format!("to compile it takes {what}")).into()
}

fn too_much_code() -> Failure {
    let most = Size(usize::try_from(MAX_CODE).unwrap_or(usize::MAX));
    UploadError::TooComplex(format!("its compiled code has more than {most}")).into()
}

fn broken(words: String) -> Failure {
    SandboxError::Compiler(io::Error::other(shortened(&words, MAX_WORDS))).into()
}

/// What the process does that is started with [`COMMAND`].
#[must_use]
pub fn main() -> ExitCode {
    let answer = answer_within_limits()
        .unwrap_or_else(|error| Answer::Failed { words: error.to_string(), disk_full: is_full(&error) });
    // Who started it may be gone.
    let Ok(line) = serde_json::to_string(&answer) else { return ExitCode::FAILURE };
    let _ = writeln!(io::stderr(), "\n{line}");
    ExitCode::SUCCESS
}

fn answer_within_limits() -> io::Result<Answer> {
    let mut stdin = io::stdin().lock();
    let mut line = String::new();
    stdin.read_line(&mut line)?;
    let order: Order = serde_json::from_str(&line)?;
    limit_process(order.process_memory)?;
    let mut wasm = Vec::new();
    stdin.read_to_end(&mut wasm)?;
    Ok(answer(&order, &wasm, &mut io::stdout().lock()))
}

/// Everything from an upload's bytes to its code.
fn answer(order: &Order, wasm: &[u8], code: &mut impl io::Write) -> Answer {
    let compiled = match compiled(order, wasm) {
        Ok(compiled) => compiled,
        Err(refusal) => return Answer::Refused(refusal.shortened(MAX_WORDS)),
    };
    match code.write_all(&compiled.code).and_then(|()| code.flush()) {
        Ok(()) => Answer::Taken(compiled.shape),
        Err(error) => Answer::Failed { words: error.to_string(), disk_full: is_full(&error) },
    }
}

struct Compiled {
    shape: Shape,
    /// Empty where only the shape is asked for.
    code: Vec<u8>,
}

fn compiled(order: &Order, wasm: &[u8]) -> Result<Compiled, Refusal> {
    let limits = order.limits();
    // An engine of its own with the settings that all have: what is compiled depends on none of the limits.
    let failed = |error: wasmtime::Error| Refusal::Compile(format!("{error:#}"));
    let engine = engine::compiler(&Limits::default()).map_err(failed)?;
    let component = upload::component(wasm)?;
    let shape = validate::component(&component, engine::features(&engine), &limits)?;
    if !order.with_code {
        return Ok(Compiled { shape, code: Vec::new() });
    }
    let code = engine.precompile_component(&component).map_err(failed)?;
    if code.len() as u64 > MAX_CODE {
        let (size, most) = (Size(code.len()), Size(usize::try_from(MAX_CODE).unwrap_or(usize::MAX)));
        return Err(Refusal::TooComplex(format!("its compiled code has {size}; {most} is the most")));
    }
    Ok(Compiled { shape, code })
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Limits this process for good.
fn limit_process(memory: u64) -> io::Result<()> {
    use rustix::process::{Resource, nice};
    limit(Resource::Core, 0, 0)?;
    // At the first limit it is told by a signal of its own, at the second it is killed.
    limit(Resource::Cpu, MAX_SECONDS, MAX_SECONDS + 5)?;
    // What can be written to. Addresses that are only set aside do not count, and wasmtime sets aside many.
    limit(Resource::Data, memory, memory)?;
    limit(Resource::Fsize, MAX_CODE, MAX_CODE)?;
    // Where either cannot be set, it only gives way less.
    let _ = nice(NICE);
    #[cfg(target_os = "linux")]
    {
        // Where the machine is short of memory, this goes before the engine.
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    }
    Ok(())
}

/// Sets a limit, or leaves the lower one that the system's administrator has set.
fn limit(resource: rustix::process::Resource, first: u64, last: u64) -> io::Result<()> {
    let given = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let bound = rustix::process::Rlimit { current: Some(first.min(given)), maximum: Some(last.min(given)) };
    Ok(rustix::process::setrlimit(resource, bound)?)
}

#[cfg(test)]
mod tests;
