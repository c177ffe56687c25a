use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use base64::prelude::BASE64_STANDARD;

use super::*;
use crate::vault::Key;

#[derive(Debug)]
struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Relaxed))
    }
}

const HOUR_MS: i64 = 3_600_000;

fn sessions() -> (Sessions, Arc<SetClock>) {
    let key = Key::from_text(&BASE64_STANDARD.encode([7; 32])).unwrap();
    let clock = Arc::new(SetClock(AtomicI64::new(HOUR_MS)));
    (Sessions::new(Arc::new(Vault::new(key)), Arc::clone(&clock) as Arc<dyn Clock>, true), clock)
}

#[test]
fn sessions_and_links_end_and_do_not_last_longer_if_the_clock_was_wrong() {
    let (sessions, clock) = sessions();
    let session = sessions.seal_session(&sessions.begin([1; 32]), Purpose::Cookie);
    let link = sessions.seal_link(&Link::new(Grant::whole([1; 32]), UnixMillis(2 * HOUR_MS), KEY_SESSION));
    for (what, text, open, end) in [
        ("session", &session, Sessions::of_cookie as fn(&Sessions, &str) -> Option<Session>, 13 * HOUR_MS),
        ("link", &link, Sessions::begin_with, 2 * HOUR_MS),
    ] {
        for (now, is_valid) in [
            (HOUR_MS, true),
            // As far as clocks of nodes may differ.
            (HOUR_MS - 300_000, true),
            (HOUR_MS - 300_001, false),
            (end - 1, true),
            (end, false),
        ] {
            clock.0.store(now, Relaxed);
            assert_eq!(open(&sessions, text).is_some(), is_valid, "{what} at {now}");
        }
    }
}

#[test]
fn the_largest_session_and_the_largest_link_open_again() {
    let (sessions, _clock) = sessions();
    // Each of its bytes is written as two.
    let theme = Theme {
        name: Some("\"".repeat(64)),
        accent: Some("#ffffff".to_owned()),
        background: Some("#ffffff".to_owned()),
        logo_url: Some(format!("https://a/{}", "\"".repeat(502))),
    };
    let grant = Grant::whole([255; 32]).in_tenant(TenantId(i64::MAX), Scopes::all()).with_theme(Some(theme));
    let end = UnixMillis(2 * HOUR_MS);
    let link = sessions.seal_link(&Link::new(grant, end, KEY_SESSION));
    let session = sessions.begin_with(&link).unwrap();
    for (purpose, open) in [
        (Purpose::Cookie, Sessions::of_cookie as fn(&Sessions, &str) -> Option<Session>),
        (Purpose::Bearer, Sessions::of_bearer),
    ] {
        let text = sessions.seal_session(&session, purpose);
        assert_eq!(open(&sessions, &text), Some(session.clone()), "{} bytes", text.len());
    }
}
