//! Adds to the OpenAPI document what operations have in common: the tenant header, error responses, and a
//! name for each schema.
//!
//! Works on the document as JSON, because most of the work is on references, which the builders of utoipa
//! hide.

use serde_json::{Map, Value, json};

use super::base::SCHEME;
use super::schemas;
use crate::api::auth::TENANT_HEADER;
use crate::api::problem::MEDIA_TYPE;
use crate::api::v3::deliveries::ChangeView;
use utoipa::{PartialSchema, ToSchema};

const SCHEMAS: &str = "#/components/schemas/";

/// An error response that operations share: name, status and description.
type SharedResponse = (&'static str, &'static str, &'static str);

const BAD_REQUEST: SharedResponse = ("BadRequest", "400", "The request is invalid");
const UNAUTHENTICATED: SharedResponse = ("Unauthenticated", "401", "The API key is missing or unknown");
const FORBIDDEN: SharedResponse = ("Forbidden", "403", "The API key lacks the permission");
const NOT_FOUND: SharedResponse =
    ("NotFound", "404", "The resource does not exist, or belongs to another tenant");
const METHOD_NOT_ALLOWED: SharedResponse =
    ("MethodNotAllowed", "405", "The path does not support this method; Allow lists the supported ones");
const REQUEST_TIMEOUT: SharedResponse = ("RequestTimeout", "408", "The request did not arrive in time");
const CONFLICT: SharedResponse =
    ("Conflict", "409", "The request conflicts with stored state, or a limit is reached");
const TOO_LARGE: SharedResponse = ("TooLarge", "413", "The body, or a value in it, is too large");
const UNSUPPORTED: SharedResponse =
    ("UnsupportedMediaType", "415", "The content type or encoding of the body is not supported");
const TOO_MANY: SharedResponse = (
    "TooManyRequests",
    "429",
    "A limit on the requests of the tenant, key or address is reached; retry after Retry-After",
);
const INTERNAL: SharedResponse = ("Internal", "500", "The engine failed");
const UNAVAILABLE: SharedResponse =
    ("Unavailable", "503", "The engine cannot serve the request at the moment; retry after Retry-After");

const ALL: [SharedResponse; 12] = [
    BAD_REQUEST,
    UNAUTHENTICATED,
    FORBIDDEN,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    REQUEST_TIMEOUT,
    CONFLICT,
    TOO_LARGE,
    UNSUPPORTED,
    TOO_MANY,
    INTERNAL,
    UNAVAILABLE,
];

/// Paths without parameters whose resource may not exist.
const SINGLETONS: [&str; 1] = ["/api/v3/apizee/webhook"];

/// Completes the document generated from the routes.
pub(super) fn complete(mut document: Value) -> Value {
    name_shared_parts(&mut document["components"]);
    for (path, item) in members(&mut document["paths"]) {
        for (method, operation) in members(item) {
            complete_operation(path, method, operation);
        }
    }
    describe_patch(&mut document["components"]["schemas"]);
    name_items_of_pages(&mut document["components"]["schemas"]);
    require_nullable_members(&mut document);
    document
}

fn members(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flatten()
}

fn complete_operation(path: &str, method: &str, operation: &mut Value) {
    let is_public = operation.get("security").is_some();
    let reads_body = matches!(method, "post" | "put" | "patch");
    let changes = reads_body || method == "delete";
    let may_be_missing = path.contains('{') || (SINGLETONS.contains(&path) && method != "put");
    let responses = &mut operation["responses"];
    for (_status, response) in members(responses) {
        if let Some(content) = response.pointer_mut(&format!("/content/{}", MEDIA_TYPE.replace('/', "~1"))) {
            content["schema"] = reference("Problem");
        }
    }
    for (shared, applies) in [
        (BAD_REQUEST, true),
        (UNAUTHENTICATED, !is_public),
        (FORBIDDEN, !is_public),
        (NOT_FOUND, may_be_missing),
        (METHOD_NOT_ALLOWED, true),
        (REQUEST_TIMEOUT, reads_body),
        (CONFLICT, changes),
        (TOO_LARGE, reads_body),
        (UNSUPPORTED, reads_body),
        (TOO_MANY, true),
        (INTERNAL, true),
        (UNAVAILABLE, true),
    ] {
        let (name, status, _) = shared;
        if applies && responses.get(status).is_none() {
            responses[status] = json!({"$ref": format!("#/components/responses/{name}")});
        }
    }
    disallow_null_body(operation);
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        // A parameter can be absent, but not null.
        if let Some(one) = without_null(&parameter["schema"]) {
            parameter["schema"] = one;
        }
    }
    if !is_public {
        let header = json!({"$ref": "#/components/parameters/Tenant"});
        match operation["parameters"].as_array_mut() {
            Some(parameters) => parameters.push(header),
            None => operation["parameters"] = json!([header]),
        }
    }
}

