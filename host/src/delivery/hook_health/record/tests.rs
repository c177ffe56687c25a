//! Tests of the health of one hook.

use super::*;

const START: i64 = 1_795_000_000_000;

fn failure() -> Shown {
    Shown::Failure { reason: "status 503".to_owned(), of_receiver: true }
}

/// Adds attempts, one a second: `x` failed, `f` a plugin's fault, `.` succeeded.
fn after(attempts: &str) -> (HealthRecord, Vec<Changes>) {
    let mut record = HealthRecord::new(TenantId(1));
    let mut all = Vec::new();
    for (second, attempt) in attempts.chars().enumerate() {
        let shown = match attempt {
            'x' => failure(),
            'f' => Shown::Failure { reason: "a fault".to_owned(), of_receiver: false },
            _ => Shown::Success,
        };
        let now = UnixMillis(START + 1_000 * second as i64);
        all.push(record.add(shown, DeliveryId(1), (now, UnixMillis(0)), &HealthRules::default()));
    }
    (record, all)
}

#[test]
fn a_hook_fails_by_failures_in_a_row_or_by_their_share() {
    for (attempts, failing) in [
        ("", false),
        ("xx", false),
        ("xxx", true),
        ("xx.x", false),
        ("xxx.", false),
        ("fff", true),
        ("x.x.x.x.x", false),
        ("x.x.x.x.x.", true),
        ("..........xx", false),
    ] {
        let (record, _) = after(attempts);
        assert_eq!(record.failing_since.is_some(), failing, "{attempts}");
    }
    let (record, changes) = after("xxx.");
    assert!(changes[2].began_to_fail && record.is_dirty);
    assert_eq!(changes[3].recovered_from, Some(UnixMillis(START)), "it failed from its first failure on");
}

#[test]
fn the_circuit_opens_if_nearly_all_of_the_last_attempts_failed() {
    for (attempts, open) in [
        ("x".repeat(19), false),
        ("x".repeat(20), true),
        ("f".repeat(30), false),
        (format!("..{}", "x".repeat(17)), false),
        (format!("..{}", "x".repeat(18)), true),
        (format!("...{}", "x".repeat(17)), false),
    ] {
        assert_eq!(after(&attempts).0.circuit.is_some(), open, "{attempts}");
    }
}

#[test]
fn a_failed_probe_keeps_the_circuit_open_for_longer_and_a_success_closes_it() {
    let (mut record, _) = after(&"x".repeat(20));
    let rules = HealthRules::default();
    let now = UnixMillis(START + 19_000);
    assert_eq!(record.circuit.unwrap().until, now.plus(Duration::from_secs(30)));
    let straggler = record.add(failure(), DeliveryId(7), (now, UnixMillis(0)), &rules);
    assert!(!straggler.circuit);
    for seconds in [60, 120, 240, 480, 600, 600] {
        record.probe = Probe::By(DeliveryId(8));
        assert!(record.add(failure(), DeliveryId(8), (now, UnixMillis(0)), &rules).circuit);
        assert_eq!(record.circuit.unwrap().until, now.plus(Duration::from_secs(seconds)));
        assert_eq!(record.probe, Probe::None);
    }
    let changes = record.add(Shown::Success, DeliveryId(8), (now, UnixMillis(0)), &rules);
    assert!(changes.circuit && changes.recovered_from.is_some() && record.circuit.is_none());
    let once_more = record.add(failure(), DeliveryId(9), (now, UnixMillis(0)), &rules);
    assert!(!once_more.circuit && !once_more.began_to_fail);
}

#[test]
fn a_hook_is_disabled_after_days_without_a_success_or_a_change() {
    let rules = HealthRules::default();
    let day = |days: i64| UnixMillis(START + days * 86_400_000);
    for (what, success_on, changed_on, disabled) in [
        ("all failed", None, 0, true),
        ("one succeeded", Some(1), 0, false),
        ("the hook was changed", None, 1, false),
    ] {
        let mut record = HealthRecord::new(TenantId(1));
        record.add(failure(), DeliveryId(1), (day(0), day(0)), &rules);
        if let Some(on) = success_on {
            record.add(Shown::Success, DeliveryId(1), (day(on), day(0)), &rules);
        }
        let mut add = |on| record.add(failure(), DeliveryId(1), (day(on), day(changed_on)), &rules);
        for few in ["two failures", "three failures, unknown to other nodes"] {
            assert!(!add(5).disable, "{what}: {few}");
        }
        assert_eq!(add(5).disable, disabled, "{what}");
    }
}

#[test]
fn what_is_stored_is_taken_over_by_the_next_process() {
    let (record, _) = after(&"x".repeat(20));
    let stored = record.stored(HookId(5));
    let mut again = HealthRecord::of(&stored);
    assert_eq!(again.stored(HookId(5)), stored);
    assert!(!again.is_dirty && again.is_stored);
    let now = (UnixMillis(START + 60_000), UnixMillis(0));
    again.add(Shown::Success, DeliveryId(1), now, &HealthRules::default());
    assert!(!again.is_unwell() && again.is_dirty);
}
