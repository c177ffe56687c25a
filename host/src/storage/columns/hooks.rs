//! Hooks from and to columns.
//!
//! A hook's URL, header values, plugin settings, interface members and signing secrets may each contain credentials: they are
//! sealed together in one column. The plain columns identify a hook if that column cannot be opened: its origin, and the
//! plugins that it runs.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use url::Url;

use super::hook_options::{hook_options_from_json, hook_options_to_json};
use super::receiver_options::{SealedReceiverJson, signing_column};
use super::values::{damaged, from_json, to_json};
use crate::domain::{
    Authorization, HeaderList, Hook, HookId, Invalid, Origin, Pipeline, RetrySchedule, SecretText,
    SigningSecret, Step, Subscription, TenantId, UnixMillis,
};
use crate::storage::StorageError;
use crate::vault::Vault;

/// A row of `hooks`.
#[derive(FromRow)]
pub struct HookRow {
    pub id: i64,
    pub tenant_id: i64,
    pub url: String,
    pub subscription: String,
    pub enabled: bool,
    pub description: String,
    pub headers: String,
    pub pipeline: String,
    pub timeout_ms: i64,
    pub retry_ms: String,
    pub signing: String,
    pub created_at: i64,
    pub updated_at: i64,
    pub surface: String,
    pub surface_members: String,
    pub project: Option<i64>,
    pub preflight: String,
    pub authorization: Option<Vec<u8>>,
    pub authorization_enabled: bool,
    pub sealed: Option<Vec<u8>>,
    pub masked_headers: String,
    pub options: String,
}

#[derive(Serialize, Deserialize)]
struct StepJson<'a> {
    plugin: Cow<'a, str>,
    settings: Cow<'a, str>,
}

/// The sealed parts of a hook, as JSON. A secret that only some hooks have is an `Option` that is skipped if it is none.
#[derive(Serialize, Deserialize)]
struct SealedJson<'a> {
    url: Cow<'a, str>,
    headers: Cow<'a, HeaderList>,
    /// Of the pipeline's steps, in order.
    settings: Vec<Cow<'a, str>>,
    /// Of the preflight pipeline's steps, in order.
    preflight: Vec<Cow<'a, str>>,
    members: Cow<'a, str>,
    /// Text and end, the current one first.
    secrets: Vec<(String, Option<i64>)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    receiver: Option<SealedReceiverJson<'a>>,
    /// The steps that write requests with several events.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    batch: Vec<StepJson<'a>>,
}

/// The parts of a hook that are sealed.
struct Secrets {
    url: Url,
    headers: HeaderList,
    pipeline: Pipeline,
    preflight: Pipeline,
    members: Arc<str>,
    authorization: Option<SecretText>,
    signing: Vec<SigningSecret>,
    receiver: Option<SealedReceiverJson<'static>>,
    batch: Pipeline,
}

/// The context of a hook's sealed column.
pub fn hook_context_of(hook: i64) -> String {
    format!("hook/{hook}")
}

/// The context of a hook's authorization.
pub fn authorization_context_of(hook: i64) -> String {
    format!("hook/{hook}/authorization")
}

/// Rounds up: a wait of less than a millisecond must not become zero.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

fn bad(error: Invalid) -> StorageError {
    damaged("hook", error)
}

/// The pipeline's plugins, without their settings.
pub(super) fn skeleton(pipeline: &Pipeline) -> Result<String, StorageError> {
    let steps = pipeline.0.iter();
    let steps = steps.map(|step| StepJson { plugin: step.plugin.to_string().into(), settings: "{}".into() });
    to_json(&steps.collect::<Vec<_>>())
}

/// The settings of its steps, in order.
pub(super) fn settings(pipeline: &Pipeline) -> Vec<Cow<'_, str>> {
    pipeline.0.iter().map(|step| Cow::from(&*step.settings)).collect()
}

/// A pipeline from its JSON.
pub(super) fn pipeline_from_json(text: &str) -> Result<Pipeline, StorageError> {
    pipeline_of(from_json("hook", text)?)
}

fn steps_of(pipeline: &Pipeline) -> Vec<StepJson<'_>> {
    let steps = pipeline.0.iter();
    let steps =
        steps.map(|it| StepJson { plugin: it.plugin.to_string().into(), settings: (&*it.settings).into() });
    steps.collect()
}

