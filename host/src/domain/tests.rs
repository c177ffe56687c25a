//! Tests of the rules for texts and numbers that clients choose.

use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::time::Duration;

use super::*;

/// Checks that accepted texts round-trip and the others are refused.
fn check_texts<T: FromStr<Err = Invalid> + Display + Debug>(accepted: &[&str], refused: &[&str]) {
    for text in accepted {
        assert_eq!(&text.parse::<T>().unwrap().to_string(), text);
    }
    for text in refused {
        assert!(text.parse::<T>().is_err(), "{text:?}");
    }
}

/// Checks that these texts are accepted, and the others are not.
fn check_rule(rule: impl Fn(&str) -> Result<(), Invalid>, accepted: &[&str], refused: &[&str]) {
    for text in accepted {
        assert_eq!(rule(text), Ok(()), "{text:?}");
    }
    for text in refused {
        assert!(rule(text).is_err(), "{text:?}");
    }
}

#[test]
fn names_and_references_of_plugins() {
    let (long, too_long) = ("a".repeat(64), "a".repeat(65));
    check_texts::<PluginName>(
        &["a", "0", "field-map", "a_b.c", &long],
        &["", "-a", ".a", "A", "a b", "a/b", "a@1", "é", &too_long],
    );
    let digest = format!("sha256:{}", "0f".repeat(32));
    check_texts::<Digest>(&[&digest], &["", &digest[7..], &digest[..70], &digest.to_uppercase(), "sha256:"]);
    check_texts::<PluginRef>(
        &["field-map", "field-map@1", "field-map@4294967295", &digest],
        &[
            "",
            "@1",
            "field-map@",
            "field-map@0",
            "field-map@-1",
            "field-map@4294967296",
            "a@1@2",
            "sha256:12",
        ],
    );
    check_texts::<Role>(&["filter", "mapper", "transformer"], &["", "Filter", "sender"]);
}

#[test]
fn ids_and_types_of_events() {
    let sender = |text: &str| EventId::from_sender(text).map(drop);
    let (long, too_long) = ("x".repeat(128), "x".repeat(129));
    let refused = ["", "a b", "a/b", "é", "evt_", "evt_01m8rz4g3k2v7", &too_long];
    check_rule(sender, &["1", "a.b_c:d-E", "Evt_1", &long], &refused);
    let key = EventKey(7);
    assert_eq!(EventId::of_key(key).as_key(), Some(key));
    assert_eq!(EventId::from_path("gh-40").as_key(), None);

    let (long, too_long) = ("x".repeat(256), "x".repeat(257));
    check_texts::<EventType>(
        &["order.paid", "CHANNEL_CREATE", "CUSTOM->engine::dialer_member_end", "заказ", &long],
        &["", "a b", "a\n", "order.*", "a,b", "a\u{2003}b", &too_long],
    );
    check_texts::<EventType>(&[EventType::test().as_str()], &[]);
}

#[test]
fn secrets_have_bounds_and_are_not_shown_by_accident() {
    use base64::Engine as _;
    let text = |length: usize| {
        let encoded = base64::engine::general_purpose::STANDARD.encode(vec![7; length]);
        format!("{}{encoded}", SigningSecret::PREFIX)
    };
    for (length, is_accepted) in [(0, false), (23, false), (24, true), (64, true), (65, false)] {
        assert_eq!(text(length).parse::<SigningSecret>().is_ok(), is_accepted, "{length}");
    }
    for refused in [&text(24)[6..], "whsec_", "whsec_***", "WHSEC_bm90IGEgc2VjcmV0IGJ1dCBsb25nIGVub3VnaA=="] {
        assert!(refused.parse::<SigningSecret>().is_err(), "{refused}");
    }
    let secret: SigningSecret = text(32).parse().unwrap();
    assert_eq!(secret.reveal(), text(32));
    assert_eq!(format!("{secret:?} {:?}", SecretText::new("token")), "SigningSecret(…) SecretText(…)");

    let end = UnixMillis(1_000);
    let expiring = secret.clone().expiring_at(end);
    assert!(secret.is_live(end) && expiring.is_live(UnixMillis(999)) && !expiring.is_live(end));
}

