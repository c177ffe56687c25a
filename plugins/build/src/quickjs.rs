//! Compiles the guest in C with QuickJS to a core module.
//!
//! QuickJS and a libc with headers come from the crate `rquickjs-sys`, in the version of `Cargo.lock`. The crate
//! itself is not compiled: Cargo only downloads it. This module compiles the necessary files with the flags of a
//! guest.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::c_toolchain::CToolchain;
use crate::guest::run;
use crate::toolchain::output;

/// The crate that contains QuickJS.
pub const PACKAGE: &str = "rquickjs-sys";

/// Size of the stack in linear memory, in bytes. It is enough for about 500 recursive calls of a script. All of it is
/// cleared after each call.
pub const STACK_BYTES: u32 = 160 * 1024;

/// Compiler flags that affect the module. The crate's build script uses the last four definitions for targets without
/// an operating system. `__SANITIZE_ADDRESS__` makes QuickJS allocate each block separately: its own pages of blocks,
/// half of them empty, would take half of the snapshot.
pub const COMPILER_FLAGS: &[&str] = &[
    "--target=wasm32-unknown-unknown",
    "-std=gnu2x",
    "-O3",
    "-msimd128",
    "-mnontrapping-fptoint",
    "-funsigned-char",
    "-ffunction-sections",
    "-fdata-sections",
    "-DNDEBUG",
    "-D__SANITIZE_ADDRESS__",
    "-D_GNU_SOURCE",
    "-DEMSCRIPTEN=1",
    "-DFE_DOWNWARD=0",
    "-DFE_UPWARD=0",
];

/// Warning flags for the guest's code.
const STRICT: &[&str] = &["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"];
/// Warning flags for third-party code.
const LENIENT: &[&str] = &["-w"];

/// Linker flags. The stack comes first in memory, so that an overflow traps.
pub const LINKER_FLAGS: &[&str] = &["--no-entry", "--gc-sections", "--strip-all", "-O3", "--stack-first"];

/// Files of the package: QuickJS's libraries and a system shim. The guest's `introspection.c` includes `quickjs.c`
/// itself, to access its internal structures.
const PACKAGED: &[&str] =
    &["quickjs/libregexp.c", "quickjs/libunicode.c", "quickjs/dtoa.c", "wasm-shim/shim.c"];

/// The beginnings of loops in QuickJS's parser. It records no source location for them, so errors in a loop would
/// have the location before it.
const LOOPS: &[&str] = &[
    "    case TOK_WHILE:\n        {\n",
    "    case TOK_DO:\n        {\n",
    "    case TOK_FOR:\n        {\n            int label_cont",
];

/// Jumps in QuickJS's interpreter. It checks for interrupts after a jump, when the location is already that of the
/// target.
const JUMPS: &[&str] = &[
    "            pc += (int32_t)get_u32(pc);\n",
    "            pc += (int16_t)get_u16(pc);\n",
    "            pc += (int8_t)pc[0];\n",
    "                if (res) {\n                    pc += (int32_t)get_u32(pc - 4) - 4;\n                }\n",
    "                if (res) {\n                    pc += (int8_t)pc[-1] - 1;\n                }\n",
];

/// Returns the changes to `quickjs.c`, so that an interrupt in a loop reports the line of the loop: texts that occur
/// once, with their replacements.
#[must_use]
pub fn changes() -> Vec<(String, String)> {
    let loops = LOOPS.iter().map(|head| {
        let (case, rest) = head.split_once('\n').unwrap_or((head, ""));
        ((*head).to_owned(), format!("{case}\n        emit_source_loc(s);\n{rest}"))
    });
    let jumps = JUMPS.iter().map(|jump| {
        let indent = " ".repeat(jump.len() - jump.trim_start().len());
        let look = format!("{indent}if (unlikely(js_poll_interrupts(ctx)))\n{indent}    goto exception;\n");
        (format!("{jump}{look}"), format!("{look}{jump}"))
    });
    loops.chain(jumps).collect()
}

