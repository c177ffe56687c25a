//! What all operations have in common, added to the document that the routes describe: the operator's header, the problems
//! that a request of its kind can meet, and schemas under one name each.
//!
//! It works on the document as JSON: most of it is about references, which builders make hard to see.

use serde_json::{Map, Value, json};

use super::{SCHEME, schemas};
use crate::api::auth::TENANT_HEADER;
use crate::api::problem::MEDIA_TYPE;
use utoipa::{PartialSchema, ToSchema};

const SCHEMAS: &str = "#/components/schemas/";

/// A problem that many operations share: its name, its status and what it means.
type Shared = (&'static str, &'static str, &'static str);

const BAD_REQUEST: Shared = ("BadRequest", "400", "Something is wrong with what was sent");
const UNAUTHENTICATED: Shared = ("Unauthenticated", "401", "No known key was sent");
const FORBIDDEN: Shared = ("Forbidden", "403", "The key may not do that");
const NOT_FOUND: Shared = ("NotFound", "404", "There is no such thing, or it isn't the caller's");
const METHOD_NOT_ALLOWED: Shared =
    ("MethodNotAllowed", "405", "The path does not take this method; Allow names those that it takes");
const REQUEST_TIMEOUT: Shared = ("RequestTimeout", "408", "The request did not arrive in time");
const CONFLICT: Shared = ("Conflict", "409", "The state of things stands against it, or a limit is reached");
const TOO_LARGE: Shared = ("TooLarge", "413", "The body, or a member of it, is too large");
const UNSUPPORTED: Shared = ("UnsupportedMediaType", "415", "The body's type or encoding isn't taken here");
const TOO_MANY: Shared = (
    "TooManyRequests",
    "429",
    "A limit of the tenant, key or address is reached; try again after Retry-After",
);
const INTERNAL: Shared = ("Internal", "500", "The engine failed");
const UNAVAILABLE: Shared =
    ("Unavailable", "503", "The engine cannot do that right now; try again after Retry-After");

const ALL: [Shared; 12] = [
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

/// Paths without a parameter whose one thing may not be there.
const SINGLETONS: [&str; 1] = ["/api/v3/apizee/webhook"];

/// Adds what is common to the document of the routes.
pub(super) fn complete(mut document: Value) -> Value {
    name_shared_parts(&mut document["components"]);
    for (path, item) in members(&mut document["paths"]) {
        for (method, operation) in members(item) {
            complete_operation(path, method, operation);
        }
    }
    describe_patch(&mut document["components"]["schemas"]);
    name_items_of_pages(&mut document["components"]["schemas"]);
    require_what_is_always_shown(&mut document);
    document
}

fn members(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flatten()
}

fn complete_operation(path: &str, method: &str, operation: &mut Value) {
    let is_open = operation.get("security").is_some();
    let reads_body = matches!(method, "post" | "put" | "patch");
    let changes = reads_body || method == "delete";
    let names_something = path.contains('{') || (SINGLETONS.contains(&path) && method != "put");
    let responses = &mut operation["responses"];
    for (_status, response) in members(responses) {
        if let Some(content) = response.pointer_mut(&format!("/content/{}", MEDIA_TYPE.replace('/', "~1"))) {
            content["schema"] = reference("Problem");
        }
    }
    for (shared, applies) in [
        (BAD_REQUEST, true),
        (UNAUTHENTICATED, !is_open),
        (FORBIDDEN, !is_open),
        (NOT_FOUND, names_something),
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
    refuse_null_as_body(operation);
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        // A parameter is there or not.
        if let Some(one) = without_null(&parameter["schema"]) {
            parameter["schema"] = one;
        }
    }
    if !is_open {
        let header = json!({"$ref": "#/components/parameters/Tenant"});
        match operation["parameters"].as_array_mut() {
            Some(parameters) => parameters.push(header),
            None => operation["parameters"] = json!([header]),
        }
    }
}

/// A body that may be left out is described as one that may be null, which is refused.
fn refuse_null_as_body(operation: &mut Value) {
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

/// The other one of two alternatives of which one is null.
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
            "405" => response["headers"]["Allow"] = header("The methods that the path takes"),
            "429" | "503" => {
                response["headers"]["Retry-After"] = json!({
                    "description": "Seconds to wait before the request is sent again",
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
        "description": "For the operator's key: the tenant to act for, by id or name.",
        "schema": reference(&schemas::TenantName::name()),
    });
    debug_assert!(components["securitySchemes"][SCHEME].is_object(), "the frame has the scheme");
    // Those that only parameters name are not found by the routes.
    for (name, schema) in [
        (schemas::TenantName::name(), schemas::TenantName::schema()),
        (schemas::Limit::name(), schemas::Limit::schema()),
        (schemas::Cursor::name(), schemas::Cursor::schema()),
        (schemas::TimeInput::name(), schemas::TimeInput::schema()),
        (schemas::IdempotencyKey::name(), schemas::IdempotencyKey::schema()),
        (schemas::HookId::name(), schemas::HookId::schema()),
        (schemas::KeyId::name(), schemas::KeyId::schema()),
    ] {
        components["schemas"][name.as_ref()] = serde_json::to_value(schema).unwrap_or_default();
    }
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("{SCHEMAS}{schema}")})
}

/// A patch has the members of a hook. None is required, and null takes one that has a default back to it.
fn describe_patch(schemas: &mut Value) {
    let mut properties = Map::new();
    for (name, member) in schemas["HookInput"]["properties"].as_object().into_iter().flatten() {
        // The secret is given where a hook is made.
        if name != "secret" {
            properties.insert(name.clone(), member.clone());
        }
    }
    // In the object of headers, null takes one away.
    let mut headers = schemas["HeaderFields"].clone();
    headers["type"] = json!(["object", "null"]);
    headers["additionalProperties"]["type"] = json!(["string", "null"]);
    properties.insert("headers".to_owned(), headers);
    let patch = &mut schemas["HookPatch"];
    patch["properties"] = properties.into();
    patch["additionalProperties"] = json!(false);
}

/// The items of a page are described in place; they have schemas of their own.
fn name_items_of_pages(schemas: &mut Value) {
    let names: Vec<String> = members(schemas).map(|(name, _)| name.clone()).collect();
    for page in &names {
        if let Some(item) = page.strip_prefix("Page_").filter(|item| names.iter().any(|name| name == item)) {
            schemas[page]["properties"]["data"]["items"] = reference(item);
        }
    }
}

/// A member of an answer that may be null is always there; one that may be absent is never null. Requests are not touched.
fn require_what_is_always_shown(document: &mut Value) {
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

/// The names of the schemas that `value` refers to and that are not in `names` yet.
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
