use super::*;
use crate::api::json;

/// Like [`HookInput::check`], for a tenant whose only plugin is `field-map`.
fn check(text: &str) -> Result<HookSettings, Problem> {
    let input: HookInput = json::parse(text.as_bytes())?;
    let resolves = |plugin: &PluginRef| plugin.to_string() == "field-map";
    input.check_with(resolves)
}

#[test]
fn absent_members_get_their_defaults() {
    let hook = check(r#"{"url": "https://example.com", "types": ["*"], "enabled": null}"#).unwrap();
    assert_eq!(hook.url.as_str(), "https://example.com/");
    assert!(hook.enabled && hook.pipeline.is_empty() && hook.headers.is_empty());
    assert_eq!((hook.timeout, hook.signing), (Hook::DEFAULT_TIMEOUT, Signing::Standard));
    assert_eq!(hook.retry, RetrySchedule::default());
}

#[test]
fn settings_are_kept_unchanged() {
    let hook = check(
        r#"{"url": "https://e.x", "types": ["a.*"], "pipeline": [{"plugin": "field-map", "settings": {"b": 1.0, "a":2}}, {"plugin": "field-map"}]}"#,
    );
    let steps = hook.unwrap().pipeline.0;
    assert_eq!(&*steps[0].settings, r#"{"b": 1.0, "a":2}"#);
    assert_eq!(&*steps[1].settings, "{}");
}

#[test]
fn problems_point_to_their_member() {
    use Kind::{DuplicateMember, InvalidValue, MissingMember, TooLarge, UnknownMember, WrongType};
    let large = format!(
        r#""pipeline": [{{"plugin": "field-map", "settings": {{"a": "{}"}}}}]"#,
        "x".repeat(256 * 1024)
    );
    let (long, many) = ("x".repeat(1_001), format!(r#""types": [{}"a"]"#, r#""a","#.repeat(100)));
    let long = format!(r#""description": "{long}""#);
    let many_steps =
        format!(r#""pipeline": [{}{{"plugin": "field-map"}}]"#, r#"{"plugin": "field-map"},"#.repeat(16));
    for (members, kind, pointer) in [
        (r#""url": "ftp://example.com""#, InvalidValue, "/url"),
        (r#""url": "example.com""#, InvalidValue, "/url"),
        (r#""url": "https:///path""#, InvalidValue, "/url"),
        (r#""url": "https:example.com""#, InvalidValue, "/url"),
        (r#""url": " https://example.com""#, InvalidValue, "/url"),
        (r#""url": "https://exa\tmple.com""#, InvalidValue, "/url"),
        (r#""url": "https://u:p@example.com""#, InvalidValue, "/url"),
        (r#""url": "https://example.com/#a""#, InvalidValue, "/url"),
        (r#""url": ["https://example.com"]"#, WrongType, "/url"),
        (r#""types": []"#, InvalidValue, "/types"),
        (&many, InvalidValue, "/types"),
        (r#""types": ["a", "b c"]"#, InvalidValue, "/types/1"),
        (r#""types": ["a", 7]"#, WrongType, "/types/1"),
        (r#""types": "a""#, WrongType, "/types"),
        (r#""enabled": "true""#, WrongType, "/enabled"),
        (r#""paused": 1"#, WrongType, "/paused"),
        (r#""retain_bodies_s": "1h""#, WrongType, "/retain_bodies_s"),
        (r#""retain_bodies_s": 2592001"#, InvalidValue, "/retain_bodies_s"),
        (&long, InvalidValue, "/description"),
        (r#""description": "a\u0000b""#, InvalidValue, "/description"),
        (r#""headers": {"X-A": "1", "x-a": "2"}"#, InvalidValue, "/headers/x-a"),
        (r#""headers": {"X-A": "1", "X-A": "2"}"#, DuplicateMember, "/headers/X-A"),
        (r#""headers": {"X/A": "1"}"#, InvalidValue, "/headers/X~1A"),
        (r#""headers": {"X-A": "a\nb"}"#, InvalidValue, "/headers/X-A"),
        (r#""headers": {"Host": "b"}"#, InvalidValue, "/headers/Host"),
        (r#""headers": {"webhook-id": "b"}"#, InvalidValue, "/headers/webhook-id"),
        (r#""headers": {"X-A": null}"#, WrongType, "/headers/X-A"),
        (r#""pipeline": [{"plugin": "field-map"}, {"plugin": "nope"}]"#, InvalidValue, "/pipeline/1/plugin"),
        (r#""pipeline": [{"plugin": "Field Map"}]"#, InvalidValue, "/pipeline/0/plugin"),
        (r#""pipeline": [{"plugin": "field-map@0"}]"#, InvalidValue, "/pipeline/0/plugin"),
        (r#""pipeline": [{"plugin": "field-map", "settings": []}]"#, WrongType, "/pipeline/0/settings"),
        (r#""pipeline": [{"plugin": "field-map", "set": {}}]"#, UnknownMember, "/pipeline/0/set"),
        (r#""pipeline": [{"settings": {}}]"#, MissingMember, "/pipeline/0"),
        (r#""pipeline": ["field-map"]"#, WrongType, "/pipeline/0"),
        (&large, TooLarge, "/pipeline/0/settings"),
        (&many_steps, InvalidValue, "/pipeline"),
        (r#""timeout_ms": 99"#, InvalidValue, "/timeout_ms"),
        (r#""timeout_ms": 60001"#, InvalidValue, "/timeout_ms"),
        (r#""timeout_ms": -1"#, InvalidValue, "/timeout_ms"),
        (r#""timeout_ms": "1000""#, WrongType, "/timeout_ms"),
        (r#""retry": [[5]]"#, WrongType, "/retry"),
        (r#""retry": {}"#, MissingMember, "/retry"),
        (r#""retry": {"schedule_s": [5, 0]}"#, InvalidValue, "/retry/schedule_s/1"),
        (r#""retry": {"schedule_s": [18446744073709551615]}"#, InvalidValue, "/retry/schedule_s/0"),
        (r#""retry": {"schedule_s": [1.5]}"#, WrongType, "/retry/schedule_s/0"),
        (r#""signing": "hmac""#, InvalidValue, "/signing"),
        (r#""uri": "https://example.com""#, UnknownMember, "/uri"),
    ] {
        let rest = [r#""url": "https://example.com""#, r#""types": ["*"]"#];
        let name = |member: &str| member.split(':').next().map(str::to_owned);
        let others = rest.into_iter().filter(|other| name(other) != name(members));
        let text = format!("{{{}}}", others.chain([members]).collect::<Vec<_>>().join(", "));
        let problem = check(&text).expect_err(&text);
        assert_eq!(problem.kind(), kind, "{members}: {problem}");
        assert_eq!(problem.pointer().map(Pointer::as_str), Some(pointer), "{members}: {problem}");
    }
}

#[test]
fn secrets_follow_standard_webhooks() {
    for (text, fits) in [
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", true),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", false),
        ("whsec_c2hvcnQ=", false),
        ("whsec_not base64", false),
    ] {
        assert_eq!(read_secret(text).is_ok(), fits, "{text}");
    }
}
