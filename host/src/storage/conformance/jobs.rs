//! Jobs: leases, steps, and what steps do.

use super::{LEASE_END, NOW, OTHER_TENANT, TENANT, World, entry};
use crate::domain::{
    Delivery, DeliveryFilter, DeliveryId, DeliveryState, EventId, EventKey, EventType, HookId, Job, JobId,
    JobProgress, JobRate, JobState, JobWork, KeyId, Lease, Replay, Trigger, UnixMillis,
};
use crate::storage::{JobStep, NewReplay, ReplayQuery, Replayable, ReplayableEvent, StepChanges, StepEnd};

fn job(world: &World, work: JobWork) -> Job {
    Job {
        id: JobId(world.id()),
        tenant: TENANT,
        progress: JobProgress { examined_to: work.start(), ..JobProgress::default() },
        work,
        rate: JobRate::per_second(12.5).unwrap(),
        started_by: Some(KeyId(77)),
        state: JobState::Running,
        reason: None,
        finished_at: None,
    }
}

fn replay(hook: HookId) -> Replay {
    Replay {
        hook,
        since: UnixMillis(NOW.0 - 1_000),
        until: UnixMillis(NOW.0 + 60_000),
        types: vec!["a.*".parse().unwrap(), "b".parse().unwrap()],
        states: vec![DeliveryState::Exhausted, DeliveryState::Dropped],
        missed: true,
        pipeline: None,
    }
}

async fn stored(world: &World, work: JobWork) -> Job {
    let job = job(world, work);
    assert!(world.storage.jobs.insert_job(&job, 100, &entry()).await.unwrap());
    job
}

async fn take(world: &World, held: &[JobId]) -> (Lease, Vec<Job>) {
    let lease = Lease { owner: world.node, ..world.lease(LEASE_END) };
    (lease, world.storage.jobs.take_jobs(lease, held, &|_| true).await.unwrap())
}

fn step(job: &Job, lease: Lease, changes: StepChanges) -> JobStep {
    JobStep {
        job: job.clone(),
        lease,
        changes,
        examined_to: job.progress.examined_to + 10,
        examined: 7,
        next_due_at: UnixMillis(NOW.0 + 3),
        end: None,
        now: NOW,
    }
}

async fn done(world: &World, step: &JobStep) -> Job {
    match world.storage.jobs.commit_step(step).await.unwrap() {
        StepEnd::Done(job) => *job,
        StepEnd::NotRunning => panic!("it runs"),
    }
}

/// With every kind of work; a tenant sees its own, newest first, and has a limited number that are not final.
pub async fn jobs_are_read_back_and_limited(world: &World) {
    let store = &world.storage.jobs;
    let filter = DeliveryFilter {
        states: vec![DeliveryState::Waiting],
        hook: Some(HookId(3)),
        event: Some(EventId::from_path("a:1")),
        event_type: Some("b.*".parse().unwrap()),
        since: Some(NOW),
        until: Some(LEASE_END),
    };
    let works = [
        JobWork::Replay(replay(HookId(5))),
        JobWork::Retry(filter.clone()),
        JobWork::Cancel(filter),
        JobWork::Cancel(DeliveryFilter::default()),
    ];
    let mut jobs = Vec::new();
    for work in works {
        jobs.push(stored(world, work).await);
    }
    for one in &jobs {
        assert_eq!(store.job(TENANT, one.id).await.unwrap().as_ref(), Some(one));
        assert_eq!(store.job(OTHER_TENANT, one.id).await.unwrap(), None);
        assert_eq!(
            store.change_job(OTHER_TENANT, one.id, JobState::Paused, NOW, &entry()).await.unwrap(),
            None
        );
    }
    jobs.reverse();
    assert_eq!(store.list_jobs(TENANT, None, 10).await.unwrap(), jobs);
    assert_eq!(store.list_jobs(TENANT, Some(jobs[0].id), 2).await.unwrap(), jobs[1..3]);
    assert_eq!(store.list_jobs(OTHER_TENANT, None, 10).await.unwrap(), []);
    let operators = Job { started_by: None, ..job(world, JobWork::Cancel(DeliveryFilter::default())) };
    assert!(!store.insert_job(&operators, 4, &entry()).await.unwrap(), "four are running");
    assert_eq!(store.job(TENANT, operators.id).await.unwrap(), None);
    store.change_job(TENANT, jobs[0].id, JobState::Paused, NOW, &entry()).await.unwrap().unwrap();
    assert!(!store.insert_job(&operators, 4, &entry()).await.unwrap(), "one is paused");
    store.change_job(TENANT, jobs[0].id, JobState::Cancelled, NOW, &entry()).await.unwrap().unwrap();
    assert!(store.insert_job(&operators, 4, &entry()).await.unwrap());
    assert_eq!(store.job(TENANT, operators.id).await.unwrap(), Some(operators));
}

