//! Tests of filters, and of what entries show.

use super::*;
use crate::domain::testing::{hook, receiver_options};
use crate::domain::{Authorization, Flow, Hook, Rate, SecretText, Step};

#[test]
fn a_filter_selects_by_actor_action_and_object() {
    let entry = AuditEntry {
        actor: Actor {
            kind: ActorKind::Key,
            id: Some("key_1".to_owned()),
            name: Some("ci".to_owned()),
            ..Actor::ENGINE
        },
        action: "hook.secret_read".to_owned(),
        object: AuditObject::new("hook", "hook_1").named("first"),
        ..AuditEntry::of_test()
    };
    let text = |text: &str| Some(text.to_owned());
    let selects = |actor, action, object| {
        AuditFilter { actor, action, object, ..AuditFilter::default() }.selects(&entry)
    };
    for (actor, action, object, expected) in [
        (None, None, None, true),
        (text("key"), text("hook"), text("hook_1"), true),
        (text("key_1"), text("hook."), text("first"), true),
        (text("ci"), text("hook.secret_read"), None, true),
        (text("c"), None, None, false),
        (None, text("hook.secret"), None, false),
        (None, text("hoo"), None, false),
        (None, None, text("hook"), false),
    ] {
        assert_eq!(
            selects(actor.clone(), action.clone(), object.clone()),
            expected,
            "{actor:?} {action:?} {object:?}"
        );
    }
}

/// A hook whose every member contains the same secret, wherever a secret can be.
fn secretive(secret: &str) -> Hook {
    let step = |plugin: &str| Step {
        plugin: plugin.parse().unwrap(),
        settings: format!("{{\"key\": \"{secret}\"}}").into(),
    };
    let mut hook = Hook {
        url: Hook::parse_url(&format!("https://receiver.example/{secret}?token={secret}")).unwrap(),
        headers: vec![("x-key".into(), secret.into())],
        authorization: Some(Authorization { value: SecretText::new(secret), enabled: true }),
        ..hook("https://receiver.example/")
    };
    hook.pipeline.0 = vec![step("field-map")];
    hook.preflight.0 = vec![step("preflight")];
    hook.origin.members = format!("{{\"secret\": \"{secret}\"}}").into();
    hook.options.receiver = Some(Box::new(receiver_options()));
    hook
}

#[test]
fn nothing_secret_of_a_hook_is_shown() {
    let (before, after) = (hook("https://old.example/"), secretive("s3cr3t"));
    for (before, after) in [(Some(&before), Some(&after)), (None, Some(&after)), (Some(&after), None)] {
        let changes = hook_changes(before, after);
        let shown = format!("{changes:?}");
        assert!(!shown.contains("s3cr3t"), "{shown}");
        let members: Vec<_> = changes.iter().map(|change| change.member.as_str()).collect();
        for member in ["url", "headers", "pipeline", "authorization", "oauth2", "client_certificate"] {
            assert!(members.contains(&member), "{member}: {members:?}");
        }
    }
}

#[test]
fn only_what_changed_of_a_hook_is_named() {
    let before = hook("https://receiver.example/a?b");
    assert_eq!(hook_changes(Some(&before), Some(&before)), []);
    let mut after = Hook { enabled: false, ..before.clone() };
    after.url = Hook::parse_url("https://receiver.example/c").unwrap();
    after.options.flow = Flow { max_per_second: Some(Rate::nearest(0.5)), ..Flow::default() }.into_option();
    let values = |old, new| Some((old, new));
    let change = |member: &str, values| MemberChange { member: member.to_owned(), values };
    assert_eq!(
        hook_changes(Some(&before), Some(&after)),
        [
            // The origin is the same, and the rest may be secret.
            change("url", None),
            change("enabled", values(MemberValue::Flag(true), MemberValue::Flag(false))),
            change("max_per_second", values(MemberValue::Absent, MemberValue::Number(0.5))),
        ]
    );
}

#[test]
fn an_operators_name_is_not_guessed_by_a_filter() {
    let actor = Actor {
        kind: ActorKind::OperatorKey,
        id: Some("okey_1".to_owned()),
        name: Some("alice".to_owned()),
        ..Actor::ENGINE
    };
    let entry = AuditEntry { actor, ..AuditEntry::of_test() };
    for (wanted, hides_operators, expected) in [
        ("alice", false, true),
        ("okey_1", false, true),
        ("alice", true, false),
        ("okey_1", true, false),
        ("operator_key", true, true),
    ] {
        let filter =
            AuditFilter { actor: Some(wanted.to_owned()), hides_operators, ..AuditFilter::default() };
        assert_eq!(filter.selects(&entry), expected, "{wanted} {hides_operators}");
    }
    let own = AuditEntry { actor: Actor { kind: ActorKind::Key, ..entry.actor.clone() }, ..entry };
    let filter =
        AuditFilter { actor: Some("alice".to_owned()), hides_operators: true, ..AuditFilter::default() };
    assert!(filter.selects(&own));
}