/// utoipa describes an optional body as one that may be null, which the engine rejects.
fn disallow_null_body(operation: &mut Value) {
    let Some(body) = operation.get_mut("requestBody") else { return };
    let mut may_be_absent = false;
    for (_media_type, content) in members(&mut body["content"]) {
        let schema = &mut content["schema"];
        if let Some(one) = without_null(schema) {
            *schema = one;
            may_be_absent = true;
        }
    }
    if may_be_absent {
        body["required"] = json!(false);
    }
}

/// The other alternative of a `oneOf` of two, if one of them is null.
fn without_null(schema: &Value) -> Option<Value> {
    let alternatives = schema.get("oneOf")?.as_array()?;
    let is_null = |one: &&Value| one["type"] == "null";
    (alternatives.len() == 2 && alternatives.iter().any(|one| is_null(&one))).then_some(())?;
    alternatives.iter().find(|one| !is_null(one)).cloned()
}

fn name_shared_parts(components: &mut Value) {
    for (name, status, description) in ALL {
        let header = |description: &str| json!({"description": description, "schema": {"type": "string"}});
        let mut response =
            json!({"description": description, "content": {MEDIA_TYPE: {"schema": reference("Problem")}}});
        match status {
            "401" => {
                response["headers"]["WWW-Authenticate"] = header("`Bearer`");
            }
            "405" => response["headers"]["Allow"] = header("The methods that the path supports"),
            "429" | "503" => {
                response["headers"]["Retry-After"] = json!({
                    "description": "The seconds to wait before retrying the request",
                    "schema": {"type": "integer", "minimum": 0},
                });
            }
            _ => {}
        }
        components["responses"][name] = response;
    }
    components["parameters"]["Tenant"] = json!({
        "name": TENANT_HEADER,
        "in": "header",
        "required": false,
        "description": "The tenant, by id or name. Only for requests with the operator's key.",
        "schema": reference(&schemas::TenantName::name()),
    });
    debug_assert!(components["securitySchemes"][SCHEME].is_object(), "the base document defines the scheme");
    // Nor does a schema refer to what is in a stream.
    let mut streamed = vec![(ChangeView::name().into_owned(), ChangeView::schema())];
    ChangeView::schemas(&mut streamed);
    for (name, schema) in streamed {
        components["schemas"][name] = serde_json::to_value(schema).unwrap_or_default();
    }
    // utoipa does not collect the schemas of parameters.
    for (name, schema) in [
        (schemas::TenantName::name(), schemas::TenantName::schema()),
        (schemas::Limit::name(), schemas::Limit::schema()),
        (schemas::Cursor::name(), schemas::Cursor::schema()),
        (schemas::TimeInput::name(), schemas::TimeInput::schema()),
        (schemas::IdempotencyKey::name(), schemas::IdempotencyKey::schema()),
        (schemas::HookId::name(), schemas::HookId::schema()),
        (schemas::DeliveryStates::name(), schemas::DeliveryStates::schema()),
        (schemas::DeliveryInclude::name(), schemas::DeliveryInclude::schema()),
        (schemas::UnwellStates::name(), schemas::UnwellStates::schema()),
        (schemas::KeyId::name(), schemas::KeyId::schema()),
        (schemas::AuditText::name(), schemas::AuditText::schema()),
    ] {
        components["schemas"][name.as_ref()] = serde_json::to_value(schema).unwrap_or_default();
    }
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("{SCHEMAS}{schema}")})
}

