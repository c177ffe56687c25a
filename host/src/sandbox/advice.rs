//! Hints for the author of an accepted plugin: what is probably wrong with it.

use super::limits::shortened;
use super::types::{PipelineEnd, PipelineRun};
use crate::domain::{Fault, FaultKind};

/// The interfaces that the engine calls.
const INTERFACES: [&str; 3] = [
    "hookwright:plugin/filter@1.0.0",
    "hookwright:plugin/mapper@1.0.0",
    "hookwright:plugin/transformer@1.0.0",
];
/// Names that probably mean one of [`INTERFACES`], with its index.
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
/// Maximum edit distance of a name.
const MAX_DISTANCE: usize = 2;
/// Failure codes that a correct plugin may return for empty settings or data.
const EXPECTED_CODES: [&str; 2] = ["bad-settings", "bad-data"];
/// Maximum length of a repeated message, in bytes.
const MAX_MESSAGE: usize = 500;

/// Returns the interface that `export` was probably similar_interface to be, or `None` if the engine calls it.
pub(super) fn similar_interface(export: &str) -> Option<&'static str> {
    if is_called(export) {
        return None;
    }
    let name = export.rsplit(['/', '#']).next().unwrap_or_default();
    let name = name.split('@').next().unwrap_or_default().to_ascii_lowercase().replace('_', "-");
    let near = NAMES.iter().map(|(known, place)| (strsim::levenshtein(known, &name), known.len(), *place));
    // Allow fewer edits in a short name.
    let near = near.filter(|(distance, length, _)| *distance <= MAX_DISTANCE.min(length / 3));
    near.min_by_key(|(distance, ..)| *distance).map(|(.., place)| INTERFACES[place])
}

fn is_called(export: &str) -> bool {
    export.split_once('@').is_some_and(|(name, version)| {
        version.starts_with("1.")
            && INTERFACES.iter().any(|known| known.split_once('@').is_some_and(|(n, _)| n == name))
    })
}

/// Warns of exports that the engine does not call but whose names resemble an interface that it calls.
pub(super) fn of_exports(exports: &[String]) -> Vec<String> {
    let warning = |export: &String| {
        let similar = similar_interface(export)?;
        Some(format!(
            "the plugin exports `{export}`, which the engine never calls; did you mean `{similar}`?"
        ))
    };
    exports.iter().filter_map(warning).collect()
}

/// Warns if a plugin fails when it is called with an empty event and empty settings. A failure that says that the
/// settings or data are bad is expected.
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
                "the plugin fails when called with data `{{}}` and settings `{{}}` ({kind}{code}): {message}"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_are_recognised() {
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
            assert_eq!(similar_interface(export), expected, "{export}");
        }
    }
}
