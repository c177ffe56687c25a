//! What a new version changes for the hooks that run a plugin by its name.
//!
//! Such hooks run the newest version. So an upload under a name that they use is tried against them before it is stored: it must
//! have the roles that their pipelines rely on, and take the settings that they give it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::problem::{Kind, Problem};
use crate::api::v3::hooks::Trial;
use crate::directory::named_hooks;
use crate::domain::attempt::ResolvedPlugin;
use crate::domain::{Hook, HookId, PluginName, PluginRef, Step};

/// How many hooks an answer names.
const MAX_NAMED: usize = 100;
/// How many different settings are tried. A tenant's hooks mostly have a few.
const MAX_TRIED: usize = 200;
/// How long all trials may take together.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(20);

/// The hooks that run the plugin by its name, without a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct AffectedHooks {
    /// How many there are.
    #[schema(example = 1)]
    count: usize,
    /// The first 100 of their ids, oldest first.
    #[schema(example = json!(["hook_01J"]), max_items = 100)]
    ids: Vec<String>,
}

impl AffectedHooks {
    pub(super) fn of(hooks: &[Arc<Hook>]) -> Self {
        let ids = hooks.iter().take(MAX_NAMED).map(|hook| hook.id.to_string()).collect();
        Self { count: hooks.len(), ids }
    }
}

/// One kind of settings, and the hooks that give them.
struct Given {
    step: Step,
    hooks: Vec<Arc<Hook>>,
}

/// What the trials found.
#[derive(Debug, Default)]
pub(super) struct Tried {
    /// The hooks whose settings are refused, and why the first of them are.
    refused: Vec<HookId>,
    because: Option<String>,
    /// So many different settings were not tried.
    untried: usize,
}

/// Tries the settings of all `hooks` with a version that is not stored yet.
///
/// # Errors
/// Where the engine fails.
pub(super) async fn try_settings(
    trial: &Trial,
    hooks: &[Arc<Hook>],
    version: &ResolvedPlugin,
) -> Result<Tried, Problem> {
    let all = given(hooks, &version.name);
    let (mut tried, mut seen) = (Tried::default(), 0);
    let trying = async {
        for given in all.iter().take(MAX_TRIED) {
            let [first, ..] = given.hooks.as_slice() else { continue };
            if let Some(words) = trial.refusal(first, &given.step, version).await? {
                tried.refused.extend(given.hooks.iter().map(|hook| hook.id));
                tried.because.get_or_insert(words);
            }
            seen += 1;
        }
        Ok::<_, Problem>(())
    };
    // What has not answered by then has nothing against it.
    if let Ok(ended) = tokio::time::timeout(TRIAL_TIMEOUT, trying).await {
        ended?;
    }
    tried.untried = all.len() - seen;
    Ok(tried)
}

/// The different settings that `hooks` give the plugin, in the order of the hooks.
fn given(hooks: &[Arc<Hook>], name: &PluginName) -> Vec<Given> {
    let by_name = PluginRef::Latest(name.clone());
    let mut all: Vec<Given> = Vec::new();
    let mut places = HashMap::new();
    for hook in hooks {
        for step in hook.pipeline.0.iter().chain(&hook.preflight.0).filter(|step| step.plugin == by_name) {
            let place = *places.entry(Arc::clone(&step.settings)).or_insert_with(|| {
                all.push(Given { step: step.clone(), hooks: Vec::new() });
                all.len() - 1
            });
            if all[place].hooks.last().is_none_or(|last| last.id != hook.id) {
                all[place].hooks.push(Arc::clone(hook));
            }
        }
    }
    all
}

impl Tried {
    /// The words for a version whose settings hooks of the tenant would have to change.
    fn words(&self) -> Option<String> {
        let because = self.because.as_ref()?;
        Some(format!("this version refuses the settings of {}: {because}", named_hooks(&self.refused)))
    }

    /// What is worth saying of a version that is taken.
    ///
    /// # Errors
    /// Where settings are refused and nobody insists by `force`.
    pub(super) fn warnings(self, force: bool) -> Result<Vec<String>, Problem> {
        let mut warnings = Vec::new();
        if let Some(words) = self.words() {
            if !force {
                let detail = format!(
                    "{words}; have the hooks name a version, upload it under another name, or, if their deliveries may fail until \
                     their settings are changed, add `?force=true`"
                );
                return Err(Problem::new(Kind::Conflict, detail));
            }
            warnings.push(words);
        }
        if self.untried > 0 {
            warnings.push(format!("{} different settings of hooks were not tried", self.untried));
        }
        Ok(warnings)
    }
}
