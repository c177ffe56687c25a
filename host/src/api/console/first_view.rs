//! What the page shows until its script knows who is signed in: an outline of what comes then, so that nothing moves.

use http::HeaderMap;

use super::session::is_of_own_page;
use crate::api::credentials::session_cookie;
use crate::api::sessions::Sessions;

/// An outline. The page has all of them, and its styles show one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstView {
    /// The frame around every screen.
    Frame,
    SignIn,
    Nothing,
}

impl FirstView {
    /// The one for who sends a request with these headers. What it takes from a session is only how the page begins to look.
    pub(super) fn of(headers: &HeaderMap, is_secure: bool, sessions: &Sessions) -> Self {
        let cookie = session_cookie(headers, is_secure);
        match cookie.and_then(|text| sessions.of_cookie(text)) {
            // The script sets a platform's name and colors. Ours must not be seen before.
            Some(session) if session.grant.theme.is_some() => Self::Nothing,
            Some(_) => Self::Frame,
            // If another site has led here, browsers withhold the cookie now, but not from the script.
            None if cookie.is_none() && !is_of_own_page(headers) => Self::Nothing,
            None => Self::SignIn,
        }
    }

    /// Its name in the page.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::SignIn => "sign-in",
            Self::Nothing => "nothing",
        }
    }
}
