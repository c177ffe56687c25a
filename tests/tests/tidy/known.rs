//! Violations, and the list of those that are known.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The list: a violation's rule and key, one a line.
const LIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tidy/known.txt");

/// Something that breaks a rule.
pub struct Violation {
    /// What the list of known violations calls it: paths and names, no line numbers, so that entries stay valid.
    pub key: String,
    /// Where it is, what is wrong, and what to do.
    pub message: String,
}

/// Fails if a violation of `rule` is not in the list, or if the list has one that is gone.
pub fn expect_only_known(rule: &str, violations: Vec<Violation>) {
    let list = std::fs::read_to_string(LIST).unwrap();
    let known: BTreeSet<&str> =
        list.lines().filter_map(|line| line.strip_prefix(rule)?.strip_prefix(' ')).collect();
    let found: BTreeSet<&str> = violations.iter().map(|violation| violation.key.as_str()).collect();
    let mut report = String::new();
    for violation in violations.iter().filter(|violation| !known.contains(violation.key.as_str())) {
        writeln!(report, "{}\n    [{rule} {}]", violation.message, violation.key)
            .expect("a string takes everything");
    }
    for gone in known.difference(&found) {
        writeln!(report, "tests/tests/tidy/known.txt: this is mended, so delete the line: {rule} {gone}")
            .expect("a string takes everything");
    }
    assert!(report.is_empty(), "\n{report}");
}
