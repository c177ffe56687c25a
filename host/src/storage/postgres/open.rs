//! Opens a database: connects, migrates the schema, checks the encryption key, and takes a node's number.

use std::sync::Arc;
use std::time::Duration;

use sqlx_postgres::PgPoolOptions;

use super::connect_failure::ConnectFailure;
use super::database::PostgresDatabase;
use super::kept_connections::KeptConnections;
use super::node_name::NodeName;
use super::partitions::Partitions;
use super::pool::BoundedPool;
use super::session::{Pools, Session};
use super::stores::PostgresStores;
use super::{connect, heartbeat, nodes, rows, schema, sealing};
use crate::domain::UnixMillis;
use crate::storage::StorageError;
use crate::vault::Vault;

/// How long a call waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// However busy the node is, it shows that it is alive, and looks for changes of configuration.
const HEARTBEAT_CONNECTIONS: u32 = 2;

/// How a node uses a database.
#[derive(Debug)]
pub struct PostgresOptions {
    /// The database: `postgres://user:password@host/name`.
    pub url: String,
    /// How many connections the node has, at most.
    pub connections: u32,
    /// A name that no other node has, and that the node has again after a restart.
    pub node_name: NodeName,
    /// The address on which the node listens, for people to read.
    pub address: String,
}

/// Opens the database, and creates its tables if they are missing.
///
/// # Errors
/// [`StorageError::WrongKey`] if `vault` lacks the key; [`StorageError::Newer`] if a newer
/// engine migrated the database; else the error of the database.
pub async fn open(options: PostgresOptions, vault: Arc<Vault>) -> Result<PostgresDatabase, StorageError> {
    let connect = connect::options(&options.url, "hookwright")?;
    let pools = PgPoolOptions::new()
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .after_connect(|connection, _| Box::pin(connect::prepare(connection)));
    let most = options.connections.saturating_sub(HEARTBEAT_CONNECTIONS).max(1);
    let pool = match pools.clone().max_connections(most).connect_with(connect.clone()).await {
        Ok(pool) => pool,
        Err(error) => return Err(ConnectFailure::default().explain(error, &connect).await.into()),
    };
    let heartbeat_pool = pools.max_connections(HEARTBEAT_CONNECTIONS).connect_lazy_with(connect);
    schema::migrate(&mut *pool.acquire().await?).await?;
    sealing::check_key(&mut *pool.acquire().await?, &vault).await?;
    let partitions = Partitions::open(pool.begin().await?).await?;
    let registered = nodes::register(&pool, options.node_name.as_str(), &options.address).await?;
    let kept = KeptConnections::of(most);
    let pools =
        Pools { pool: BoundedPool::new(pool), heartbeat_pool: BoundedPool::new(heartbeat_pool), kept };
    let session = Session::new(pools, partitions, &registered, vault);
    let session = Arc::new(session);
    let greatest_id = match enter(&session).await {
        Ok(greatest_id) => greatest_id,
        Err(error) => {
            // The error is worth more than that of a database which fails twice.
            _ = nodes::leave(&session).await;
            return Err(error);
        }
    };
    heartbeat::start(&session);
    let stores = Arc::new(PostgresStores::new(session));
    Ok(PostgresDatabase { stores, greatest_id, _name: options.node_name })
}

/// The first things that a registered node does. Returns the greatest id in the database.
async fn enter(session: &Session) -> Result<i64, StorageError> {
    let greatest_id =
        session.pool.with_pool(|pool| async move { Ok(rows::greatest_id(&pool, i64::MAX).await) });
    let greatest_id = greatest_id.await??;
    heartbeat::beat(session, UnixMillis(0)).await?;
    Ok(greatest_id)
}
