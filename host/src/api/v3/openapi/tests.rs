use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::base::SCHEME;
use super::*;

/// Every route of v3. Add new routes here.
const ROUTES: &str = "
    DELETE /api/v3/apizee/webhook
    DELETE /api/v3/events/{id}
    DELETE /api/v3/hooks/{id}
    DELETE /api/v3/keys/{id}
    DELETE /api/v3/logins/{name}
    DELETE /api/v3/operator-keys/{id}
    DELETE /api/v3/plugins/{name}
    DELETE /api/v3/projects/{id}
    DELETE /api/v3/tenants/{id}
    GET /api/v3/apizee/webhook
    GET /api/v3/audit-log
    GET /api/v3/deliveries
    GET /api/v3/deliveries/counts
    GET /api/v3/deliveries/{id}
    GET /api/v3/deliveries/{id}/attempts
    GET /api/v3/deliveries/{id}/attempts/{attempt}/body
    GET /api/v3/engine
    GET /api/v3/engine/figures
    GET /api/v3/engine/hooks
    GET /api/v3/events
    GET /api/v3/events/{id}
    GET /api/v3/events/{id}/deliveries
    GET /api/v3/events/{id}/matches
    GET /api/v3/health
    GET /api/v3/hooks
    GET /api/v3/hooks/{id}
    GET /api/v3/hooks/{id}/missed
    GET /api/v3/hooks/{id}/secret
    GET /api/v3/hooks/{id}/signing-keys
    GET /api/v3/hooks/{id}/stats
    GET /api/v3/jobs
    GET /api/v3/jobs/{id}
    GET /api/v3/keys
    GET /api/v3/logins
    GET /api/v3/nodes
    GET /api/v3/openapi.json
    GET /api/v3/operator-keys
    GET /api/v3/plugins
    GET /api/v3/plugins/{name}
    GET /api/v3/plugins/{name}/versions
    GET /api/v3/plugins/{name}/wasm
    GET /api/v3/projects
    GET /api/v3/stream
    GET /api/v3/tenants
    GET /api/v3/tenants/{id}
    GET /api/v3/tenants/{id}/deletion
    GET /api/v3/tenants/{id}/export
    GET /api/v3/tenants/{id}/jwks.json
    GET /api/v3/tenants/{id}/stats
    GET /health
    GET /health/live
    PATCH /api/v3/engine
    PATCH /api/v3/hooks/{id}
    PATCH /api/v3/keys/{id}
    PATCH /api/v3/operator-keys/{id}
    PATCH /api/v3/tenants/{id}
    POST /api/v3/console-links
    POST /api/v3/deliveries/cancellations
    POST /api/v3/deliveries/retries
    POST /api/v3/deliveries/{id}/cancel
    POST /api/v3/deliveries/{id}/retry
    POST /api/v3/events
    POST /api/v3/events/batch
    POST /api/v3/events/{id}/deliveries
    POST /api/v3/hooks
    POST /api/v3/hooks/{id}/compare
    POST /api/v3/hooks/{id}/handshake
    POST /api/v3/hooks/{id}/preview
    POST /api/v3/hooks/{id}/recover
    POST /api/v3/hooks/{id}/replays
    POST /api/v3/hooks/{id}/secret/rotate
    POST /api/v3/hooks/{id}/signing-keys/rotate
    POST /api/v3/hooks/{id}/test
    POST /api/v3/jobs/{id}/cancel
    POST /api/v3/jobs/{id}/pause
    POST /api/v3/jobs/{id}/resume
    POST /api/v3/keys
    POST /api/v3/keys/{id}/rotate
    POST /api/v3/logins
    POST /api/v3/operator-keys
    POST /api/v3/plugins/{name}/run
    POST /api/v3/projects
    POST /api/v3/tenants
    PUT /api/v3/apizee/webhook
    PUT /api/v3/hooks/{id}
    PUT /api/v3/plugins/{name}
";

fn written() -> Value {
    document().unwrap()
}

/// The target of a reference; any other value itself.
fn resolved<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(reference.strip_prefix('#').unwrap()).unwrap(),
        None => value,
    }
}

fn each_operation(document: &Value) -> Vec<(String, &Value)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.push((format!("{} {path}", method.to_uppercase()), operation));
        }
    }
    all
}

#[test]
fn every_route_is_described() {
    let document = written();
    let described: BTreeSet<_> = each_operation(&document).into_iter().map(|(route, _)| route).collect();
    let listed: BTreeSet<_> =
        ROUTES.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    assert_eq!(described, listed);
}