fn pipeline_of(steps: Vec<StepJson<'_>>) -> Result<Pipeline, StorageError> {
    let steps = steps
        .into_iter()
        .map(|step| Ok(Step { plugin: step.plugin.parse()?, settings: step.settings.into() }))
        .collect::<Result<_, _>>()
        .map_err(bad)?;
    Ok(Pipeline(steps))
}

/// The pipeline of a skeleton, with its settings.
pub(super) fn filled(skeleton: &str, settings: Vec<Cow<'_, str>>) -> Result<Pipeline, StorageError> {
    let mut pipeline = pipeline_from_json(skeleton)?;
    if pipeline.0.len() != settings.len() {
        return Err(damaged("hook", "its steps and their settings differ in number"));
    }
    for (step, settings) in pipeline.0.iter_mut().zip(settings) {
        step.settings = settings.into();
    }
    Ok(pipeline)
}

/// The origin of a URL, without its secret parts.
fn origin_of(url: &Url) -> String {
    format!("{}/", url.origin().ascii_serialization())
}

impl HookRow {
    /// The columns of `hook`.
    pub fn of(hook: &Hook, vault: &Vault) -> Result<Self, StorageError> {
        let patterns: Vec<String> = hook.subscription.patterns().iter().map(ToString::to_string).collect();
        let waits: Vec<i64> = hook.retry.waits().iter().copied().map(millis).collect();
        let authorization = hook.authorization.as_ref();
        let seal = |it: &Authorization| {
            vault.seal(&authorization_context_of(hook.id.0), it.value.reveal().as_bytes())
        };
        let secrets = hook.secrets.iter();
        let secrets = secrets.map(|it| (it.reveal(), it.expires_at.map(|time| time.0))).collect();
        let sealed = zeroize::Zeroizing::new(to_json(&SealedJson {
            url: hook.url.as_str().into(),
            headers: Cow::Borrowed(&hook.headers),
            settings: settings(&hook.pipeline),
            preflight: settings(&hook.preflight),
            members: Cow::from(&*hook.origin.members),
            secrets,
            receiver: SealedReceiverJson::of(hook),
            batch: steps_of(&hook.options.batch_pipeline),
        })?);
        Ok(Self {
            id: hook.id.0,
            tenant_id: hook.tenant.0,
            url: origin_of(&hook.url),
            subscription: to_json(&patterns)?,
            enabled: hook.enabled,
            description: hook.description.clone(),
            headers: "[]".to_owned(),
            pipeline: skeleton(&hook.pipeline)?,
            timeout_ms: millis(hook.timeout),
            retry_ms: to_json(&waits)?,
            signing: signing_column(hook.signing).to_owned(),
            created_at: hook.created_at.0,
            updated_at: hook.updated_at.0,
            surface: hook.origin.surface.as_str().to_owned(),
            surface_members: "{}".to_owned(),
            project: hook.project,
            preflight: skeleton(&hook.preflight)?,
            authorization: authorization.map(seal),
            authorization_enabled: authorization.is_some_and(|it| it.enabled),
            sealed: Some(vault.seal(&hook_context_of(hook.id.0), sealed.as_bytes())),
            masked_headers: to_json(&hook.masked_headers)?,
            options: hook_options_to_json(&hook.options)?,
        })
    }

    /// The hook of this row; `plain` are the signing secrets of a row that is not sealed yet. A hook whose secrets cannot
    /// be opened is [unreadable](Hook::unreadable).
    pub fn into_hook(self, plain: Vec<SigningSecret>, vault: &Vault) -> Result<Hook, StorageError> {
        let id = HookId(self.id);
        self.read(plain, vault).map_err(|error| error.in_row("hooks", id, id.0))
    }

