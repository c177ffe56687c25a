//! Counts the calls of plugins.

use crate::directory::STANDARD_PLUGINS;
use crate::domain::StepReport;
use crate::metrics::plugins;

/// Counts the steps of a pipeline. A plugin of a tenant cannot have the name of a standard plugin.
pub(super) fn count(steps: &[StepReport]) {
    for step in steps {
        let name = step.resolved.as_ref().map_or("", |resolved| resolved.name.as_str());
        let standard = STANDARD_PLUGINS.binary_search_by_key(&name, |plugin| plugin.name).ok();
        plugins::step_ended(standard, step.duration, step.fuel, step.fault.as_ref().map(|fault| fault.kind));
    }
}
