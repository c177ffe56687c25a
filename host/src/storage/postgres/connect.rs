//! How commands and engines connect.

use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use sqlx_postgres::{PgConnectOptions, PgConnection};

use crate::storage::StorageError;

/// A statement fails if others hold a lock for so long: otherwise it would wait on the server long after the engine has given it
/// up, and a table that somebody locks would take all connections. The engine gives a statement up after ten seconds, with the
/// wait for a connection, and a heartbeat after five: that may then go on waiting on the server for some seconds. Poolers that
/// share connections between clients, such as PgBouncer in its transaction mode, keep the setting for others that use the same
/// database and user.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '8s'";

/// The options of connections to `url`, whose users the server knows by the name `application`. Statements are not logged: a
/// slow one may be a whole migration. `extra_float_digits` is not sent, which poolers refuse.
pub fn options(url: &str, application: &str) -> Result<PgConnectOptions, StorageError> {
    let options: PgConnectOptions = url.parse()?;
    Ok(options.application_name(application).extra_float_digits(None).disable_statement_logging())
}

/// Prepares a new connection of an engine. Poolers refuse this among the options of a connection.
pub async fn prepare(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    connection.execute(LOCK_TIMEOUT).await.map(drop)
}

/// A connection of a command.
pub async fn connect(url: &str, application: &str) -> Result<PgConnection, StorageError> {
    Ok(PgConnection::connect_with(&options(url, application)?).await?)
}
