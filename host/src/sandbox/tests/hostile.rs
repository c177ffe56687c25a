//! What hostile and broken guests come to.

use std::pin::{Pin, pin};

use futures_util::future::poll_immediate;

use super::guest::{ACCEPT, Guest, answering, changing};
use super::*;
use crate::domain::FaultKind::{
    Deadline, Failure, InvalidOutput, OutOfFuel, OutOfMemory, OutputTooLarge, Trap,
};

const LOOP: &str = "(loop $again (br $again)) (unreachable)";

#[expect(clippy::too_many_lines, reason = "it is a table")]
fn guests() -> Vec<(&'static str, Guest, crate::domain::FaultKind, &'static str)> {
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
            "of memory; a plugin may have 8 MiB",
        ),
        (
            "an allocator that gets no memory",
            filter("(call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 100000000))"),
            OutOfMemory,
            "of memory; a plugin may have 8 MiB",
        ),
        (
            "a table that grows",
            filter("(drop (table.grow $t (ref.null func) (i32.const 5000))) (unreachable)")
                .with("(table $t 1 funcref)"),
            OutOfMemory,
            "asked for a table of 5001 elements; a plugin may have 1000",
        ),
        (
            "an answer that is too large",
            Guest::mapper(
                "(drop (memory.grow (i32.const 40))) (i32.store (i32.const 1028) (i32.const 0)) \
                 (i32.store (i32.const 1032) (i32.const 2000000)) (i32.const 1024)",
            ),
            OutputTooLarge,
            "handed over more than the 1,048,",
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
            "handed over more than the 1,048,",
        ),
        ("a null answer with a maximal length", maximal(0, -1), InvalidOutput, "out of bounds"),
        ("an answer at the end of memory", maximal(-1, 1), InvalidOutput, "out of bounds"),
        ("an answer's place out of bounds", Guest::mapper("(i32.const -4)"), InvalidOutput, "out of bounds"),
        ("an answer's place not aligned", Guest::mapper("(i32.const 1025)"), InvalidOutput, "not aligned"),
        (
            "an answer that is no such case",
            filter("(i32.store8 (i32.const 1024) (i32.const 7)) (i32.const 1024)"),
            InvalidOutput,
            "its answer cannot be read",
        ),
        (
            "text that is not UTF-8",
            Guest::mapper(
                "(i32.store8 (i32.const 2048) (i32.const 255)) (i32.store (i32.const 1028) (i32.const 2048)) \
                 (i32.store (i32.const 1032) (i32.const 1)) (i32.const 1024)",
            ),
            InvalidOutput,
            "its answer cannot be read",
        ),
        ("data that is not JSON", answering("{nonsense}"), InvalidOutput, "its new data is not JSON"),
        (
            "data that is nested too deeply",
            answering(&"[".repeat(300)),
            InvalidOutput,
            "its new data is not JSON",
        ),
        (
            "a method that is none",
            changing("(i32.store (i32.const 1036) (i32.const 2))"),
            InvalidOutput,
            "the method \"PO\" is none of",
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
            "a realloc that answers with nonsense",
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

/// A mapper whose answer is said to be here, and so long.
fn maximal(at: i32, len: i32) -> Guest {
    Guest::mapper(&format!(
        "(i32.store (i32.const 1028) (i32.const {at})) (i32.store (i32.const 1032) (i32.const {len})) (i32.const 1024)"
    ))
}

#[tokio::test]
async fn every_hostile_guest_ends_as_its_fault() {
    let world = World::new();
    let mut wrong = Vec::new();
    for (name, guest, kind, words) in guests() {
        let (fault, report) = world.fault(guest.component()).await;
        if fault.kind != kind || !fault.message.contains(words) {
            wrong.push(format!("{name}: {fault:?}"));
        }
        assert_eq!(report.fault.as_ref(), Some(&fault), "{name}");
        assert!(report.memory_bytes <= 8 << 20, "{name}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // None of them has left anything behind.
    let digest = world.upload(Guest::filter(ACCEPT).component()).await;
    let run = world.run(1, &[digest]).await;
    assert!(matches!(run.end, PipelineEnd::Verdict(crate::domain::Verdict::Keep(_))));
}

#[tokio::test]
async fn a_trap_has_the_guests_own_frames_innermost_first() {
    let guest = Guest::filter("(call $outer)").with(
        "(func $outer (result i32) (call $_ZN5guest5inner17h0123456789abcdefE)) \
         (func $_ZN5guest5inner17h0123456789abcdefE (result i32) (unreachable))",
    );
    let (fault, _) = World::new().fault(guest.component()).await;
    assert!(fault.backtrace[0].contains("guest::inner"), "{:?}", fault.backtrace);
    assert!(fault.backtrace[1].contains("outer"), "{:?}", fault.backtrace);
}

#[tokio::test]
async fn what_fuel_does_not_see_ends_at_the_deadline() {
    let limits = Limits { fuel_base: u64::MAX / 2, deadline_ms: 30, ..limits() };
    let (fault, report) = World::with(limits, 1).fault(Guest::filter(LOOP).component()).await;
    assert_eq!(fault.kind, Deadline);
    assert_eq!(fault.message, "ran for more than its 30 ms of processor time");
    assert!(report.fuel > 0);
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut_off_and_costs_no_fault() {
    let flood = "(local $n i32) (loop $more (call $write (i32.const 1) (i32.const 2048) (i32.const 10000)) \
        (local.set $n (i32.add (local.get $n) (i32.const 1))) \
        (br_if $more (i32.lt_u (local.get $n) (i32.const 100))))";
    let world = World::new();
    let guest = Guest::filter(&format!("{flood} {ACCEPT}")).log();
    let digest = world.upload(guest.component()).await;
    let run = world.run(1, &[digest]).await;
    let logs = &run.steps[0].logs;
    assert_eq!(logs.len(), 9);
    assert!(logs.iter().all(|line| line.message.len() <= 1024));
    assert_eq!(logs[8].message, "the log is full: 92 more lines were not kept");
}

#[tokio::test]
async fn one_tenants_endless_loop_does_not_stop_another() {
    // One thread, and a loop with so much fuel that only the queue can let anybody else in.
    let world = World::with(Limits { fuel_base: 100_000_000, ..limits() }, 1);
    let endless = world.keep(&Guest::filter(LOOP).component());
    let quick = world.upload(Guest::filter(ACCEPT).component()).await;
    // The hostile tenant's second job is behind the other tenant's, whoever came first.
    let (first, second, other) = (job(1, &[endless]), job(1, &[endless]), job(2, &[quick]));
    let ends = Mutex::new(Vec::new());
    let run = async |name: &'static str, job| {
        world.sandbox.run(job).await.unwrap();
        ends.lock().unwrap().push(name);
    };
    world.sandbox.run(job(3, &[endless])).await.unwrap(); // Ready in memory from here on.
    let (first, second, other) = (run("first", first), run("second", second), run("other", other));
    let (mut first, mut second, mut other) = (pin!(first), pin!(second), pin!(other));
    // Handed in in this order, and looked at in that: what has ended by the time of a look is not told apart.
    for job in [first.as_mut() as Pin<&mut dyn Future<Output = ()>>, second.as_mut(), other.as_mut()] {
        assert!(poll_immediate(job).await.is_none());
    }
    tokio::join!(biased; other, first, second);
    assert_eq!(ends.lock().unwrap().last(), Some(&"second"));
}

#[tokio::test]
async fn nothing_of_a_call_is_seen_by_the_next() {
    // Answers whether the canaries in a global, the memory, grown memory and a table are untouched.
    let body = "(local $clean i32) (drop (memory.grow (i32.const 8))) \
        (local.set $clean (i32.and \
            (i32.and (i32.eqz (global.get $g)) (i32.eqz (i32.load (i32.const 4096)))) \
            (i32.and (i32.eqz (i32.load (i32.const 600000))) (ref.is_null (table.get $t (i32.const 5)))))) \
        (global.set $g (i32.const 1)) (i32.store (i32.const 4096) (i32.const 77)) \
        (i32.store (i32.const 600000) (i32.const 77)) (table.set $t (i32.const 5) (ref.func $realloc)) \
        (i32.store8 (i32.const 1028) (local.get $clean)) (i32.const 1024)";
    let guest = Guest::filter(body)
        .with("(global $g (mut i32) (i32.const 0)) (table $t 10 funcref) (elem declare func $realloc)");
    let world = World::with(limits(), 1);
    let digest = world.upload(guest.component()).await;
    for tenant in [1, 2, 1, 3, 1] {
        let run = world.run(tenant, &[digest]).await;
        assert!(matches!(run.end, PipelineEnd::Verdict(crate::domain::Verdict::Keep(_))), "{run:?}");
    }
}
