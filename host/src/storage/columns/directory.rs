//! Tenants, projects, keys, logins, tokens and plugins from columns.

use subtle::{Choice, ConstantTimeEq as _};

use super::hooks::unseal_text;
use super::tenant_options::tenant_options_from_json;
use super::values::{damaged, from_json, readable, to_json};
use crate::domain::{
    ApiKey, Digest, DomainToken, Invalid, KeyId, Login, OperatorKey, OperatorKeyId, PluginVersion, Project,
    Scope, Scopes, SecretText, Tenant, TenantId, TenantOptions, UnixMillis,
};
use crate::storage::StorageError;
use crate::vault::Vault;

/// Name, tenant, sealed secret and creation of a login.
pub type LoginRow = (String, i64, Vec<u8>, i64);
/// Id, tenant, role, whether it is enabled, end and creation of a token.
pub type TokenRow = (String, i64, String, bool, i64, i64);
/// Id, name, client id, creation and options of a tenant.
pub type TenantRow = (i64, String, Option<i64>, i64, String);
/// Tenant, number, name and creation of a project.
pub type ProjectRow = (i64, i64, Option<String>, i64);
/// The columns of [`key_columns`].
pub type KeyRow = (i64, i64, String, String, Vec<u8>, i64, Option<String>, Option<i64>, String);
/// The columns of [`operator_key_columns`].
pub type OperatorKeyRow = (i64, String, String, Vec<u8>, String, Option<i64>, i64);
/// Owner, name, version, digest, roles, imports, size and creation of a version of a plugin.
pub type VersionRow = (i64, String, i64, Vec<u8>, String, String, i64, i64);
/// The owner of standard plugins.
pub const STANDARD: TenantId = TenantId(0);

/// Whether any of these logins has the secret of `login`. All are compared, in constant time.
pub fn has_same_secret(vault: &Vault, rows: Vec<LoginRow>, login: &Login) -> bool {
    let is_same =
        |row| login_from_row(vault, row).secret.reveal().as_bytes().ct_eq(login.secret.reveal().as_bytes());
    rows.into_iter().map(is_same).fold(Choice::from(0), |any, one| any | one).into()
}

/// A login whose secret cannot be decrypted is [unreadable](Login::is_unreadable).
pub fn login_from_row(vault: &Vault, (name, tenant, secret, created_at): LoginRow) -> Login {
    let tenant = TenantId(tenant);
    let secret = unseal_text(vault, "login", &login_context_of(tenant, &name), &secret);
    let secret = secret.unwrap_or_else(|error| {
        tracing::error!(
            %tenant,
            login = name,
            error = &error as &dyn std::error::Error,
            "cannot decrypt the secret of a login: the login is refused until it is created again, or the engine is \
             started with the key of that secret"
        );
        SecretText::new("")
    });
    Login { name, tenant, secret, created_at: UnixMillis(created_at) }
}

/// The context of a login's sealed secret.
pub fn login_context_of(tenant: TenantId, login: &str) -> String {
    format!("login/{tenant}/{login}")
}

/// A token from its row.
pub fn token_from_row((id, tenant, role, enabled, expires_at, created_at): TokenRow) -> DomainToken {
    DomainToken {
        id,
        tenant: TenantId(tenant),
        role,
        enabled,
        expires_at: UnixMillis(expires_at),
        created_at: UnixMillis(created_at),
    }
}

/// A tenant from its row.
pub fn tenant_from_row(row: TenantRow) -> Tenant {
    // A tenant that were left out would lose its events: it gets the defaults.
    let options = readable(tenant_options_of(&row)).unwrap_or_default();
    let (id, name, client_id, created_at, _) = row;
    Tenant { id: TenantId(id), name, client_id, options, created_at: UnixMillis(created_at) }
}

/// The options of a tenant.
pub fn tenant_options_of((id, .., options): &TenantRow) -> Result<TenantOptions, StorageError> {
    tenant_options_from_json(options).map_err(|error| error.in_row("tenants", TenantId(*id), *id))
}

/// A project from its row.
pub fn project_from_row((tenant, number, name, created_at): ProjectRow) -> Project {
    Project { tenant: TenantId(tenant), number, name, created_at: UnixMillis(created_at) }
}

