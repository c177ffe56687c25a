//! Hostile and broken guests.

use std::pin::{Pin, pin};

use futures_util::future::poll_immediate;

use super::guest::{ACCEPT, Guest, changing, returning};
use super::*;
use crate::domain::FaultKind::{
    Deadline, Failure, InvalidOutput, OutOfFuel, OutOfMemory, OutputTooLarge, Trap,
};

const LOOP: &str = "(loop $again (br $again)) (unreachable)";

/// A description of a guest, the guest, and the kind and part of the message of its expected fault.
type Case = (&'static str, Guest, crate::domain::FaultKind, &'static str);

fn hostile_code() -> Vec<Case> {
    let filter = Guest::filter;
    vec![
        ("an endless loop", filter(LOOP), OutOfFuel, "used up its 5,0"),
        ("an endless loop in cabi_realloc", filter(ACCEPT).realloc(LOOP), OutOfFuel, "used up its 5,0"),
        (
            "an endless loop when it starts",
            filter(ACCEPT).with("(func $s (loop $again (br $again))) (start $s)"),
            OutOfFuel,
            "used up its 5,0",
        ),
        ("a trap", filter("(unreachable)"), Trap, "`unreachable` instruction executed"),
        (
            "a trap when it starts",
            filter(ACCEPT).with("(func $s (unreachable)) (start $s)"),
            Trap,
            "`unreachable` instruction executed",
        ),
        ("a division by zero", filter("(i32.div_u (i32.const 1) (i32.const 0))"), Trap, "divide by zero"),
        ("a read out of bounds", filter("(i32.load (i32.const -8))"), Trap, "out of bounds memory access"),
        (
            "deep recursion",
            filter("(call $f)").with("(func $f (result i32) (i32.add (call $f) (i32.const 1)))"),
            Trap,
            "stack overflow",
        ),
        (
            "memory that grows until it fails",
            filter(
                "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)",
            ),
            OutOfMemory,
            "of memory; the limit is 8 MiB",
        ),
        (
            "an allocator that gets no memory",
            filter("(call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 100000000))"),
            OutOfMemory,
            "of memory; the limit is 8 MiB",
        ),
        (
            "a table that grows",
            filter("(drop (table.grow $t (ref.null func) (i32.const 5000))) (unreachable)")
                .with("(table $t 1 funcref)"),
            OutOfMemory,
            "asked for a table of 5001 elements; the limit is 1000",
        ),
    ]
}

fn results_that_cannot_be_decoded() -> Vec<Case> {
    let filter = Guest::filter;
    vec![
        (
            "a result that is too large",
            Guest::mapper(
                "(drop (memory.grow (i32.const 40))) (i32.store (i32.const 1028) (i32.const 0)) \
                 (i32.store (i32.const 1032) (i32.const 2000000)) (i32.const 1024)",
            ),
            OutputTooLarge,
            "passed more than 1,048,",
        ),
        (
            "a list of absurd length",
            changing("(i32.store (i32.const 1052) (i32.const 0x0fffffff))"),
            InvalidOutput,
            "out of bounds",
        ),
        (
            "a list of tiny headers",
            changing(
                "(drop (memory.grow (i32.const 80))) (i32.store (i32.const 1048) (i32.const 1048576)) \
                 (i32.store (i32.const 1052) (i32.const 200000))",
            ),
            OutputTooLarge,
            "passed more than 1,048,",
        ),
        ("a null result with a maximal length", maximal(0, -1), InvalidOutput, "out of bounds"),
        ("a result at the end of memory", maximal(-1, 1), InvalidOutput, "out of bounds"),
        ("a result's address out of bounds", Guest::mapper("(i32.const -4)"), InvalidOutput, "out of bounds"),
        ("a result's address not aligned", Guest::mapper("(i32.const 1025)"), InvalidOutput, "not aligned"),
        (
            "a result with an unknown case",
            filter("(i32.store8 (i32.const 1024) (i32.const 7)) (i32.const 1024)"),
            InvalidOutput,
            "its result cannot be decoded",
        ),
        (
            "text that is not UTF-8",
            Guest::mapper(
                "(i32.store8 (i32.const 2048) (i32.const 255)) (i32.store (i32.const 1028) (i32.const 2048)) \
                 (i32.store (i32.const 1032) (i32.const 1)) (i32.const 1024)",
            ),
            InvalidOutput,
            "its result cannot be decoded",
        ),
    ]
}