/// Writes `quickjs.c` with its [`changes`] into a directory.
fn write_changed(package: &Path, into: &Path) -> Result<()> {
    let mut source = std::fs::read_to_string(package.join("quickjs/quickjs.c"))?;
    for (from, to) in changes() {
        ensure!(
            source.matches(&from).count() == 1,
            "quickjs.c is not as expected: it must contain exactly once\n{from}"
        );
        source = source.replace(&from, &to);
    }
    Ok(std::fs::write(into.join("quickjs.c"), source)?)
}

/// Compiles the files of `directory/src` with QuickJS and returns the module.
///
/// # Errors
/// If the package is not found, or the compiler or the linker fails, which print their own errors.
pub fn compile(root: &Path, toolchain: &CToolchain, directory: &Path) -> Result<Vec<u8>> {
    let package = find_package(root)?;
    let (objects, changed) = (tempfile::tempdir()?, tempfile::tempdir()?);
    write_changed(&package, changed.path())?;
    let compiler =
        Compiler { toolchain, package: &package, changed: changed.path(), objects: objects.path() };
    let mut linked = Vec::new();
    for source in sources(&directory.join("src"))? {
        linked.push(compiler.compile(&source, STRICT)?);
    }
    for source in PACKAGED {
        linked.push(compiler.compile(&package.join(source), LENIENT)?);
    }
    let module = objects.path().join("module.wasm");
    let mut linker = Command::new(&toolchain.linker);
    linker
        .args(LINKER_FLAGS)
        .arg(format!("-zstack-size={STACK_BYTES}"))
        .args(linked)
        .arg(package.join("vendor/wasi-libc/lib/libc.a"))
        .arg(&toolchain.builtins)
        .arg("-o")
        .arg(&module);
    run(&mut linker)?;
    Ok(std::fs::read(module)?)
}

struct Compiler<'a> {
    toolchain: &'a CToolchain,
    package: &'a Path,
    changed: &'a Path,
    objects: &'a Path,
}

impl Compiler<'_> {
    fn compile(&self, source: &Path, warnings: &[&str]) -> Result<PathBuf> {
        let name = source.file_name().context("a source without a name")?;
        let object = self.objects.join(name).with_extension("o");
        let mut clang = Command::new(&self.toolchain.clang);
        clang
            .args(COMPILER_FLAGS)
            .args(warnings)
            .arg(format!("-DSTACK_BYTES={STACK_BYTES}"))
            .arg(prefix_map(self.package, "quickjs"))
            .arg(prefix_map(self.changed, "quickjs/quickjs"))
            // Takes precedence over the package's file.
            .arg("-isystem")
            .arg(self.changed)
            .arg("-isystem")
            .arg(self.package.join("vendor/wasi-libc/include"))
            .arg("-isystem")
            .arg(self.package.join("quickjs"))
            .arg("-c")
            .arg(source)
            .arg("-o")
            .arg(&object);
        run(&mut clang)?;
        Ok(object)
    }
}

/// Keeps this machine's paths out of the module.
fn prefix_map(from: &Path, to: &str) -> std::ffi::OsString {
    let mut flag = std::ffi::OsString::from("-ffile-prefix-map=");
    flag.push(from);
    flag.push("=");
    flag.push(to);
    flag
}

/// Returns the source files by name. Their order determines the order in the module.
fn sources(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    let mut sources = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "c") {
            sources.push(path);
        }
    }
    sources.sort();
    Ok(sources)
}

/// Part of the output of `cargo metadata`.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
}

/// Returns the directory of the package. Cargo downloads it if necessary.
fn find_package(root: &Path) -> Result<PathBuf> {
    let metadata = output(
        Command::new("cargo")
            .current_dir(root)
            .args(["metadata", "--locked", "--format-version=1"])
            // The crate is a dependency for this target only.
            .args(["--filter-platform", "wasm32-unknown-unknown"]),
    )?;
    let metadata: Metadata =
        serde_json::from_str(&metadata).context("parsing the output of `cargo metadata`")?;
    let package = metadata.packages.into_iter().find(|package| package.name == PACKAGE);
    let manifest = package.with_context(|| format!("Cargo.lock has no {PACKAGE}"))?.manifest_path;
    Ok(manifest.parent().context("a manifest without a directory")?.to_owned())
}