/// A patch has the members of a hook, none of them required. Null resets a member to its default.
fn describe_patch(schemas: &mut Value) {
    let mut properties = Map::new();
    for (name, member) in schemas["HookInput"]["properties"].as_object().into_iter().flatten() {
        // The secret can be set only at creation.
        if name != "secret" {
            properties.insert(name.clone(), member.clone());
        }
    }
    // Within the headers, null removes one.
    let mut headers = schemas["HeaderFields"].clone();
    headers["type"] = json!(["object", "null"]);
    headers["additionalProperties"]["type"] = json!(["string", "null"]);
    properties.insert("headers".to_owned(), headers);
    let patch = &mut schemas["HookPatch"];
    patch["properties"] = properties.into();
    patch["additionalProperties"] = json!(false);
}

/// Replaces the inline schemas of page items by references.
fn name_items_of_pages(schemas: &mut Value) {
    let names: Vec<String> = members(schemas).map(|(name, _)| name.clone()).collect();
    for page in &names {
        if let Some(item) = page.strip_prefix("Page_").filter(|item| names.iter().any(|name| name == item)) {
            schemas[page]["properties"]["data"]["items"] = reference(item);
        }
    }
}

/// Marks the nullable members of responses as required: a nullable member is always present, an optional one
/// is never null. Schemas of requests do not change.
fn require_nullable_members(document: &mut Value) {
    let mut sent = Vec::new();
    for (_path, item) in members(&mut document["paths"]) {
        for (_method, operation) in members(item) {
            collect_references(&operation["requestBody"], &mut sent);
        }
    }
    let schemas = &mut document["components"]["schemas"];
    let mut at = 0;
    while let Some(name) = sent.get(at).cloned() {
        collect_references(&schemas[&name], &mut sent);
        at += 1;
    }
    for (name, schema) in members(schemas) {
        if !sent.contains(name) {
            require_nullable(schema);
        }
    }
}

fn require_nullable(schema: &mut Value) {
    for part in schema.get_mut("allOf").and_then(Value::as_array_mut).into_iter().flatten() {
        require_nullable(part);
    }
    let Some(properties) = schema["properties"].as_object() else { return };
    let nullable: Vec<Value> = properties
        .iter()
        .filter(|(_, member)| may_be_null(member))
        .map(|(name, _)| name.as_str().into())
        .collect();
    if nullable.is_empty() {
        return;
    }
    let required = schema["required"].take();
    let mut all: Vec<Value> = required.as_array().cloned().unwrap_or_default();
    all.extend(
        nullable.into_iter().filter(|name| required.as_array().is_none_or(|known| !known.contains(name))),
    );
    schema["required"] = all.into();
}

fn may_be_null(member: &Value) -> bool {
    let is_null = |part: &Value| part["type"] == "null";
    member["type"].as_array().is_some_and(|types| types.iter().any(|name| name == "null"))
        || member["oneOf"].as_array().is_some_and(|parts| parts.iter().any(is_null))
}

/// Adds the names of the schemas that `value` refers to, without duplicates.
fn collect_references(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(all) => {
            if let Some(name) =
                all.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix(SCHEMAS))
                && !names.iter().any(|known| known == name)
            {
                names.push(name.to_owned());
            }
            all.values().for_each(|value| collect_references(value, names));
        }
        Value::Array(all) => all.iter().for_each(|value| collect_references(value, names)),
        _ => {}
    }
}
