//! The binary `hookwright`.

use std::process::ExitCode;

/// The engine makes many small allocations on several threads for a long time. For these, glibc's allocator
/// is slower and returns less memory to the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hookwright::cli::main()
}