/// To each state only from where it may be reached.
pub async fn jobs_are_paused_resumed_and_cancelled(world: &World) {
    use JobState::{Cancelled, Paused, Running};
    let store = &world.storage.jobs;
    let one = stored(world, JobWork::Cancel(DeliveryFilter::default())).await;
    let later = UnixMillis(NOW.0 + 5);
    for (to, state, finished_at) in [
        (Running, Running, None),
        (Paused, Paused, None),
        (Paused, Paused, None),
        (Running, Running, None),
        (Cancelled, Cancelled, Some(NOW)),
        (Paused, Cancelled, Some(NOW)),
        (Running, Cancelled, Some(NOW)),
        (Cancelled, Cancelled, Some(NOW)),
    ] {
        let now = if state == Cancelled && to != Cancelled { later } else { NOW };
        let changed = store.change_job(TENANT, one.id, to, now, &entry()).await.unwrap().unwrap();
        assert_eq!((changed.state, changed.finished_at), (state, finished_at), "{to}");
        assert_eq!(take(world, &[]).await.1.len(), usize::from(state == Running), "{to}");
    }
    let (_, none) = take(world, &[]).await;
    assert_eq!(none, []);
    store.remove_jobs(NOW).await.unwrap();
    assert!(store.job(TENANT, one.id).await.unwrap().is_some(), "it did not end before");
    assert_eq!(store.remove_jobs(later).await.unwrap(), 1);
    assert_eq!(store.list_jobs(TENANT, None, 10).await.unwrap(), []);
}

/// Events of the hook's types, by the state of their newest delivery for it.
pub async fn events_to_replay_are_found(world: &World) {
    let (hook, other) = (world.stored_hook().await, world.stored_hook().await);
    let mut events = Vec::new();
    for state in DeliveryState::ALL {
        let id = world.delivery_in(hook, state).await;
        events.push((world.delivery(id).await.event, Some(id), state));
    }
    let of_other = world.delivery_in(other, DeliveryState::Succeeded).await;
    let missed = world.delivery(of_other).await.event;
    let find = async |replay: &Replay, after: EventKey, limit| {
        let query =
            ReplayQuery { tenant: TENANT, replay, after, max_visited: 1_000, limit, max_bytes: u64::MAX };
        let wanted = |event_type: &EventType, _: Option<i64>| event_type.as_str() == "a.b";
        world.storage.jobs.replayable(&query, &wanted).await.unwrap()
    };
    let found = |states: &[DeliveryState], with_missed: bool| -> Vec<_> {
        let wanted = events.iter().filter(|(.., state)| states.contains(state));
        let mut all: Vec<_> =
            wanted.map(|(event, former, _)| ReplayableEvent { event: *event, former: *former }).collect();
        all.extend(with_missed.then_some(ReplayableEvent { event: missed, former: None }));
        all
    };
    let start = EventKey(0);
    let chosen = find(&replay(hook), start, 100).await;
    let expected = found(&[DeliveryState::Exhausted, DeliveryState::Dropped], true);
    assert_eq!(chosen, Replayable { events: expected.clone(), examined: 8, searched_to: None });
    let all = Replay { states: Vec::new(), missed: false, ..replay(hook) };
    let finals: Vec<_> = DeliveryState::ALL.into_iter().filter(|state| state.is_final()).collect();
    assert_eq!(find(&all, start, 100).await.events, found(&finals, true));
    let first = find(&replay(hook), start, 1).await;
    assert_eq!((first.events.as_slice(), first.searched_to), (&expected[..1], Some(expected[0].event)));
    let rest = find(&replay(hook), expected[0].event, 100).await;
    assert_eq!((rest.events.as_slice(), rest.searched_to), (&expected[1..], None));
    let earlier = Replay { until: NOW, ..replay(hook) };
    assert_eq!(find(&earlier, start, 100).await, Replayable::default());
    // Of one that was sent again, the newest delivery counts.
    let (event, _, _) = events[4];
    let again = DeliveryId(world.id());
    world.storage.events.redeliver(TENANT, hook, event, again, NOW).await.unwrap();
    assert!(find(&replay(hook), start, 100).await.events.iter().all(|it| it.event != event));
    world.storage.deliveries.cancel(TENANT, again).await.unwrap().unwrap();
    let cancelled = Replay { states: vec![DeliveryState::Cancelled], missed: false, ..replay(hook) };
    let newest = ReplayableEvent { event, former: Some(again) };
    assert!(find(&cancelled, start, 100).await.events.contains(&newest));
    let few = ReplayQuery {
        tenant: OTHER_TENANT,
        replay: &all,
        after: start,
        max_visited: 3,
        limit: 9,
        max_bytes: 9,
    };
    let found = world.storage.jobs.replayable(&few, &|_, _| true).await.unwrap();
    assert_eq!(found, Replayable { searched_to: Some(events[2].0), ..Replayable::default() });
    let query = ReplayQuery { max_visited: 1_000, ..few };
    assert_eq!(world.storage.jobs.replayable(&query, &|_, _| true).await.unwrap().events, []);
}

