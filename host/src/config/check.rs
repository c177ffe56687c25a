//! Checks settings that depend on each other.

use super::error::ConfigError;
use super::values::{Config, OperatorApi};

/// Checks `config` as a whole.
///
/// # Errors
/// Names a setting that cannot be used without another one.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let needs = [
        (
            config.tls_cert_file.is_some() && config.tls_key_file.is_none(),
            "tls_cert_file",
            "`tls_key_file`, the private key of that certificate",
        ),
        (
            config.tls_key_file.is_some() && config.tls_cert_file.is_none(),
            "tls_key_file",
            "`tls_cert_file`, the certificate of that key",
        ),
        (
            config.admin_tls_cert_file.is_some() && config.admin_tls_key_file.is_none(),
            "admin_tls_cert_file",
            "`admin_tls_key_file`, the private key of that certificate",
        ),
        (
            config.admin_tls_key_file.is_some() && config.admin_tls_cert_file.is_none(),
            "admin_tls_key_file",
            "`admin_tls_cert_file`, the certificate of that key",
        ),
        (
            config.operator_api == OperatorApi::Admin && config.admin_listen.is_none(),
            "operator_api = admin",
            "`admin_listen`: operators' keys would be accepted nowhere",
        ),
    ];
    match needs.into_iter().find(|(is_missing, ..)| *is_missing) {
        Some((_, name, needed)) => Err(ConfigError::Incomplete { name, needed }),
        None => Ok(()),
    }
}
