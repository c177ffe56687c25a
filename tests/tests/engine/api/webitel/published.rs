//! The requests and responses of the published documentation.

use serde_json::{Value, json};

use super::{call, client_with, create, raw_call, text, webitel};

/// The example response of a list.
const LIST_RESPONSE: &str = include_str!("published/list.response.json");
/// The example request for a new hook.
const CREATE_REQUEST: &str = include_str!("published/create.request.json");
/// The example response to it. The hook in it has another `rawBody` than the request.
const CREATE_RESPONSE: &str = include_str!("published/create.response.json");
/// The token of the examples. It expired in 2017 and was signed with another key.
const TOKEN: &str = include_str!("published/token.txt");

/// The path of both examples. Its domain differs from the token's, which takes precedence.
const PATH: &str = "/hooks?domain=demo.domain.com";

/// Removes insignificant white space from a JSON text.
fn compact(text: &str) -> String {
    let (mut in_string, mut before) = (false, ' ');
    let mut stays = |c: char| {
        in_string ^= c == '"' && before != '\\';
        before = c;
        in_string || !c.is_whitespace()
    };
    text.chars().filter(|c| stays(*c)).collect()
}

/// Replaces the id of the example by `new`.
fn with_id(text: &str, new: &str) -> String {
    let published = ["59802a53a7ec15000c40926a", "598035b7a7ec15000c40926e"];
    published.iter().fold(text.to_owned(), |text, old| text.replace(old, new))
}

#[tokio::test]
async fn the_published_request_gets_the_published_response() {
    let (_server, _, client) = webitel().await;
    let response = raw_call(&client, "POST", PATH, CREATE_REQUEST).await;
    let made = response.expect(200);
    let id = made["data"]["insertedIds"][0].as_str().unwrap();
    // As published, except for the id and for `rawBody`, which is that of the request.
    let sent: Value = serde_json::from_str(CREATE_REQUEST).unwrap();
    let published: Value = serde_json::from_str(CREATE_RESPONSE).unwrap();
    let expected = with_id(CREATE_RESPONSE.trim_end(), id)
        .replace(&published["data"]["ops"][0]["rawBody"].to_string(), &sent["rawBody"].to_string());
    assert_eq!(text(&response), expected);
    assert_eq!(
        text(&response),
        format!(
            r#"{{"status":"OK","data":{{"result":{{"ok":1,"n":1}},"ops":[{{"domain":"demo.webitel.com","event":"CUSTOM->engine::dialer_member_end","enable":true,"description":"Dialer’s member was complited","action":{{"type":"web","method":"POST","url":"https://requestb.in/yoe4hwyo"}},"fields":[],"map":{{}},"filter":{{}},"headers":{{"Content-Type":"application/json"}},"auth":{{"headers":{{}},"map":{{}},"enabled":false}},"customBody":true,"rawBody":"{{ \"dlr_id\": \"${{dialerId}}\", \"member_id\": \"${{id}}\", \"end_cause\": \"${{endCause}}\" }}","_id":"{id}"}}],"insertedCount":1,"insertedIds":["{id}"]}}}}"#
        )
    );
}

#[tokio::test]
async fn the_hook_of_the_published_response_is_returned_byte_for_byte() {
    let (_server, _, client) = webitel().await;
    let (from, to) =
        (CREATE_RESPONSE.find("[{").unwrap() + 1, CREATE_RESPONSE.find("}],\"inserted").unwrap() + 1);
    let response = raw_call(&client, "POST", PATH, &CREATE_RESPONSE[from..to]).await;
    let id = response.expect(200)["data"]["insertedIds"][0].as_str().unwrap().to_owned();
    assert_eq!(text(&response), with_id(CREATE_RESPONSE.trim_end(), &id));
}

#[tokio::test]
async fn the_published_list_is_returned_byte_for_byte() {
    let (_server, _, client) = webitel().await;
    let hook = compact(LIST_RESPONSE);
    let hook = &hook[hook.find("[{").unwrap() + 1..hook.rfind("}]").unwrap() + 1];
    let made = raw_call(&client, "POST", "/hooks", hook.to_owned()).await.expect(200);
    let id = made["data"]["insertedIds"][0].as_str().unwrap();
    let expected = with_id(&compact(LIST_RESPONSE), id);
    // The path of the documentation, and that of its curl example.
    for path in ["/api/v2/hooks?domain=demo.domain.com", "/engine/api/v2/hooks?domain=demo.domain.com"] {
        let response =
            client.send("GET", path, "", &[("accept", "*/*"), ("user-agent", "curl/7.54.0")]).await;
        assert_eq!((response.status, text(&response)), (200, expected.clone()), "{path}");
        assert_eq!(response.headers["content-type"], "application/json", "{path}");
    }
}

