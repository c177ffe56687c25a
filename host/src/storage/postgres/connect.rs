//! How commands and engines connect.

use sqlx::{ConnectOptions as _, Connection as _};
use sqlx_postgres::{PgConnectOptions, PgConnection};

use crate::storage::StorageError;

/// The options of connections to `url`, whose users the server knows by the name `application`. Statements are not logged: a
/// slow one may be a whole migration. `extra_float_digits` is not sent, which poolers refuse.
pub fn options(url: &str, application: &str) -> Result<PgConnectOptions, StorageError> {
    let options: PgConnectOptions = url.parse()?;
    Ok(options.application_name(application).extra_float_digits(None).disable_statement_logging())
}

/// A connection of a command.
pub async fn connect(url: &str, application: &str) -> Result<PgConnection, StorageError> {
    Ok(PgConnection::connect_with(&options(url, application)?).await?)
}
