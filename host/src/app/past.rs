//! What a start takes over from the runs before: where ids go on, and whether the clock was set back meanwhile.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, TrustedUntil};
use crate::domain::ids::IdGenerator;
use crate::domain::{EventKey, NodeNumber, UnixMillis};
use crate::random::SystemRandom;
use crate::sources::Sources;
use crate::storage::{Database, FURTHEST_AHEAD, NotedClock};

/// A clock that was this far ahead of what was seen last is taken as right.
const SMALL_DIFFERENCE: Duration = Duration::from_secs(60);
/// A clock that is so far ahead of what was seen last is not trusted at once.
const FAR_AHEAD: Duration = Duration::from_secs(24 * 3_600);
/// How often the wall clock is noted in the database.
const NOTE_EVERY: Duration = Duration::from_secs(60);

/// How long a shutdown waits for the leases of what it has not sent to end.
const ENDING_LEASES: Duration = Duration::from_secs(5);

/// What an engine on this database takes time, ids and randomness from. Before, it takes over what earlier processes of `node`
/// left.
pub(super) async fn sources(
    database: &dyn Database,
    node: NodeNumber,
    clock: &Arc<dyn Clock>,
) -> Result<Sources> {
    let (last_id, trusted) = recover(database, node, clock.now()).await?;
    let ids = Arc::new(IdGenerator::new(node.0, last_id));
    let trusted = Arc::new(trusted);
    Ok(Sources { clock: Arc::clone(clock), ids, random: SystemRandom::shared(), trusted })
}

/// Recovers the deliveries of an earlier process of `node`, and follows the clock. Returns the id after which new ones come, and
/// how far the clock is trusted.
async fn recover(database: &dyn Database, node: NodeNumber, now: UnixMillis) -> Result<(i64, TrustedUntil)> {
    let recovered = database.stores().deliveries.recover(node, now).await;
    let recovered = recovered.context("cannot recover deliveries")?;
    if recovered > 0 {
        tracing::info!(deliveries = recovered, "recovered deliveries of an earlier process");
    }
    let last_id = last_id(database, now).await?;
    let noted = database.noted_clock().await.context("cannot read the database")?;
    let trusted = trusted_until(noted, now);
    let seen = noted.seen.unwrap_or_else(|| EventKey(last_id).created_at());
    follow_clock(database, seen, now).await?;
    note_clock(database, now, &trusted).await;
    Ok((last_id, trusted))
}

/// The id after which new ones come. Ids that carry a time far ahead were made under a clock that was wrong: new ids do not
/// follow them.
async fn last_id(database: &dyn Database, now: UnixMillis) -> Result<i64> {
    let end = now.plus(FURTHEST_AHEAD);
    let last = database.greatest_id();
    if EventKey(last).created_at() <= end {
        return Ok(last);
    }
    tracing::warn!(
        "some ids carry a time far ahead, from a clock that was wrong; new ones do not follow them"
    );
    database.greatest_id_before(end).await.context("cannot read the database")
}

/// How far the clock is trusted. If it is far ahead of what the engine saw last, the engine did not run for so long, or the clock
/// is wrong. If earlier runs saw it about as far ahead, their time counts.
fn trusted_until(noted: NotedClock, now: UnixMillis) -> TrustedUntil {
    // Before the first of the two was noted, engines noted only what the clock showed.
    match noted.trusted.or(noted.seen) {
        Some(trusted) if trusted.until(now) > FAR_AHEAD => {
            let is_another_jump = noted.seen.is_none_or(|seen| seen.until(now) > FAR_AHEAD);
            TrustedUntil::new(trusted, if is_another_jump { Duration::ZERO } else { noted.ahead_for })
        }
        _ => TrustedUntil::default(),
    }
}

/// If the clock was set back while the engine did not run, brings what waits forward by as much, once for each step back.
/// `seen` is what the clock showed last; of an engine that did not note it, the time of its last id.
async fn follow_clock(database: &dyn Database, seen: UnixMillis, now: UnixMillis) -> Result<()> {
    let behind = now.until(seen);
    if behind > SMALL_DIFFERENCE {
        tracing::warn!(
            seconds = behind.as_secs(),
            "the clock is behind what the engine saw last: it was set back, or had been ahead; deliveries that wait are \
             due that much earlier"
        );
        let moved = database.stores().deliveries.bring_forward(now, behind).await;
        moved.context("cannot bring deliveries forward")?;
    }
    Ok(())
}

/// Notes the clock, so that the next start can tell whether it was set, and for how long it has been ahead.
pub(super) async fn note_clock(database: &dyn Database, now: UnixMillis, trusted: &TrustedUntil) {
    let (until, ahead_for) = (now.min(trusted.get()), trusted.ahead_for());
    if let Err(error) = database.note_clock(now, until, ahead_for).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "cannot note the time in the database");
    }
}

