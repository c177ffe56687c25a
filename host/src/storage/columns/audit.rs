//! Entries of the audit log from and to columns.

use serde_json::Value;

use super::values::{damaged, from_json, to_json};
use crate::domain::audit::{MemberChange, MemberValue};
use crate::domain::{Actor, AuditEntry, AuditId, AuditObject, TenantId};
use crate::storage::StorageError;

/// Id, tenant; kind, id and name of the actor; surface, address and request; action; kind, id and name of the object; changes.
pub type AuditRow = (
    i64,
    Option<i64>,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    String,
    String,
    String,
    Option<String>,
    String,
);

/// The columns of an entry, as they are read and written.
macro_rules! audit_columns {
    () => {
        "id, tenant_id, actor_kind, actor_id, actor_name, surface, address, request_id, action, object_kind, object_id, \
        object_name, changes"
    };
}
pub(in crate::storage) use audit_columns;

/// The columns of an entry.
pub fn audit_to_row(entry: &AuditEntry) -> Result<AuditRow, StorageError> {
    let AuditEntry { id, tenant, actor, action, object, changes } = entry;
    let changes: Vec<Vec<Value>> = changes.iter().map(change_to_json).collect();
    Ok((
        id.0,
        tenant.map(|tenant| tenant.0),
        actor.kind.as_str().to_owned(),
        actor.id.clone(),
        actor.name.clone(),
        actor.surface.map(|surface| surface.as_str().to_owned()),
        actor.address.map(|address| address.to_string()),
        actor.request_id.clone(),
        action.clone(),
        object.kind.clone(),
        object.id.clone(),
        object.name.clone(),
        to_json(&changes)?,
    ))
}

/// An entry from its columns.
pub fn audit_from_row(row: AuditRow) -> Result<AuditEntry, StorageError> {
    let id = AuditId(row.0);
    entry_of(row).map_err(|error| error.in_row("audit_log", id, id.0))
}

fn entry_of(row: AuditRow) -> Result<AuditEntry, StorageError> {
    let (
        id,
        tenant,
        kind,
        actor_id,
        actor_name,
        surface,
        address,
        request_id,
        action,
        object_kind,
        object_id,
        object_name,
        changes,
    ) = row;
    let bad = |error: &dyn std::fmt::Display| damaged("audit entry", error);
    let changes: Vec<Vec<Value>> = from_json("audit entry", &changes)?;
    Ok(AuditEntry {
        id: AuditId(id),
        tenant: tenant.map(TenantId),
        actor: Actor {
            kind: kind.parse().map_err(|error| bad(&error))?,
            id: actor_id,
            name: actor_name,
            surface: surface.map(|text| text.parse()).transpose().map_err(|error| bad(&error))?,
            address: address.map(|text| text.parse()).transpose().map_err(|error| bad(&error))?,
            request_id,
        },
        action,
        object: AuditObject { kind: object_kind, id: object_id, name: object_name },
        changes: changes.into_iter().map(change_from_json).collect::<Result<_, _>>()?,
    })
}

fn change_to_json(change: &MemberChange) -> Vec<Value> {
    let name = Value::from(change.member.as_str());
    match &change.values {
        None => vec![name],
        Some((old, new)) => vec![name, value_to_json(old), value_to_json(new)],
    }
}

fn value_to_json(value: &MemberValue) -> Value {
    match value {
        MemberValue::Absent => Value::Null,
        MemberValue::Flag(flag) => Value::from(*flag),
        MemberValue::Integer(number) => Value::from(*number),
        MemberValue::Number(number) => Value::from(*number),
        MemberValue::Text(text) => Value::from(text.as_str()),
        MemberValue::List(texts) => Value::from(texts.clone()),
    }
}

fn change_from_json(change: Vec<Value>) -> Result<MemberChange, StorageError> {
    let mut parts = change.into_iter();
    match (parts.next(), parts.next(), parts.next()) {
        (Some(Value::String(member)), None, None) => Ok(MemberChange { member, values: None }),
        (Some(Value::String(member)), Some(old), Some(new)) => {
            Ok(MemberChange { member, values: Some((value_from_json(old)?, value_from_json(new)?)) })
        }
        _ => Err(damaged("audit entry", "a change is not a name and two values")),
    }
}

fn value_from_json(value: Value) -> Result<MemberValue, StorageError> {
    Ok(match value {
        Value::Null => MemberValue::Absent,
        Value::Bool(flag) => MemberValue::Flag(flag),
        Value::Number(number) => match number.as_i64() {
            Some(number) => MemberValue::Integer(number),
            None => MemberValue::Number(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => MemberValue::Text(text),
        Value::Array(texts) => {
            let texts = texts.into_iter().map(|text| match text {
                Value::String(text) => Ok(text),
                other => Err(damaged("audit entry", format_args!("`{other}` in a list"))),
            });
            MemberValue::List(texts.collect::<Result<_, _>>()?)
        }
        Value::Object(_) => return Err(damaged("audit entry", "a value is an object")),
    })
}