/// The router's `Debug` output contains its paths.
#[test]
fn the_paths_of_the_router_and_of_the_document_are_the_same() {
    let (router, _) = crate::api::v3::routes().split_for_parts();
    let shown = format!("{router:?}");
    let mut routed = BTreeSet::new();
    for part in shown.split('"') {
        // `/` and private paths belong to the fallback.
        if part.len() > 1 && part.starts_with('/') && !part.contains("__private") {
            routed.insert(part.to_owned());
        }
    }
    let document = written();
    let described: BTreeSet<_> = document["paths"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(routed, described);
}

#[test]
fn every_operation_describes_its_errors_and_its_security() {
    let document = written();
    assert_eq!(document["openapi"], "3.1.0");
    for (route, operation) in each_operation(&document) {
        let (method, path) = route.split_once(' ').unwrap();
        let responses = operation["responses"].as_object().unwrap();
        let is_open = operation.get("security").is_some();
        let needs_no_key = ["health", "openapi", "jwks"].iter().any(|part| route.contains(part));
        assert_eq!(is_open, needs_no_key, "{route}");
        assert!(operation["summary"].is_string(), "{route}");
        assert!(responses.keys().any(|status| status.starts_with('2')), "{route}");
        let reads_body = matches!(method, "POST" | "PUT" | "PATCH");
        let may_be_gone = path.contains('{') || (path.ends_with("/webhook") && method != "PUT");
        for (status, told) in [
            ("400", true),
            ("401", !is_open),
            ("403", !is_open),
            ("404", may_be_gone),
            ("405", true),
            ("408", reads_body),
            ("409", reads_body || method == "DELETE"),
            ("413", reads_body),
            ("415", reads_body),
            ("429", true),
            ("500", true),
            ("503", true),
        ] {
            assert_eq!(responses.contains_key(status), told, "{route} {status}");
        }
        for (status, response) in responses.iter().filter(|(status, _)| !status.starts_with('2')) {
            let response = resolved(&document, response);
            let schema = &response["content"]["application/problem+json"]["schema"];
            assert_eq!(schema["$ref"], "#/components/schemas/Problem", "{route} {status}");
            let says_when = response["headers"]["Retry-After"].is_object();
            assert_eq!(says_when, matches!(status.as_str(), "429" | "503"), "{route} {status}");
        }
    }
    assert_eq!(document["components"]["securitySchemes"][SCHEME]["scheme"], "bearer");
}

/// The references that requests contain.
fn sent(document: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut open: Vec<&Value> = each_operation(document)
        .into_iter()
        .flat_map(|(_, operation)| [&operation["requestBody"], &operation["parameters"]])
        .collect();
    while let Some(value) = open.pop() {
        match value {
            Value::Object(members) => {
                if let Some(reference) = value["$ref"].as_str()
                    && names.insert(reference.to_owned())
                {
                    open.push(resolved(document, value));
                }
                open.extend(members.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    names
}

/// Whether the values of this schema have bounds, apart from null.
fn bounded(document: &Value, schema: &Value) -> bool {
    let schema = resolved(document, schema);
    if let Some(alternatives) = schema["oneOf"].as_array() {
        return alternatives.iter().all(|one| bounded(document, one));
    }
    let is = |name: &str| match &schema["type"] {
        Value::Array(types) => types.iter().any(|one| one == name),
        one => one == name,
    };
    let has = |rule: &str| !schema[rule].is_null();
    if is("string") {
        return has("enum") || (has("maxLength") && (has("pattern") || has("format") || has("minLength")));
    }
    if is("integer") {
        return has("minimum") && (has("maximum") || schema["format"] == "int64");
    }
    if is("array") {
        let few = !resolved(document, &schema["items"])["enum"].is_null();
        return (few || has("maxItems")) && bounded(document, &schema["items"]);
    }
    true
}

#[test]
fn every_member_of_a_request_has_its_bounds() {
    let document = written();
    let mut checked = 0;
    for name in sent(&document) {
        let part = document.pointer(name.trim_start_matches('#')).unwrap();
        let Some(properties) = part["properties"].as_object() else { continue };
        for (member, schema) in properties {
            // Clients only send read-only members back unchanged.
            if schema["readOnly"] != true {
                assert!(bounded(&document, schema), "{name}.{member}: {schema}");
                checked += 1;
            }
        }
    }
    assert!(checked > 30, "{checked}");
}

#[test]
fn parameters_and_bodies_are_not_nullable() {
    let document = written();
    for (route, operation) in each_operation(&document) {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let bodies = operation["requestBody"]["content"].as_object().into_iter().flat_map(|all| all.values());
        for holder in parameters.map(|parameter| resolved(&document, parameter)).chain(bodies) {
            assert!(!holder["schema"].to_string().contains("null"), "{route}: {holder}");
        }
    }
    let rotate = &document["paths"]["/api/v3/hooks/{id}/secret/rotate"]["post"]["requestBody"];
    assert_eq!(rotate["required"], false);
}

#[test]
fn enumerations_and_page_items_have_named_schemas() {
    let document = written();
    let schemas = &document["components"]["schemas"];
    for (pointer, name) in [
        ("/Delivery/properties/state", "DeliveryState"),
        ("/Delivery/properties/trigger", "Trigger"),
        ("/Key/properties/scopes/items", "Scope"),
        ("/KeyInput/properties/scopes/items", "Scope"),
        ("/Hook/properties/surface", "Surface"),
        ("/Hook/properties/signing", "Signing"),
        ("/Hook/properties/handshake", "HandshakeKind"),
        ("/HandshakeResult/properties/state", "HandshakeState"),
        ("/OAuth/properties/authentication", "OAuthAuthentication"),
        ("/HookState/properties/name", "HookStateName"),
        ("/HookState/properties/why", "DisabledWhy"),
        ("/Attempt/properties/outcome", "Outcome"),
        ("/LastAttempt/properties/outcome", "Outcome"),
        ("/DeliveryError/properties/kind", "ErrorKind"),
        ("/Fault/properties/kind", "FaultKind"),
        ("/LogLine/properties/level", "LogLevel"),
        ("/Plugin/properties/roles/items", "Role"),
        ("/DryRun/properties/verdict", "Verdict"),
        ("/Job/properties/state", "JobState"),
        ("/Job/properties/kind", "JobKind"),
        ("/ReplayInput/properties/states/items", "FinalState"),
    ] {
        let reference = schemas.pointer(pointer).unwrap_or_else(|| panic!("{pointer}"));
        assert_eq!(reference["$ref"], format!("#/components/schemas/{name}"), "{pointer}");
        assert!(schemas[name]["enum"].as_array().is_some_and(|words| words.len() > 1), "{name}");
    }
    for (name, schema) in schemas.as_object().unwrap() {
        if let Some(item) = name.strip_prefix("Page_") {
            let items = &schema["properties"]["data"]["items"];
            assert_eq!(items["$ref"], format!("#/components/schemas/{item}"), "{name}");
        }
    }
}

#[test]
fn a_patch_has_the_optional_members_of_a_hook() {
    let document = written();
    let schemas = &document["components"]["schemas"];
    let (hook, patch) = (&schemas["HookInput"], &schemas["HookPatch"]);
    let names =
        |schema: &Value| schema["properties"].as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let mut expected = names(hook);
    expected.remove("secret");
    assert_eq!(names(patch), expected);
    assert_eq!(patch["required"], Value::Null);
    let content = &document["paths"]["/api/v3/hooks/{id}"]["patch"]["requestBody"]["content"];
    let schema = &content["application/merge-patch+json"]["schema"];
    assert_eq!(schema["$ref"], "#/components/schemas/HookPatch");
}

#[test]
fn bodies_that_are_not_json_have_the_type_string() {
    let document = written();
    for (path, method, own) in [
        ("/api/v3/events/batch", "post", "application/x-ndjson"),
        ("/api/v3/plugins/{name}", "put", "application/wasm"),
    ] {
        let content = &document["paths"][path][method]["requestBody"]["content"];
        for media_type in [own, "application/octet-stream"] {
            let schema = resolved(&document, &content[media_type]["schema"]);
            assert_eq!(schema["type"], "string", "{path} {media_type}");
        }
    }
}

#[test]
fn optional_members_of_responses_are_not_nullable() {
    let document = written();
    let sent = sent(&document);
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let parts = schema["allOf"].as_array().map_or(vec![schema], |parts| parts.iter().collect());
        for part in parts.into_iter().filter(|_| !sent.contains(&format!("#/components/schemas/{name}"))) {
            let required = part["required"].as_array().cloned().unwrap_or_default();
            for (member, schema) in part["properties"].as_object().into_iter().flatten() {
                let null = json!("null");
                let may_be_null = schema["type"].as_array().is_some_and(|types| types.contains(&null))
                    || schema["oneOf"]
                        .as_array()
                        .is_some_and(|all| all.iter().any(|one| one["type"] == null));
                assert!(!may_be_null || required.contains(&json!(member)), "{name}.{member}");
            }
        }
    }
}

#[test]
fn every_reference_has_a_target() {
    let document = written();
    let mut open = vec![&document];
    let mut references = 0;
    while let Some(value) = open.pop() {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    references += 1;
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                open.extend(members.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    assert!(references > 50);
}