/// Each event once for a job, and nothing for an event that has got another delivery meanwhile.
pub async fn a_step_makes_deliveries_of_events(world: &World) {
    let hook = world.stored_hook().await;
    let exhausted = world.delivery_in(hook, DeliveryState::Exhausted).await;
    let sent_again = world.delivery_in(hook, DeliveryState::Exhausted).await;
    let missed = world.event();
    let missed_key = missed.event.key;
    world.store(missed).await;
    let event_of = async |id| world.delivery(id).await.event;
    let formers = [
        ReplayableEvent { event: event_of(exhausted).await, former: Some(exhausted) },
        ReplayableEvent { event: event_of(sent_again).await, former: Some(sent_again) },
        ReplayableEvent { event: missed_key, former: None },
    ];
    world
        .storage
        .events
        .redeliver(TENANT, hook, formers[1].event, DeliveryId(world.id()), NOW)
        .await
        .unwrap();
    stored(world, JobWork::Replay(replay(hook))).await;
    let (lease, taken) = take(world, &[]).await;
    let new: Vec<_> = (0..)
        .zip(formers)
        .map(|(number, of)| NewReplay { of, id: DeliveryId(world.id()), due_at: UnixMillis(NOW.0 + number) })
        .collect();
    let first = step(&taken[0], lease, StepChanges::Replay(new.clone()));
    let after = done(world, &first).await;
    let progress = JobProgress {
        examined_to: first.examined_to,
        examined: 7,
        made: 2,
        next_due_at: first.next_due_at,
        outstanding: vec![new[0].id, new[2].id],
    };
    assert_eq!((after.state, &after.progress), (JobState::Running, &progress));
    assert_eq!(world.storage.jobs.job(TENANT, after.id).await.unwrap().as_ref(), Some(&after));
    for number in [0, 2] {
        let Delivery { state, trigger, due_at, event, attempts, .. } = world.delivery(new[number].id).await;
        let expected = (DeliveryState::Pending, Trigger::Replay, Some(new[number].due_at));
        assert_eq!((state, trigger, due_at), expected);
        assert_eq!((event, attempts), (formers[number].event, 0));
        let of_event = world.storage.deliveries.of_event(TENANT, event).await.unwrap();
        assert_eq!(of_event.last().unwrap().id, new[number].id);
    }
    assert_eq!(world.storage.deliveries.delivery(TENANT, new[1].id).await.unwrap(), None);
    // The same step again, as after an answer that was lost.
    assert_eq!(world.storage.jobs.commit_step(&first).await.unwrap(), StepEnd::NotRunning);
    assert_eq!(world.storage.deliveries.of_event(TENANT, missed_key).await.unwrap().len(), 1);
    let states = world.storage.jobs.states_of(TENANT, &[new[0].id, exhausted, new[1].id]).await.unwrap();
    let mut states = states;
    states.sort_by_key(|(id, ..)| *id);
    let expected = [(exhausted, hook, DeliveryState::Exhausted), (new[0].id, hook, DeliveryState::Pending)];
    assert_eq!(states, expected);
    assert_eq!(world.storage.jobs.states_of(OTHER_TENANT, &[exhausted]).await.unwrap(), []);
    let claimed: Vec<_> =
        world.claim(hook, UnixMillis(NOW.0 + 2), 10).await.into_iter().map(|it| it.delivery.id).collect();
    assert!(claimed.contains(&new[0].id) && claimed.contains(&new[2].id));
}