fn results_with_invalid_values() -> Vec<Case> {
    let filter = Guest::filter;
    vec![
        (
            "data that is not JSON",
            returning("{nonsense}"),
            InvalidOutput,
            "it returned data that is not JSON",
        ),
        (
            "data that is nested too deeply",
            returning(&"[".repeat(300)),
            InvalidOutput,
            "it returned data that is not JSON",
        ),
        (
            "an unknown method",
            changing("(i32.store (i32.const 1036) (i32.const 2))"),
            InvalidOutput,
            "unknown method \"PO\"",
        ),
        (
            "a URL without a scheme",
            changing(
                "(i32.store (i32.const 1040) (i32.add (i32.load (i32.const 1040)) (i32.const 8))) (i32.store (i32.const 1044) (i32.const 5))",
            ),
            InvalidOutput,
            "is not an absolute URL",
        ),
        (
            "a realloc that returns an invalid address",
            filter(ACCEPT).realloc("(i32.const -16)"),
            InvalidOutput,
            "",
        ),
        (
            "a failure of its own",
            filter(
                "(i32.store8 (i32.const 1024) (i32.const 1)) (i32.store (i32.const 1028) (i32.const 2048)) \
                 (i32.store (i32.const 1032) (i32.const 3)) (i32.store (i32.const 1036) (i32.const 2051)) \
                 (i32.store (i32.const 1040) (i32.const 4)) (i32.const 1024)",
            )
            .with(r#"(data (i32.const 2048) "badoops")"#),
            Failure,
            "oops",
        ),
    ]
}

/// A mapper that returns text at this address and with this length.
fn maximal(at: i32, len: i32) -> Guest {
    Guest::mapper(&format!(
        "(i32.store (i32.const 1028) (i32.const {at})) (i32.store (i32.const 1032) (i32.const {len})) (i32.const 1024)"
    ))
}

#[tokio::test]
async fn every_hostile_guest_ends_with_its_fault() {
    let test = TestSandbox::new();
    let mut wrong = Vec::new();
    let cases = [hostile_code(), results_that_cannot_be_decoded(), results_with_invalid_values()];
    for (name, guest, kind, message) in cases.into_iter().flatten() {
        let (fault, report) = test.fault(guest.component()).await;
        if fault.kind != kind || !fault.message.contains(message) {
            wrong.push(format!("{name}: {fault:?}"));
        }
        assert_eq!(report.fault.as_ref(), Some(&fault), "{name}");
        assert!(report.memory_bytes <= 8 << 20, "{name}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // The sandbox still works.
    let digest = test.upload(Guest::filter(ACCEPT).component()).await;
    let run = test.run(1, &[digest]).await;
    assert!(matches!(run.end, PipelineEnd::Verdict(crate::domain::Verdict::Keep(_))));
}

#[tokio::test]
async fn a_trap_has_the_frames_of_the_guest_innermost_first() {
    let guest = Guest::filter("(call $outer)").with(
        "(func $outer (result i32) (call $_ZN5guest5inner17h0123456789abcdefE)) \
         (func $_ZN5guest5inner17h0123456789abcdefE (result i32) (unreachable))",
    );
    let (fault, _) = TestSandbox::new().fault(guest.component()).await;
    assert!(fault.backtrace[0].contains("guest::inner"), "{:?}", fault.backtrace);
    assert!(fault.backtrace[1].contains("outer"), "{:?}", fault.backtrace);
}

#[tokio::test]
async fn the_deadline_ends_a_call_with_fuel_left() {
    let limits = Limits { fuel_base: u64::MAX / 2, deadline_ms: 30, ..limits() };
    let (fault, report) = TestSandbox::with(limits, 1).fault(Guest::filter(LOOP).component()).await;
    assert_eq!(fault.kind, Deadline);
    assert_eq!(fault.message, "exceeded its CPU time limit of 30 ms");
    assert!(report.fuel > 0);
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut_and_is_not_a_fault() {
    let flood = "(local $n i32) (loop $more (call $write (i32.const 1) (i32.const 2048) (i32.const 10000)) \
        (local.set $n (i32.add (local.get $n) (i32.const 1))) \
        (br_if $more (i32.lt_u (local.get $n) (i32.const 100))))";
    let test = TestSandbox::new();
    let guest = Guest::filter(&format!("{flood} {ACCEPT}")).log();
    let digest = test.upload(guest.component()).await;
    let run = test.run(1, &[digest]).await;
    let logs = &run.steps[0].logs;
    assert_eq!(logs.len(), 9);
    assert!(logs.iter().all(|line| line.message.len() <= 1024));
    assert_eq!(logs[8].message, "the log is full: 92 more lines were discarded");
}

#[tokio::test]
async fn an_endless_loop_of_one_tenant_does_not_block_another() {
    // One thread, and so much fuel that only the queue can let other work start.
    let test = TestSandbox::with(Limits { fuel_base: 100_000_000, ..limits() }, 1);
    let endless = test.keep(&Guest::filter(LOOP).component());
    let quick = test.upload(Guest::filter(ACCEPT).component()).await;
    // The second job of the hostile tenant runs after the other tenant's job, although it was submitted earlier.
    let (first, second, other) = (job(1, &[endless]), job(1, &[endless]), job(2, &[quick]));
    let ends = Mutex::new(Vec::new());
    let run = async |name: &'static str, job| {
        test.sandbox.run(job).await.unwrap();
        ends.lock().unwrap().push(name);
    };
    test.sandbox.run(job(3, &[endless])).await.unwrap(); // Now it is loaded.
    let (first, second, other) = (run("first", first), run("second", second), run("other", other));
    let (mut first, mut second, mut other) = (pin!(first), pin!(second), pin!(other));
    // Jobs are submitted in this order.
    for job in [first.as_mut() as Pin<&mut dyn Future<Output = ()>>, second.as_mut(), other.as_mut()] {
        assert!(poll_immediate(job).await.is_none());
    }
    tokio::join!(biased; other, first, second);
    assert_eq!(ends.lock().unwrap().last(), Some(&"second"));
}

#[tokio::test]
async fn a_call_sees_no_state_of_earlier_calls() {
    // Accepts if a global, the memory, grown memory and a table have their initial values, and then changes them.
    let body = "(local $clean i32) (drop (memory.grow (i32.const 8))) \
        (local.set $clean (i32.and \
            (i32.and (i32.eqz (global.get $g)) (i32.eqz (i32.load (i32.const 4096)))) \
            (i32.and (i32.eqz (i32.load (i32.const 600000))) (ref.is_null (table.get $t (i32.const 5)))))) \
        (global.set $g (i32.const 1)) (i32.store (i32.const 4096) (i32.const 77)) \
        (i32.store (i32.const 600000) (i32.const 77)) (table.set $t (i32.const 5) (ref.func $realloc)) \
        (i32.store8 (i32.const 1028) (local.get $clean)) (i32.const 1024)";
    let guest = Guest::filter(body)
        .with("(global $g (mut i32) (i32.const 0)) (table $t 10 funcref) (elem declare func $realloc)");
    let test = TestSandbox::with(limits(), 1);
    let digest = test.upload(guest.component()).await;
    for tenant in [1, 2, 1, 3, 1] {
        let run = test.run(tenant, &[digest]).await;
        assert!(matches!(run.end, PipelineEnd::Verdict(crate::domain::Verdict::Keep(_))), "{run:?}");
    }
}
