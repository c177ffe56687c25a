//! Compares the OpenAPI document with the engine: paths, methods, and constraints of request members.

mod keys;

use std::collections::BTreeSet;

use hookwright_tests::{Client, Response, Server};
use regress::Regex;
use serde_json::{Map, Value, json};

use crate::BINARY;

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

async fn document(client: &Client) -> Value {
    client.get("/openapi.json").await.expect(200)
}

#[tokio::test]
async fn every_path_accepts_exactly_the_described_methods() {
    // One address may not send as many requests without a key as there are routes.
    let server = Server::start_with(BINARY, &[("HOOKWRIGHT_TRUSTED_PROXIES", "127.0.0.1")]).await;
    let client = server.tenant("document").await;
    for (number, (path, item)) in document(&client).await["paths"].as_object().unwrap().iter().enumerate() {
        let anonymous =
            client.clone().without_key().with_header("x-forwarded-for", &format!("192.0.2.{number}"));
        let described: BTreeSet<&str> = item.as_object().unwrap().keys().map(String::as_str).collect();
        // An open route answers for any id of the right form.
        let id = if path.ends_with("/jwks.json") { "ten_0000000000001" } else { "1" };
        let url = path.replace("{id}", id).replace("{name}", "none");
        for method in METHODS {
            let response = anonymous.send(&method.to_uppercase(), &url, "", &[]).await;
            let is_open = item[method].get("security").is_some();
            let expected = match described.contains(method) {
                true if is_open => 200,
                true => 401,
                false => 405,
            };
            assert_eq!(response.status, expected, "{method} {path}");
            if expected == 405 {
                let allowed = response.headers["allow"].to_str().unwrap().to_lowercase();
                let allowed: BTreeSet<&str> = allowed.split(',').filter(|name| *name != "head").collect();
                assert_eq!(allowed, described, "{path}");
            }
        }
    }
}

/// A valid request: the operation, and a body that contains every kind of nested object.
struct Sample {
    method: &'static str,
    path: &'static str,
    url: String,
    body: Value,
    by_operator: bool,
}

