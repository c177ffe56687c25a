//! The effect of a new plugin version on the hooks that name the plugin without a version.
//!
//! Such hooks always run the newest version. So an upload is checked against them before it is stored: it
//! must have the roles that their pipelines rely on, and accept their settings.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::problem::{Kind, Problem};
use crate::directory::named_hooks;
use crate::domain::attempt::ResolvedPlugin;
use crate::domain::{Hook, HookId, PluginName, PluginRef, Step};
use crate::services::SettingsTrial;

/// The maximum number of hooks that a response lists.
const MAX_NAMED: usize = 100;
/// The maximum number of distinct settings that are tried. Most tenants have few.
const MAX_TRIED: usize = 200;
/// The time limit for all trial calls together.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(20);

/// The hooks that name the plugin without a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct AffectedHooks {
    /// The number of hooks.
    #[schema(example = 1)]
    count: usize,
    /// The ids of the first 100 hooks, oldest first.
    #[schema(example = json!(["hook_01J"]), max_items = 100)]
    ids: Vec<String>,
}

impl AffectedHooks {
    pub(super) fn of(hooks: &[Arc<Hook>]) -> Self {
        let ids = hooks.iter().take(MAX_NAMED).map(|hook| hook.id.to_string()).collect();
        Self { count: hooks.len(), ids }
    }
}

/// Distinct settings and the hooks that use them.
struct DistinctSettings {
    step: Step,
    hooks: Vec<Arc<Hook>>,
}

/// The result of the trial calls.
#[derive(Debug, Default)]
pub(super) struct TrialResults {
    /// The hooks whose settings are rejected, and the message of the first rejection.
    refused: Vec<HookId>,
    message: Option<String>,
    /// The number of distinct settings that were not tried.
    untried: usize,
}

/// Tries the settings of all `hooks` with a version that is not stored yet.
///
/// # Errors
/// Fails if the engine fails.
pub(super) async fn try_settings(
    trial: &SettingsTrial,
    hooks: &[Arc<Hook>],
    version: &ResolvedPlugin,
) -> Result<TrialResults, Problem> {
    let all = distinct_settings(hooks, &version.name);
    let (mut tried, mut seen) = (TrialResults::default(), 0);
    let trying = async {
        for settings in all.iter().take(MAX_TRIED) {
            let [first, ..] = settings.hooks.as_slice() else { continue };
            if let Some(message) = trial.rejection_by(first, &settings.step, version).await? {
                tried.refused.extend(settings.hooks.iter().map(|hook| hook.id));
                tried.message.get_or_insert(message);
            }
            seen += 1;
        }
        Ok::<_, Problem>(())
    };
    // On timeout, the remaining settings count as not tried.
    if let Ok(ended) = tokio::time::timeout(TRIAL_TIMEOUT, trying).await {
        ended?;
    }
    tried.untried = all.len() - seen;
    Ok(tried)
}

/// The distinct settings that `hooks` have for the plugin, in the order of the hooks.
fn distinct_settings(hooks: &[Arc<Hook>], name: &PluginName) -> Vec<DistinctSettings> {
    let by_name = PluginRef::Latest(name.clone());
    let mut all: Vec<DistinctSettings> = Vec::new();
    let mut places = HashMap::new();
    for hook in hooks {
        for step in hook.all_steps().filter(|step| step.plugin == by_name) {
            let place = *places.entry(Arc::clone(&step.settings)).or_insert_with(|| {
                all.push(DistinctSettings { step: step.clone(), hooks: Vec::new() });
                all.len() - 1
            });
            if all[place].hooks.last().is_none_or(|last| last.id != hook.id) {
                all[place].hooks.push(Arc::clone(hook));
            }
        }
    }
    all
}

impl TrialResults {
    /// The message about rejected settings; `None` if all were accepted.
    fn message(&self) -> Option<String> {
        let message = self.message.as_ref()?;
        Some(format!("this version rejects the settings of {}: {message}", named_hooks(&self.refused)))
    }

    /// The warnings about a version that is stored.
    ///
    /// # Errors
    /// Fails if settings are rejected and `force` is false.
    pub(super) fn warnings(self, force: bool) -> Result<Vec<String>, Problem> {
        let mut warnings = Vec::new();
        if let Some(message) = self.message() {
            if !force {
                let detail = format!(
                    "{message}; pin the hooks to a version, upload under another name, or send `?force=true` to store it and let \
                     their deliveries fail until their settings are changed"
                );
                return Err(Problem::new(Kind::Conflict, detail));
            }
            warnings.push(message);
        }
        if self.untried > 0 {
            warnings.push(format!("{} distinct settings of hooks were not tried", self.untried));
        }
        Ok(warnings)
    }
}
