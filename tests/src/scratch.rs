//! Temporary directories of engines, which are removed however the process of the tests ends.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

/// Waits for the end of its standard input, that is of the process of the tests. Then it ends the engines that still run in
/// the directory, and removes it.
const SCRIPT: &str = r#"cat > /dev/null
ps -eo pid=,args= | name="--data-dir $1/" awk 'index($0, ENVIRON["name"]) { print $1 }' | xargs -r kill -KILL
rm -rf "$1""#;

/// The directory of this process, and the shell that removes it.
struct Scratch {
    dir: PathBuf,
    _shell: Child,
}

static SCRATCH: OnceLock<Scratch> = OnceLock::new();

/// Creates a directory for an engine.
///
/// # Panics
/// If it cannot be created.
#[must_use]
pub fn directory() -> TempDir {
    let scratch = SCRATCH.get_or_init(|| {
        let dir = tempfile::Builder::new().prefix("hookwright-tests-").tempdir();
        let dir = dir.expect("a temporary directory can be created").keep();
        let mut shell = Command::new("sh");
        shell.args(["-c", SCRIPT, "sh"]).arg(&dir).stdin(Stdio::piped());
        // A signal to the process group of the tests must not end the shell.
        shell.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Scratch { dir, _shell: shell.spawn().expect("there is a shell") }
    });
    tempfile::tempdir_in(&scratch.dir).expect("a temporary directory can be created")
}
