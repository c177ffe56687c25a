//! Shows the other nodes that this one is alive, and learns of them by the same round trip.
//!
//! The heartbeat does nothing else: whatever takes long would make others believe that the node is dead. What follows from
//! it is done in [`maintain`].

use std::sync::{Arc, Weak};
use std::time::Duration;

use sqlx::FromRow;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::session::Session;
use super::{lease_ending, nodes};
use crate::clock;
use crate::domain::{EventKey, Member, NodeNumber, UnixMillis, View};
use crate::log_limiter::LogLimiter;
use crate::storage::StorageError;
use crate::storage::columns::damaged;

/// How often a node shows that it is alive.
const EVERY: Duration = Duration::from_secs(1);
/// The same while nodes know different views.
const EVERY_UNTIL_AGREED: Duration = Duration::from_millis(250);
/// How long one heartbeat may take. One that is slow still counts from when it was sent.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A node that could not beat for this long was cut off from the database. So, probably, were the others.
const CUT_OFF_MS: i64 = 5_000;
/// A node that was cut off takes nobody's work over before the others had this long to beat.
const SPARED_MS: i64 = 10_000;
/// Partitions are made this often.
const PARTITIONS_EVERY: Duration = Duration::from_secs(3_600);
/// The same if they could not be made.
const PARTITIONS_AGAIN: Duration = Duration::from_secs(60);
/// How often groups of deliveries in order are looked through for a first one that waits. There should be none.
const ORDER_EVERY: Duration = Duration::from_secs(300);
/// How long the takeover of a node's work may take. The server ends it before that.
const TAKE_OVER_TIMEOUT: Duration = Duration::from_secs(65);
/// What other nodes handed over or left is looked for this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What a heartbeat saw.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The database's time.
    now: UnixMillis,
    /// The nodes that do not beat, with their epochs.
    dead: Vec<(i32, i64)>,
}

/// A row of the function `beat`.
#[derive(Debug, FromRow)]
struct Row {
    node: i32,
    epoch: i64,
    draining: bool,
    /// The view that it has applied; none if it is of a version without views, which nobody waits for.
    view: Option<i64>,
    is_dead: bool,
    now_ms: i64,
}

/// When the last heartbeat arrived, by the boot clock.
#[derive(Debug, Clone, Copy)]
struct Reached {
    last: i64,
    /// When the node was no longer cut off.
    since: i64,
}

/// Beats and maintains as long as the session lasts.
pub fn start(session: &Arc<Session>) {
    let (seen, sees) = watch::channel(Seen::default());
    tokio::spawn(keep_alive(Arc::downgrade(session), seen));
    tokio::spawn(maintain(Arc::downgrade(session), sees));
}

async fn keep_alive(session: Weak<Session>, seen: watch::Sender<Seen>) {
    let start = clock::since_boot_ms();
    let mut reached = Reached { last: start, since: start - SPARED_MS };
    let failures = LogLimiter::new();
    loop {
        let Some(session) = session.upgrade() else { return };
        if session.over.is_cancelled() {
            return;
        }
        let began = Instant::from_std(clock::monotonic());
        let last = seen.borrow().now;
        match session.heartbeat_pool.bounded_by(TIMEOUT, beat(&session, last)).await {
            Ok(mut new) => {
                let now = clock::since_boot_ms();
                if now - reached.last > CUT_OFF_MS {
                    reached.since = now;
                }
                reached.last = now;
                if now - reached.since < SPARED_MS {
                    new.dead.clear();
                }
                seen.send_replace(new);
            }
            Err(error) => {
                if let Some(unlogged) = failures.permit() {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, unlogged, "cannot show the other nodes that this one is alive");
                }
            }
        }
        let agreed = session.membership.members().is_agreed();
        let next = began + if agreed { EVERY } else { EVERY_UNTIL_AGREED };
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = session.membership.beat_wanted() => {}
            () = session.over.cancelled() => return,
        }
    }
}