/// Completed, or failed if there is no hook.
pub async fn a_job_ends_with_a_step(world: &World) {
    let hook = world.stored_hook().await;
    let missed = world.event();
    let of = ReplayableEvent { event: missed.event.key, former: None };
    world.store(missed).await;
    stored(world, JobWork::Replay(replay(hook))).await;
    let (lease, taken) = take(world, &[]).await;
    let last = JobStep {
        end: Some(Ok(())),
        now: LEASE_END,
        ..step(&taken[0], lease, StepChanges::Replay(Vec::new()))
    };
    let ended = done(world, &last).await;
    assert_eq!((ended.state, ended.finished_at), (JobState::Completed, Some(LEASE_END)));
    assert_eq!((ended.progress.examined, ended.progress.made), (7, 0));
    assert_eq!(take(world, &[]).await.1, []);
    let failing = stored(world, JobWork::Replay(replay(HookId(9)))).await;
    let (lease, taken) = take(world, &[]).await;
    assert_eq!(taken, [failing]);
    let changes = StepChanges::Replay(vec![NewReplay { of, id: DeliveryId(world.id()), due_at: NOW }]);
    let failed = JobStep { end: Some(Err("why".to_owned())), ..step(&taken[0], lease, changes) };
    let failed = done(world, &failed).await;
    assert_eq!(
        (failed.state, failed.reason.as_deref(), failed.progress.made),
        (JobState::Failed, Some("why"), 0)
    );
    assert_eq!(world.storage.jobs.job(TENANT, failed.id).await.unwrap(), Some(failed));
    stored(world, JobWork::Replay(replay(hook))).await;
    let (lease, taken) = take(world, &[]).await;
    let wrong = step(&taken[0], lease, StepChanges::Replay(Vec::new()));
    let wrong = JobStep { end: Some(Err("why".to_owned())), ..wrong };
    assert_eq!(
        world.storage.jobs.commit_step(&wrong).await.unwrap(),
        StepEnd::NotRunning,
        "there is the hook"
    );
}

/// Those that are still in a state that is wanted.
pub async fn a_step_retries_and_cancels_deliveries(world: &World) {
    let hook = world.stored_hook().await;
    let mut ids = Vec::new();
    for state in DeliveryState::ALL {
        ids.push(world.delivery_in(hook, state).await);
    }
    let without_hook = world.delivery_in(HookId(6), DeliveryState::Exhausted).await;
    let states_of = async |ids: &[DeliveryId]| {
        let mut states = Vec::new();
        for id in ids {
            states.push(world.delivery(*id).await.state);
        }
        states
    };
    use DeliveryState::{Cancelled, Delivering, Dropped, Exhausted, Pending, Succeeded, Waiting};
    let filter = DeliveryFilter { states: vec![Waiting, Exhausted, Cancelled], ..DeliveryFilter::default() };
    stored(world, JobWork::Retry(filter)).await;
    let (lease, taken) = take(world, &[]).await;
    let all = ids.iter().chain([&without_hook]);
    let due: Vec<_> = (0..).zip(all).map(|(number, id)| (*id, UnixMillis(NOW.0 + number))).collect();
    let after = done(world, &step(&taken[0], lease, StepChanges::Retry(due))).await;
    assert_eq!(after.progress.made, 3);
    assert_eq!(after.progress.outstanding, [ids[2], ids[4], ids[6]]);
    let expected = [Pending, Delivering, Pending, Succeeded, Pending, Dropped, Pending];
    assert_eq!(states_of(&ids).await, expected);
    assert_eq!(states_of(&[without_hook]).await, [Exhausted]);
    for (number, index) in [(2, 2), (4, 4), (6, 6)] {
        let Delivery { due_at, failures, attempts, .. } = world.delivery(ids[index]).await;
        assert_eq!((due_at, failures), (Some(UnixMillis(NOW.0 + number)), 0));
        assert_eq!(attempts, u32::from(index != 6));
    }
    // What an earlier attempt rendered is gone.
    let claimed = world.claim(hook, UnixMillis(NOW.0 + 10), 10).await;
    assert_eq!(claimed.len(), 4);
    assert!(claimed.iter().all(|it| it.rendered.is_none()));
    world.storage.jobs.change_job(TENANT, after.id, JobState::Cancelled, NOW, &entry()).await.unwrap();
    let waiting = world.delivery_in(hook, Waiting).await;
    let pending = world.delivery_in(hook, Pending).await;
    let filter = DeliveryFilter { states: vec![Waiting], ..DeliveryFilter::default() };
    stored(world, JobWork::Cancel(filter)).await;
    let (lease, taken) = take(world, &[]).await;
    let all = ids.iter().chain([&waiting, &pending]).copied().collect();
    let after = done(world, &step(&taken[0], lease, StepChanges::Cancel(all))).await;
    assert_eq!((after.progress.made, after.progress.outstanding), (1, Vec::new()));
    assert_eq!(states_of(&[waiting, pending]).await, [Cancelled, Pending]);
    assert_eq!(world.delivery(waiting).await.due_at, None);
}

