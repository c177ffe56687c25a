//! JSON merge patches (RFC 7396).
//!
//! Works on text, so that everything outside the patch keeps its exact representation, including the digits
//! of numbers. This matters most for the settings of plugins.

use serde_json::value::{RawValue, to_raw_value};

use super::json::Members;

/// Applies `patch` to `target`. The caller has checked the depth of both.
///
/// # Errors
/// Fails if either is not JSON, or has a duplicate member.
pub fn merge(target: &RawValue, patch: &RawValue) -> Result<Box<RawValue>, serde_json::Error> {
    merge_into(Some(target), patch)
}

fn merge_into(target: Option<&RawValue>, patch: &RawValue) -> Result<Box<RawValue>, serde_json::Error> {
    if !patch.get().starts_with('{') {
        return Ok(patch.to_owned());
    }
    let mut merged = match target {
        Some(target) if target.get().starts_with('{') => members(target)?,
        _ => Vec::new(),
    };
    for (name, value) in members(patch)? {
        let at = merged.iter().position(|(other, _)| *other == name);
        match (at, value.get()) {
            (Some(at), "null") => drop(merged.remove(at)),
            (None, "null") => {}
            (Some(at), _) => merged[at].1 = merge_into(Some(&merged[at].1), &value)?,
            (None, _) => merged.push((name, merge_into(None, &value)?)),
        }
    }
    to_raw_value(&Members(merged))
}

fn members(object: &RawValue) -> Result<Vec<(String, Box<RawValue>)>, serde_json::Error> {
    let Members(members) = serde_json::from_str(object.get())?;
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7396, appendix A, in its order; the last row tests that numbers keep their digits.
    #[test]
    fn patches_apply_as_in_the_standard() {
        for (target, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, r"{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
            (
                r#"{"n":1.50,"m":0}"#,
                r#"{"m":123456789012345678901}"#,
                r#"{"n":1.50,"m":123456789012345678901}"#,
            ),
        ] {
            let read = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
            let merged = merge(&read(target), &read(patch)).unwrap();
            assert_eq!(merged.get(), result, "{target} + {patch}");
        }
    }
}
