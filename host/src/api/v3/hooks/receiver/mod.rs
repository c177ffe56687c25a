//! The members of a hook that say what its receiver needs beyond a signed request.

mod input;
mod read;
mod view;

pub(super) use input::{ClientCertificateInput, HandshakeResultInput, OAuthInput, SignatureHeadersInput};
pub(super) use read::{CLOUDEVENTS, ReceiverInput, check_signs_asymmetrically};
pub(super) use view::{ClientCertificateView, HandshakeResultView, OAuthView, SignatureHeadersView};
