//! `hookwright`: parse the command line, match, run.

use std::process::ExitCode;

/// Many small allocations, on several threads, for hours: glibc's allocator spends more time on them,
/// and gives less back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hookwright::cli::main()
}
