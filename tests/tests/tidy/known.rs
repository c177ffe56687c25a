//! Violations, and the list of known violations.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The list: rule and key of a violation, one per line.
const LIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tidy/known.txt");

/// A violation of a rule.
pub struct Violation {
    /// The key in the list: paths and names without line numbers, so that entries stay valid.
    pub key: String,
    /// The location, what is wrong, and what to do.
    pub message: String,
}

/// Fails if a violation of `rule` is not in the list, or if the list has an entry without a violation.
pub fn expect_only_known(rule: &str, violations: Vec<Violation>) {
    let list = std::fs::read_to_string(LIST).unwrap();
    let known: BTreeSet<&str> =
        list.lines().filter_map(|line| line.strip_prefix(rule)?.strip_prefix(' ')).collect();
    let found: BTreeSet<&str> = violations.iter().map(|violation| violation.key.as_str()).collect();
    let mut report = String::new();
    for violation in violations.iter().filter(|violation| !known.contains(violation.key.as_str())) {
        writeln!(report, "{}\n    [{rule} {}]", violation.message, violation.key)
            .expect("writing to a string succeeds");
    }
    for gone in known.difference(&found) {
        writeln!(
            report,
            "tests/tests/tidy/known.txt: this violation is fixed, so delete the line: {rule} {gone}"
        )
        .expect("writing to a string succeeds");
    }
    assert!(report.is_empty(), "\n{report}");
}
