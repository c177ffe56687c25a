use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

/// Every route of v3. One that is added stands here, too.
const ROUTES: &str = "
    DELETE /api/v3/hooks/{id}
    DELETE /api/v3/apizee/webhook
    DELETE /api/v3/keys/{id}
    DELETE /api/v3/logins/{name}
    DELETE /api/v3/plugins/{name}
    DELETE /api/v3/projects/{id}
    GET /api/v3/apizee/webhook
    GET /api/v3/deliveries
    GET /api/v3/deliveries/{id}
    GET /api/v3/events/{id}
    GET /api/v3/events/{id}/deliveries
    GET /api/v3/health
    GET /api/v3/hooks
    GET /api/v3/hooks/{id}
    GET /api/v3/hooks/{id}/secret
    GET /api/v3/keys
    GET /api/v3/logins
    GET /api/v3/openapi.json
    GET /api/v3/plugins
    GET /api/v3/plugins/{name}
    GET /api/v3/plugins/{name}/versions
    GET /api/v3/plugins/{name}/wasm
    GET /api/v3/projects
    GET /api/v3/tenants
    GET /api/v3/tenants/{id}
    GET /health
    PATCH /api/v3/hooks/{id}
    POST /api/v3/deliveries/{id}/cancel
    POST /api/v3/deliveries/{id}/retry
    POST /api/v3/events
    POST /api/v3/events/batch
    POST /api/v3/hooks
    POST /api/v3/hooks/{id}/preview
    POST /api/v3/hooks/{id}/secret/rotate
    POST /api/v3/hooks/{id}/test
    POST /api/v3/keys
    POST /api/v3/logins
    POST /api/v3/plugins/{name}/run
    POST /api/v3/projects
    POST /api/v3/tenants
    PUT /api/v3/apizee/webhook
    PUT /api/v3/hooks/{id}
    PUT /api/v3/plugins/{name}
";

fn written() -> Value {
    serde_json::to_value(document()).unwrap()
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

/// The router's own description of itself names the paths that it answers.
#[test]
fn every_path_of_the_router_is_described_and_the_other_way_round() {
    let (router, _) = crate::api::v3::routes().split_for_parts();
    let shown = format!("{router:?}");
    let mut answered = BTreeSet::new();
    for part in shown.split('"') {
        // `/` alone and what is private belong to the fallback.
        if part.len() > 1 && part.starts_with('/') && !part.contains("__private") {
            answered.insert(part.to_owned());
        }
    }
    let document = written();
    let described: BTreeSet<_> = document["paths"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(answered, described);
}

#[test]
fn every_operation_tells_its_problems_and_who_may() {
    let document = written();
    assert_eq!(document["openapi"], "3.1.0");
    for (route, operation) in each_operation(&document) {
        let responses = operation["responses"].as_object().unwrap();
        let is_open = operation.get("security").is_some();
        assert_eq!(is_open, route.contains("health") || route.contains("openapi"), "{route}");
        assert!(operation["summary"].is_string(), "{route}");
        assert!(responses.keys().any(|status| status.starts_with('2')), "{route}");
        assert_eq!(responses.contains_key("401"), !is_open, "{route}");
        assert_eq!(responses.contains_key("404"), route.contains('{'), "{route}");
        for (status, response) in responses.iter().filter(|(status, _)| !status.starts_with('2')) {
            assert!(response["content"]["application/problem+json"].is_object(), "{route} {status}");
        }
    }
    assert_eq!(document["components"]["securitySchemes"][SCHEME]["scheme"], "bearer");
}

#[test]
fn every_reference_leads_somewhere() {
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
