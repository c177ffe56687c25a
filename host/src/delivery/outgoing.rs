//! Sends what a hook's pipeline wrote: with its signature, its certificates and its access token.

use std::time::Duration;

use super::client::{DeliveryClient, OwnFailure, Sender};
use super::oauth::{Token, TokenRequest, Tokens};
use super::{request, signing};
use crate::clock;
use crate::domain::receiver_options::SignatureHeaders;
use crate::domain::{Fault, FaultKind, Hook, Outcome, Request, Response, SentRequest, UnixMillis};

/// A request that is about to be sent.
#[derive(Clone, Copy)]
pub(super) struct Outgoing<'a> {
    pub hook: &'a Hook,
    /// By which its receiver knows it.
    pub id: &'a str,
    /// The step that wrote it.
    pub last_step: usize,
    /// The time that it is signed for.
    pub now: UnixMillis,
}

impl Outgoing<'_> {
    /// Checks that the hook's token and certificate go only to the origin of the hook's URL: who may upload a plugin may not
    /// get at the hook's credentials.
    ///
    /// # Errors
    /// The outcome of the attempt, if the request goes elsewhere.
    pub(super) fn check_target(&self, url: &str) -> Result<(), Outcome> {
        let has_credentials = |hook: &Hook| hook.oauth().is_some() || hook.tls().is_some();
        if !has_credentials(self.hook) || url == self.hook.url.as_str() || self.hook.has_origin_of(url) {
            return Ok(());
        }
        let message = "the request goes to another scheme, host or port than the hook's URL, where the hook's access \
            token and certificates must not go";
        let fault = Fault::new(FaultKind::InvalidOutput, message);
        Err(Outcome::Faulted { step: self.last_step, fault })
    }

    /// Sends `request`.
    ///
    /// # Errors
    /// Fails if the engine itself failed, and nothing was sent.
    pub(super) async fn send(
        &self,
        client: &DeliveryClient,
        request: Request,
        timeout: Duration,
        token: Option<&Token>,
    ) -> Result<(Option<SentRequest>, Outcome), OwnFailure> {
        Ok(match request::build(self.hook, self.id, request, self.now, token) {
            Ok((built, sent)) => {
                let body = built.body().clone();
                let again = || request::build_again(self.hook, &sent, body.clone(), token).ok();
                let outcome = client.send(sender(self.hook), built, &again, timeout).await?;
                (Some(sent), outcome)
            }
            Err(fault) => (None, Outcome::Faulted { step: self.last_step, fault }),
        })
    }

    /// Sends `request` with the hook's access token. If the receiver does not accept a token that was kept, a new one is
    /// requested, and the request is sent once more. `timeout` covers all of it.
    ///
    /// # Errors
    /// Fails if the engine itself failed.
    pub(super) async fn send_with_token(
        &self,
        (client, tokens): (&DeliveryClient, &Tokens),
        request: Request,
        timeout: Duration,
    ) -> Result<(Option<SentRequest>, Outcome), OwnFailure> {
        let (sent, outcome) = self.exchange_with_token((client, tokens), request, timeout).await?;
        // The timeout of a part is not the hook's.
        let outcome = match outcome {
            Outcome::TimedOut { .. } => Outcome::TimedOut { after: timeout },
            other => other,
        };
        Ok((sent, outcome))
    }

    async fn exchange_with_token(
        &self,
        (client, tokens): (&DeliveryClient, &Tokens),
        request: Request,
        timeout: Duration,
    ) -> Result<(Option<SentRequest>, Outcome), OwnFailure> {
        let Some(oauth) = self.hook.oauth() else { return self.send(client, request, timeout, None).await };
        let began = clock::monotonic();
        let left = || timeout.saturating_sub(clock::elapsed(began));
        let (tenant, hook) = (self.hook.tenant, self.hook.id);
        let token_request = || TokenRequest { tenant, hook, client: oauth, timeout: left() };
        let token = match tokens.get(client, token_request(), None).await? {
            Ok(token) => token,
            Err(outcome) => return Ok((None, outcome)),
        };
        let sent = self.send(client, request.clone(), left(), Some(&token)).await?;
        if !matches!(sent.1, Outcome::Response(Response { status: 401, .. })) || token.is_new() {
            return Ok(sent);
        }
        match tokens.get(client, token_request(), Some(&token)).await? {
            Ok(token) => self.send(client, request, left(), Some(&token)).await,
            Err(outcome) => Ok((sent.0, outcome)),
        }
    }
}

fn sender(hook: &Hook) -> Sender<'_> {
    let id_header = hook.signature_headers().map_or(signing::ID, |SignatureHeaders { id, .. }| id);
    Sender { tls: hook.tls(), id_header, ..hook.tenant.into() }
}