/// Returns a sample for each operation with a JSON body.
async fn samples(client: &Client) -> Vec<Sample> {
    client.post("/projects", json!({"id": 7})).await.expect(201);
    let hook = json!({
        "url": "http://127.0.0.1:9/", "types": ["never.*"], "project": 7, "enabled": true, "description": "a hook",
        "headers": {"x-one": "1"}, "pipeline": [{"plugin": "field-map", "settings": {}}], "timeout_ms": 1_000,
        "retry": {"schedule_s": [5]}, "signing": "both",
        "signature_headers": {"id": "a-id", "timestamp": "a-timestamp", "signature": "a-signature"},
    });
    let made = client.post("/hooks", hook.clone()).await.expect(201);
    let id = made["id"].as_str().unwrap();
    let event = json!({"type": "a.b", "data": {}, "project": 7, "occurred_at": "2026-06-01T09:30:00Z"});
    let time = "2026-06-01T09:30:00Z";
    let recovery = json!({"since": time, "until": time, "after": "evt_01m8rz4g3k2v7"});
    let pipeline = json!([{"plugin": "field-map", "settings": {}}]);
    let replay = json!({
        "since": "2020-01-01T00:00:00Z", "until": "2021-01-01T00:00:00Z", "types": ["never.*"], "states": ["exhausted"],
        "missed": true, "max_per_second": 5, "dry_run": true,
    });
    let deliveries = json!({
        "hook": id, "event": "never", "states": ["waiting"], "type": "never.*", "since": "2020-01-01T00:00:00Z",
        "until": "2021-01-01T00:00:00Z",
    });
    let mut retries = deliveries.clone();
    retries["max_per_second"] = json!(5);
    let stored = client.publish("a.b", json!({})).await;
    let sample = |method, path: &'static str, body| Sample {
        method,
        path,
        url: path
            .replace("tenants/{id}", "tenants/acme")
            .replace("events/{id}", &format!("events/{stored}"))
            .replace("{id}", id)
            .replace("{name}", "field-map"),
        body,
        by_operator: path.starts_with("/api/v3/tenants") || path == "/api/v3/engine",
    };
    vec![
        sample("post", "/api/v3/tenants", json!({"name": "second.example", "client_id": 5})),
        sample("patch", "/api/v3/tenants/{id}", json!({"paused": false})),
        sample("patch", "/api/v3/engine", json!({"paused": false})),
        sample("post", "/api/v3/hooks/{id}/recover", recovery),
        sample("post", "/api/v3/hooks/{id}/replays", replay),
        sample("post", "/api/v3/deliveries/retries", retries),
        sample("post", "/api/v3/deliveries/cancellations", deliveries),
        sample("post", "/api/v3/projects", json!({"id": 8, "name": "eight"})),
        sample("post", "/api/v3/logins", json!({"name": "login", "secret": "long-enough-secret"})),
        sample("post", "/api/v3/events", event.clone()),
        sample("post", "/api/v3/events/{id}/deliveries", json!({"hook": id})),
        sample("post", "/api/v3/hooks", hook.clone()),
        sample("put", "/api/v3/hooks/{id}", hook.clone()),
        sample("patch", "/api/v3/hooks/{id}", hook),
        sample("post", "/api/v3/hooks/{id}/preview", json!({"event": event, "pipeline": pipeline})),
        sample("post", "/api/v3/hooks/{id}/compare", json!({"pipeline": pipeline, "events": 5})),
        sample("post", "/api/v3/hooks/{id}/test", json!({"type": "a.b", "data": {}})),
        sample("post", "/api/v3/hooks/{id}/secret/rotate", json!({})),
        sample("post", "/api/v3/hooks/{id}/signing-keys/rotate", json!({})),
        sample("post", "/api/v3/plugins/{name}/run", json!({"event": event, "settings": {}})),
        sample(
            "put",
            "/api/v3/apizee/webhook",
            json!({"url": "http://127.0.0.1:9/", "enabled": false, "types": ["*"], "headers": {"x-one": "1"}}),
        ),
    ]
}