/// Beats once. A node whose work was taken over joins again.
pub async fn beat(session: &Session, last: UnixMillis) -> Result<Seen, StorageError> {
    let (sent, applied) = (clock::since_boot_ms(), session.membership.applied());
    let mark = session.rowless.lock().raise_mark(EventKey::first_at(last));
    let sql = "SELECT node, epoch, draining, view, is_dead, now_ms FROM beat($1, $2, $3, $4, $5)";
    // Before it follows the nodes, it is no candidate: a start that fails takes nothing from them.
    let draining = session.membership.is_draining() || applied == 0;
    let query = sqlx::query_as(sql).bind(session.number()).bind(session.epoch()).bind(mark.0);
    let rows: Vec<Row> = query.bind(applied).bind(draining).fetch_all(&session.heartbeat_pool).await?;
    let Some(now) = rows.first().map(|row| UnixMillis(row.now_ms)) else {
        nodes::rejoin(session).await?;
        return Ok(Seen { now: last, dead: Vec::new() });
    };
    let members = rows.iter().map(|row| {
        let node = u16::try_from(row.node).map_err(|error| damaged("node", error))?;
        Ok(Member { node: NodeNumber(node), epoch: row.epoch, draining: row.draining })
    });
    let view = View::new(members.collect::<Result<_, StorageError>>()?);
    let id = view.id();
    // One that has not started yet does nothing, whatever the others do.
    let starts = |row: &Row| row.draining && row.view == Some(0);
    let has_applied = |row: &Row| row.view.is_none_or(|view| view == id) || starts(row);
    let agreed = applied == id && rows.iter().all(has_applied);
    session.membership.beaten(sent, view, agreed);
    let dead = rows.iter().filter(|row| row.is_dead && row.node != session.number());
    Ok(Seen { now, dead: dead.map(|row| (row.node, row.epoch)).collect() })
}

/// Takes over the work of dead nodes, gives old deliveries their rows, and makes partitions.
async fn maintain(session: Weak<Session>, mut seen: watch::Receiver<Seen>) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut partitions_at = Instant::from_std(clock::monotonic());
    let mut order_at = partitions_at + ORDER_EVERY;
    while seen.changed().await.is_ok() {
        let Some(session) = session.upgrade() else { return };
        let now = seen.borrow_and_update().clone();
        if let Err(error) = maintain_once(&session, now, (&mut partitions_at, &mut order_at)).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "cannot do what a node does for the database at intervals");
        }
        if futures_util::FutureExt::now_or_never(looks.tick()).is_some() {
            session.due.notify_one();
        }
    }
}

async fn maintain_once(
    session: &Session,
    Seen { now, dead }: Seen,
    (partitions_at, order_at): (&mut Instant, &mut Instant),
) -> Result<(), StorageError> {
    for (node, epoch) in dead {
        if let Err(error) = take_over(session, node, epoch).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, node, "cannot take over the work of a node that does not answer");
        }
    }
    lease_ending::end(session, now).await?;
    let old = session.rowless.lock().old(EventKey::first_at(now));
    if !old.is_empty() {
        session.materialize(&old).await?;
    }
    let monotonic = Instant::from_std(clock::monotonic());
    if *partitions_at <= monotonic {
        *partitions_at = monotonic + PARTITIONS_AGAIN;
        let made = async { session.partitions.make(session.pool.begin().await?).await };
        if session.pool.bounded(made).await? {
            *partitions_at = monotonic + PARTITIONS_EVERY;
        }
    }
    if *order_at <= monotonic {
        *order_at = monotonic + ORDER_EVERY;
        sqlx::query("SELECT advance_waiting_groups($1)").bind(now.0).execute(&session.pool).await?;
    }
    Ok(())
}

async fn take_over(session: &Session, node: i32, epoch: i64) -> Result<(), StorageError> {
    let taken = async {
        let mut transaction = session.pool.begin().await?;
        // The role's limit may be too short for a long queue.
        sqlx::query("SET LOCAL statement_timeout = '60s'").execute(&mut *transaction).await?;
        let query = sqlx::query_scalar("SELECT take_over($1, $2)").bind(node).bind(epoch);
        let deliveries: Option<i64> = query.fetch_one(&mut *transaction).await?;
        transaction.commit().await?;
        Ok::<_, StorageError>(deliveries)
    };
    let deliveries = session.pool.bounded_by(TAKE_OVER_TIMEOUT, taken).await?;
    if let Some(deliveries) = deliveries {
        tracing::warn!(node, deliveries, "a node does not answer: took over its deliveries");
        session.membership.beat_soon();
        session.due.notify_one();
    }
    Ok(())
}
