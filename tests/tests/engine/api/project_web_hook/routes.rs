//! All routes, with the documented responses byte for byte.

use serde_json::Value;

use super::{FORM, JSON, WEB_HOOK, engine, text};

#[tokio::test]
async fn a_web_hook_can_be_created_read_changed_and_deleted() {
    let (_server, client) = engine().await;
    let none = r#"{"status":"not found","message":"project 1249918 has no web hook"}"#;
    assert_eq!(text(&client, "GET", WEB_HOOK, "", 404).await, none);
    assert_eq!(text(&client, "DELETE", WEB_HOOK, "", 404).await, none);

    // The documented GET.
    let shown = concat!(
        r#"{"status":"success","message":"success","result":{"client_id":19817472,"project_id":1249918,"#,
        r#""endpoint":"example.com/web_hook","enable_http_authorization":false,"enable_web_hook":true}}"#
    );
    let put = r#"{"endpoint": "example.com/web_hook", "enable_web_hook": "true"}"#;
    assert_eq!(text(&client, "PUT", WEB_HOOK, put, 200).await, shown);
    assert_eq!(text(&client, "GET", WEB_HOOK, "", 200).await, shown);

    // The documented PUT: omitted members keep their values.
    let custom = r#"{"key 1":"value 1","key 2":"value 2","key 3":"value 3"}"#;
    let with_custom = shown.replace(
        r#""enable_web_hook":true"#,
        &format!(r#""enable_web_hook":true,"customer_parameters":{custom},"custom_parameters":{custom}"#),
    );
    let put = format!(r#"{{"custom_parameters": {custom}}}"#);
    assert_eq!(text(&client, "PUT", WEB_HOOK, &put, 200).await, with_custom);
    assert_eq!(text(&client, "PUT", WEB_HOOK, "{}", 200).await, with_custom);
    assert_eq!(text(&client, "PUT", WEB_HOOK, "", 200).await, with_custom);
    assert_eq!(text(&client, "GET", WEB_HOOK, "", 200).await, with_custom);
    let off = with_custom.replace(r#""enable_web_hook":true"#, r#""enable_web_hook":false"#);
    assert_eq!(text(&client, "PUT", WEB_HOOK, r#"{"enable_web_hook": false}"#, 200).await, off);
    assert_eq!(
        text(&client, "PUT", WEB_HOOK, r#"{"custom_parameters": {}}"#, 200).await,
        shown.replace(r#""enable_web_hook":true"#, r#""enable_web_hook":false"#)
    );

    let deleted = r#"{"status":"success","message":"success","result":"deleted"}"#;
    assert_eq!(text(&client, "DELETE", WEB_HOOK, "", 200).await, deleted);
    assert_eq!(text(&client, "GET", WEB_HOOK, "", 404).await, none);
}

#[tokio::test]
async fn a_form_is_equivalent_to_json() {
    let (_server, client) = engine().await;
    let form = "endpoint=https%3A%2F%2Fexample.com%2Fweb_hook&enable_web_hook=false&enable_http_authorization=true\
        &http_authorization_value=Basic+abc&custom_parameters%5Bkey+1%5D=value+1&custom_parameters[key+2]=%C3%BC";
    let by_form = client.send("PUT", WEB_HOOK, form, FORM).await.expect(200);
    client.send("DELETE", WEB_HOOK, "", &[]).await.expect(200);
    let json = r#"{"endpoint": "https://example.com/web_hook", "enable_web_hook": "false",
        "enable_http_authorization": true, "http_authorization_value": "Basic abc",
        "custom_parameters": {"key 1": "value 1", "key 2": "ü"}}"#;
    let by_json = client.send("PUT", WEB_HOOK, json, JSON).await.expect(200);
    assert_eq!(by_form, by_json);
    assert_eq!(by_form["result"]["endpoint"], "example.com/web_hook");
    assert_eq!(by_form["result"]["custom_parameters"]["key 2"], "ü");
}

#[tokio::test]
async fn a_test_requires_an_endpoint() {
    let (_server, client) = engine().await;
    let made = client.send("PUT", WEB_HOOK, r#"{"enable_http_authorization": true}"#, JSON).await.expect(200);
    assert_eq!(made["result"]["endpoint"], Value::Null);
    let path = format!("{WEB_HOOK}/trigger_session_test");
    let refused = text(&client, "POST", &path, "", 400).await;
    assert_eq!(
        refused,
        r#"{"status":"bad request","message":"the web hook has no endpoint; set one with PUT first"}"#
    );
    let made = client.send("PUT", WEB_HOOK, r#"{"endpoint": "example.com"}"#, JSON).await.expect(200);
    assert_eq!(made["result"]["enable_http_authorization"], true);
    assert_eq!(made["result"]["enable_web_hook"], true);
}

#[tokio::test]
async fn a_web_hook_survives_a_restart_and_its_authorization_is_never_shown() {
    let (mut server, client) = engine().await;
    let put = r#"{"endpoint": "example.com/x", "enable_http_authorization": "true",
        "http_authorization_value": "Token do-not-show-me"}"#;
    let before = text(&client, "PUT", WEB_HOOK, put, 200).await;
    let hooks = client.get("/hooks").await;
    hooks.expect(200);
    for shown in [before.as_str(), &text(&client, "GET", WEB_HOOK, "", 200).await] {
        assert!(!shown.contains("do-not-show-me"), "{shown}");
    }
    assert!(!String::from_utf8_lossy(&hooks.bytes).contains("do-not-show-me"));
    server.kill().await;
    assert_eq!(server.stored_with(b"do-not-show-me").await, [""; 0]);
    assert_ne!(server.stored_with(b"https://example.com/").await, [""; 0], "what is not secret is readable");
    let server = server.restart().await;
    let client = client.at(server.base());
    assert_eq!(text(&client, "GET", WEB_HOOK, "", 200).await, before);
}

#[tokio::test]
async fn api_v3_shows_it_and_cannot_change_it() {
    let (_server, client) = engine().await;
    client.send("PUT", WEB_HOOK, r#"{"endpoint": "example.com/x"}"#, JSON).await.expect(200);
    let shown = client.get("/hooks").await.expect(200)["data"][0].clone();
    assert_eq!(
        (&shown["surface"], &shown["project"], &shown["signing"]),
        (&"project-web-hook".into(), &1_249_918.into(), &"none".into())
    );
    let path = format!("/api/v3/hooks/{}", shown["id"].as_str().unwrap());
    client.send("PATCH", &path, r#"{"enabled": false}"#, JSON).await.expect(409);
    client.send("PUT", &path, r#"{"url": "https://example.com", "types": ["*"]}"#, JSON).await.expect(409);
    client.send("POST", &format!("{path}/test"), "", &[]).await.expect(409);
    client.send("POST", &format!("{path}/secret/rotate"), "", &[]).await.expect(409);
    assert_eq!(client.get("/hooks").await.expect(200)["data"][0], shown);
    client.send("DELETE", "/api/v3/projects/1249918", "", &[]).await.expect(409);
    client.send("DELETE", &path, "", &[]).await.expect(204);
    client.send("GET", WEB_HOOK, "", &[]).await.expect(404);
    client.send("DELETE", "/api/v3/projects/1249918", "", &[]).await.expect(204);
}