#[tokio::test]
async fn values_that_violate_the_document_are_refused_and_allowed_nulls_are_accepted() {
    let server = Server::start(BINARY).await;
    let (client, operator) = (server.tenant("acme").await, server.operator());
    let document = document(&client).await;
    let mut samples = samples(&client).await;
    samples.extend(keys::samples(&client, &operator).await);
    assert_eq!(
        samples.iter().map(|sample| (sample.path, sample.method)).collect::<BTreeSet<_>>(),
        operations_with_json(&document)
    );
    let mut failures = Vec::new();
    let mut tried = 0;
    for sample in &samples {
        let client = if sample.by_operator { &operator } else { &client };
        let operation = &document["paths"][sample.path][sample.method];
        let (media_type, schema) = json_body(operation).unwrap();
        let taken = send(client, sample, media_type, &sample.body).await;
        assert!(taken.status < 300, "{} {}: {}", sample.method, sample.path, taken.json());
        for Case { at, value, rule } in cases(&document, schema, &sample.body) {
            let mut body = sample.body.clone();
            put(&mut body, &at, value.clone());
            let response = send(client, sample, media_type, &body).await;
            let documented = operation["responses"].get(response.status.to_string()).is_some();
            let is_refused = matches!(response.status, 400 | 413);
            tried += 1;
            if !documented || is_refused != rule.refuses() || (is_refused && !points_to(&response, &at)) {
                let shown: String = value.to_string().chars().take(60).collect();
                failures.push(format!(
                    "{} {} {at:?} {shown} {rule:?}: {} {}",
                    sample.method,
                    sample.path,
                    response.status,
                    response.json()["detail"]
                ));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {tried}:\n{}", failures.len(), failures.join("\n"));
    assert!(tried > 300, "{tried}");
}

fn operations_with_json(document: &Value) -> BTreeSet<(&str, &str)> {
    let mut all = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if json_body(operation).is_some() {
                all.insert((path.as_str(), method.as_str()));
            }
        }
    }
    all
}

fn json_body(operation: &Value) -> Option<(&str, &Value)> {
    let content = operation["requestBody"]["content"].as_object()?;
    content
        .iter()
        .find(|(name, _)| name.ends_with("json") && *name != "application/x-ndjson")
        .map(|(name, content)| (name.as_str(), &content["schema"]))
}

async fn send(client: &Client, sample: &Sample, media_type: &str, body: &Value) -> Response {
    let headers = [("content-type", media_type)];
    client.send(&sample.method.to_uppercase(), &sample.url, body.to_string(), &headers).await
}

/// Whether a refusal names the member, a part of it, or the object in which it is missing.
fn points_to(response: &Response, at: &[String]) -> bool {
    let actual = response.json()["pointer"].as_str().unwrap_or_default().to_owned();
    let pointer: String = at.iter().map(|segment| format!("/{segment}")).collect();
    actual.starts_with(&pointer) || pointer.starts_with(&actual)
}

/// A value to insert, and the rule of the document that applies to it.
struct Case {
    at: Vec<String>,
    value: Value,
    rule: Rule,
}

#[derive(Debug)]
enum Rule {
    NullAllowed,
    NullRuledOut,
    WrongType,
    TooShort,
    TooLong,
    Pattern,
    NotOneOf,
    TooSmall,
    TooLarge,
    NotWhole,
    TooFew,
    TooMany,
    Unknown,
}

impl Rule {
    fn refuses(&self) -> bool {
        !matches!(self, Self::NullAllowed)
    }
}

/// Returns invalid values for each member of `body`, and for each member that it could have.
fn cases(document: &Value, schema: &Value, body: &Value) -> Vec<Case> {
    let mut all = Vec::new();
    members(document, schema, body, &[], &mut all);
    all
}

fn members(document: &Value, schema: &Value, body: &Value, at: &[String], all: &mut Vec<Case>) {
    let schema = resolved(document, schema);
    let properties = schema["properties"].as_object().cloned().unwrap_or_default();
    if schema["additionalProperties"] == false {
        all.push(Case { at: below(at, "unheard-of"), value: json!(1), rule: Rule::Unknown });
    }
    for (name, member) in &properties {
        if member["readOnly"] != true {
            value(document, member, body.get(name), &below(at, name), all);
        }
    }
    if let Some(each) = schema.get("additionalProperties").filter(|each| each.is_object()) {
        for (name, shown) in body.as_object().unwrap_or(&Map::new()) {
            value(document, each, Some(shown), &below(at, name), all);
        }
    }
    if let Some(most) = schema["maxProperties"].as_u64() {
        let many: Map<_, _> = (0..=most).map(|number| (format!("x-{number}"), json!("v"))).collect();
        all.push(Case { at: at.to_vec(), value: many.into(), rule: Rule::TooMany });
    }
}

/// Adds invalid values for a schema.
fn value(document: &Value, schema: &Value, shown: Option<&Value>, at: &[String], all: &mut Vec<Case>) {
    let (alternatives, may_be_null) = alternatives(document, schema);
    if alternatives.iter().all(|one| one["type"].is_null()) {
        return; // Any value is allowed.
    }
    let mut add = |value: Value, rule: Rule| all.push(Case { at: at.to_vec(), value, rule });
    add(Value::Null, if may_be_null { Rule::NullAllowed } else { Rule::NullRuledOut });
    let takes = |name: &str| alternatives.iter().any(|one| types(one).contains(&name));
    let wrong =
        [("boolean", json!(true)), ("array", json!([])), ("object", json!({})), ("string", json!("7"))];
    for (_, value) in wrong.into_iter().filter(|(name, _)| !takes(name)) {
        add(value, Rule::WrongType);
    }
    if let [only] = alternatives[..] {
        bounds(only, shown, &mut add);
    }
    for one in &alternatives {
        if let (Some(shown), true) = (shown, takes("object")) {
            members(document, one, shown, at, all);
        }
        if let (Some(Value::Array(items)), Some(schema)) = (shown, one.get("items"))
            && let Some(first) = items.first()
        {
            value(document, schema, Some(first), &below(at, "0"), all);
        }
    }
}

fn bounds(schema: &Value, shown: Option<&Value>, add: &mut impl FnMut(Value, Rule)) {
    let bound = |name: &str| schema[name].as_u64();
    if types(schema).contains(&"string") {
        if !schema["enum"].is_null() {
            return add(json!("no-such-word"), Rule::NotOneOf);
        }
        if let Some(least) = bound("minLength") {
            add(json!("a".repeat(least as usize - 1)), Rule::TooShort);
        }
        if let Some(most) = bound("maxLength") {
            let shown = shown.and_then(Value::as_str).unwrap_or_default();
            let fill = "a".repeat((most as usize + 1).saturating_sub(shown.len()));
            add(json!(format!("{shown}{fill}")), Rule::TooLong);
        }
        if let Some(pattern) = schema["pattern"].as_str() {
            let pattern = Regex::with_flags(pattern, "u").expect("a pattern is a regular expression");
            for text in INVALID_TEXTS.iter().filter(|text| pattern.find(text).is_none()) {
                add(json!(text), Rule::Pattern);
            }
        }
        if schema["format"] == "date-time" {
            add(json!("yesterday, at about noon"), Rule::Pattern);
        }
    }
    if types(schema).contains(&"integer") {
        add(json!(1.5), Rule::NotWhole);
        if let Some(least) = schema["minimum"].as_f64() {
            add(json!(least as i64 - 1), Rule::TooSmall);
        }
        if let Some(most) = schema["maximum"].as_f64() {
            add(json!(most as i64 + 1), Rule::TooLarge);
        }
    }
    if types(schema).contains(&"array") {
        if let Some(least) = bound("minItems") {
            add(json!(vec![Value::Null; least as usize - 1]), Rule::TooFew);
        }
        if let (Some(most), Some(item)) = (bound("maxItems"), shown.and_then(|shown| shown.get(0))) {
            add(json!(vec![item; most as usize + 1]), Rule::TooMany);
        }
    }
}

/// Texts that violate most patterns. Each is long enough not to violate only a minimum length.
const INVALID_TEXTS: [&str; 12] = [
    "with space in the middle, and a comma; and a colon:",
    "tab\tin the middle of a text which is long enough to be a secret",
    "line\nbreak in the middle of a text which is long enough to be one",
    "nul\u{0}in the middle of a text which is long enough to be a secret",
    "middle*asterisk",
    "ümläut",
    "UPPER.case",
    "-begins-with-a-hyphen",
    "evt_01m8rz4g3k2v7",
    "name@0",
    "ftp://example.com/",
    "https://user@example.com/#fragment",
];

/// Returns the possible schemas of a value without null, and whether it may be null.
fn alternatives<'d>(document: &'d Value, schema: &'d Value) -> (Vec<&'d Value>, bool) {
    let schema = resolved(document, schema);
    let all: Vec<&Value> = match schema["oneOf"].as_array() {
        Some(all) => all.iter().map(|one| resolved(document, one)).collect(),
        None => vec![schema],
    };
    let may_be_null = all.iter().any(|one| types(one).contains(&"null"));
    (all.into_iter().filter(|one| types(one) != ["null"]).collect(), may_be_null)
}

fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}

fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    match schema["$ref"].as_str() {
        Some(reference) => {
            document.pointer(reference.trim_start_matches('#')).expect("the reference is valid")
        }
        None => schema,
    }
}

fn below(at: &[String], name: &str) -> Vec<String> {
    at.iter().cloned().chain([name.to_owned()]).collect()
}

fn put(body: &mut Value, at: &[String], value: Value) {
    let (last, parents) = at.split_last().expect("a member has a name");
    let mut place = body;
    for name in parents {
        place = match place {
            Value::Array(items) => &mut items[name.parse::<usize>().expect("an index")],
            object => &mut object[name],
        };
    }
    match place {
        Value::Array(items) => items[last.parse::<usize>().expect("an index")] = value,
        object => object[last] = value,
    }
}
