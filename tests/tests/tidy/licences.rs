//! SPDX licence expressions, as crates write them.

/// Whether `is_allowed` allows enough of the licences in `expression`, for example one of those in `MIT OR Apache-2.0`.
pub fn is_met(expression: &str, is_allowed: &impl Fn(&str) -> bool) -> bool {
    // Older crates write `/` for `OR`.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let met = any(&mut rest, is_allowed);
    assert!(rest.is_empty(), "not a licence expression: {expression}");
    met
}

/// Parses operands of `OR`.
fn any(words: &mut &[&str], is_allowed: &impl Fn(&str) -> bool) -> bool {
    let mut met = all(words, is_allowed);
    while take(words, "OR") {
        met |= all(words, is_allowed);
    }
    met
}

/// Parses operands of `AND`, which binds more tightly than `OR`.
fn all(words: &mut &[&str], is_allowed: &impl Fn(&str) -> bool) -> bool {
    let mut met = one(words, is_allowed);
    while take(words, "AND") {
        met &= one(words, is_allowed);
    }
    met
}

/// Parses a licence, with or without an exception, or an expression in parentheses.
fn one(words: &mut &[&str], is_allowed: &impl Fn(&str) -> bool) -> bool {
    if take(words, "(") {
        let met = any(words, is_allowed);
        assert!(take(words, ")"), "a parenthesis is not closed");
        return met;
    }
    let (licence, rest) = words.split_first().expect("a licence is missing");
    *words = rest;
    if take(words, "WITH") {
        let (exception, rest) = words.split_first().expect("an exception is missing");
        *words = rest;
        return is_allowed(&format!("{licence} WITH {exception}"));
    }
    is_allowed(licence)
}

fn take(words: &mut &[&str], word: &str) -> bool {
    let found = words.first() == Some(&word);
    if found {
        *words = &words[1..];
    }
    found
}

#[test]
fn an_expression_is_met_if_enough_of_its_licences_are_allowed() {
    let allowed = |licence: &str| ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].contains(&licence);
    for (expression, met) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("Apache-2.0", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("(GPL-3.0 OR MIT) AND ISC", true),
        ("MIT OR GPL-3.0 AND BSD-3-Clause", true),
        ("(MIT OR GPL-3.0) AND BSD-3-Clause", false),
    ] {
        assert_eq!(is_met(expression, &allowed), met, "{expression}");
    }
}