/// Notes the clock every minute until `stop`.
pub(super) async fn keep_noting_clock(
    database: Arc<dyn Database>,
    sources: Sources,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(NOTE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first one is at once, and the start has noted it.
    ticks.tick().await;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        note_clock(&*database, sources.now(), &sources.trusted).await;
    }
}

/// Nothing is in progress any more: what waits in memory was not sent, and the next start must not take it for that.
pub(super) async fn end_unused_leases(database: &dyn Database, node: NodeNumber, now: UnixMillis) {
    let deliveries = database.stores().deliveries;
    let ended = tokio::time::timeout(ENDING_LEASES, deliveries.end_unused_leases(node, now)).await;
    let error: &dyn std::error::Error = match &ended {
        Ok(Ok(_)) => return,
        Ok(Err(error)) => error,
        Err(elapsed) => elapsed,
    };
    tracing::warn!(
        error,
        "cannot end the leases of deliveries that wait in memory: they count as interrupted"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{DeliveryState, HookId};
    use crate::storage::Revision;
    use crate::storage::conformance::{NOW, TENANT, World};
    use crate::storage::sqlite::{self, SqliteOptions};

    const DAY: i64 = 86_400_000;

    #[tokio::test]
    async fn deliveries_are_brought_forward_once_for_each_step_back_however_often_the_engine_starts() {
        let dir = tempfile::tempdir().unwrap();
        let hook = HookId(7);
        let mut delivery = None;
        // Each row: the clock at a start, and when the delivery is due after it. It is first due at NOW + 5 s.
        for (what, clock, due_at) in [
            ("an ordinary start", NOW.0, NOW.0 + 5_000),
            ("the clock was set back by a day", NOW.0 - DAY, NOW.0 - DAY + 5_000),
            ("another start with the same clock", NOW.0 - DAY, NOW.0 - DAY + 5_000),
            ("and a second later", NOW.0 - DAY + 1_000, NOW.0 - DAY + 5_000),
            ("set back by another day, less the second", NOW.0 - 2 * DAY + 1_000, NOW.0 - 2 * DAY + 5_000),
            ("set right: what is due stays", NOW.0, NOW.0 - 2 * DAY + 5_000),
        ] {
            let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
            let now = UnixMillis(clock);
            recover(&storage, NodeNumber(1), now).await.unwrap();
            let world = World::new(storage.stores());
            let id = match delivery {
                Some(id) => id,
                None => {
                    world
                        .storage
                        .hooks
                        .insert(
                            &crate::domain::Hook { id: hook, ..world.hook() },
                            Revision::ANY,
                            &crate::domain::AuditEntry::of_test(),
                        )
                        .await
                        .unwrap();
                    *delivery.insert(world.delivery_in(hook, DeliveryState::Waiting).await)
                }
            };
            let stored = storage.stores().deliveries.delivery(TENANT, id).await.unwrap().unwrap();
            assert_eq!(stored.due_at, Some(UnixMillis(due_at)), "{what}");
            storage.close().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_clock_far_ahead_of_what_was_seen_last_is_not_trusted_however_often_the_engine_starts() {
        let dir = tempfile::tempdir().unwrap();
        let at = |days: i64| UnixMillis(NOW.0 + days * DAY);
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        // Each row: the clock at a start in days; how far it is trusted then, and for how many minutes it has been ahead of that;
        // and both as they are before the stop.
        for (what, clock, (trusted, ahead), (noted, ahead_then)) in [
            ("the first start", 0, (UnixMillis::MAX, 0), (at(0), 0)),
            ("a day later", 1, (UnixMillis::MAX, 0), (at(1), 0)),
            ("years ahead", 4_000, (at(1), 0), (at(1), 20)),
            ("started again with the same clock", 4_000, (at(1), 20), (at(1), 50)),
            ("it stops before the first minute", 4_000, (at(1), 50), (at(1), 50)),
            ("mended", 1, (UnixMillis::MAX, 0), (at(1), 0)),
            ("it did not run for a month, and was stopped after half an hour", 31, (at(1), 0), (at(1), 30)),
            ("and then ran for more than an hour", 31, (at(1), 30), (at(31), 0)),
            ("another start", 31, (UnixMillis::MAX, 0), (at(31), 0)),
            ("it did not run for another month", 61, (at(31), 0), (at(31), 50)),
            ("that does not count for a clock that is wrong", 4_000, (at(31), 0), (at(31), 0)),
        ] {
            let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
            let (_, until) = recover(&storage, NodeNumber(1), at(clock)).await.unwrap();
            assert_eq!((until.get(), until.ahead_for()), (trusted, minutes(ahead)), "{what}");
            assert_eq!(storage.noted_clock().await.unwrap().ahead_for, minutes(ahead), "{what}");
            until.set(noted, minutes(ahead_then));
            note_clock(&storage, at(clock), &until).await;
            storage.close().await.unwrap();
        }
    }
}
