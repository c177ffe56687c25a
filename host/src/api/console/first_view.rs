//! What the page shows until its script knows who is signed in: an outline of the frame around every screen, so that nothing moves.

use http::HeaderMap;

use crate::api::credentials::session_cookie;
use crate::api::sessions::Sessions;

/// What the page begins with. Its styles show the outline or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstView {
    /// The outline of the frame.
    Frame,
    /// The sign-in comes, or nobody knows what.
    Nothing,
}

impl FirstView {
    /// The one for a request with these headers. What it takes from a session is only how the page begins to look.
    pub(super) fn of(headers: &HeaderMap, is_secure: bool, sessions: &Sessions) -> Self {
        let session = session_cookie(headers, is_secure).and_then(|text| sessions.of_cookie(text));
        match session {
            // The script sets a platform's name and colors. Ours must not be seen before.
            Some(session) if session.grant.theme.is_none() => Self::Frame,
            _ => Self::Nothing,
        }
    }

    /// Its name in the page.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::Nothing => "nothing",
        }
    }
}
