//! Words to replace by standard terms.

use std::collections::BTreeMap;

use crate::Violation;
use crate::lexer::{Kind, tokens};
use crate::repository::FILES;

/// These files contain the words and phrases, so they are exempt.
const OWN_DIRECTORY: &str = "tests/tests/tidy/";

/// Parts of identifiers, case-insensitive, with their replacements.
const PARTS: [(&str, &str); 13] = [
    ("bear", "RetryPolicy::run"),
    ("crew", "Workers"),
    ("farewell", "close_notify"),
    ("ledger", "RowlessDeliveries"),
    ("patience", "RetryPolicy, or …_TIMEOUT"),
    ("settle", "materialize"),
    ("settled", "materialized"),
    ("settles", "materializes"),
    ("settling", "materializing"),
    ("turn", "limit, permit, next: say which"),
    ("turns", "TenantLimiter"),
    ("unheard", "ClosedBeforeResponse"),
    ("unwritten", "RowlessDeliveries"),
];

/// Whole identifiers.
const NAMES: [(&str, &str); 6] = [
    ("Plan", "WritePlan"),
    ("Shared", "a name that says what is shared"),
    ("Span", "IdBucket"),
    ("UnderWay", "a name that says what is under way"),
    ("end_if_nothing_is_taken", "set_send_timeout"),
    ("hand_in", "submit"),
];

/// Phrases in comments, messages and documents.
const PHRASES: [(&str, &str); 6] = [
    ("are to be", "a verb in the active voice"),
    ("by heart", "in memory"),
    ("is to be", "a verb in the active voice"),
    ("of which", "a sentence of its own"),
    ("the request before the request", "preflight request"),
    ("whoever", "clients, operators, callers: say who"),
];

/// Returns uses of the phrases, once per file.
pub fn phrases() -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in FILES.iter().filter(|file| !file.path.starts_with(OWN_DIRECTORY)) {
        for (phrase, better) in PHRASES {
            let uses = |line: &str| line.to_lowercase().contains(phrase);
            let lines = file.text.lines().enumerate().filter(|(_, line)| uses(line));
            let lines: Vec<String> = lines.map(|(index, _)| (index + 1).to_string()).collect();
            if let Some(first) = lines.first() {
                violations.push(Violation {
                    key: format!("{} {phrase}", file.path),
                    message: format!(
                        "{}:{first}: \"{phrase}\" (lines {}): write {better}",
                        file.path,
                        lines.join(", ")
                    ),
                });
            }
        }
    }
    violations
}

/// Returns Rust identifiers with one of the words, once per file.
pub fn identifiers() -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in
        FILES.iter().filter(|file| file.has_extension(&["rs"]) && !file.path.starts_with(OWN_DIRECTORY))
    {
        let mut found = BTreeMap::new();
        for token in tokens(&file.text).into_iter().filter(|token| token.kind == Kind::Word) {
            found.entry(token.text).or_insert(token.line);
        }
        let found = found.into_iter().filter_map(|(name, line)| Some((name, line, better(name)?)));
        violations.extend(found.map(|(name, line, better)| Violation {
            key: format!("{} {name}", file.path),
            message: format!("{}:{line}: `{name}`: use the standard term: {better}", file.path),
        }));
    }
    violations
}

fn better(name: &str) -> Option<&'static str> {
    let parts = parts(name);
    let whole = NAMES.iter().find(|(word, _)| *word == name);
    let part = || PARTS.iter().find(|(word, _)| parts.iter().any(|part| part == word));
    whole.or_else(part).map(|(_, better)| *better)
}

/// Splits a name into words in lower case: `IdBucket` and `id_bucket` give `id`, `bucket`.
pub fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut before_is_lower = false;
    for letter in name.chars() {
        if letter == '_' || (letter.is_uppercase() && before_is_lower) {
            parts.push(String::new());
        }
        before_is_lower = letter.is_lowercase();
        if letter != '_' {
            parts.last_mut().expect("there is always one").extend(letter.to_lowercase());
        }
    }
    parts
}
