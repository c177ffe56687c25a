//! Compiling a guest in C around QuickJS to a core module.
//!
//! QuickJS, the headers of a libc and that libc itself come in the crate `rquickjs-sys`, as `Cargo.lock` has it. The crate
//! is not compiled: Cargo fetches it and says where it is. Its files are compiled here with the flags that a
//! guest wants, and only those which end up in the guest.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::c_toolchain::CToolchain;
use crate::guest::run;
use crate::toolchain::output;

/// The crate with QuickJS in it.
pub const PACKAGE: &str = "rquickjs-sys";

/// The stack that is in memory, in bytes. All of it is cleared after each call; a script may recurse some 500 times in it.
pub const STACK_BYTES: u32 = 160 * 1024;

/// The flags of the compiler that decide what is in the module. The last four definitions are those with which the crate's own
/// build script compiles QuickJS for a target without an operating system. `__SANITIZE_ADDRESS__` makes QuickJS ask for
/// each block by itself: its pages of blocks of one size, half of them empty, would make half of the snapshot.
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

/// Of what is ours, warnings are errors.
const STRICT: &[&str] = &["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"];
/// Of what is not, they are nobody's business here.
const LENIENT: &[&str] = &["-w"];

/// The flags of the linker. The stack comes first, so that one which overflows traps.
pub const LINKER_FLAGS: &[&str] = &["--no-entry", "--gc-sections", "--strip-all", "-O3", "--stack-first"];

/// Of the package: what QuickJS stands on, and what stands in for an operating system. `quickjs.c` itself is included by the guest's
/// `inside.c`, which looks into its objects.
const PACKAGED: &[&str] =
    &["quickjs/libregexp.c", "quickjs/libunicode.c", "quickjs/dtoa.c", "wasm-shim/shim.c"];

/// The heads of loops in QuickJS's parser. It notes no place for them, so an error in one has the place of what is before.
const LOOPS: &[&str] = &[
    "    case TOK_WHILE:\n        {\n",
    "    case TOK_DO:\n        {\n",
    "    case TOK_FOR:\n        {\n            int label_cont",
];

/// Jumps in its interpreter. It looks whether it is to be interrupted after them, when the place is that of where they lead.
const JUMPS: &[&str] = &[
    "            pc += (int32_t)get_u32(pc);\n",
    "            pc += (int16_t)get_u16(pc);\n",
    "            pc += (int8_t)pc[0];\n",
    "                if (res) {\n                    pc += (int32_t)get_u32(pc - 4) - 4;\n                }\n",
    "                if (res) {\n                    pc += (int8_t)pc[-1] - 1;\n                }\n",
];

/// What is changed in `quickjs.c`, so that a script which is interrupted in a loop is told the line of that loop: texts that stand in
/// it once, and what is put in their places.
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
        ensure!(source.matches(&from).count() == 1, "quickjs.c is not as expected: it has not once\n{from}");
        source = source.replace(&from, &to);
    }
    Ok(std::fs::write(into.join("quickjs.c"), source)?)
}

/// Compiles the files of `directory/src` with QuickJS, and answers with the module.
///
/// # Errors
/// If the package isn't found, or the compiler or the linker fails; they have said why.
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
            // Before the package's own.
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

/// By name, since their order is that of what they hold in the module.
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

/// A part of what `cargo metadata` says.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
}

/// Where Cargo has put the package, having fetched it if need be.
fn find_package(root: &Path) -> Result<PathBuf> {
    let said = output(
        Command::new("cargo")
            .current_dir(root)
            .args(["metadata", "--locked", "--format-version=1"])
            // The crate is a dependency for this target only.
            .args(["--filter-platform", "wasm32-unknown-unknown"]),
    )?;
    let metadata: Metadata = serde_json::from_str(&said).context("reading what `cargo metadata` says")?;
    let package = metadata.packages.into_iter().find(|package| package.name == PACKAGE);
    let manifest = package.with_context(|| format!("Cargo.lock has no {PACKAGE}"))?.manifest_path;
    Ok(manifest.parent().context("a manifest without a directory")?.to_owned())
}