/// The others find it taken. After the lease has ended, no step under it commits.
pub async fn one_of_several_nodes_works_on_a_job(nodes: &[World]) {
    let one = stored(&nodes[0], JobWork::Cancel(DeliveryFilter::default())).await;
    let none = nodes[0].storage.jobs.take_jobs(nodes[0].lease(LEASE_END), &[], &|hook| hook.is_some()).await;
    assert_eq!(none.unwrap(), [], "it is about no hook");
    let taken = futures_util::future::join_all(nodes.iter().map(|node| take(node, &[]))).await;
    let owners: Vec<_> = taken.iter().enumerate().filter(|(_, (_, jobs))| !jobs.is_empty()).collect();
    let [(owner, (lease, jobs))] = owners.as_slice() else { panic!("{owners:?}") };
    assert_eq!(jobs.as_slice(), std::slice::from_ref(&one));
    let others = || nodes.iter().enumerate().filter(|(number, _)| number != owner).map(|(_, node)| node);
    for node in others() {
        assert_eq!(take(node, &[]).await.1, []);
        // As if it had seen the job before.
        let foreign = step(&one, node.lease(LEASE_END), StepChanges::Cancel(Vec::new()));
        assert_eq!(node.storage.jobs.commit_step(&foreign).await.unwrap(), StepEnd::NotRunning);
    }
    let node = &nodes[*owner];
    assert_eq!(take(node, &[one.id]).await.1, [], "it works on it");
    let (lost, (again, retaken)) = (*lease, take(node, &[]).await);
    assert_eq!(retaken.as_slice(), std::slice::from_ref(&one), "the answer to the first was lost");
    let stale = step(&one, lost, StepChanges::Cancel(Vec::new()));
    assert_eq!(node.storage.jobs.commit_step(&stale).await.unwrap(), StepEnd::NotRunning);
    let same = step(&one, again, StepChanges::Cancel(Vec::new()));
    let ends = futures_util::future::join_all((0..3).map(|_| node.storage.jobs.commit_step(&same))).await;
    let committed = ends.into_iter().filter(|end| matches!(end, Ok(StepEnd::Done(_)))).count();
    assert_eq!(committed, 1, "one of several equal steps");
    let unwanted = async |held: &[JobId]| {
        let lease = node.lease(LEASE_END);
        assert_eq!(node.storage.jobs.take_jobs(lease, held, &|_| false).await.unwrap(), []);
    };
    unwanted(&[one.id]).await;
    node.storage.jobs.release_job(one.id, lost).await.unwrap();
    for node in others() {
        assert_eq!(take(node, &[]).await.1, [], "another lease was released");
    }
    node.storage.jobs.release_job(one.id, again).await.unwrap();
    let (_, moved) = take(others().next().unwrap(), &[]).await;
    assert_eq!((moved.len(), moved[0].progress.examined), (1, 7));
    // What a node does not want any more and has lost, others may take.
    let (holder, other) = (others().next().unwrap(), others().last().unwrap());
    assert_eq!(take(other, &[]).await.1, []);
    let lease = Lease { owner: holder.node, ..holder.lease(LEASE_END) };
    assert_eq!(holder.storage.jobs.take_jobs(lease, &[], &|_| false).await.unwrap(), []);
    let (lease, again) = take(other, &[]).await;
    assert_eq!(again.len(), 1);
    other.storage.jobs.release_job(one.id, lease).await.unwrap();
    assert_eq!(take(holder, &[]).await.1.len(), 1);
    // A pause ends the lease, too.
    let (paused, jobs) = (others().next().unwrap(), moved);
    let (lease, _) = take(paused, &[]).await;
    paused.storage.jobs.change_job(TENANT, one.id, JobState::Paused, NOW, &entry()).await.unwrap();
    paused.storage.jobs.change_job(TENANT, one.id, JobState::Running, NOW, &entry()).await.unwrap();
    let late = step(&jobs[0], lease, StepChanges::Cancel(Vec::new()));
    assert_eq!(paused.storage.jobs.commit_step(&late).await.unwrap(), StepEnd::NotRunning);
}
