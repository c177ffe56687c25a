//! WASI preview 1 modules, through the adapter, with the inert WASI.

use super::guest::{ACCEPT, Guest};
use super::*;

const PREVIEW1: &str = "wasi_snapshot_preview1";

/// A filter that reads the clocks and random bytes and writes them to standard output, in hexadecimal with letters.
fn reading_clocks() -> Guest {
    let hex = "(func $hex (local $i i32) (local $b i32)
        (loop $more
            (local.set $b (i32.load8_u (i32.add (i32.const 2048) (local.get $i))))
            (i32.store8 (i32.add (i32.const 3072) (i32.mul (local.get $i) (i32.const 2)))
                (i32.add (i32.const 97) (i32.shr_u (local.get $b) (i32.const 4))))
            (i32.store8 (i32.add (i32.const 3073) (i32.mul (local.get $i) (i32.const 2)))
                (i32.add (i32.const 97) (i32.and (local.get $b) (i32.const 15))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $i) (i32.const 24))))
        (i32.store (i32.const 4096) (i32.const 3072)) (i32.store (i32.const 4100) (i32.const 48))
        (drop (call $fd_write (i32.const 1) (i32.const 4096) (i32.const 1) (i32.const 4104))))";
    let body = format!(
        "(drop (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const 2048)))
         (drop (call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 2064)))
         (drop (call $random_get (i32.const 2056) (i32.const 8))) (call $hex) {ACCEPT}"
    );
    Guest::filter(&body)
        .import(PREVIEW1, "fd_write", "(param i32 i32 i32 i32) (result i32)")
        .import(PREVIEW1, "clock_time_get", "(param i32 i64 i32) (result i32)")
        .import(PREVIEW1, "random_get", "(param i32 i32) (result i32)")
        .with(hex)
}

#[tokio::test]
async fn a_preview_1_module_reads_the_time_of_the_event_and_the_same_random_numbers() {
    let test = TestSandbox::new();
    let wasm = reading_clocks().module();
    let inspected =
        test.sandbox.inspect(TenantId(1), Bytes::from(wasm.clone())).await.unwrap_or_else(|e| panic!("{e}"));
    assert!(inspected.imports.iter().any(|name| name.starts_with("wasi:clocks/wall-clock@0.2.")));
    let digest = test.keep(&wasm);
    let first = test.run(1, &[digest]).await;
    let second = test.run(2, &[digest]).await;
    let line = &first.steps[0].logs[0].message;
    assert_eq!(first.steps[0].logs, second.steps[0].logs);
    let bytes: Vec<u8> = line.as_bytes().chunks(2).map(|pair| (pair[0] - 97) << 4 | (pair[1] - 97)).collect();
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    assert_eq!(number(0), 1_700_000_000_123_000_000);
    assert!(number(16) < 1_000_000, "the monotonic clock starts at 0: {}", number(16));
}

#[tokio::test]
async fn a_sleep_returns_at_once() {
    // One subscription at 2048, 48 bytes: the monotonic clock, one hour, relative.
    let body = format!(
        "(i32.store (i32.const 2064) (i32.const 1)) (i64.store (i32.const 2072) (i64.const 3600000000000))
         (drop (call $poll_oneoff (i32.const 2048) (i32.const 3072) (i32.const 1) (i32.const 4096))) {ACCEPT}"
    );
    let guest = Guest::filter(&body).import(PREVIEW1, "poll_oneoff", "(param i32 i32 i32 i32) (result i32)");
    let test = TestSandbox::new();
    let digest = test.upload(guest.module()).await;
    let run = test.run(1, &[digest]).await;
    assert!(run.steps[0].fault.is_none(), "{run:?}");
    assert!(run.steps[0].duration < std::time::Duration::from_secs(60));
}

#[tokio::test]
async fn a_program_that_exits_is_a_trap() {
    let guest = Guest::filter("(call $proc_exit (i32.const 3)) (unreachable)").import(
        PREVIEW1,
        "proc_exit",
        "(param i32)",
    );
    let (fault, _) = TestSandbox::new().fault(guest.module()).await;
    assert_eq!(fault.kind, crate::domain::FaultKind::Trap);
    assert!(fault.message.starts_with("exited with status"), "{}", fault.message);
}

const SOCKETS: &str = "package wasi:sockets@0.2.3;
    interface network { resource network; enum error-code { unknown, access-denied } }
    interface tcp-create-socket {
        use network.{network, error-code};
        resource tcp-socket;
        create-tcp-socket: func() -> result<tcp-socket, error-code>;
        instance-network: func() -> network;
    }";
const TCP: &str = "wasi:sockets/tcp-create-socket@0.2.3";

/// A filter that uses sockets in its body.
fn with_sockets(body: &str) -> Guest {
    Guest::filter(body).package(SOCKETS, TCP).import(TCP, "create-tcp-socket", "(param i32)").import(
        TCP,
        "instance-network",
        "(result i32)",
    )
}

#[tokio::test]
async fn sockets_can_be_imported_and_access_is_denied() {
    let test = TestSandbox::new();
    // Accepts if the result is the second error case.
    let body = "(call $create-tcp-socket (i32.const 2048)) (i32.store8 (i32.const 1028)
        (i32.and (i32.load8_u (i32.const 2048)) (i32.load8_u (i32.const 2052)))) (i32.const 1024)";
    let digest = test.upload(with_sockets(body).module()).await;
    let run = test.run(1, &[digest]).await;
    assert!(matches!(run.end, PipelineEnd::Verdict(crate::domain::Verdict::Keep(_))), "{run:?}");

    let guest = with_sockets(&format!("(drop (call $instance-network)) {ACCEPT}"));
    let (fault, _) = test.fault(guest.module()).await;
    assert_eq!(fault.kind, crate::domain::FaultKind::Trap);
    assert!(fault.message.contains("instance-network`, but plugins have no network"), "{}", fault.message);
}