    fn read(self, plain: Vec<SigningSecret>, vault: &Vault) -> Result<Hook, StorageError> {
        let patterns: Vec<String> = from_json("hook", &self.subscription)?;
        let patterns =
            patterns.iter().map(|pattern| pattern.parse()).collect::<Result<_, _>>().map_err(bad)?;
        let waits: Vec<u64> = from_json("hook", &self.retry_ms)?;
        let waits = waits.into_iter().map(Duration::from_millis).collect();
        let (secrets, unreadable) = match self.secrets(plain, vault) {
            Ok(secrets) => (secrets, false),
            Err(error) => {
                let id = HookId(self.id);
                tracing::error!(
                    hook = %id,
                    error = &error as &dyn std::error::Error,
                    "cannot decrypt a hook's secrets: its deliveries wait until the hook is replaced, or the engine is \
                     started with the key of these secrets"
                );
                (self.without_secrets()?, true)
            }
        };
        let enabled = self.authorization_enabled;
        let mut hook = Hook {
            id: HookId(self.id),
            tenant: TenantId(self.tenant_id),
            origin: Origin { surface: self.surface.parse().map_err(bad)?, members: secrets.members },
            url: secrets.url,
            subscription: Subscription::new(patterns).map_err(bad)?,
            project: self.project,
            enabled: self.enabled,
            description: self.description,
            headers: secrets.headers,
            masked_headers: from_json("hook", &self.masked_headers)?,
            authorization: secrets.authorization.map(|value| Authorization { value, enabled }),
            preflight: secrets.preflight,
            pipeline: secrets.pipeline,
            timeout: Duration::from_millis(self.timeout_ms.unsigned_abs()),
            retry: RetrySchedule::new(waits).map_err(bad)?,
            signing: self.signing.parse().map_err(bad)?,
            secrets: secrets.signing,
            options: hook_options_from_json(&self.options)?,
            unreadable,
            created_at: UnixMillis(self.created_at),
            updated_at: UnixMillis(self.updated_at),
        };
        hook.options.batch_pipeline = secrets.batch;
        if let Some(receiver) = secrets.receiver {
            receiver.add_to(&mut hook)?;
        }
        Ok(hook)
    }

    fn secrets(&self, plain: Vec<SigningSecret>, vault: &Vault) -> Result<Secrets, StorageError> {
        let open = |sealed: &Vec<u8>| unseal_text(vault, "hook", &authorization_context_of(self.id), sealed);
        let authorization = self.authorization.as_ref().map(open).transpose()?;
        let Some(sealed) = &self.sealed else {
            return Ok(Secrets {
                headers: from_json("hook", &self.headers)?,
                pipeline: pipeline_from_json(&self.pipeline)?,
                preflight: pipeline_from_json(&self.preflight)?,
                members: self.surface_members.as_str().into(),
                authorization,
                signing: plain,
                ..self.without_secrets()?
            });
        };
        let text = unseal_text(vault, "hook", &hook_context_of(self.id), sealed)?;
        let json: SealedJson<'_> = from_json("hook", text.reveal())?;
        let signing = json.secrets.into_iter().map(|(text, expires_at)| {
            let mut secret: SigningSecret = text.parse().map_err(bad)?;
            secret.expires_at = expires_at.map(UnixMillis);
            Ok::<_, StorageError>(secret)
        });
        Ok(Secrets {
            url: json.url.parse().map_err(|error| damaged("hook", error))?,
            headers: json.headers.into_owned(),
            pipeline: filled(&self.pipeline, json.settings)?,
            preflight: filled(&self.preflight, json.preflight)?,
            members: json.members.into(),
            authorization,
            signing: signing.collect::<Result<_, _>>()?,
            receiver: json.receiver,
            batch: pipeline_of(json.batch)?,
        })
    }

    /// The parts that plain columns hold.
    fn without_secrets(&self) -> Result<Secrets, StorageError> {
        Ok(Secrets {
            url: self.url.parse().map_err(|error| damaged("hook", error))?,
            headers: HeaderList::new(),
            pipeline: pipeline_from_json(&self.pipeline)?,
            preflight: pipeline_from_json(&self.preflight)?,
            members: self.surface_members.as_str().into(),
            authorization: None,
            signing: Vec::new(),
            receiver: None,
            batch: Pipeline::default(),
        })
    }
}

/// A secret text that was sealed for `context`; `what` is the kind of row.
pub fn unseal_text(
    vault: &Vault,
    what: &'static str,
    context: &str,
    sealed: &[u8],
) -> Result<SecretText, StorageError> {
    let plain = vault.unseal(context, sealed).map_err(|error| damaged(what, error))?;
    let text = std::str::from_utf8(&plain).map_err(|error| damaged(what, error))?;
    Ok(SecretText::new(text))
}