#[tokio::test]
async fn the_other_routes_respond_like_the_original_database() {
    let (_server, _, client) = webitel().await;
    let id = create(&client, serde_json::from_str(CREATE_REQUEST).unwrap()).await;
    let path = format!("/hooks/{id}");
    let one = text(&call(&client, "GET", &path, Value::Null).await);
    assert!(
        one.starts_with(&format!(
            r#"{{"status":"OK","data":{{"_id":"{id}","domain":"demo.webitel.com","event":"#
        )),
        "{one}"
    );
    let all = text(&call(&client, "GET", "/hooks", Value::Null).await);
    assert_eq!(all, one.replacen("\"data\":{", "\"data\":[{", 1).replacen("\"}}", "\"}]}", 1));

    let other = r#"{"event":"E","action":{"url":"https://example.com/","type":"web","method":"get"}}"#;
    let replaced = raw_call(&client, "PUT", &path, other).await;
    assert_eq!(text(&replaced), r#"{"status":"OK","data":{"ok":1,"nModified":1,"n":1}}"#);
    let one = call(&client, "GET", &path, Value::Null).await;
    assert_eq!(
        text(&one),
        format!(
            r#"{{"status":"OK","data":{{"_id":"{id}","domain":"demo.webitel.com","event":"E","action":{{"url":"https://example.com/","type":"web","method":"get"}}}}}}"#
        ),
        "the whole hook is replaced, and what is absent stays absent"
    );
    let deleted = call(&client, "DELETE", &path, Value::Null).await;
    assert_eq!((deleted.status, text(&deleted).as_str()), (200, r#"{"status":"OK","data":{"ok":1,"n":1}}"#));

    // A deleted hook, and the id of the example.
    for path in [path.as_str(), "/hooks/59802a53a7ec15000c40926a"] {
        for (method, body, expected) in [
            ("GET", "", r#"{"status":"OK","data":null}"#),
            ("PUT", other, r#"{"status":"OK","data":{"ok":1,"nModified":0,"n":0}}"#),
            ("DELETE", "", r#"{"status":"OK","data":{"ok":1,"n":0}}"#),
        ] {
            let response = raw_call(&client, method, path, body).await;
            assert_eq!((response.status, text(&response).as_str()), (200, expected), "{method} {path}");
        }
    }
    assert_eq!(call(&client, "GET", "/hooks", Value::Null).await.expect(200)["data"], json!([]));
}

#[tokio::test]
async fn the_published_token_is_refused() {
    let (server, _, client) = webitel().await;
    let published = client_with(&server, TOKEN.trim_end());
    for (method, body) in [("GET", ""), ("POST", CREATE_REQUEST)] {
        let response = raw_call(&published, method, PATH, body).await;
        assert_eq!(
            (response.status, text(&response).as_str()),
            (401, r#"{"status":"error","info":"Invalid token"}"#),
            "{method}"
        );
    }
    assert_eq!(call(&client, "GET", "/hooks", Value::Null).await.expect(200)["data"], json!([]));
}

#[tokio::test]
async fn newer_members_are_returned_last_and_only_if_they_were_given() {
    let (_server, _, client) = webitel().await;
    let sent = r#"{"delay":5,"unknown":1,"retries":3,"escapeBody":false,"rawBody":"1","customBody":true,
        "auth":{"cookie":true,"enabled":true,"url":"https://auth.example/","map":{},"more":1},"domain":"globex",
        "action":{"url":"https://example.com/","extra":{},"type":"web","plugin":"field-map@1","method":"Put"},
        "description":null,"_id":"x","event":"E","headers":{"X": 5, "Y": "\u00e9 1e2"},"enable":false}"#;
    let response = raw_call(&client, "POST", "/hooks", sent).await;
    let id = response.expect(200)["data"]["insertedIds"][0].as_str().unwrap().to_owned();
    let members = r#""event":"E","enable":false,"action":{"url":"https://example.com/","type":"web","plugin":"field-map@1","method":"Put"},"headers":{"X":5,"Y":"\u00e9 1e2"},"auth":{"cookie":true,"enabled":true,"url":"https://auth.example/","map":{}},"customBody":true,"rawBody":"1","escapeBody":false,"retries":3,"delay":5"#;
    let ops = format!(r#""ops":[{{"domain":"demo.webitel.com",{members},"_id":"{id}"}}]"#);
    assert!(text(&response).contains(&ops), "{}", text(&response));
    let one = text(&call(&client, "GET", &format!("/hooks/{id}"), Value::Null).await);
    assert_eq!(
        one,
        format!(r#"{{"status":"OK","data":{{"_id":"{id}","domain":"demo.webitel.com",{members}}}}}"#)
    );
}