/// After `SELECT`: what [`key_from_row`] reads.
macro_rules! key_columns {
    () => {
        "id, tenant_id, name, scopes, hash, created_at, prefix, expires_at, further_scopes"
    };
}
pub(in crate::storage) use key_columns;

/// After `SELECT`: what [`operator_key_from_row`] reads.
macro_rules! operator_key_columns {
    () => {
        "id, name, role, hash, prefix, expires_at, created_at"
    };
}
pub(in crate::storage) use operator_key_columns;

/// The columns `scopes` and `further_scopes`: a build that does not know one of the former leaves the key out.
pub fn scope_columns(scopes: Scopes) -> Result<(String, String), StorageError> {
    let (further, scopes): (Vec<Scope>, Vec<Scope>) = scopes.iter().partition(|it| *it == Scope::AuditRead);
    let texts = |scopes: Vec<Scope>| scopes.into_iter().map(Scope::as_str).collect::<Vec<_>>();
    Ok((to_json(&texts(scopes))?, to_json(&texts(further))?))
}

/// A key from its row.
pub fn key_from_row(row: KeyRow) -> Result<ApiKey, StorageError> {
    let id = KeyId(row.0);
    key_of(row).map_err(|error| error.in_row("api_keys", id, id.0))
}

fn key_of(row: KeyRow) -> Result<ApiKey, StorageError> {
    let (id, tenant, name, scopes, hash, created_at, prefix, expires_at, further) = row;
    let scopes: Vec<String> = from_json("API key", &scopes)?;
    let scopes = scopes.iter().map(|scope| scope.parse::<Scope>());
    // Those that only a newer build knows allow nothing here.
    let further: Vec<String> = from_json("API key", &further)?;
    let further = further.iter().filter_map(|scope| scope.parse::<Scope>().ok()).map(Ok);
    let scopes = scopes.chain(further);
    let hash = hash.try_into().map_err(|_| damaged("API key", "its hash does not have 32 bytes"))?;
    Ok(ApiKey {
        id: KeyId(id),
        tenant: TenantId(tenant),
        name,
        scopes: scopes.collect::<Result<_, _>>().map_err(|error| damaged("API key", error))?,
        hash,
        prefix,
        expires_at: expires_at.map(UnixMillis),
        created_at: UnixMillis(created_at),
    })
}

/// An operator's key from its row.
pub fn operator_key_from_row(row: OperatorKeyRow) -> Result<OperatorKey, StorageError> {
    let id = OperatorKeyId(row.0);
    operator_key_of(row).map_err(|error| error.in_row("operator_keys", id, id.0))
}

fn operator_key_of(row: OperatorKeyRow) -> Result<OperatorKey, StorageError> {
    let (id, name, role, hash, prefix, expires_at, created_at) = row;
    let what = "operator's key";
    Ok(OperatorKey {
        id: OperatorKeyId(id),
        name,
        role: role.parse().map_err(|error| damaged(what, error))?,
        hash: hash.try_into().map_err(|_| damaged(what, "its hash does not have 32 bytes"))?,
        prefix,
        expires_at: expires_at.map(UnixMillis),
        created_at: UnixMillis(created_at),
    })
}

fn bad(error: Invalid) -> StorageError {
    damaged("plugin", error)
}

/// A version of a plugin from its row.
pub fn version_from_row(row: VersionRow) -> Result<PluginVersion, StorageError> {
    let (name, version) = (row.1.clone(), row.2);
    version_of(row).map_err(|error| error.in_row("plugin_versions", name, version))
}

fn version_of(row: VersionRow) -> Result<PluginVersion, StorageError> {
    let (owner, name, version, digest, roles, imports, size_bytes, created_at) = row;
    let roles: Vec<String> = from_json("plugin", &roles)?;
    let digest = digest.try_into().map_err(|_| damaged("plugin", "its digest does not have 32 bytes"))?;
    Ok(PluginVersion {
        tenant: Some(TenantId(owner)).filter(|owner| *owner != STANDARD),
        name: name.parse().map_err(bad)?,
        version: u32::try_from(version).map_err(|error| damaged("plugin", error))?,
        digest: Digest(digest),
        roles: roles.iter().map(|role| role.parse()).collect::<Result<_, _>>().map_err(bad)?,
        imports: from_json("plugin", &imports)?,
        size_bytes: u64::try_from(size_bytes).map_err(|error| damaged("plugin", error))?,
        created_at: UnixMillis(created_at),
    })
}