#[test]
fn names_of_tenants_and_logins() {
    let (long, too_long) = ("x".repeat(128), "x".repeat(129));
    let id = TenantId(7).to_string();
    check_rule(
        Tenant::check_name,
        &["shop.example", "é", "ten_1", &long],
        &["", "a b", "a\u{7}", &id, &too_long],
    );
    check_rule(Login::check_name, &["a b", "é", &long], &["", "a:b", "a;b", "a\n", &too_long]);
    let (long, too_long) = ("x".repeat(256), "x".repeat(257));
    check_rule(Login::check_secret, &["12345678", &long], &["", "1234567", &too_long]);
}

#[test]
fn scopes_are_a_set() {
    let some: Scopes = ["events:write", "keys:read", "events:write"]
        .map(|text| text.parse::<Scope>().unwrap())
        .into_iter()
        .collect();
    assert_eq!(some.iter().map(Scope::as_str).collect::<Vec<_>>(), ["events:write", "keys:read"]);
    assert!(some.contains(Scope::EventsWrite) && !some.contains(Scope::EventsRead));
    assert_eq!(Scopes::all().iter().count(), Scope::ALL.len());
    assert_eq!(Scopes::default().iter().next(), None);
    check_texts::<Scope>(&["hooks:write", "projects:read"], &["", "hooks", "hooks:*", "Hooks:write"]);
}

#[test]
fn urls_of_hooks() {
    let rule = |text: &str| Hook::parse_url(text).map(drop);
    let long = format!("https://a.example/{}", "x".repeat(2_048 - 18));
    let (too_long, longer_when_escaped) =
        (format!("{long}x"), format!("https://a.example/{}", "é".repeat(1_000)));
    check_rule(
        rule,
        &["https://a.example", "http://127.0.0.1:8080/a?b=c", "HTTPS://[::1]/", Hook::PLACEHOLDER_URL, &long],
        &[
            "",
            "/a",
            "a.example",
            "ftp://a.example/",
            "https:///a",
            "https://",
            "https:a.example",
            "mailto:a@b.example",
            "https://u@a.example/",
            "https://u:p@a.example/",
            "https://a.example/#b",
            "https://a.example/a b",
            " https://a.example/",
            "https://a.example/\n",
            &too_long,
            &longer_when_escaped,
        ],
    );
}

#[test]
fn headers_of_hooks() {
    for (name, value, is_accepted) in [
        ("x-token", "a b", true),
        ("X-Token", "", true),
        ("", "a", false),
        ("a b", "a", false),
        ("x-token", "a\nb", false),
        ("Host", "a", false),
        ("content-length", "1", false),
        ("Webhook-Anything", "a", false),
        ("webhook", "a", true),
    ] {
        assert_eq!(Hook::check_header(name, value).is_ok(), is_accepted, "{name:?}: {value:?}");
    }
    let name = |length: usize| header::check_header_name(&"x".repeat(length)).is_ok();
    assert_eq!((name(256), name(257)), (true, false));
}

#[test]
fn timeouts_and_retry_schedules() {
    let seconds = Duration::from_secs;
    for (timeout, is_accepted) in [
        (Duration::from_millis(99), false),
        (Hook::MIN_TIMEOUT, true),
        (seconds(60), true),
        (Duration::from_millis(60_001), false),
    ] {
        assert_eq!(Hook::check_timeout(timeout).is_ok(), is_accepted, "{timeout:?}");
    }
    for (waits, is_accepted) in [
        (vec![], true),
        (vec![seconds(1); 100], true),
        (vec![seconds(1); 101], false),
        (vec![Duration::ZERO], false),
        (vec![RetrySchedule::MAX_WAIT], true),
        (vec![RetrySchedule::MAX_WAIT + Duration::from_millis(1)], false),
    ] {
        assert_eq!(RetrySchedule::new(waits.clone()).is_ok(), is_accepted, "{waits:?}");
    }
    let schedule = RetrySchedule::new(vec![seconds(5), seconds(300)]).unwrap();
    let waits: Vec<_> = (0..4).map(|failures| schedule.wait_after(failures)).collect();
    assert_eq!(waits, [None, Some(seconds(5)), Some(seconds(300)), None]);
}

#[test]
fn states_are_final_when_no_attempt_follows() {
    let is_final = DeliveryState::ALL.map(|state| (state.as_str(), state.is_final()));
    assert_eq!(is_final.map(|(_, is_final)| is_final), [false, false, false, true, true, true, true]);
    for (text, _) in is_final {
        assert_eq!(text.parse::<DeliveryState>().map(DeliveryState::as_str), Ok(text));
    }
}
