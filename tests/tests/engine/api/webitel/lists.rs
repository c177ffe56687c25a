//! `GET /hooks`: paging and columns.

use serde_json::{Value, json};

use super::{call, create, hook, text, webitel};

#[tokio::test]
async fn pages_are_in_the_order_of_creation() {
    let (_server, _, client) = webitel().await;
    let mut ids = Vec::new();
    for number in 0..45 {
        let url = format!("https://example.com/{number}");
        ids.push(create(&client, hook("E", &url, json!({}))).await);
    }
    for (query, range) in [
        ("", 0..40),
        ("?page=1", 0..40),
        ("?page=2", 40..45),
        ("?limit=0", 0..40),
        ("?limit=ten", 0..40),
        ("?limit=&page=", 0..40),
        ("?limit=-1&page=-1", 0..40),
        ("?limit=100", 0..45),
        ("?limit=10&page=0", 0..10),
        ("?limit=10&page=1", 0..10),
        ("?limit=10&page=2", 10..20),
        ("?page=5&limit=10", 40..45),
        ("?page=6&limit=10", 45..45),
        ("?page=99999999999&limit=99999999999", 45..45),
    ] {
        let list = call(&client, "GET", &format!("/hooks{query}"), Value::Null).await.expect(200);
        let listed: Vec<_> =
            list["data"].as_array().unwrap().iter().map(|hook| hook["_id"].as_str().unwrap()).collect();
        assert_eq!(listed, ids[range], "{query}");
    }
}

#[tokio::test]
async fn columns_select_members_and_the_id() {
    let (_server, _, client) = webitel().await;
    let members = json!({"fields": ["a"], "filter": {"x": {"operation": "==", "value": 1}}, "enable": false});
    let id = create(&client, hook("E", "https://example.com/", members)).await;
    let second = create(&client, hook("F", "https://example.com/", json!({}))).await;
    for (columns, of_first, of_second) in [
        ("event", r#","event":"E""#, r#","event":"F""#),
        ("enable,event", r#","event":"E","enable":false"#, r#","event":"F","enable":true"#),
        ("_id", "", ""),
        ("nothing,fields", r#","fields":["a"]"#, ""),
        (
            "domain,%20action.url",
            r#","domain":"demo.webitel.com","action":{"url":"https://example.com/"}"#,
            r#","domain":"demo.webitel.com","action":{"url":"https://example.com/"}"#,
        ),
        ("action.gone", r#","action":{}"#, r#","action":{}"#),
        ("filter.x.value", r#","filter":{"x":{"value":1}}"#, ""),
        ("event.x,filter.x.value.y", r#","filter":{"x":{}}"#, ""),
        (
            "action.type,action.url,action.type",
            r#","action":{"type":"web","url":"https://example.com/"}"#,
            r#","action":{"type":"web","url":"https://example.com/"}"#,
        ),
    ] {
        let list = text(&call(&client, "GET", &format!("/hooks?columns={columns}"), Value::Null).await);
        let expected = format!(
            r#"{{"status":"OK","data":[{{"_id":"{id}"{of_first}}},{{"_id":"{second}"{of_second}}}]}}"#
        );
        assert_eq!(list, expected, "{columns}");
    }
    let all = text(&call(&client, "GET", "/hooks", Value::Null).await);
    for columns in ["", ",", "%20,"] {
        assert_eq!(text(&call(&client, "GET", &format!("/hooks?columns={columns}"), Value::Null).await), all);
    }
}

#[tokio::test]
async fn hooks_of_other_apis_do_not_exist_here() {
    let (_server, engine, client) = webitel().await;
    let own = engine.post("/hooks", json!({"url": "https://example.com/", "types": ["E"]})).await.expect(201);
    assert_eq!(call(&client, "GET", "/hooks", Value::Null).await.expect(200)["data"], json!([]));
    let id = create(&client, hook("E", "https://example.com/a", json!({"description": "d"}))).await;
    let listed = engine.get("/hooks").await.expect(200);
    let shown = &listed["data"][1];
    assert_eq!(
        (&shown["surface"], &shown["url"], &shown["types"], &shown["signing"], &shown["description"]),
        (&json!("webitel"), &json!("https://example.com/a"), &json!(["E"]), &json!("none"), &json!("d"))
    );
    // The id of a hook of API v3 in the format of this API.
    let engines = own["id"].as_str().unwrap();
    let foreign = webitel_id(engines);
    assert_eq!(webitel_id(shown["id"].as_str().unwrap()), id);
    let path = format!("/hooks/{foreign}");
    assert_eq!(call(&client, "GET", &path, Value::Null).await.expect(200)["data"], Value::Null);
    let put = call(&client, "PUT", &path, hook("E", "https://example.com/b", json!({}))).await.expect(200);
    assert_eq!(put["data"], json!({"ok": 1, "nModified": 0, "n": 0}));
    let deleted = call(&client, "DELETE", &path, Value::Null).await.expect(200);
    assert_eq!(deleted["data"], json!({"ok": 1, "n": 0}));
    assert_eq!(engine.get(&format!("/hooks/{engines}")).await.expect(200), own);
}

/// Converts an id of API v3 to the format of this API.
fn webitel_id(id: &str) -> String {
    let id: hookwright::domain::HookId = id.parse().unwrap();
    format!("{:08x}{:016x}", id.created_at().unix_seconds(), id.0)
}
