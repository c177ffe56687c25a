//! What is sent, in hyper's terms.

use http_body_util::Full;
use hyper::body::Bytes;

/// A request to a receiver.
pub(super) type Request = http::Request<Full<Bytes>>;

/// Makes a request once more. Most requests are sent once, and copying each of them would be expensive.
pub type MakeAgain<'a> = dyn Fn() -> Option<http::Request<Full<Bytes>>> + Sync + 'a;
