//! What is noted on deliveries: the replay that made them, with its pipeline, and leases that ended without records.

use std::sync::Arc;

use super::{LEASE_END, NOW, OTHER_TENANT, TENANT, World, entry};
use crate::domain::{
    DeliveryId, DeliveryState, HookId, Job, JobId, JobProgress, JobRate, JobState, JobWork, Lease, Pipeline,
    Replay, Step, UnixMillis,
};
use crate::storage::{DeliveryNote, JobStep, NewReplay, NoteFilter, ReplayableEvent, StepChanges, StepEnd};

const LATER: UnixMillis = UnixMillis(LEASE_END.0 + 1_000);

async fn interrupted(world: &World, id: DeliveryId) -> u64 {
    let notes = world.storage.delivery_notes.notes_of(TENANT, &[id]).await.unwrap();
    notes.get(&id).map_or(0, |note| note.interrupted)
}

async fn listed(
    world: &World,
    filter: NoteFilter,
    before: Option<DeliveryId>,
    limit: u32,
) -> (Vec<DeliveryId>, Option<DeliveryId>) {
    let listed = world.storage.delivery_notes.list_noted(TENANT, filter, before, limit).await.unwrap();
    (listed.deliveries.into_iter().map(|delivery| delivery.id).collect(), listed.searched_to)
}

/// Whether a claim or a recovery ends the lease. What is recorded, claimed the first time, or known to be unused is not noted.
pub async fn leases_that_end_without_a_record_are_noted(world: &World) {
    let (hook, store) = (world.stored_hook().await, &world.storage.deliveries);
    let pending = world.delivery_in(hook, DeliveryState::Pending).await;
    let recorded = world.delivery_in(hook, DeliveryState::Waiting).await;
    let leased = world.delivery_in(hook, DeliveryState::Delivering).await;
    let claim = async |now: i64| {
        let claimed = world.claim(hook, UnixMillis(now), 10).await;
        claimed.into_iter().map(|it| it.delivery.id).collect::<Vec<_>>()
    };
    assert_eq!(claim(NOW.0 + 10_000).await, [pending, recorded]);
    for id in [pending, recorded, leased] {
        assert_eq!(interrupted(world, id).await, 0);
    }
    assert_eq!(claim(LEASE_END.0).await, [leased]);
    assert_eq!(interrupted(world, leased).await, 1);
    store.recover(world.node, LATER).await.unwrap();
    for (id, times) in [(pending, 1), (recorded, 1), (leased, 2)] {
        assert_eq!(interrupted(world, id).await, times);
    }
    assert_eq!(claim(LATER.0).await.len(), 3);
    let untouched = world.delivery_in(hook, DeliveryState::Delivering).await;
    assert_eq!(store.end_unused_leases(world.node, LATER).await.unwrap(), 4);
    store.recover(world.node, LATER).await.unwrap();
    for (id, times) in [(pending, 1), (recorded, 1), (leased, 2), (untouched, 0)] {
        assert_eq!(interrupted(world, id).await, times);
    }
    let all = NoteFilter { job: None, interrupted: true };
    assert_eq!(listed(world, all, None, 10).await, (vec![leased, recorded, pending], None));
    assert_eq!(listed(world, all, None, 2).await, (vec![leased, recorded], Some(recorded)));
    assert_eq!(listed(world, all, Some(recorded), 2).await, (vec![pending], None));
    let of_other = world.storage.delivery_notes.list_noted(OTHER_TENANT, all, None, 10).await.unwrap();
    assert_eq!(of_other.deliveries, []);
    assert!(world.storage.delivery_notes.notes_of(OTHER_TENANT, &[leased]).await.unwrap().is_empty());
}

fn replay_of(hook: HookId, pipeline: Option<Pipeline>) -> JobWork {
    JobWork::Replay(Replay {
        hook,
        since: NOW,
        until: LEASE_END,
        types: Vec::new(),
        states: Vec::new(),
        missed: true,
        pipeline,
    })
}

async fn stored(world: &World, work: JobWork) -> JobId {
    let job = Job {
        id: JobId(world.id()),
        tenant: TENANT,
        progress: JobProgress { examined_to: work.start(), ..JobProgress::default() },
        work,
        rate: JobRate::DEFAULT,
        started_by: None,
        state: JobState::Running,
        reason: None,
        finished_at: None,
    };
    assert!(world.storage.jobs.insert_job(&job, 10, &entry()).await.unwrap());
    job.id
}

