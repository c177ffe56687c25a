//! Effects of one tenant's long calls and dry runs on other tenants.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all, poll_immediate};
use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};

use super::guest::{ACCEPT, Guest};
use super::*;

const LOOP: &str = "(loop $again (br $again)) (unreachable)";
/// With this much fuel, only the deadline ends a loop.
const NO_FUEL_LIMIT: u64 = u64::MAX / 2;

/// A filter that runs for about ten slices, and logs a line before and after.
fn long() -> Guest {
    let log = "(call $write (i32.const 1) (i32.const 2048) (i32.const 2))";
    let body = format!(
        "(local $n i32) {log} (loop $again (local.set $n (i32.add (local.get $n) (i32.const 1))) \
         (br_if $again (i32.lt_u (local.get $n) (i32.const 60000000)))) {log} {ACCEPT}"
    );
    Guest::filter(&body).log().with(r#"(data (i32.const 2048) "hi")"#)
}

fn dry_run(tenant: i64, digests: &[Digest]) -> PipelineJob {
    PipelineJob { source: Source::DryRun, ..job(tenant, digests) }
}

#[tokio::test]
async fn repeating_a_call_after_its_slice_is_not_visible() {
    let test = TestSandbox::with(Limits { fuel_base: NO_FUEL_LIMIT, deadline_ms: 60_000, ..limits() }, 1);
    let quick = test.upload(Guest::filter(ACCEPT).component()).await;
    let long = test.upload(long().component()).await;
    // The first run is stopped in the quick lane; the second starts in the long lane.
    let (first, second) = (test.run(1, &[quick, long]).await, test.run(1, &[quick, long]).await);
    assert_eq!(first.end, second.end);
    let shown = |run: &PipelineRun| {
        let step = &run.steps[1];
        (step.fuel, step.memory_bytes, step.logs.clone(), step.roles.clone(), run.steps.len())
    };
    assert_eq!(shown(&first), shown(&second));
    assert_eq!((first.steps[1].logs.len(), first.steps[1].roles.len()), (2, 1));
}

#[tokio::test]
async fn calls_that_reach_their_deadline_do_not_delay_other_tenants() {
    let test = TestSandbox::with(Limits { fuel_base: NO_FUEL_LIMIT, deadline_ms: 100, ..limits() }, 1);
    let endless = test.keep(&Guest::filter(LOOP).component());
    let quick = test.upload(Guest::filter(ACCEPT).component()).await;
    test.sandbox.load(TenantId(1), &endless).await.unwrap();
    let ended = AtomicUsize::new(0);
    let hostile = join_all((0..40).map(async |number| {
        test.sandbox.run(job(10 + number % 10, &[endless])).await.unwrap();
        ended.fetch_add(1, Ordering::Relaxed);
    }));
    let mut hostile = std::pin::pin!(hostile);
    assert!(poll_immediate(hostile.as_mut()).await.is_none());
    let victim = async {
        for _ in 0..200 {
            test.run(1, &[quick]).await;
        }
    };
    tokio::select! {
        () = victim => {}
        _ = hostile => panic!("the other tenants' loops ended first"),
    }
    // Each takes 100 ms. With shares by number of calls, all of them would have ended before the victim's last call.
    assert!(ended.load(Ordering::Relaxed) < 40);
}

#[tokio::test]
async fn an_abandoned_dry_run_stops_and_lets_waiting_runs_start() {
    // With a deadline of an hour, only the disconnected client can end it.
    let test = TestSandbox::with(Limits { fuel_base: NO_FUEL_LIMIT, deadline_ms: 3_600_000, ..limits() }, 1);
    let endless = test.keep(&Guest::filter(LOOP).component());
    let long = test.upload(long().component()).await;
    test.sandbox.load(TenantId(1), &endless).await.unwrap();
    let job = |tenant| dry_run(tenant, &[endless]);
    let mut running: Vec<_> = (1..4).map(|tenant| test.sandbox.run(job(tenant)).boxed()).collect();
    for run in &mut running {
        assert!(poll_immediate(run).await.is_none());
    }
    drop(running);
    let after = [long];
    let after = tokio::time::timeout(Duration::from_secs(60), test.run(5, &after));
    after.await.expect("an abandoned dry run does not occupy the only thread for long calls");
}

#[tokio::test]
async fn dry_runs_do_not_displace_deliveries() {
    let test = TestSandbox::with(Limits { fuel_base: NO_FUEL_LIMIT, deadline_ms: 3_600_000, ..limits() }, 1);
    let endless = test.keep(&Guest::filter(LOOP).component());
    let quick = test.upload(Guest::filter(ACCEPT).component()).await;
    test.sandbox.load(TenantId(1), &endless).await.unwrap();
    let mut waiting = FuturesUnordered::<BoxFuture<'_, _>>::new();
    for _ in 0..super::super::pool::MAX_DRY_RUNS {
        waiting.push(test.sandbox.run(dry_run(1, &[endless])).boxed());
    }
    assert!(poll_immediate(waiting.next()).await.is_none());
    let refused = test.sandbox.run(dry_run(5_000, &[quick])).await;
    assert!(matches!(refused, Err(SandboxError::Overloaded)), "{refused:?}");
    test.run(5_000, &[quick]).await;
    drop(waiting);
    test.sandbox.run(dry_run(5_000, &[quick])).await.unwrap();
}

/// Host functions and bulk instructions cost fuel in proportion to their work.
#[tokio::test]
async fn work_of_the_host_costs_fuel() {
    let test = TestSandbox::new();
    let ten_times = |what: &str| {
        let body = format!(
            "(local $n i32) (loop $again {what} (local.set $n (i32.add (local.get $n) (i32.const 1))) \
             (br_if $again (i32.lt_u (local.get $n) (i32.const 10)))) {ACCEPT}"
        );
        Guest::filter(&body)
    };
    let log = "(call $write (i32.const 1) (i32.const 2048) (i32.const 100))";
    let hash = "(call $hmac-sha256 (i32.const 2048) (i32.const 7) (i32.const 2048) (i32.const 1000) (i32.const 3072))";
    let get = "(call $get (i32.const 3072))";
    for (name, guest, each) in [
        ("a loop", ten_times(""), 0),
        ("memory.grow", ten_times("(drop (memory.grow (i32.const 0)))"), 255),
        ("pages", ten_times("(drop (memory.grow (i32.const 1)))"), 2 * 255),
        ("a page too many", ten_times("(drop (memory.grow (i32.const 10000)))"), 10_000 * 255),
        (
            "table.grow",
            ten_times("(drop (table.grow $t (ref.null func) (i32.const 0)))").with("(table $t 1 funcref)"),
            255,
        ),
        ("memory.fill", ten_times("(memory.fill (i32.const 4096) (i32.const 0) (i32.const 100))"), 120),
        ("a line of log", ten_times(log).log(), 1_100),
        (
            "a hash",
            ten_times(hash)
                .import("hookwright:plugin/secrets@1.0.0", "hmac-sha256", "(param i32 i32 i32 i32 i32)")
                .with(r#"(data (i32.const 2048) "signing")"#),
            10_007,
        ),
        ("settings", ten_times(get).import("hookwright:plugin/config@1.0.0", "get", "(param i32)"), 1_002),
    ] {
        let digest = test.keep(&guest.component());
        let used = test.run(1, &[digest]).await.steps[0].fuel;
        let most = 10 * each * 11 / 10 + 1_000;
        let least = if name == "a page too many" { 5_000_000 } else { 10 * each };
        assert!((least..=most.max(least)).contains(&used), "{name}: {used}, expected {least} to {most}");
    }
}
