//! Tests of the schedule, in virtual time.

use super::*;
use crate::clock;
use crate::domain::HookId;

/// Work of a hook.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    tenant: TenantId,
    hook: i64,
    number: u32,
}

impl Scheduled for Call {
    fn tenant(&self) -> TenantId {
        self.tenant
    }

    fn source(&self) -> Source {
        Source::Hook(HookId(self.hook))
    }

    fn expect(&mut self, _: u64) {}
}

const TENANT: TenantId = TenantId(1);
const OTHER: TenantId = TenantId(2);
const SOURCE: (TenantId, Source) = (TENANT, Source::Hook(HookId(1)));
const CALL: Duration = Duration::from_millis(500);

fn call(tenant: TenantId, hook: i64, number: u32) -> Call {
    Call { tenant, hook, number }
}

/// The next work of each lane.
fn pop_all(schedule: &mut Schedule<Call>) -> Vec<(Lane, u32)> {
    let mut all = Vec::new();
    for lane in Lane::ALL {
        while let Some(call) = schedule.pop(lane) {
            all.push((lane, call.number));
        }
    }
    all
}

/// Lets the source's next run hit its limits.
fn hit_limit(schedule: &mut Schedule<Call>, now: Instant) {
    schedule.charge(Lane::Long, SOURCE, 0, CALL, RunEnd::HitLimit, now);
}

#[test]
fn waiting_work_follows_its_source_to_the_long_lane() {
    let (mut schedule, now) = (Schedule::new(), clock::monotonic());
    for work in [call(TENANT, 1, 1), call(TENANT, 2, 2), call(OTHER, 1, 3)] {
        assert_eq!(schedule.push(work, now), Lane::Quick);
    }
    assert!(schedule.charge(Lane::Quick, SOURCE, 0, Duration::from_millis(6), RunEnd::Overran, now));
    assert_eq!((schedule.waiting(Lane::Quick), schedule.waiting(Lane::Long), schedule.len()), (2, 1, 3));
    assert_eq!(schedule.push(call(TENANT, 1, 4), now), Lane::Long);
    assert_eq!(
        pop_all(&mut schedule),
        [(Lane::Quick, 3), (Lane::Quick, 2), (Lane::Long, 1), (Lane::Long, 4)],
        "the other tenant has used less time"
    );
}

#[test]
fn short_runs_move_nothing() {
    let (mut schedule, now) = (Schedule::new(), clock::monotonic());
    schedule.push(call(TENANT, 1, 1), now);
    assert!(!schedule.charge(Lane::Quick, SOURCE, 0, Duration::from_micros(50), RunEnd::Completed, now));
    assert_eq!(pop_all(&mut schedule), [(Lane::Quick, 1)]);
}

#[test]
fn work_that_has_started_goes_before_other_work_of_its_source() {
    let (mut schedule, now) = (Schedule::new(), clock::monotonic());
    schedule.push(call(TENANT, 1, 1), now);
    schedule.push(call(TENANT, 1, 2), now);
    schedule.push_started(call(TENANT, 1, 3), now);
    assert_eq!(pop_all(&mut schedule), [(Lane::Quick, 3), (Lane::Quick, 1), (Lane::Quick, 2)]);
}

#[test]
fn a_source_that_hits_its_limits_pauses_and_others_do_not() {
    let (mut schedule, now) = (Schedule::new(), clock::monotonic());
    schedule.push(call(TENANT, 1, 1), now);
    hit_limit(&mut schedule, now);
    schedule.push(call(TENANT, 1, 2), now);
    schedule.push(call(OTHER, 1, 3), now);
    assert_eq!(schedule.len(), 3);
    assert_eq!(pop_all(&mut schedule), [(Lane::Quick, 3)]);
    let end = schedule.next_end().unwrap();
    assert!(end > now);
    assert!(!schedule.end_pauses(end - Duration::from_nanos(1)));
    assert!(schedule.end_pauses(end));
    let numbers: Vec<_> = pop_all(&mut schedule).into_iter().map(|(_, number)| number).collect();
    assert_eq!((numbers, schedule.next_end(), schedule.len()), (vec![1, 2], None, 0));
}

#[test]
fn work_is_found_wherever_it_waits() {
    let (mut schedule, now) = (Schedule::new(), clock::monotonic());
    schedule.push(call(TENANT, 1, 1), now);
    schedule.push(call(TENANT, 2, 1), now);
    hit_limit(&mut schedule, now);
    schedule.push(call(TENANT, 1, 2), now);
    let taken = schedule.take_where(TENANT, SOURCE.1, |call| call.number == 2);
    assert_eq!((taken, schedule.len()), (vec![call(TENANT, 1, 2)], 2));
    let taken = schedule.take_where(TENANT, Source::Hook(HookId(2)), |_| true);
    assert_eq!((taken, schedule.len()), (vec![call(TENANT, 2, 1)], 1));
}
