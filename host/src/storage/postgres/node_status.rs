//! The nodes on the database, for people to read.

use async_trait::async_trait;
use serde::Deserialize;
use sqlx::Connection as _;
use sqlx_postgres::PgExecutor;

use super::connect;
use super::stores::PostgresStores;
use crate::domain::{NodeNumber, UnixMillis};
use crate::storage::columns::damaged;
use crate::storage::{NodeActivity, NodeReport, NodeState, NodeStatus, NodeStore, StorageError};

/// A node that has not shown for this long that it is alive is [`NodeState::Silent`].
const SILENT_AFTER_MS: u64 = 5_000;

#[async_trait]
impl NodeStore for PostgresStores {
    async fn nodes(&self) -> Result<Vec<NodeStatus>, StorageError> {
        list(self.pool()).await
    }

    /// Stores what the node does; the rest is the heartbeat's.
    async fn report(&self, report: NodeReport) -> Result<(), StorageError> {
        let sql = "UPDATE nodes SET activity_epoch = $2, deliveries_in_memory = $3, deliveries_in_flight = $4, \
            owned_hooks = $5, accepted_per_second = $6 WHERE number = $1 AND epoch = $2";
        let NodeActivity { deliveries_in_memory, deliveries_in_flight, owned_hooks, accepted_per_second } =
            report.activity;
        let query = sqlx::query(sql).bind(self.session.number()).bind(self.session.epoch());
        let query = query.bind(deliveries_in_memory.cast_signed()).bind(deliveries_in_flight.cast_signed());
        let query = query.bind(owned_hooks.map(u64::cast_signed)).bind(accepted_per_second);
        query.execute(self.pool()).await?;
        Ok(())
    }

    fn warnings(&self) -> Vec<String> {
        self.session.partitions.warning().into_iter().collect()
    }
}

/// The nodes on the database at `url`.
///
/// # Errors
/// [`StorageError::Missing`] if no engine has used the database yet; else the error of the database.
pub async fn nodes_of(url: &str) -> Result<Vec<NodeStatus>, StorageError> {
    let mut connection = connect::connect(url, "hookwright nodes").await?;
    let known = "SELECT to_regclass('nodes') IS NOT NULL";
    if !sqlx::query_scalar(known).fetch_one(&mut connection).await? {
        let what = "no engine has used this database yet: start one with `hookwright serve`";
        return Err(StorageError::Missing(what.to_owned()));
    }
    let nodes = list(&mut connection).await;
    connection.close().await?;
    nodes
}

/// What migrations added. The database may be one that an older or a newer engine left.
#[derive(Debug, Deserialize)]
struct Added {
    draining: Option<bool>,
    /// 0 until it has started.
    view: Option<i64>,
    view_epoch: Option<i64>,
    activity_epoch: Option<i64>,
    deliveries_in_memory: Option<u64>,
    deliveries_in_flight: Option<u64>,
    owned_hooks: Option<u64>,
    accepted_per_second: Option<f64>,
}

impl Added {
    fn drains(&self, epoch: i64) -> bool {
        self.draining == Some(true) && self.view_epoch == Some(epoch) && self.view != Some(0)
    }
}

type Row = (i64, i64, String, String, i64, i64, i64, bool, String);

async fn list(executor: impl PgExecutor<'_>) -> Result<Vec<NodeStatus>, StorageError> {
    let sql = "SELECT number::bigint, epoch, address, version, floor(extract(epoch FROM started_at) * 1000)::bigint, \
        floor(extract(epoch FROM heartbeat_at) * 1000)::bigint, \
        floor(extract(epoch FROM clock_timestamp() - heartbeat_at) * 1000)::bigint, ended, to_jsonb(n)::text \
        FROM nodes n ORDER BY ended, number";
    let rows: Vec<Row> = sqlx::query_as(sql).fetch_all(executor).await?;
    rows.into_iter().map(status).collect()
}

fn status(row: Row) -> Result<NodeStatus, StorageError> {
    let (number, epoch, address, version, started_at, last_beat_at, silent_ms, ended, all) = row;
    let added: Added = serde_json::from_str(&all).map_err(|error| damaged("node", error))?;
    let silent_ms = u64::try_from(silent_ms).unwrap_or(0);
    let state = match () {
        () if ended => NodeState::Ended,
        () if silent_ms > SILENT_AFTER_MS => NodeState::Silent,
        () if added.drains(epoch) => NodeState::Draining,
        () => NodeState::Alive,
    };
    let says = !ended && added.activity_epoch == Some(epoch);
    let activity = says.then(|| NodeActivity {
        deliveries_in_memory: added.deliveries_in_memory.unwrap_or(0),
        deliveries_in_flight: added.deliveries_in_flight.unwrap_or(0),
        owned_hooks: added.owned_hooks,
        accepted_per_second: added.accepted_per_second.unwrap_or(0.0),
    });
    Ok(NodeStatus {
        node: u16::try_from(number).map(NodeNumber).map_err(|error| damaged("node", error))?,
        state,
        version: Some(version),
        address,
        started_at: Some(UnixMillis(started_at)),
        last_beat_at: Some(UnixMillis(last_beat_at)),
        silent_ms: Some(silent_ms),
        activity,
    })
}