/// The last step of the only job: it makes a delivery of an event that was missed.
async fn made(world: &World) -> DeliveryId {
    let missed = world.event();
    let of = ReplayableEvent { event: missed.event.key, former: None };
    world.store(missed).await;
    let lease = Lease { owner: world.node, ..world.lease(LEASE_END) };
    let taken = world.storage.jobs.take_jobs(lease, &[], &|_| true).await.unwrap().remove(0);
    let new = NewReplay { of, id: DeliveryId(world.id()), due_at: NOW };
    let last = JobStep {
        examined_to: taken.progress.examined_to + 1,
        job: taken,
        lease,
        changes: StepChanges::Replay(vec![new]),
        examined: 1,
        next_due_at: NOW,
        end: Some(Ok(())),
        now: NOW,
    };
    assert!(matches!(world.storage.jobs.commit_step(&last).await.unwrap(), StepEnd::Done(_)));
    new.id
}

fn step(plugin: &str, settings: &str) -> Step {
    Step { plugin: plugin.parse().unwrap(), settings: settings.into() }
}

/// Only its own deliveries. Its settings are read with them alone.
pub async fn a_replay_gives_its_pipeline_to_its_deliveries(world: &World) {
    let (hook, jobs) = (world.stored_hook().await, &world.storage.jobs);
    let live = world.delivery_in(hook, DeliveryState::Pending).await;
    let pipeline = Pipeline(vec![step("a@3", r#"{"secret":"s"}"#), step("b", "{}")]);
    assert_eq!(jobs.pipeline_bytes(TENANT).await.unwrap(), 0);
    let job = stored(world, replay_of(hook, Some(pipeline.clone()))).await;
    let bytes = jobs.pipeline_bytes(TENANT).await.unwrap();
    assert!((14..200).contains(&bytes), "{bytes}");
    assert_eq!(jobs.pipeline_bytes(OTHER_TENANT).await.unwrap(), 0);
    let skeleton = Pipeline(vec![step("a@3", "{}"), step("b", "{}")]);
    let read = jobs.job(TENANT, job).await.unwrap().unwrap();
    assert_eq!(read.work, replay_of(hook, Some(skeleton)), "without settings");
    let id = made(world).await;
    let notes = world.storage.delivery_notes.notes_of(TENANT, &[live, id]).await.unwrap();
    let note = DeliveryNote { job: Some(job), interrupted: 0 };
    assert_eq!(notes.into_iter().collect::<Vec<_>>(), [(id, note)]);
    let claimed = world.claim(hook, NOW, 10).await;
    let pipelines: Vec<_> = claimed.iter().map(|it| (it.delivery.id, it.pipeline.clone())).collect();
    assert_eq!(pipelines, [(live, None), (id, Some(Arc::new(pipeline)))]);
    let of_job = NoteFilter { job: Some(job), interrupted: false };
    assert_eq!(listed(world, of_job, None, 10).await, (vec![id], None));
    let twice = NoteFilter { interrupted: true, ..of_job };
    assert_eq!(listed(world, twice, None, 10).await, (Vec::new(), None));
    world.storage.deliveries.recover(world.node, NOW).await.unwrap();
    assert_eq!(listed(world, twice, None, 10).await, (vec![id], None));
    assert_eq!(world.storage.delivery_notes.count_interrupted(TENANT, job).await.unwrap(), 1);
    assert_eq!(world.storage.delivery_notes.count_interrupted(OTHER_TENANT, job).await.unwrap(), 0);
}

/// Then what is retried runs the hook's own.
pub async fn a_pipeline_is_kept_until_its_deliveries_are_final(world: &World) {
    let (hook, jobs) = (world.stored_hook().await, &world.storage.jobs);
    let job = stored(world, replay_of(hook, Some(Pipeline::default()))).await;
    let id = made(world).await;
    let ended = stored(world, replay_of(hook, None)).await;
    jobs.change_job(TENANT, ended, JobState::Cancelled, NOW, &entry()).await.unwrap();
    assert_eq!(jobs.remove_jobs(LATER).await.unwrap(), 1, "the other one is in use");
    assert_eq!(world.claim(hook, NOW, 10).await.remove(0).pipeline, Some(Arc::new(Pipeline::default())));
    world.storage.deliveries.cancel(TENANT, id).await.unwrap();
    assert_eq!(jobs.remove_jobs(LATER).await.unwrap(), 1);
    assert_eq!(jobs.job(TENANT, job).await.unwrap(), None);
    world.storage.deliveries.retry(TENANT, id, NOW).await.unwrap().unwrap();
    assert_eq!(world.claim(hook, NOW, 10).await.remove(0).pipeline, None);
}
