//! What is likely wrong with a plugin that can be taken: hints for its author.

use super::limits::shortened;
use super::types::{PipelineEnd, PipelineRun};
use crate::domain::{Fault, FaultKind};

/// The interfaces that the engine calls.
const INTERFACES: [&str; 3] = [
    "hookwright:plugin/filter@1.0.0",
    "hookwright:plugin/mapper@1.0.0",
    "hookwright:plugin/transformer@1.0.0",
];
/// Names that mean one of them: its own, that of its function, and what is near.
const NAMES: [(&str, usize); 8] = [
    ("filter", 0),
    ("accept", 0),
    ("mapper", 1),
    ("map-fields", 1),
    ("transformer", 2),
    ("transform", 2),
    ("handle", 2),
    ("handler", 2),
];
/// So many letters may be wrong.
const MAX_DISTANCE: usize = 2;
/// Codes by which plugins say that what they are given does not suit them, which is no wonder where it is nothing.
const EXPECTED_CODES: [&str; 2] = ["bad-settings", "bad-data"];
/// The longest message that is repeated, in bytes.
const MAX_MESSAGE: usize = 500;

/// The interface that `export` was probably meant to be, if it is none.
pub(super) fn meant(export: &str) -> Option<&'static str> {
    if is_called(export) {
        return None;
    }
    let name = export.rsplit(['/', '#']).next().unwrap_or_default();
    let name = name.split('@').next().unwrap_or_default().to_ascii_lowercase().replace('_', "-");
    let near = NAMES.iter().map(|(known, place)| (strsim::levenshtein(known, &name), known.len(), *place));
    // Of a short name most letters must be right.
    let near = near.filter(|(distance, length, _)| *distance <= MAX_DISTANCE.min(length / 3));
    near.min_by_key(|(distance, ..)| *distance).map(|(.., place)| INTERFACES[place])
}

fn is_called(export: &str) -> bool {
    export.split_once('@').is_some_and(|(name, version)| {
        version.starts_with("1.")
            && INTERFACES.iter().any(|known| known.split_once('@').is_some_and(|(n, _)| n == name))
    })
}

/// Exports that the engine never calls and that look as if they were meant to be called.
pub(super) fn of_exports(exports: &[String]) -> Vec<String> {
    let warning = |export: &String| {
        let meant = meant(export)?;
        Some(format!("it exports `{export}`, which the engine never calls; it calls `{meant}`"))
    };
    exports.iter().filter_map(warning).collect()
}

/// What a call with a plain event and no settings says about a plugin; nothing if it answers, or says that settings or data do not
/// suit it.
#[must_use]
pub fn of_plain_call(run: &PipelineRun) -> Option<String> {
    let PipelineEnd::Fault { fault, .. } = &run.end else { return None };
    let Fault { kind, code, message, .. } = fault;
    match (kind, code.as_deref()) {
        (FaultKind::Unavailable, _) => None,
        (_, Some(code)) if EXPECTED_CODES.contains(&code) => None,
        _ => {
            let code = code.as_ref().map(|code| format!(" `{code}`")).unwrap_or_default();
            let message = shortened(message, MAX_MESSAGE);
            Some(format!(
                "called with the data `{{}}` and the settings `{{}}` it fails ({kind}{code}): {message}"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_found_in_what_is_near() {
        for (export, expected) in [
            ("hookwright:plugin/filter@1.0.0", None),
            ("hookwright:plugin/filter@1.2.0", None),
            ("hookwright:plugin/filter@2.0.0", Some(INTERFACES[0])),
            ("hookwright:plugin/filters@1.0.0", Some(INTERFACES[0])),
            ("hookwright:plugin/transfomer", Some(INTERFACES[2])),
            ("acme:plugin/mapper@1.0.0", Some(INTERFACES[1])),
            ("map_fields", Some(INTERFACES[1])),
            ("accept", Some(INTERFACES[0])),
            ("Handler", Some(INTERFACES[2])),
            ("run", None),
            ("wasi:cli/run@0.2.0", None),
            ("memory", None),
            ("cap", None),
        ] {
            assert_eq!(meant(export), expected, "{export}");
        }
    }
}
