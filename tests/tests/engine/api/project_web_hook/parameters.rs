//! Invalid parameters are refused in the format of this API and change nothing.

use super::{FORM, JSON, WEB_HOOK, engine, text};

/// A body, and part of the expected message.
type Case = (String, &'static str);

fn json_cases() -> Vec<Case> {
    let many: Vec<_> = (0..101).map(|number| format!("\"{number}\": \"\"")).collect();
    let many = format!(r#"{{"custom_parameters": {{{}}}}}"#, many.join(","));
    let long = format!(r#"{{"http_authorization_value": "{}"}}"#, "x".repeat(5_000));
    let long_endpoint = format!(r#"{{"endpoint": "example.com/{}"}}"#, "x".repeat(3_000));
    // Percent-encoding makes it longer than allowed.
    let escaped_endpoint = format!(r#"{{"endpoint": "example.com/{}"}}"#, "\u{fc}".repeat(900));
    let cases = vec![
        ("{", "JSON"),
        ("[]", "object"),
        ("null", "object"),
        ("\"endpoint\"", "object"),
        (r#"{"endpoint": "example.com/a"} x"#, ""),
        (r#"{"endpoint": "example.com/a", "endpoint": "example.com/b"}"#, "endpoint"),
        (r#"{"endpoint": 5}"#, "endpoint must be a String"),
        (r#"{"endpoint": null}"#, "endpoint must be a String"),
        (r#"{"endpoint": true}"#, "endpoint must be a String"),
        (r#"{"endpoint": ["example.com"]}"#, "endpoint must be a String"),
        (r#"{"endpoint": {"a": 1}}"#, "endpoint must be a String"),
        (r#"{"endpoint": ""}"#, "endpoint"),
        (r#"{"endpoint": "http://example.com"}"#, "HTTPS"),
        (r#"{"endpoint": "ftp://example.com"}"#, "HTTPS"),
        (r#"{"endpoint": "https://"}"#, "endpoint"),
        (r#"{"endpoint": "/path"}"#, "endpoint"),
        (r#"{"endpoint": "example.com/a b"}"#, "endpoint"),
        (r#"{"endpoint": "u:p@example.com"}"#, "endpoint"),
        (r#"{"endpoint": "example.com:99999"}"#, "endpoint"),
        (r#"{"endpoint": "example.com#part"}"#, "endpoint"),
        (escaped_endpoint.as_str(), "endpoint"),
        (long_endpoint.as_str(), "endpoint"),
        (r#"{"enable_web_hook": 1}"#, "enable_web_hook must be"),
        (r#"{"enable_web_hook": null}"#, "enable_web_hook must be"),
        (r#"{"enable_web_hook": "yes"}"#, "enable_web_hook must be"),
        (r#"{"enable_web_hook": "True"}"#, "enable_web_hook must be"),
        (r#"{"enable_web_hook": ""}"#, "enable_web_hook must be"),
        (r#"{"enable_web_hook": ["true"]}"#, "enable_web_hook must be"),
        (r#"{"enable_http_authorization": 0}"#, "enable_http_authorization must be"),
        (r#"{"enable_http_authorization": "on"}"#, "enable_http_authorization must be"),
        (r#"{"enable_http_authorization": {}}"#, "enable_http_authorization must be"),
        (r#"{"http_authorization_value": 5}"#, "http_authorization_value must be a String"),
        (r#"{"http_authorization_value": null}"#, "http_authorization_value must be a String"),
        (r#"{"http_authorization_value": {"a": "b"}}"#, "http_authorization_value must be a String"),
        (r#"{"http_authorization_value": "a\nb: c"}"#, "http_authorization_value must be a valid"),
        (long.as_str(), "http_authorization_value must be a valid"),
        (r#"{"custom_parameters": "a"}"#, "custom_parameters must be a Hash"),
        (r#"{"custom_parameters": null}"#, "custom_parameters must be a Hash"),
        (r#"{"custom_parameters": [["a", "b"]]}"#, "custom_parameters must be a Hash"),
        (r#"{"custom_parameters": 1}"#, "custom_parameters must be a Hash"),
        (r#"{"custom_parameters": {"a": 1, "a": 2}}"#, "a"),
        (many.as_str(), "custom_parameters has at most 100"),
        (r#"{"customer_parameters": {"a": "b"}}"#, "unknown parameter `customer_parameters`"),
        (r#"{"enable_webhook": "true"}"#, "unknown parameter `enable_webhook`"),
        (r#"{"project_id": 1}"#, "project_id differs from the number in the path"),
        // The first is valid, the second is not.
        (r#"{"endpoint": "example.com/b", "enable_web_hook": "maybe"}"#, "enable_web_hook must be"),
    ];
    cases.into_iter().map(|(body, expected)| (body.to_owned(), expected)).collect()
}

fn form_cases() -> Vec<Case> {
    let many_form: String = (0..5_000).map(|number| format!("custom_parameters[{number}]=&")).collect();
    // JSON escapes need more space than the form.
    let large_form = format!("custom_parameters[a]={}", "%01".repeat(60_000));
    let cases = vec![
        ("endpoint=a.example&endpoint=b.example", "endpoint is duplicated"),
        ("enable_web_hook=1", "enable_web_hook must be"),
        ("custom_parameters=", "custom_parameters must be a Hash"),
        ("custom_parameters[]=1", "custom_parameters[name]"),
        ("custom_parameters[a][b]=1", "custom_parameters[name]"),
        (many_form.as_str(), "custom_parameters has at most 100"),
        (large_form.as_str(), "custom_parameters have at most"),
        ("custom_parameters[a]=1&custom_parameters[a]=2", "is duplicated"),
        ("{\"endpoint\":\"x\"}", "unknown parameter"),
        ("endpoint=http%3A%2F%2Fexample.com", "HTTPS"),
    ];
    cases.into_iter().map(|(body, expected)| (body.to_owned(), expected)).collect()
}

#[tokio::test]
async fn invalid_parameters_are_refused_with_the_reason_and_change_nothing() {
    let (_server, client) = engine().await;
    let put = r#"{"endpoint": "example.com/a", "custom_parameters": {"a": "1"}}"#;
    let before = text(&client, "PUT", WEB_HOOK, put, 200).await;
    let json = json_cases().into_iter().map(|(body, expected)| (body, expected, JSON));
    let forms = form_cases().into_iter().map(|(body, expected)| (body, expected, FORM));
    for (body, expected, headers) in json.chain(forms) {
        let response = client.send("PUT", WEB_HOOK, body.clone(), headers).await;
        let refused = response.expect(400);
        assert_eq!(refused["status"], "bad request", "{body}");
        assert!(refused["message"].as_str().unwrap().contains(expected), "{body}: {refused}");
        assert!(refused.get("result").is_none(), "{body}");
    }
    for (headers, body, status, words) in [
        (&[("content-type", "text/plain")][..], "endpoint=x", 415, "unsupported media type"),
        (&[("content-type", "multipart/form-data")][..], "endpoint=x", 415, "unsupported media type"),
        (JSON, &"x".repeat(300_000)[..], 413, "payload too large"),
    ] {
        let refused = client.send("PUT", WEB_HOOK, body.to_owned(), headers).await.expect(status);
        assert_eq!(refused["status"], words);
    }
    assert_eq!(text(&client, "GET", WEB_HOOK, "", 200).await, before);
    text(&client, "PUT", WEB_HOOK, r#"{"project_id": 1249918}"#, 200).await;
}

#[tokio::test]
async fn paths_are_checked_after_authentication() {
    let (_server, client) = engine().await;
    let cases = [
        ("GET", "/api/v1/projects/abc/web_hook", 400, "bad request"),
        ("GET", "/api/v1/projects/1.5/web_hook", 400, "bad request"),
        ("GET", "/api/v1/projects/+1/web_hook", 400, "bad request"),
        ("PUT", "/api/v1/projects/99999999999999999999/web_hook", 400, "bad request"),
        ("DELETE", "/api/v1/projects/%ff/web_hook", 400, "bad request"),
        ("POST", "/api/v1/projects/x/web_hook/trigger_session_test", 400, "bad request"),
        ("GET", "/api/v1/projects/1249918/web_hook/events/x", 400, "bad request"),
        ("GET", "/api/v1/projects/1249918/web_hook/events/0", 404, "not found"),
        ("GET", "/api/v1/projects/1249918/web_hook/events/-1", 404, "not found"),
        ("GET", "/api/v1/projects/1249918/web_hook/events/9223372036854775807", 404, "not found"),
        ("GET", "/api/v1/projects/0/web_hook", 404, "not found"),
        ("GET", "/api/v1/projects/7/web_hook", 404, "not found"),
        ("POST", "/api/v1/projects/7/web_hook/trigger_session_test", 404, "not found"),
        ("POST", "/api/v1/projects/1249918/web_hook/trigger_session_test", 404, "not found"),
        ("PUT", "/api/v1/projects/1249918/web_hook?enable_web_hook=false", 400, "bad request"),
        ("GET", "/api/v1/nothing", 404, "not found"),
        ("GET", "/api/v1", 404, "not found"),
        ("POST", "/api/v1/projects/1249918/web_hook", 405, "method not allowed"),
    ];
    for (method, path, status, words) in cases {
        let response = client.send(method, path, "", &[]).await;
        assert_eq!((response.status, &response.json()["status"]), (status, &words.into()), "{method} {path}");
    }
    let anonymous = client.without_key();
    for (method, path, status, _) in cases.iter().filter(|case| case.1.contains("projects") && case.2 != 405)
    {
        let response = anonymous.send(method, path, "", &[]).await;
        assert_eq!(response.status, 403, "{method} {path} instead of {status}");
    }
}
