//! What is sent, in hyper's terms.

use http_body_util::Full;
use hyper::body::Bytes;

use crate::delivery::signing;
use crate::domain::TenantId;
use crate::domain::hook_tls::HookTls;

/// A request to a receiver.
pub(super) type Request = http::Request<Full<Bytes>>;

/// Makes a request once more. Most requests are sent once, and copying each of them would be expensive.
pub type MakeAgain<'a> = dyn Fn() -> Option<http::Request<Full<Bytes>>> + Sync + 'a;

/// For whom a request is sent.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// Whose request it is.
    pub tenant: TenantId,
    /// How its connection uses TLS, if not in the common way.
    pub tls: Option<&'a HookTls>,
    /// The header by which a receiver recognizes a repetition. A request with it may be repeated.
    pub id_header: &'a str,
    /// Whether any of its requests may be repeated, because repeating them does no harm.
    pub is_repeatable: bool,
    /// Whether it counts among the requests to receivers.
    pub is_counted: bool,
}

impl From<TenantId> for Sender<'_> {
    fn from(tenant: TenantId) -> Self {
        Self { tenant, tls: None, id_header: signing::ID, is_repeatable: false, is_counted: true }
    }
}
